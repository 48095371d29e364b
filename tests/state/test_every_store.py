"""What every state store does: fence, lease, serial, journal, history."""

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from brewslm.errors import LeaseLostError, StateError, StateLockedError
from brewslm.state.empty import EmptyState
from brewslm.state.failure_clusters import clusters_of
from brewslm.state.opening import open_shared_state
from brewslm.state.records import OperationStatus, ResourceRecord
from brewslm.state.store import StateSession, StateStore
from brewslm.state.stores.memory import MemoryStore
from brewslm.state.stores.sqlite import SqliteStore
from tests.state.states import (
    AFTER_EXPIRY,
    DIGEST,
    EXPIRY,
    LINEAGE,
    NOW,
    SOON,
    dead_lease,
    deployment,
    ended,
    lease,
    operation,
    resource,
    revision,
    run_event,
)


@pytest.fixture
def sqlite_state(tmp_path: Path) -> StateStore:
    return SqliteStore(tmp_path / ".brewslm" / "state.db")


@pytest.fixture
def memory_state() -> StateStore:
    return MemoryStore()


@pytest.fixture
def postgresql_state(postgresql_url: str) -> StateStore:
    return open_shared_state(postgresql_url)


@pytest.fixture
def objects_state(bucket_url: str) -> StateStore:
    return open_shared_state(bucket_url)


@pytest.fixture(
    params=[
        "memory_state",
        pytest.param("objects_state", marks=pytest.mark.slow),
        "sqlite_state",
        pytest.param("postgresql_state", marks=pytest.mark.postgres),
    ]
)
def absent(request: pytest.FixtureRequest) -> StateStore:
    store: StateStore = request.getfixturevalue(request.param)
    return store


@pytest.fixture
def store(absent: StateStore) -> StateStore:
    absent.create(LINEAGE)
    return absent


def serial_of(store: StateStore) -> int:
    with closing(store.read()) as reader:
        return reader.meta().serial


def fence_of(store: StateStore) -> int:
    with closing(store.read()) as reader:
        return reader.meta().fence


def apply(session: StateSession, record: ResourceRecord, operation_id: str) -> int:
    begun = operation(operation_id, address=record.address)
    session.begin(begun)
    return session.end(ended(begun), records=[record]).serial


def test_new_state_is_empty_and_has_its_lineage(store: StateStore) -> None:
    with closing(store.read()) as reader:
        meta = reader.meta()
        empty = EmptyState()
        assert (meta.lineage, meta.serial, meta.fence) == (LINEAGE, 0, 0)
        assert reader.resources() == empty.resources()
        assert reader.operations() == empty.operations()
        assert reader.revisions() == empty.revisions()
        assert reader.deployments() == empty.deployments()
        assert reader.run_events() == empty.run_events()
        assert reader.lease() == empty.lease()


def test_state_is_made_once(store: StateStore) -> None:
    assert store.exists()
    with pytest.raises(StateError, match="already") as caught:
        store.create("another")
    assert caught.value.remedy
    with closing(store.read()) as reader:
        assert reader.meta().lineage == LINEAGE


def test_absent_state_is_named_and_stays_absent(absent: StateStore) -> None:
    calls: list[Callable[[], object]] = [
        absent.read,
        lambda: absent.acquire(lease(), NOW),
        lambda: absent.force_unlock("0" * 16),
    ]
    for call in calls:
        with pytest.raises(StateError) as caught:
            call()
        assert caught.value.code == "system_config_invalid"
        assert caught.value.remedy == "brewslm init"
    assert not absent.exists()


def test_session_names_the_lease_that_it_took_over(store: StateStore) -> None:
    with closing(store.acquire(lease(), NOW)) as first:
        assert first.taken_over is None
        with closing(store.acquire(lease(), AFTER_EXPIRY)) as second:
            assert second.taken_over is not None
            assert second.taken_over.fence == first.fence
    with closing(store.acquire(lease(), AFTER_EXPIRY)) as third:
        assert third.taken_over is None


