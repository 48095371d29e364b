"""The record of finished work outlives a state that cannot take it."""

import json
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from brewslm.errors import RefusedError, StateError, UnwrittenStateError
from brewslm.state.rescue import (
    Unwritten,
    check_none_waits,
    push,
    read_unwritten,
    rescued,
    waiting,
)
from brewslm.state.stores.memory import MemoryStore
from tests.state.states import LINEAGE, NOW, deployment, ended, lease, operation, resource

_CAUSE = StateError(
    "the state cannot be opened or written",
    code="disk_full",
    found="database or disk is full",
    remedy="free disk space, then: brewslm apply",
)


def _unwritten(serial: int = 0) -> Unwritten:
    return Unwritten(LINEAGE, serial, 1, ended(operation()), (resource(),), deployment())


@pytest.fixture
def store() -> MemoryStore:
    """Return a state in which the action of the record has begun."""
    made = MemoryStore()
    made.create(LINEAGE)
    session = made.acquire(lease(), NOW)
    session.begin(operation())
    session.release()
    return made


@pytest.mark.case("CRA-11")
def test_record_lands_in_the_first_folder_that_takes_it(tmp_path: Path) -> None:
    error = rescued(_unwritten(7), [tmp_path / "gone", tmp_path], _CAUSE)
    path = tmp_path / "errored-7.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_unwritten(path.read_bytes()) == _unwritten(7)
    assert error.code == "state_write_failed"
    assert error.found == "disk_full: database or disk is full"
    assert error.remedy == f"free disk space, then: brewslm state push {path}"


@pytest.mark.case("SEC-04")
@pytest.mark.usefixtures("no_umask")
def test_record_is_its_owners_wherever_it_lands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    rescued(_unwritten(7), [tmp_path], _CAUSE)
    rescued(_unwritten(8), [], _CAUSE)
    (last,) = tmp_path.glob("brewslm-*/errored-8.json")
    modes = [path.stat().st_mode & 0o777 for path in (tmp_path / "errored-7.json", last)]
    assert (modes, last.parent.stat().st_mode & 0o777) == ([0o600, 0o600], 0o700)


@pytest.mark.case("CRA-11")
def test_without_such_a_folder_it_lands_in_a_private_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    error = rescued(_unwritten(), [tmp_path / "gone"], _CAUSE)
    (path,) = tmp_path.glob("brewslm-*/errored-0.json")
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert str(path) in error.remedy
    assert read_unwritten(path.read_bytes()) == _unwritten()


@pytest.mark.case("CRA-11")
def test_where_nothing_can_be_written_the_error_carries_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    error = rescued(_unwritten(), [], _CAUSE)
    assert isinstance(error, UnwrittenStateError)
    assert read_unwritten(error.document.encode()) == _unwritten()


def test_pushed_record_is_what_the_state_would_have_held(store: MemoryStore) -> None:
    session = store.acquire(lease(), NOW)
    assert push(_unwritten(), session) == 1
    session.release()
    with closing(store.read()) as state:
        assert state.operations(only_open=True) == []
        assert state.resources()["training_plan"].serial == 1
        assert state.deployments()[0].digest == deployment().digest


@pytest.mark.parametrize("change", [{"serial": 3}, {"lineage": "another"}])
def test_record_of_another_state_is_refused(
    store: MemoryStore, change: dict[str, int | str]
) -> None:
    session = store.acquire(lease(), NOW)
    with pytest.raises(StateError, match="cannot be put into this state"):
        push(replace(_unwritten(), **change), session)
    assert session.meta().serial == 0
    session.release()


def test_pushing_twice_is_refused(store: MemoryStore) -> None:
    session = store.acquire(lease(), NOW)
    push(_unwritten(), session)
    with pytest.raises(StateError):
        push(_unwritten(), session)
    session.release()


def test_waiting_record_keeps_writers_out(store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "errored-9.json").write_text("{}")
    with closing(store.read()) as state:
        check_none_waits([tmp_path], state)
        rescued(replace(_unwritten(), lineage="another"), [tmp_path], _CAUSE)
        check_none_waits([tmp_path], state)
        rescued(_unwritten(), [tmp_path], _CAUSE)
        with pytest.raises(RefusedError) as caught:
            check_none_waits([tmp_path], state)
    path = tmp_path / "errored-0.json"
    assert caught.value.code == "errored_state_present"
    assert caught.value.remedy == f"brewslm state push {path}"
    path.rename(path.with_suffix(".json.pushed"))
    assert waiting([tmp_path], LINEAGE) == []


def test_changed_record_is_refused(tmp_path: Path) -> None:
    rescued(_unwritten(), [tmp_path], _CAUSE)
    document = json.loads((tmp_path / "errored-0.json").read_bytes())
    for name in document:
        damaged = json.dumps({**document, name: "other"}).encode()
        with pytest.raises(StateError) as caught:
            read_unwritten(damaged)
        assert caught.value.code == "state_corrupt"
