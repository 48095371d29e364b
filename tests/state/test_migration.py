"""Bringing an older state to the version of the program, in every store: under the lease, with a
copy beside, and whole or not at all whatever ends it.
"""

import itertools
import os
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from brewslm.errors import LeaseLostError, StateError, StateLockedError, StateVersionError
from brewslm.state.schema import SCHEMA, Schema
from brewslm.state.store import StateReader
from tests.state.newer import BROKEN, MARK, NEWER, NEWEST, Place
from tests.state.states import (
    AFTER_EXPIRY,
    EXPIRY,
    LINEAGE,
    NOW,
    SOON,
    ended,
    lease,
    operation,
    resource,
    run_event,
    start,
)

LONG_AFTER = "2026-03-01T11:00:00Z"

KILLED = """
import os, signal, sys
from tests.state.dying import dying_at
from tests.state.newer import NEWER
from tests.state.states import NOW, lease

store = dying_at(int(sys.argv[2]), sys.argv[1], NEWER)
store.acquire(lease(), NOW).release()
"""


def seen(reader: StateReader) -> dict[str, Any]:
    """Return what a look shows, but for what every lease changes."""
    return {
        "meta": (reader.meta().lineage, reader.meta().serial),
        "resources": reader.resources(),
        "operations": reader.operations(),
        "revisions": reader.revisions(),
        "deployments": reader.deployments(),
        "run_events": reader.run_events(),
    }


def look(place: Place, schema: Schema = SCHEMA) -> dict[str, Any]:
    with closing(place.store(schema).read()) as reader:
        return seen(reader)


def version(place: Place) -> int:
    """Return the version that lies in the store."""
    with closing(place.store(NEWEST).read()) as reader:
        meta = reader.meta()
        return meta.migrated_from or meta.schema_version


def migrate(place: Place, schema: Schema = NEWER) -> None:
    place.store(schema).acquire(lease(), NOW).release()


def test_first_lease_migrates_and_keeps_a_copy_that_the_older_program_reads(older: Place) -> None:
    before = look(older)
    with closing(older.store(NEWER).acquire(lease(), NOW)) as session:
        assert session.meta().schema_version == NEWER.version
        assert session.meta().migrated_from is None
        told = session.run_events(limit=1)[0]
        assert (told.reason_code, told.payload) == ("state_migrated", {"from": 1, "to": 2})
        assert told.actor == lease().holder
        session.add_run_event(run_event())
    after = look(older, NEWER)
    assert after["meta"] == before["meta"] == (LINEAGE, 2)
    assert {item.values["is_marked"] for item in after["resources"].values()} == {True}
    assert after["run_events"][2:] == before["run_events"]
    for name in ("operations", "revisions", "deployments"):
        assert after[name] == before[name]
    assert look(older.copy()) == before
    with closing(older.copy().store().read()) as reader:
        assert reader.meta().schema_version == SCHEMA.version


def test_next_lease_migrates_nothing(older: Place) -> None:
    migrate(older)
    events = look(older, NEWER)["run_events"]
    migrate(older)
    assert look(older, NEWER)["run_events"] == events


def test_two_steps_are_one_migration(older: Place) -> None:
    before = look(older)
    migrate(older, NEWEST)
    told = look(older, NEWEST)["run_events"][0]
    assert told.payload == {"from": 1, "to": 3}
    assert look(older.copy()) == before


@pytest.mark.case("CRA-06")
def test_older_program_refuses_a_migrated_state_untouched(older: Place) -> None:
    migrate(older)
    before = older.dump()
    store = older.store()
    for call in (store.read, lambda: store.acquire(lease(), NOW), lambda: store.force_unlock("x")):
        with pytest.raises(StateVersionError) as caught:
            call()
        assert caught.value.code == "state_too_new"
        assert (
            caught.value.found,
            caught.value.expected.removesuffix(" or older"),
        ) == ("version 2", "version 1")
    assert older.dump() == before