def test_forced_unlock_enters_the_history_with_it(store: StateStore) -> None:
    held = lease()
    session = store.acquire(held, NOW)
    event = run_event(
        stage="system",
        severity="warning",
        reason_code="lease_forced",
        payload={"lease_id": held.lease_id},
    )
    with pytest.raises(StateLockedError):
        store.force_unlock("another", event)
    assert store.force_unlock(held.lease_id, event).lease_id == held.lease_id
    with closing(store.read()) as reader:
        assert [item.reason_code for item in reader.run_events()] == ["lease_forced"]
        assert reader.lease() is None
    with pytest.raises(LeaseLostError) as caught:
        session.add_run_event(event)
    assert caught.value.is_forced
    assert f"ended by force by mira at {NOW}" in caught.value.found
    session.close()


def test_what_was_applied_is_remembered(store: StateStore) -> None:
    record = resource()
    with closing(store.acquire(lease(), NOW)) as session:
        begun = operation(checkpoints=({"step": 1},), predicted={"wall_s": 2.5})
        session.begin(begun)
        meta = session.end(
            ended(begun), records=[record], deployment=deployment("production", DIGEST)
        )
        filled = session.add_revision(revision())
    with closing(store.read()) as reader:
        assert meta.serial == reader.meta().serial == filled.serial == 1
        assert reader.resources() == {"training_plan": replace(record, serial=1)}
        assert reader.operations() == [ended(begun)]
        assert reader.revisions() == [replace(revision(), revision=1, serial=1)]
        assert reader.deployments("production") == [replace(deployment(), sequence=1)]
        assert reader.lease() is None


def test_records_are_not_shared_with_the_caller(store: StateStore) -> None:
    record = resource(spec={"layers": [1]})
    with closing(store.acquire(lease(), NOW)) as session:
        apply(session, record, "op-1")
        record.spec["layers"].append(2)
        session.resources()["training_plan"].spec["layers"].append(3)
        assert session.resources()["training_plan"].spec == {"layers": [1]}


def test_equal_content_leaves_the_serial_alone(store: StateStore) -> None:
    with closing(store.acquire(lease(), NOW)) as session:
        assert apply(session, resource(), "op-1") == 1
        assert apply(session, resource(revision=7, serial=9), "op-2") == 1
        assert apply(session, resource(values={"loss": 1.25}), "op-3") == 2
        session.add_run_event(run_event())
        session.add_revision(revision())
        session.renew(SOON, EXPIRY)
    assert serial_of(store) == 2


def test_serial_of_a_record_is_the_one_that_changed_it(store: StateStore) -> None:
    with closing(store.acquire(lease(), NOW)) as session:
        apply(session, resource("dataset"), "op-1")
        apply(session, resource("training_plan"), "op-2")
        apply(session, resource("dataset"), "op-3")
        found = session.resources()
    assert {address: record.serial for address, record in found.items()} == {
        "dataset": 1,
        "training_plan": 2,
    }
    assert list(found) == sorted(found)


def test_removing_raises_the_serial_once_and_only_if_there_was_something(store: StateStore) -> None:
    with closing(store.acquire(lease(), NOW)) as session:
        apply(session, resource(), "op-1")
        session.begin(operation("op-2"))
        assert session.end(ended(operation("op-2")), removed=["training_plan"]).serial == 2
        session.begin(operation("op-3"))
        assert session.end(ended(operation("op-3")), removed=["training_plan"]).serial == 2
        assert session.resources() == {}


def test_promotions_are_numbered_by_alias_and_newest_comes_first(store: StateStore) -> None:
    with closing(store.acquire(lease(), NOW)) as session:
        for number, alias in enumerate(["production", "trial", "production"]):
            begun = operation(f"op-{number}")
            session.begin(begun)
            session.end(ended(begun), deployment=deployment(alias))
        assert session.meta().serial == 3
        assert [item.sequence for item in session.deployments("production")] == [2, 1]
        assert [item.alias for item in session.deployments()] == [
            "production",
            "trial",
            "production",
        ]


