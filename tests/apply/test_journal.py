"""An entry goes on from an earlier one's checkpoint only where it may, and loses none of them."""

from pathlib import Path
from typing import Any

import pytest

from brewslm.apply.clock import SystemClock
from brewslm.apply.desk import Desk
from brewslm.apply.history import History
from brewslm.apply.interruption import Stop
from brewslm.apply.journal import Begun, Journal
from brewslm.apply.scripted import ScriptedWorker
from brewslm.artifacts.memory import MemoryArtifacts
from brewslm.contracts import Operation, Result
from brewslm.errors import LeaseLostError, StateError, UnwrittenStateError, WorkerError
from brewslm.events import Event
from brewslm.fingerprint import digest_folder, fingerprint
from brewslm.plan.action import Action
from brewslm.state.records import OperationRecord, OperationStatus
from brewslm.state.rescue import push, read_unwritten
from brewslm.state.stores.memory import MemorySession, MemoryStore
from tests.state.states import AFTER_EXPIRY, LINEAGE, NOW, lease, operation, resource

_FACTS: dict[str, Any] = {"spec": {"rank": 8}}


class Run:
    """An apply with a state and run folders, in which an entry with a checkpoint was left open."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.store = MemoryStore()
        self.store.create(LINEAGE)
        self.session: MemorySession = self.store.acquire(lease(), NOW)
        self.session.begin(operation("left", fingerprint=fingerprint(_FACTS)))
        folder = home / "runs" / "left"
        (folder / "inputs").mkdir(parents=True)
        digest = _checkpoint(folder, 5)
        entry: dict[str, object] = {"step": 5, "path": "checkpoint-5", "digest": digest}
        self.session.add_checkpoint("left", entry)

    def journal(self, *, is_resume_allowed: bool = True) -> Journal:
        """Return the journal of an apply that has recovered what was left."""
        clock, events = SystemClock(), list[Event]()
        desk = Desk(
            root=self.home,
            home=self.home,
            artifacts=MemoryArtifacts(),
            worker=ScriptedWorker(lambda *_: Result()),
            tell=events.append,
            clock=clock,
            stop=Stop(),
            specs={},
            outputs={},
            values={},
            base_folder=None,
            prepare=Path,
            rescue_folders=(self.home,),
        )
        journal = Journal(
            self.session,
            desk,
            History(self.session, "a2", "ana", clock),
            apply_id="a2",
            is_resume_allowed=is_resume_allowed,
        )
        journal.recover()
        return journal

    def entry(self, operation_id: str) -> OperationRecord:
        """Return an entry as it is recorded."""
        return next(item for item in self.session.operations() if item.operation_id == operation_id)

    def steps(self, begun: Begun) -> list[int]:
        """Return the steps of the checkpoints that are recorded of an entry, each of them whole."""
        entry = self.entry(begun.operation.operation_id)
        for item in entry.checkpoints:
            assert digest_folder(begun.running.folder / str(item["path"])) == item["digest"]
        return [int(item["step"]) for item in entry.checkpoints]


def _checkpoint(folder: Path, step: int) -> str:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "weights").write_text(str(step))
    return digest_folder(path)


def _action(**changes: Any) -> Action:
    values: dict[str, Any] = {"operation": Operation.CREATE, "reason": "not_recorded"}
    return Action(address="training_plan", target="training_plan", **values | changes)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_the_same_training_goes_on_in_a_folder_of_its_own(run: Run) -> None:
    begun = run.journal().begin(_action(), _FACTS)
    assert begun.checkpoint is not None
    assert begun.checkpoint.step == 5
    assert begun.checkpoint.path == begun.running.folder / "checkpoint-5"
    assert digest_folder(begun.checkpoint.path) == begun.checkpoint.digest
    assert begun.running.folder == run.home / "runs" / begun.operation.operation_id
    assert not (run.home / "runs" / "left").exists()
    assert not (begun.running.folder / "inputs").exists()
    assert run.steps(begun) == [5]
    left, new = run.entry("left"), run.entry(begun.operation.operation_id)
    assert (left.status, left.reason_code) == (OperationStatus.DISCARDED, "training_resumed")
    assert (new.status, new.fingerprint, new.fence) == (
        OperationStatus.BEGUN,
        fingerprint(_FACTS),
        run.session.fence,
    )


@pytest.mark.parametrize(
    ("is_allowed", "changes"),
    [(False, {}), (True, {"replaces": True}), (False, {"replaces": True})],
)
def test_a_training_that_may_not_go_on_begins_at_its_first_step(
    run: Run, is_allowed: bool, changes: dict[str, Any]
) -> None:
    begun = run.journal(is_resume_allowed=is_allowed).begin(_action(**changes), _FACTS)
    assert begun.checkpoint is None
    assert (run.steps(begun), list(begun.running.folder.iterdir())) == ([], [])
    assert run.entry("left").status is OperationStatus.DISCARDED
    assert not (run.home / "runs" / "left").exists()


def test_a_checkpoint_is_gone_on_from_once_and_by_its_own_training(run: Run) -> None:
    journal = run.journal()
    assert journal.begin(_action(), {"spec": {"rank": 9}}).checkpoint is None
    assert run.entry("left").status is OperationStatus.BEGUN
    assert journal.begin(_action(), _FACTS).checkpoint is not None
    assert journal.begin(_action(), _FACTS).checkpoint is None


def test_a_checkpoint_replaces_those_that_it_supersedes_once_it_is_recorded(run: Run) -> None:
    begun = run.journal().begin(_action(), _FACTS)
    folder, record = begun.running.folder, begun.running.on_checkpoint
    assert record is not None
    (folder / "checkpoint-99").mkdir()
    for step, superseded, kept in (
        (6, ["checkpoint-6", "checkpoint-99"], [5, 6]),
        (7, ["checkpoint-5"], [6, 7]),
        (8, ["checkpoint-5", "checkpoint-6", "checkpoint-7"], [8]),
        (8, ["checkpoint-8"], [8]),
    ):
        if not (folder / f"checkpoint-{step}").exists():
            _checkpoint(folder, step)
        record(step, f"checkpoint-{step}", superseded)
        assert run.steps(begun) == kept
        there = {path.name for path in folder.glob("checkpoint-*")}
        assert there == {f"checkpoint-{number}" for number in (*kept, 99)}


def test_a_checkpoint_that_cannot_be_recorded_supersedes_nothing(run: Run) -> None:
    begun = run.journal().begin(_action(), _FACTS)
    record = begun.running.on_checkpoint
    assert record is not None
    run.store.acquire(lease(), AFTER_EXPIRY)
    _checkpoint(begun.running.folder, 6)
    with pytest.raises(LeaseLostError):
        record(6, "checkpoint-6", ["checkpoint-5"])
    assert (begun.running.folder / "checkpoint-5").is_dir()


@pytest.mark.parametrize(
    ("code", "facts", "is_interrupted", "status"),
    [
        ("worker_killed", _FACTS, False, OperationStatus.INTERRUPTED),
        ("interrupted", _FACTS, True, OperationStatus.INTERRUPTED),
        ("interrupted", {}, True, OperationStatus.INTERRUPTED),
        ("worker_killed", {}, False, OperationStatus.FAILED),
        ("training_nonfinite_loss", _FACTS, False, OperationStatus.FAILED),
        ("training_no_targets", _FACTS, False, OperationStatus.FAILED),
        ("training_data_mismatch", _FACTS, False, OperationStatus.FAILED),
        ("missing_extra", _FACTS, False, OperationStatus.FAILED),
    ],
)
def test_a_failure_stays_open_where_a_checkpoint_is_worth_going_on_from(
    run: Run, code: str, facts: dict[str, Any], is_interrupted: bool, status: OperationStatus
) -> None:
    journal = run.journal()
    begun = journal.begin(_action(), facts)
    error = WorkerError("ended", code=code, remedy="brewslm apply")
    journal.fail(begun.operation, error, is_interrupted=is_interrupted)
    entry = run.entry(begun.operation.operation_id)
    assert (entry.status, entry.reason_code) == (status, code)
    assert run.steps(begun) == ([5] if facts else [])


_RECORD = resource("training_plan", kind="training_plan")


def test_an_end_is_recorded_with_what_it_took_and_without_checkpoints(run: Run) -> None:
    journal = run.journal()
    begun = journal.begin(_action(), _FACTS)
    journal.end(begun.operation, _RECORD, None, {"wall_s": 1.5})
    entry = run.entry(begun.operation.operation_id)
    assert (entry.status, entry.actual) == (OperationStatus.ENDED, {"wall_s": 1.5})
    assert (entry.checkpoints, entry.ended_at >= entry.begun_at) == ((), True)
    assert journal.serial == run.session.meta().serial == 1


def test_an_end_that_the_state_refuses_waits_in_a_file(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = run.journal()
    begun = journal.begin(_action(), _FACTS)

    def refuse(*_: object, **__: object) -> None:
        raise StateError("full", code="disk_full", remedy="brewslm apply")

    with monkeypatch.context() as patched:
        patched.setattr(run.session, "end", refuse)
        with pytest.raises(UnwrittenStateError) as caught:
            journal.end(begun.operation, _RECORD, None, {"wall_s": 1.5})
    (path,) = run.home.glob("errored-*.json")
    assert str(path) in caught.value.remedy
    assert push(read_unwritten(path.read_bytes()), run.session) == 1
    assert run.entry(begun.operation.operation_id).actual == {"wall_s": 1.5}
    assert set(run.session.resources()) == {"training_plan"}


def test_an_end_under_a_lost_lease_is_recorded_nowhere(run: Run) -> None:
    journal = run.journal()
    begun = journal.begin(_action(), _FACTS)
    run.store.acquire(lease(), AFTER_EXPIRY)
    with pytest.raises(LeaseLostError):
        journal.end(begun.operation, _RECORD, None, {})
    assert list(run.home.rglob("errored-*")) == []
