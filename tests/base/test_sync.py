"""What a loop remembers of commits that failed."""

from hypothesis import given
from hypothesis import strategies as st

from brewslm.sync import Failure, Phase, SyncMemory, SyncOperation

_NAMES = st.sampled_from("abcdef")


def _failure(revision: str, manifest_digest: str, message: str = "") -> Failure:
    operation = SyncOperation(
        phase=Phase.FAILED,
        revision=revision,
        manifest_digest=manifest_digest,
        message=message,
        started_at="2026-03-01T10:00:00Z",
    )
    return Failure(revision=revision, manifest_digest=manifest_digest, operation=operation)


@given(st.lists(st.tuples(_NAMES, _NAMES)))
def test_each_failed_commit_is_remembered_once_and_the_newest_last(
    failed: list[tuple[str, str]],
) -> None:
    memory = SyncMemory()
    for key in failed:
        memory = memory.with_failure(_failure(*key))
    kept = [(item.revision, item.manifest_digest) for item in memory.failures]
    assert kept == list(dict.fromkeys(reversed(failed)))[::-1]
    assert SyncMemory.model_validate_json(memory.model_dump_json()) == memory


@given(st.lists(st.tuples(_NAMES, _NAMES), min_size=1))
def test_forgetting_takes_away_that_commit_alone(failed: list[tuple[str, str]]) -> None:
    memory = SyncMemory()
    for key in failed:
        memory = memory.with_failure(_failure(*key))
    less = memory.without_failure(*failed[0])
    assert less.failure_of(*failed[0]) is None
    for key in set(failed[1:]) - {failed[0]}:
        assert less.failure_of(*key) == memory.failure_of(*key) is not None


def test_newer_failure_of_a_commit_replaces_the_older_one() -> None:
    memory = SyncMemory().with_failure(_failure("a", "b", "first"))
    found = memory.with_failure(_failure("a", "b", "second")).failure_of("a", "b")
    assert found is not None
    assert found.operation.message == "second"


def test_oldest_failures_are_forgotten_beyond_two_hundred() -> None:
    memory = SyncMemory()
    for number in range(300):
        memory = memory.with_failure(_failure(str(number), "m"))
    assert [memory.failures[0].revision, memory.failures[-1].revision] == ["100", "299"]
    assert len(memory.failures) == 200