def test_journal_tells_what_is_open(store: StateStore) -> None:
    with closing(store.acquire(lease(), NOW)) as session:
        for name in ("op-1", "op-2", "op-3"):
            session.begin(operation(name))
        session.begin(operation("op-4", kind="export"))
        session.end(ended(operation("op-1")))
        session.end(operation("op-2", status=OperationStatus.INTERRUPTED))
        assert _ids(session) == ["op-4", "op-3", "op-2", "op-1"]
        assert [item.operation_id for item in session.operations(only_open=True)] == [
            "op-4",
            "op-3",
            "op-2",
        ]
        assert [item.operation_id for item in session.operations(kind="export")] == ["op-4"]
        assert [item.operation_id for item in session.operations(limit=1)] == ["op-4"]


def _ids(session: StateSession) -> list[str]:
    return [item.operation_id for item in session.operations()]


def test_checkpoints_are_appended_to_an_open_operation(store: StateStore) -> None:
    with closing(store.acquire(lease(), NOW)) as session:
        session.begin(operation())
        for step in (10, 20):
            session.add_checkpoint("op-1", {"step": step, "digest": DIGEST})
    with closing(store.read()) as reader:
        assert [item["step"] for item in reader.operations()[0].checkpoints] == [10, 20]


def test_operations_that_never_began_cannot_end(store: StateStore) -> None:
    with closing(store.acquire(lease(), NOW)) as session:
        with pytest.raises(KeyError):
            session.end(ended(operation()), records=[resource()])
        with pytest.raises(KeyError):
            session.add_checkpoint("op-1", {"step": 1})
        session.begin(operation())
        with pytest.raises(ValueError, match="op-1"):
            session.begin(operation())
        assert session.resources() == {}
        assert session.meta().serial == 0


def test_revisions_count_from_one(store: StateStore) -> None:
    with closing(store.acquire(lease(), NOW)) as session:
        assert [session.add_revision(revision()).revision for _ in range(3)] == [1, 2, 3]
        assert [item.revision for item in session.revisions(limit=2)] == [3, 2]


def test_run_events_are_chained_and_can_be_filtered(store: StateStore) -> None:
    with closing(store.acquire(lease(), NOW)) as session:
        first = session.add_run_event(run_event())
        second = session.add_run_event(
            run_event(severity="error", reason_code="training_oom", at=SOON)
        )
        third = session.add_run_event(run_event(stage="export", at=SOON))
        assert [item.sequence for item in (first, second, third)] == [1, 2, 3]
        assert first.previous_digest == ""
        assert len({second.previous_digest, third.previous_digest, ""}) == 3
        assert session.run_events() == [third, second, first]
        assert session.run_events(limit=1) == [third]
        assert session.run_events(stage="training") == [second, first]
        assert session.run_events(severity="error") == [second]
        assert session.run_events(reason_code="training_oom") == [second]
        assert session.run_events(since=SOON) == [third, second]


@pytest.mark.parametrize(
    ("first", "second", "is_alike"),
    [
        ("no room for 3 rows", "no room for 12.5 rows", True),
        ("runs/0f9a/a.bin is torn", "runs/77/b.bin  is torn", True),
        ("at 2031-01-02T03:04:05Z", "at 2032-11-12T13:14:15Z", True),
        ("object 0123456789abcdef", "object fedcba9876543210", True),
        ("no room", "no memory", False),
    ],
)
def test_failures_of_one_wording_are_counted_together(
    first: str, second: str, is_alike: bool, store: StateStore
) -> None:
    with closing(store.acquire(lease(), NOW)) as session:
        for number, (summary, at) in enumerate(((first, NOW), (second, SOON), (first, SOON))):
            session.add_run_event(
                run_event(
                    event_id=f"event-{number}",
                    severity="error",
                    reason_code="training_oom",
                    summary=summary,
                    at=at,
                )
            )
        session.add_run_event(run_event(severity="warning", summary=first))
        found = session.failure_clusters()
        assert found == clusters_of(session.run_events())
        assert sorted(item.failure_count for item in found) == ([3] if is_alike else [1, 2])
        largest = max(found, key=lambda item: item.failure_count)
        assert (largest.first_seen_at, largest.last_seen_at) == (NOW, SOON)
        assert largest.exemplar_event_ids[0] == "event-2"
    with closing(store.read()) as reader:
        assert reader.failure_clusters() == found