def test_state_that_an_older_program_holds_is_not_migrated(older: Place) -> None:
    with closing(older.store().acquire(lease(), NOW)) as session:
        with pytest.raises(StateLockedError):
            older.store(NEWER).acquire(lease(), NOW)
        assert version(older) == SCHEMA.version
        session.renew(SOON, EXPIRY)
    migrate(older)
    assert version(older) == NEWER.version


def test_step_that_fails_leaves_the_state_as_it_was(older: Place) -> None:
    before = look(older)
    with pytest.raises(StateError) as caught:
        older.store(BROKEN).acquire(lease(), NOW)
    assert caught.value.code == "state_corrupt"
    assert look(older) == before
    assert version(older) == SCHEMA.version
    with closing(older.store().read()) as reader:
        assert reader.lease() is None
    migrate(older)
    assert version(older) == NEWER.version


def test_holder_that_a_newer_program_took_over_from_is_told_that_the_lease_is_lost(
    older: Place,
) -> None:
    old = older.store().acquire(lease(), NOW)
    old.begin(operation("op-old"))
    taken: Any = older.store(NEWER).acquire(lease(), LONG_AFTER)
    with closing(taken):
        before = (look(older, NEWER), taken.lease())
        for write in (
            lambda: old.renew(SOON, EXPIRY),
            lambda: old.end(ended(operation("op-old")), records=[resource("model")]),
            lambda: old.add_run_event(run_event()),
            lambda: old.holding().__enter__(),
        ):
            with pytest.raises(LeaseLostError) as caught:
                write()
            assert caught.value.code == "lease_lost"
            assert f"fence {taken.fence}" in caught.value.found
        old.release()
        assert (look(older, NEWER), taken.lease()) == before


def test_lease_of_an_older_state_is_ended_by_force_without_migrating_it(older: Place) -> None:
    held = lease()
    event = run_event(stage="system", severity="warning", reason_code="lease_forced")
    with closing(older.store().acquire(held, NOW)):
        before = look(older)
        older.store(NEWER).force_unlock(held.lease_id, event)
    assert version(older) == SCHEMA.version
    after = look(older)
    assert after.pop("run_events")[1:] == before.pop("run_events")
    assert after == before
    with closing(older.store().read()) as reader:
        assert reader.lease() is None
        assert reader.run_events(limit=1)[0].reason_code == "lease_forced"


def test_failed_step_names_the_copy(older: Place) -> None:
    before = look(older)
    with pytest.raises(StateError) as caught:
        older.store(BROKEN).acquire(lease(), NOW)
    assert older.copy().where.rpartition("/")[2].rpartition("schema=")[2] in caught.value.remedy
    assert look(older.copy()) == before


def test_file_of_the_copy_is_private(older_file: Place) -> None:
    path = Path(older_file.copy().where)
    theirs = path.with_name("theirs")
    theirs.write_text("theirs")
    path.symlink_to(theirs)
    before = os.umask(0)
    try:
        migrate(older_file)
    finally:
        os.umask(before)
    copies = [name for name in older_file.dump() if name.endswith(".bak")]
    assert copies == ["state.db.v1-2.bak"]
    assert theirs.read_text() == "theirs"
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    assert stat.S_ISREG(path.lstat().st_mode)
    assert not list(path.parent.glob(".state.db*"))


@pytest.mark.slow
def test_kill_at_any_step_leaves_the_old_or_the_new_state(older: Place) -> None:
    before = look(older)
    versions = []
    for point in itertools.count():
        place = older.again()
        child = start(KILLED, place.where, str(point))
        _, errors = child.communicate()
        assert errors == ""
        versions.append(version(place))
        if versions[-1] == SCHEMA.version:
            assert look(place) == before
        else:
            assert look(place.copy()) == before
        with closing(place.store(NEWER).acquire(lease(), AFTER_EXPIRY)) as session:
            assert session.meta().schema_version == NEWER.version
            marked = [item.values | MARK == item.values for item in session.resources().values()]
            assert marked == [True, True]
            told = [item.reason_code for item in session.run_events()]
            assert told.count("state_migrated") == 1
        assert look(place.copy()) == before
        if child.returncode == 0:
            break
    assert versions == sorted(versions)
    assert set(versions) == {SCHEMA.version, NEWER.version}
    assert len(versions) > 6
