"""A state in a file answers as one in memory does, which has no statements to get wrong, whatever
is done to both.
"""

import random
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from brewslm.errors import BrewError
from brewslm.state.records import OperationRecord, OperationStatus
from brewslm.state.store import StateReader, StateSession, StateStore
from brewslm.state.stores.memory import MemoryStore
from brewslm.state.stores.sqlite import SqliteStore
from tests.state.states import (
    LINEAGE,
    NOW,
    SOON,
    deployment,
    lease,
    operation,
    resource,
    revision,
    run_event,
)
from tests.state.test_every_store import pulled_state

_ADDRESSES = ("dataset", "export.adapter", "training_plan")
_STEPS = 50


def _shown(reader: StateReader) -> dict[str, Any]:
    """Return everything that a state answers."""
    found: dict[str, Any] = {
        "meta": replace(reader.meta(), schema_version=0),
        "resources": list(reader.resources().items()),
        "lease": reader.lease(),
        "clusters": reader.failure_clusters(),
    }
    for limit in (None, 2):
        found |= {
            f"operations {limit}": reader.operations(limit=limit),
            f"open {limit}": reader.operations(only_open=True, limit=limit),
            f"of a kind {limit}": reader.operations(kind="dataset", limit=limit),
            f"revisions {limit}": reader.revisions(limit=limit),
            f"events {limit}": reader.run_events(limit=limit),
            f"errors {limit}": reader.run_events(severity="error", limit=limit),
            f"skipped {limit}": reader.run_events(reason_code="action_skipped", since=SOON),
            f"training {limit}": reader.run_events(stage="training", limit=limit),
        }
    for alias in (None, "production", "second", "third"):
        found[f"promotions {alias}"] = reader.deployments(alias)
    return found


class Pair:
    """Two stores to which the same is done, by some sessions of each."""

    def __init__(self, stores: tuple[StateStore, StateStore], seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311  no secret depends on it
        self.stores = stores
        self.sessions: tuple[list[StateSession], list[StateSession]] = ([], [])
        self.numbers = count(1)
        self.begun = [operation("none")]

    def _now(self) -> str:
        """Return ever later times; leases that end with a minute expire between some of them."""
        minute = next(self.numbers) // 4
        return f"2026-03-01T{10 + minute // 60}:{minute % 60:02}:00Z"

    def acquire(self) -> Callable[[int], Any]:
        """Ask for the lease."""
        now = self._now()
        wanted = lease(acquired_at=now, renewed_at=now, expires_at=f"{now[:17]}59Z")

        def take(index: int) -> Any:
            session = self.stores[index].acquire(wanted, now)
            self.sessions[index].append(session)
            return session.fence, session.taken_over

        return take

    def force(self) -> Callable[[int], Any]:
        """End a lease by force, sometimes another one than is held."""
        held = self.stores[0].read().lease()
        lease_id = held.lease_id if held and self.chance.random() < 0.8 else "0" * 16
        event = self._event("info") if self.chance.random() < 0.5 else None
        return lambda index: self.stores[index].force_unlock(lease_id, event)

    def _event(self, severity: str) -> Any:
        code = self.chance.choice(["action_skipped", "action_failed"])
        return run_event(
            event_id=f"event-{next(self.numbers)}",
            stage=self.chance.choice(["training", "dataset"]),
            severity=severity,
            reason_code=code,
            summary=self.chance.choice(["no room for 12 bytes", "no room for 99 bytes", "ended"]),
            at=self.chance.choice([NOW, SOON]),
        )

    def of_session(self) -> Callable[[int], Any]:
        """Let a session write."""
        made = len(self.sessions[0])
        number = made - 1 if self.chance.random() < 0.8 else self.chance.randrange(made)
        write = self.chance.choice(
            [self._begin, self._begin, *[self._checkpoint] * 5, self._end, self._end,
             self._end, self._revise, self._tell, self._tell, self._renew, self._restore,
             self._release]
        )()  # fmt: skip
        return lambda index: write(self.sessions[index][number])

    def _begin(self) -> Callable[[StateSession], Any]:
        kind = self.chance.choice(["dataset", "training_plan"])
        begun = operation(f"op-{next(self.numbers)}", kind=kind)
        self.begun.append(begun)
        return lambda session: session.begin(begun)

    def _recent(self) -> OperationRecord:
        return self.chance.choice(self.begun[-2:])

    def _checkpoint(self) -> Callable[[StateSession], Any]:
        name, step = self._recent().operation_id, self.chance.randrange(3)
        entry: dict[str, object] = {"step": step, "path": f"checkpoint-{step}", "digest": "x"}
        gone = [f"checkpoint-{self.chance.randrange(3)}" for _ in range(self.chance.randrange(3))]
        return lambda session: session.add_checkpoint(name, entry, superseded=gone)

    def _end(self) -> Callable[[StateSession], Any]:
        chance = self.chance
        status = chance.choice(list(OperationStatus))
        closed = replace(self._recent(), status=status, ended_at=SOON)
        written = chance.sample(_ADDRESSES, chance.randrange(3))
        records = [resource(name, values={"loss": chance.randrange(2)}) for name in written]
        rest = [name for name in (*_ADDRESSES, "nothing") if name not in written]
        removed = chance.sample(rest, 2) if chance.random() < 0.3 else []
        promoted = deployment(chance.choice(["production", "second"]))
        return lambda session: session.end(
            closed,
            records=records,
            removed=removed,
            deployment=promoted if len(records) == 1 else None,
        )

    def _revise(self) -> Callable[[StateSession], Any]:
        return lambda session: session.add_revision(revision())

    def _tell(self) -> Callable[[StateSession], Any]:
        event = self._event(self.chance.choice(["info", "error", "critical"]))
        return lambda session: session.add_run_event(event)

    def _renew(self) -> Callable[[StateSession], Any]:
        now = self._now()
        return lambda session: replace(session.renew(now, f"{now[:17]}59Z"), renewed_boot_s=0.0)

    def _restore(self) -> Callable[[StateSession], Any]:
        pulled = pulled_state().read()
        serial = self.stores[0].read().meta().serial + 3
        return lambda session: session.restore(pulled, serial)

    def _release(self) -> Callable[[StateSession], Any]:
        return lambda session: session.release()


def _outcome(act: Callable[[int], Any], index: int) -> Any:
    try:
        return act(index)
    except BrewError as error:
        return error.code, error.found, error.expected
    except (KeyError, ValueError) as error:
        return type(error)


@pytest.mark.parametrize("seed", range(4))
def test_file_answers_as_memory_does(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("memory", "_sql"):
        module = f"brewslm.state.stores.{name}.renewed"
        monkeypatch.setattr(module, lambda held, at, until: replace(
            held, renewed_at=at, expires_at=until))  # fmt: skip
    stores = (MemoryStore(), SqliteStore(tmp_path / "state" / "state.db"))
    for store in stores:
        store.create(LINEAGE)
    pair = Pair(stores, seed)
    for _ in range(_STEPS):
        draw = pair.chance.random()
        act = pair.acquire if not pair.sessions[0] or draw < 0.12 else pair.of_session
        step = (pair.force if draw > 0.97 else act)()
        ours, theirs = _outcome(step, 0), _outcome(step, 1)
        assert ours == theirs
        with closing(stores[0].read()) as one, closing(stores[1].read()) as other:
            assert _shown(one) == _shown(other)
    for session in (*pair.sessions[0], *pair.sessions[1]):
        session.release()