def test_a_cluster_shows_its_five_newest_failures(store: StateStore) -> None:
    with closing(store.acquire(lease(), NOW)) as session:
        for number in range(7):
            failure = run_event(
                event_id=f"event-{number}", severity="critical", reason_code="disk_full"
            )
            session.add_run_event(failure)
        (found,) = session.failure_clusters()
    assert found.failure_count == 7
    assert found.exemplar_event_ids == [f"event-{number}" for number in (6, 5, 4, 3, 2)]


def test_unknown_run_events_are_refused(store: StateStore) -> None:
    refused = {
        "invalid_stage": run_event(stage="brewing"),
        "invalid_severity": run_event(severity="loud"),
        "reason_code_required": run_event(severity="error"),
        "invalid_reason_code": run_event(reason_code="cleaning_pii_block"),
    }
    with closing(store.acquire(lease(), NOW)) as session:
        for code, event in refused.items():
            with pytest.raises(StateError) as caught:
                session.add_run_event(event)
            assert caught.value.code == code
        assert session.run_events() == []


def test_held_lease_is_refused_and_its_holder_named(store: StateStore) -> None:
    held = lease()
    with closing(store.acquire(held, NOW)):
        with pytest.raises(StateLockedError) as caught:
            store.acquire(lease(), SOON)
        assert fence_of(store) == 1
    error = caught.value
    assert error.code == "state_locked"
    assert error.exit_code == 5
    for fact in (held.lease_id, "mira@build-3", "apply", str(held.pid), "3f9a2c1", NOW):
        assert fact in error.found
    assert f"brewslm force-unlock {held.lease_id}" in error.remedy
    assert "--lock-timeout" in error.remedy


def test_readers_see_the_lease_and_take_none(store: StateStore) -> None:
    held = lease()
    with closing(store.acquire(held, NOW)), closing(store.read()) as reader:
        assert reader.lease() == replace(held, fence=1)
        assert reader.meta().fence == 1


def test_reader_sees_one_serial_while_a_session_writes(store: StateStore) -> None:
    with closing(store.acquire(lease(), NOW)) as session:
        apply(session, resource(), "op-1")
        with closing(store.read()) as reader:
            apply(session, resource(values={}), "op-2")
            assert reader.meta().serial == 1
            assert reader.resources()["training_plan"].values == {"loss": 1.5}
            assert len(reader.operations()) == 1
        assert session.meta().serial == 2


def test_expired_lease_is_taken_over(store: StateStore) -> None:
    first = store.acquire(lease(), NOW)
    with closing(store.acquire(lease(), AFTER_EXPIRY)) as second:
        assert (first.fence, second.fence) == (1, 2)
    first.release()


def test_dead_holder_is_taken_over_before_expiry(store: StateStore) -> None:
    first = store.acquire(dead_lease(), NOW)
    with closing(store.acquire(lease(), SOON)) as second:
        assert second.fence == 2
    first.release()


