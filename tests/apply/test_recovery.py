"""What an earlier run left open is adopted, gone on from or done again, by digests alone."""

import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest
from msgspec.structs import replace

from brewslm.apply.recovery import recover
from brewslm.artifacts.memory import MemoryArtifacts
from brewslm.artifacts.store import Produced
from brewslm.fingerprint import digest_folder
from brewslm.plan.checkpoints import checkpoints_of, passed_over
from brewslm.state.records import OperationRecord, OperationStatus
from brewslm.state.stores.memory import MemorySession, MemoryStore
from tests.state.states import LINEAGE, NOW, SOON, lease, operation

_SAME = "sha256:" + "1" * 64


class Left:
    """A state with open entries, artifacts and run folders."""

    def __init__(self, home: Path) -> None:
        store = MemoryStore()
        store.create(LINEAGE)
        self.home = home
        self.session: MemorySession = store.acquire(lease(), NOW)
        self.artifacts = MemoryArtifacts()
        self.told: list[tuple[str, str]] = []
        self.warned: list[tuple[str, tuple[int, ...]]] = []

    def begin(
        self, name: str, fingerprint: str = _SAME, steps: Sequence[int] = (), folder: bool = True
    ) -> None:
        """Leave an open entry with checkpoints of some steps."""
        place = f"runs/{name}" if folder else ""
        self.session.begin(operation(name, fingerprint=fingerprint, folder=place))
        (self.home / "runs" / name).mkdir(parents=True)
        for step in steps:
            path = self.checkpoint(name, step)
            path.mkdir()
            (path / "weights").write_text(f"{name} {step}")
            entry: dict[str, object] = {"step": step, "path": path.name}
            self.session.add_checkpoint(name, {**entry, "digest": digest_folder(path)})

    def checkpoint(self, name: str, step: int) -> Path:
        """Return the folder of a checkpoint."""
        return self.home / "runs" / name / f"checkpoint-{step}"

    def recover(self) -> dict[str, tuple[str, int]]:
        """Recover; return entry and step of what can be gone on from, by fingerprint."""
        found = recover(
            self.session,
            self.artifacts,
            self.home,
            lambda event: self.told.append((event.operation_id, event.decision)),
            lambda entry, read: self.warned.append((entry.operation_id, read.skipped)),
            SOON,
        )
        for fingerprint, item in found.items():
            assert item.operation.fingerprint == fingerprint
            assert digest_folder(item.path) == item.digest
            assert item.path == self.checkpoint(item.operation.operation_id, item.step)
        return {key: (item.operation.operation_id, item.step) for key, item in found.items()}

    def entries(self) -> dict[str, tuple[OperationStatus, str, bool]]:
        """Return of each entry its status, when it ended, and whether its folder is there."""
        return {
            item.operation_id: (
                item.status,
                item.ended_at,
                (self.home / "runs" / item.operation_id).exists(),
            )
            for item in self.session.operations()
        }


@pytest.fixture
def left(tmp_path: Path) -> Left:
    return Left(tmp_path)


_OPEN = (OperationStatus.BEGUN, "", True)
_DISCARDED = (OperationStatus.DISCARDED, SOON, False)
_ADOPTED = (OperationStatus.ENDED, SOON, False)


@pytest.mark.parametrize("is_whole", [True, False])
def test_work_is_adopted_only_if_every_output_is_stored(left: Left, is_whole: bool) -> None:
    left.begin("one", steps=(5,) if is_whole else ())
    outputs = {name: left.artifacts.put_bytes(name.encode()) for name in ("lora_adapter", "run")}
    left.artifacts.record_produced(Produced(_SAME, "training_plan", {}, outputs))
    if not is_whole:
        left.artifacts.trash(outputs["run"].digest)
    assert left.recover() == {}
    assert left.entries() == {"one": _ADOPTED if is_whole else _DISCARDED}
    assert left.told == [("one", "adopted" if is_whole else "discarded")]


