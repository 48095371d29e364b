"""Edits of the state by hand: forget a resource, give it another address, or put a pulled state in
place of all. Bytes and the user's files stay where they are, and a copy of the state before is
kept.
"""

import uuid
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from brewslm.address import Address
from brewslm.apply import promotion
from brewslm.apply.clock import Clock
from brewslm.apply.desk import Place
from brewslm.apply.executor import ApplyFacts
from brewslm.apply.history import History
from brewslm.apply.revision import edited_revision
from brewslm.errors import PlanError, StateError
from brewslm.plan.deletes import is_protected, protected_error
from brewslm.plan.moves import renamed, with_own_name
from brewslm.state.backups import back_up
from brewslm.state.records import OperationRecord, OperationStatus, ResourceRecord
from brewslm.state.store import StateReader, StateSession

_MOVABLE = ("data_source", "adapter")


def check_removal(state: StateReader) -> None:
    """Refuse to forget anything of a protected project.

    Raises: RefusedError with PROTECTED.
    """
    if is_protected(state.resources()):
        raise protected_error("state rm")


def remove(
    address: str, place: Place, session: StateSession, facts: ApplyFacts, clock: Clock
) -> None:
    """Forget one resource; of a deployment the promoted link goes too.

    Raises: RefusedError with PROTECTED, StateError when it is not recorded any more.
    """
    check_removal(session)
    record = session.resources().get(address)
    if record is None:
        raise _moved_on(address)
    back_up(place.home, session)
    _write(session, record, "delete", facts, clock, removed=[address])
    if record.kind == "deployment":
        with promotion.moving_links(place.home, session):
            promotion.unpoint(place.home, str(record.values.get("alias", "champion")))
    _revise(
        session, {"address": address, "operation": "forget", "reason": "state_rm"}, facts, clock
    )
    _note(session, f"state rm {address}", facts, clock)


def moved(state: StateReader, old: str, new: str) -> list[ResourceRecord]:
    """Return the records that change when a source or an adapter gets another address.

    Raises: PlanError with usage_error when that is not possible.
    """
    records = state.resources()
    kinds = {Address.parse(old).kind, Address.parse(new).kind}
    if len(kinds) != 1 or not kinds <= set(_MOVABLE):
        raise PlanError(
            "only a source or an adapter can get another name",
            code="usage_error",
            found=f"{old} to {new}",
            expected="two addresses of one kind: " + " or ".join(_MOVABLE),
            remedy="brewslm state list",
        )
    if new in records:
        raise PlanError(
            f"{new} is recorded already",
            code="usage_error",
            found=new,
            expected="an address that nothing is recorded at",
            remedy="brewslm state list",
        )
    result = renamed(records, {old: new})
    result[new] = with_own_name(result[new])
    return [record for address, record in result.items() if record != records.get(address)]


def move(
    old: str, new: str, place: Place, session: StateSession, facts: ApplyFacts, clock: Clock
) -> None:
    """Give a source or an adapter another address; all that names it follows.

    Raises: PlanError, StateError when it is not recorded any more.
    """
    record = session.resources().get(old)
    if record is None:
        raise _moved_on(old)
    newest = next(iter(session.revisions(limit=1)), None)
    number = newest.revision + 1 if newest else 1
    changed = [replace(item, revision=number) for item in moved(session, old, new)]
    back_up(place.home, session)
    there = replace(record, address=new)
    _write(session, there, "update", facts, clock, records=changed, removed=[old])
    _revise(session, {"address": new, "operation": "move", "reason": "state_mv"}, facts, clock)
    _note(session, f"state mv {old} {new}", facts, clock)


def replace_all(
    pulled: StateReader, place: Place, session: StateSession, facts: ApplyFacts, clock: Clock
) -> int:
    """Put a pulled state in place of the one that is here and return its serial, which is higher
    than before; links follow what is promoted from now on.
    """
    back_up(place.home, session)
    before, wanted = session.meta().serial, pulled.meta().serial
    aliases = {item.alias for item in session.deployments()}
    serial = session.restore(pulled, max(wanted, before + 1)).serial
    if serial != wanted:
        _revise(
            session,
            {"address": "project", "operation": "push", "reason": "state_push"},
            facts,
            clock,
        )
    with promotion.moving_links(place.home, session):
        for alias in aliases - {item.alias for item in session.deployments()}:
            promotion.unpoint(place.home, alias)
        promotion.repair_pointers(place.home, session)
    _note(session, f"state push, serial {serial}", facts, clock)
    return serial


def _revise(
    session: StateSession, action: Mapping[str, str], facts: ApplyFacts, clock: Clock
) -> None:
    session.add_revision(
        edited_revision(session, facts.actor, facts.git_commit, clock.now(), action)
    )


def _write(
    session: StateSession,
    record: ResourceRecord,
    operation: str,
    facts: ApplyFacts,
    clock: Clock,
    *,
    removed: Sequence[str],
    records: Sequence[ResourceRecord] = (),
) -> None:
    entry = OperationRecord(
        operation_id=uuid.uuid4().hex,
        apply_id=facts.apply_id,
        address=record.address,
        kind=record.kind,
        operation=operation,
        fingerprint="",
        fence=session.fence,
        folder="",
        begun_at=clock.now(),
    )
    session.begin(entry)
    ended = replace(entry, status=OperationStatus.ENDED, ended_at=clock.now())
    session.end(ended, records=records, removed=removed)


def _note(session: StateSession, summary: str, facts: ApplyFacts, clock: Clock) -> None:
    History(session, facts.apply_id, facts.actor, clock).add("system", "info", "", summary, {})


def _moved_on(address: str) -> StateError:
    return StateError(
        f"nothing is recorded at {address} any more",
        code="plan_stale",
        expected="the record that was there a moment ago",
        remedy="brewslm state list",
    )
