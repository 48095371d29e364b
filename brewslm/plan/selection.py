"""Which resources a plan acts on: targets with all that they depend on, or all but the excluded
with all that depends on these.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from brewslm.address import Address
from brewslm.contracts import Operation, Spec
from brewslm.errors import PlanError
from brewslm.plan.action import Action
from brewslm.plan.graph import upstream
from brewslm.registry import closest

_MAX_NAMES = 3


class Selection(Struct, frozen=True):
    """What was written: addresses, kinds, or `kind.*`."""

    targets: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    """Addresses whose work is done again although nothing changed."""


class Selected(Struct, frozen=True):
    """What was written, as addresses."""

    acted_on: frozenset[Address]
    left_out: frozenset[Address]
    replaced: frozenset[Address]
    is_complete: bool

    @classmethod
    def of(
        cls, selection: Selection, specs: Mapping[Address, Spec], recorded: Iterable[str]
    ) -> "Selected":
        """Return what a selection means among the wanted and the recorded resources.

        Raises: PlanError with unknown_address, or usage_error for targets beside excludes.
        """
        if selection.targets and selection.excludes:
            raise PlanError(
                "--target and --exclude contradict each other",
                code="usage_error",
                expected="one of them",
                remedy="write either what to do or what to leave out",
            )
        everything = {*specs, *map(Address.parse, recorded)}
        if selection.targets:
            acted_on = _with_upstream(_matched(selection.targets, everything), specs)
        else:
            excluded = _matched(selection.excludes, everything)
            acted_on = everything - _with_downstream(excluded, specs)
        replaced = _matched(selection.replaces, set(specs))
        unreachable = sorted(replaced - acted_on)
        if unreachable:
            raise PlanError(
                "what is left out can't be replaced",
                code="usage_error",
                found=", ".join(map(str, unreachable)),
                expected="a resource that the plan acts on",
                remedy="select it, or do not replace it",
            )
        return cls(
            frozenset(acted_on),
            frozenset(everything - acted_on),
            frozenset(replaced),
            acted_on == everything,
        )


def partial_words(pending: Sequence[Action]) -> str:
    """Return the sentence that names what a partial plan leaves out."""
    names = ", ".join(item.address for item in pending[:_MAX_NAMES])
    more = ", …" if len(pending) > _MAX_NAMES else ""
    noun = "resource" if len(pending) == 1 else "resources"
    verb = "is" if len(pending) == 1 else "are"
    return (
        f"This is a part of the project: {len(pending)} {noun} with pending changes {verb} "
        f"left out ({names}{more})."
    )


def left_out(action: Action) -> Action:
    """Return the noop in the place of an action that the selection leaves out."""
    return Action(
        address=action.address,
        target=action.target,
        name=action.name,
        operation=Operation.NOOP,
        reason="not_targeted",
        before=action.before,
        after=action.before,
    )


def _matched(patterns: Iterable[str], known: set[Address]) -> set[Address]:
    matched: set[Address] = set()
    for pattern in patterns:
        kind = pattern.removesuffix(".*")
        found = {item for item in known if pattern == str(item) or kind == item.kind}
        if not found:
            raise _unknown(pattern, known)
        matched |= found
    return matched


def _unknown(pattern: str, known: set[Address]) -> PlanError:
    names = sorted({*map(str, known), *(item.kind for item in known)})
    near = closest(pattern, names)
    return PlanError(
        f'"{pattern}" is no resource of the project',
        code="unknown_address",
        found=pattern,
        expected=" or ".join(near) if near else "an address, a kind, or kind.*",
        remedy=f"write {near[0]} (closest match)" if near else "brewslm plan --show-unchanged",
    )


def _with_upstream(chosen: set[Address], specs: Mapping[Address, Spec]) -> set[Address]:
    found, pending = set(chosen), list(chosen)
    while pending:
        address = pending.pop()
        needs = upstream(address, specs) - found if address in specs else set()
        found |= needs
        pending += needs
    return found


def _with_downstream(chosen: set[Address], specs: Mapping[Address, Spec]) -> set[Address]:
    found = set(chosen)
    while more := {item for item in specs if item not in found and upstream(item, specs) & found}:
        found |= more
    return found