@pytest.mark.parametrize("ends", ["takeover", "force_unlock"])
def test_lost_lease_writes_nothing(store: StateStore, ends: str) -> None:
    first = store.acquire(lease(), NOW)
    first.begin(operation())
    if ends == "takeover":
        second = store.acquire(lease(), AFTER_EXPIRY)
    else:
        held = first.lease()
        assert held is not None
        store.force_unlock(held.lease_id)
        second = store.acquire(lease(), SOON)
    writes: list[Callable[[], object]] = [
        lambda: first.begin(operation("op-2")),
        lambda: first.add_checkpoint("op-1", {"step": 1}),
        lambda: first.end(ended(operation()), records=[resource()], deployment=deployment()),
        lambda: first.add_revision(revision()),
        lambda: first.add_run_event(run_event()),
        lambda: first.renew(SOON, EXPIRY),
        lambda: first.holding().__enter__(),
    ]
    for write in writes:
        with pytest.raises(LeaseLostError) as caught:
            write()
        assert caught.value.code == "lease_lost"
        assert (caught.value.fence, caught.value.current_fence) == (1, second.fence)
        holder = second.lease()
        assert holder is not None
        assert f"{holder.lease_id} by {holder.holder}" in caught.value.found
        assert f"since {holder.acquired_at}" in caught.value.found
        assert caught.value.remedy
    first.release()
    assert second.lease() is not None, "the old holder must not give back what is not its own"
    assert second.operations() == [operation()]
    assert second.meta().serial == 0
    assert (second.revisions(), second.run_events(), second.deployments()) == ([], [], [])
    second.release()


def test_takeover_waits_while_files_are_changed_under_the_lease(store: StateStore) -> None:
    first = store.acquire(lease(), NOW)
    taken: list[StateSession] = []
    taker = threading.Thread(
        target=lambda: taken.append(store.acquire(lease(), AFTER_EXPIRY)), daemon=True
    )
    with first.holding():
        taker.start()
        taker.join(0.2)
        assert taken == []
    taker.join()
    (second,) = taken
    assert second.fence == 2
    second.release()
    first.release()


def test_released_session_writes_nothing(store: StateStore) -> None:
    session = store.acquire(lease(), NOW)
    session.release()
    session.release()
    with pytest.raises(LeaseLostError):
        session.begin(operation())
    with pytest.raises(LeaseLostError):
        session.renew(SOON, EXPIRY)
    with closing(store.read()) as reader:
        assert reader.lease() is None
        assert reader.operations() == []


def test_renewed_lease_keeps_its_fence_and_is_not_taken_over(store: StateStore) -> None:
    later = "2026-03-01T10:02:00Z"
    with closing(store.acquire(lease(), NOW)) as session:
        renewed = session.renew(SOON, later)
        assert (renewed.renewed_at, renewed.expires_at, renewed.fence) == (SOON, later, 1)
        with pytest.raises(StateLockedError, match="holds the lease"):
            store.acquire(lease(), AFTER_EXPIRY)


def test_force_unlock_wants_the_whole_id(store: StateStore) -> None:
    held = lease()
    with closing(store.acquire(held, NOW)) as session:
        for wrong in ("", held.lease_id[:8], held.lease_id + "0", "%", lease().lease_id):
            with pytest.raises(StateLockedError):
                store.force_unlock(wrong)
        session.begin(operation())
        assert store.force_unlock(held.lease_id) == replace(held, fence=1)
        assert fence_of(store) == 2
        with pytest.raises(StateError, match="free"):
            store.force_unlock(held.lease_id)


def test_failed_acquisition_changes_nothing(store: StateStore) -> None:
    with closing(store.acquire(lease(), NOW)) as session:
        before = session.lease()
        for _ in range(3):
            with pytest.raises(StateLockedError):
                store.acquire(lease(), SOON)
        assert session.lease() == before
        session.begin(operation())