def test_what_left_nothing_is_done_again(left: Left) -> None:
    left.begin("one", fingerprint="")
    left.begin("two", folder=False)
    assert left.recover() == {}
    assert left.entries() == {"two": (*_DISCARDED[:2], True), "one": _DISCARDED}
    assert left.told == [("two", "discarded"), ("one", "discarded")]


def test_the_newest_entry_is_gone_on_from_and_an_older_one_is_not_kept(left: Left) -> None:
    left.begin("old", steps=(30,))
    left.begin("new", steps=(10, 20))
    left.begin("other", fingerprint="sha256:" + "2" * 64, steps=(7,))
    assert left.recover() == {_SAME: ("new", 20), "sha256:" + "2" * 64: ("other", 7)}
    assert left.entries() == {"other": _OPEN, "new": _OPEN, "old": _DISCARDED}
    assert left.told == [("old", "discarded")]
    assert left.warned == []


def test_an_older_entry_is_gone_on_from_where_the_newest_is_damaged(left: Left) -> None:
    left.begin("old", steps=(30,))
    left.begin("new", steps=(10, 20))
    shutil.rmtree(left.checkpoint("new", 10))
    (left.checkpoint("new", 20) / "weights").write_text("other")
    assert left.recover() == {_SAME: ("old", 30)}
    assert left.entries() == {"new": _DISCARDED, "old": _OPEN}
    assert left.warned == [("new", (20, 10))]


@pytest.mark.parametrize("wholes", list(product([True, False], repeat=3)))
def test_the_newest_whole_checkpoint_wins_in_whatever_order_they_were_recorded(
    left: Left, wholes: tuple[bool, ...]
) -> None:
    steps = (8, 100, 9)
    left.begin("one", steps=steps)
    for step, is_whole in zip(steps, wholes, strict=True):
        if not is_whole:
            (left.checkpoint("one", step) / "more").write_text("")
    (entry,) = left.session.operations(only_open=True)
    whole = [step for step, is_whole in zip(steps, wholes, strict=True) if is_whole]
    newest = max(whole, default=None)
    found = checkpoints_of(left.home, entry)
    assert (found.newest.step if found.newest else None) == newest
    over = sorted((step for step in steps if step not in whole), reverse=True)
    assert found.skipped == tuple(step for step in over if newest is None or step > newest)
    assert _trusted(entry) == 100


def _as_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("")


@pytest.mark.parametrize(
    "spoil",
    [lambda path: (path / "more").symlink_to("weights"), _as_file, shutil.rmtree],
    ids=["with a link", "a file", "missing"],
)
def test_what_cannot_be_read_as_a_checkpoint_is_passed_over(
    left: Left, spoil: Callable[[Path], None]
) -> None:
    left.begin("one", steps=(10, 20))
    spoil(left.checkpoint("one", 20))
    entry: dict[str, object] = {"step": 30, "path": "x" * 300, "digest": _SAME}
    left.session.add_checkpoint("one", entry)
    assert left.recover() == {_SAME: ("one", 10)}
    assert left.warned == [("one", (30, 20))]


def test_what_is_passed_over_is_told_with_where_training_goes_on(left: Left) -> None:
    left.begin("one", steps=(10, 20, 30))
    (entry,) = left.session.operations()
    for step, words in (
        (30, "the checkpoint at step 30 is missing or damaged; training continues from step 20"),
        (20, "the checkpoints at steps 30, 20 are missing or damaged; training continues from "
             "step 10"),
        (10, "the checkpoints at steps 30, 20, 10 are missing or damaged; training continues "
             "from the beginning"),
    ):  # fmt: skip
        shutil.rmtree(left.checkpoint("one", step))
        assert passed_over(checkpoints_of(left.home, entry)) == words


def _trusted(entry: OperationRecord) -> int | None:
    """Return the step that the journal alone names, whatever is on the disk."""
    found = checkpoints_of(None, entry)
    assert found.skipped == ()
    return found.newest.step if found.newest else None


def test_ended_entries_are_left_alone(left: Left) -> None:
    with closing(left.session):
        left.begin("one", steps=(5,))
        (entry,) = left.session.operations()
        left.session.end(replace(entry, status=OperationStatus.ENDED))
        assert left.recover() == {}
        assert left.told == []
