"""A run that was taken over in an object store, which cannot hold a takeover off while files
change.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from brewslm.apply.promotion import moving_links, point
from brewslm.contracts import Job, Result
from brewslm.errors import LeaseLostError, StateError
from brewslm.plan.placed import short_name
from brewslm.state.opening import open_shared_state
from brewslm.state.store import StateSession
from tests.apply.bench import Bench, digest_of_model, model_in
from tests.state.newer import NEWER
from tests.state.states import (
    LINEAGE,
    NOW,
    deployment,
    ended,
    lease,
    operation,
    resource,
)

pytestmark = pytest.mark.slow
MODEL_TEXTS = ("first", "second", "third")
FIRST, SECOND, THIRD = map(digest_of_model, MODEL_TEXTS)
LATE = "2100-01-01T00:00:00Z"
Takeover = Callable[[], AbstractContextManager[StateSession]]


@dataclass
class Overtaken(Bench):
    """A project whose training is met by a takeover."""

    overtake: Callable[[], object] = field(default=lambda: None)

    def answer(self, job: Job, folder: Path) -> Result:
        """Do a job as a worker of this project would."""
        if job.address == "training_plan":
            self.overtake()
        return super().answer(job, folder)


@pytest.mark.case("CON-02", "CRA-06")
def test_run_that_a_newer_program_took_over_from_ends_as_lost(
    tmp_path: Path, bucket_url: str
) -> None:
    made = Bench.make(tmp_path / "project")
    made.edit("deployment:", f"workflow: {{backend: {{state: '{bucket_url}'}}}}\n  deployment:")
    taken: list[StateSession] = []
    newer = open_shared_state(bucket_url, NEWER)
    bench = Overtaken(made.root, overtake=lambda: taken.append(newer.acquire(lease(), LATE)))
    outcome = bench.apply()
    with closing(taken[0]) as session:
        assert session.meta().schema_version == NEWER.version
        assert outcome.lost is not None
        assert outcome.lost.code == "lease_lost"
        assert f"fence {session.fence}" in outcome.lost.found
        assert "training_plan" in outcome.pending
        assert "training_plan" not in session.resources()
    assert list(bench.home.glob("errored-*")) == []
    assert bench.promoted() is None


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a folder with the models that may be promoted."""
    for text in MODEL_TEXTS:
        model_in(tmp_path, text)
    return tmp_path


@pytest.fixture
def old(bucket_url: str) -> Iterator[StateSession]:
    """Lend a session that promoted the first model."""
    store = open_shared_state(bucket_url)
    store.create(LINEAGE)
    with closing(store.acquire(lease(), NOW)) as session:
        promote(session, FIRST)
        yield session


@pytest.fixture
def takeover(bucket_url: str) -> Takeover:
    """Return what takes the lease over."""

    @contextmanager
    def taken() -> Iterator[StateSession]:
        with closing(open_shared_state(bucket_url).acquire(lease(), LATE)) as session:
            yield session

    return taken


def promote(session: StateSession, digest: str) -> None:
    """Record a promotion."""
    begun = operation(f"promote-{short_name(digest)}", kind="deployment", fence=session.fence)
    session.begin(begun)
    record = resource("deployment", kind="deployment", values={"alias": "champion"})
    promoted = deployment("champion", digest)
    session.end(ended(begun), records=[record], deployment=promoted)


def promoted(home: Path) -> str:
    return (home / "promoted" / "champion").readlink().name


@pytest.mark.case("CON-09", "DEP-02")
def test_lease_lost_before_leaves_links_alone(
    home: Path, old: StateSession, takeover: Takeover
) -> None:
    with takeover() as session:
        promote(session, SECOND)
        point(home, "champion", THIRD)
        with pytest.raises(LeaseLostError), moving_links(home, old):
            pytest.fail("a block ran although the lease was lost before")
        assert promoted(home) == short_name(THIRD)


@pytest.mark.case("CON-09", "DEP-02")
def test_link_moved_while_the_lease_is_lost_is_put_right(
    home: Path, old: StateSession, takeover: Takeover
) -> None:
    def move() -> None:
        with moving_links(home, old):
            with takeover() as session:
                promote(session, SECOND)
                point(home, "champion", SECOND)
            point(home, "champion", FIRST)

    with pytest.raises(LeaseLostError):
        move()
    assert promoted(home) == short_name(SECOND)


@pytest.mark.case("DEP-02")
def test_promotion_that_meets_the_repair_of_a_link_wins(
    home: Path, old: StateSession, takeover: Takeover, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, waiting = old.deployments, [THIRD]

    def move(until_the_end: ExitStack) -> None:
        with moving_links(home, old):
            other = until_the_end.enter_context(takeover())
            promote(other, SECOND)

            def look_before_another_promotes(*alias: Any) -> Any:
                found = look(*alias)
                if waiting:
                    promote(other, waiting[0])
                    point(home, "champion", waiting.pop())
                return found

            monkeypatch.setattr(old, "deployments", look_before_another_promotes)
            point(home, "champion", FIRST)

    with ExitStack() as until_the_end, pytest.raises(LeaseLostError):
        move(until_the_end)
    assert waiting == []
    assert promoted(home) == short_name(THIRD)


@pytest.mark.case("CON-09")
def test_state_that_cannot_be_read_does_not_hide_the_loss(
    home: Path, old: StateSession, takeover: Takeover, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> Any:
        raise StateError("gone", code="state_write_failed", remedy="wait")

    with pytest.raises(LeaseLostError), moving_links(home, old), takeover():
        monkeypatch.setattr(old, "meta", refused)