def test_threads_of_one_session_do_not_mix_their_writes(store: StateStore) -> None:
    with closing(store.acquire(lease(), NOW)) as session:
        threads = [
            threading.Thread(target=_write_three, args=(session, number)) for number in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert session.meta().serial == 12
        assert len(session.resources()) == 12


def _write_three(session: StateSession, number: int) -> None:
    for index in range(3):
        apply(session, resource(f"export.{number}-{index}"), f"op-{number}-{index}")
        session.renew(SOON, EXPIRY)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["acquire", "release", "force", "write", "repeat", "remove", "event"]),
        st.integers(0, 2),
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=25)
@given(STEPS)
def test_fence_and_serial_only_rise(steps: list[tuple[str, int]]) -> None:
    store = MemoryStore()
    store.create(LINEAGE)
    session: StateSession | None = None
    metas = [store.read().meta()]
    for number, (step, value) in enumerate(steps):
        held = store.read().lease()
        if step == "acquire" and held is None:
            session = store.acquire(lease(), NOW)
        elif step == "force" and held is not None:
            store.force_unlock(held.lease_id)
        elif session is not None:
            _step(session, step, value, number)
        metas.append(store.read().meta())
    assert [meta.serial for meta in metas] == sorted(meta.serial for meta in metas)
    assert [meta.fence for meta in metas] == sorted(meta.fence for meta in metas)
    assert {meta.lineage for meta in metas} == {LINEAGE}


def _step(session: StateSession, step: str, value: int, number: int) -> None:
    if step == "release":
        session.release()
        return
    try:
        session.begin(operation(f"op-{number}"))
        closed = ended(operation(f"op-{number}"))
        if step == "remove":
            session.end(closed, removed=["training_plan"])
        else:
            session.end(closed, records=[resource(values={"loss": value})])
    except LeaseLostError:
        return


def pulled_state() -> MemoryStore:
    """A state of serial 2 with a revision and a promotion."""
    other = MemoryStore()
    other.create(LINEAGE.replace("0b9f", "1c8e"))
    with closing(other.acquire(lease(), NOW)) as session:
        for number in (1, 2):
            session.begin(operation(f"op-{number}"))
            session.end(
                ended(operation(f"op-{number}")),
                records=[resource(values={"loss": number / 2})],
                deployment=deployment(digest=DIGEST.replace("0", str(number))),
            )
        session.add_revision(revision())
    return other


def test_restored_state_is_the_pulled_one(store: StateStore) -> None:
    pulled = pulled_state().read()
    with closing(store.acquire(lease(), NOW)) as session:
        session.begin(operation("own"))
        session.end(ended(operation("own")), records=[resource("export.adapter")])
        session.add_run_event(run_event())
        meta = session.restore(pulled, 7)
        assert (meta.lineage, meta.serial) == (pulled.meta().lineage, 7)
        session.begin(operation("after"))
        session.end(
            ended(operation("after")), records=[resource("dataset")], deployment=deployment()
        )
        assert session.add_revision(revision()).revision == 2
    with closing(store.read()) as reader:
        assert reader.meta().serial == 8
        assert list(reader.resources()) == ["dataset", "training_plan"]
        assert reader.resources()["training_plan"] == pulled.resources()["training_plan"]
        assert reader.revisions()[1:] == pulled.revisions()
        assert reader.deployments()[1:] == pulled.deployments()
        assert reader.deployments()[0].sequence == 3
        assert [item.operation_id for item in reader.operations()] == ["after", "own"]
        assert len(reader.run_events()) == 1
        assert reader.lease() is None


def test_restored_state_never_lowers_a_fence(store: StateStore) -> None:
    other = pulled_state()
    for _ in range(5):
        other.acquire(lease(), NOW).close()
    with closing(store.acquire(lease(), NOW)) as session:
        session.restore(other.read(), 2)
        assert session.fence == other.read().meta().fence == 6
        session.renew(SOON, EXPIRY)
        session.restore(pulled_state().read(), 3)
        assert session.meta().fence == 6
    with closing(store.acquire(lease(), NOW)) as session:
        assert session.fence == 7


@pytest.mark.case("CON-02")
def test_holder_that_was_taken_over_restores_nothing(store: StateStore) -> None:
    first = store.acquire(lease(), NOW)
    with closing(store.acquire(lease(), AFTER_EXPIRY)) as second:
        with pytest.raises(LeaseLostError):
            first.restore(pulled_state().read(), 5)
        assert second.meta().lineage == LINEAGE
    first.release()
