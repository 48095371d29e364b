"""Looking at a state that an older program wrote: as if it were migrated, and without a trace."""

from contextlib import closing

import pytest

from brewslm.errors import StateError, StateVersionError
from brewslm.state.portable import open_pulled, pulled_bytes
from brewslm.state.schema import SCHEMA
from tests.state.newer import BROKEN, GAP, MARK, NEWER, NEWEST, Place
from tests.state.states import EXPIRY, LINEAGE, NOW, SOON, lease

pytestmark = pytest.mark.case("CRA-08")


def test_reader_sees_a_migrated_copy_and_writes_nothing(older: Place) -> None:
    before = older.dump()
    with closing(older.store().read()) as reader:
        records = reader.resources()
    for schema in (NEWER, NEWEST):
        with closing(older.store(schema).read()) as reader:
            meta = reader.meta()
            assert (meta.schema_version, meta.migrated_from) == (schema.version, SCHEMA.version)
            assert (meta.lineage, meta.serial, meta.fence) == (LINEAGE, 2, 1)
            marked = reader.resources()
            assert marked.keys() == records.keys()
            for address, record in records.items():
                assert marked[address].values == record.values | MARK
                assert marked[address].serial == record.serial
            assert [item.revision for item in reader.revisions()] == [1]
            assert len(reader.operations()) == 2
            assert len(reader.deployments()) == len(reader.run_events()) == 1
            assert reader.lease() is None
    assert older.dump() == before


def test_reader_sees_the_older_state_while_its_program_holds_the_lease(older: Place) -> None:
    with closing(older.store().acquire(lease(), NOW)) as session:
        with closing(older.store(NEWER).read()) as reader:
            held = reader.lease()
            assert held is not None
            assert held.fence == session.fence
        assert session.meta().schema_version == SCHEMA.version
        session.renew(SOON, EXPIRY)


def test_step_that_fails_on_the_copy_is_damage_and_leaves_no_trace(older: Place) -> None:
    before = older.dump()
    with pytest.raises(StateError) as caught:
        older.store(BROKEN).read()
    assert caught.value.code == "state_corrupt"
    assert older.dump() == before


def test_state_of_its_own_version_is_no_copy(older: Place) -> None:
    with closing(older.store().read()) as reader:
        assert reader.meta().migrated_from is None


def test_pulled_state_of_an_older_program_is_migrated_too(older: Place) -> None:
    with closing(older.store().read()) as reader:
        data = pulled_bytes(reader)
    pulled = open_pulled(data, NEWER)
    assert pulled.meta().schema_version == NEWER.version
    for record in pulled.resources().values():
        assert record.values == {"loss": 1.5} | MARK
    with closing(older.store(NEWER).read()) as reader:
        assert pulled_bytes(pulled) == pulled_bytes(reader)
    with pytest.raises(StateVersionError):
        open_pulled(pulled_bytes(pulled), SCHEMA)
    with pytest.raises(StateError, match="pulled") as caught:
        open_pulled(data, BROKEN)
    assert caught.value.code == "state_corrupt"


def test_version_that_no_step_starts_from_is_damage(older: Place) -> None:
    before = older.dump()
    for call in (older.store(GAP).read, lambda: older.store(GAP).acquire(lease(), NOW)):
        with pytest.raises(StateError) as caught:
            call()
        assert caught.value.code == "state_corrupt"
        assert "version 1" in caught.value.found
    assert older.dump() == before
