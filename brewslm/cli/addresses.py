"""Addresses that were typed and mean nothing."""

from collections.abc import Collection

from brewslm.errors import PlanError
from brewslm.registry import closest


def unknown_address(what: str, recorded: Collection[str]) -> PlanError:
    """Return the error that names the closest recorded address."""
    near = closest(what, recorded)
    if near:
        expected, remedy = " or ".join(near), f"write {near[0]} (closest match)"
    elif recorded:
        expected, remedy = "an address that is recorded", "brewslm state list"
    else:
        expected, remedy = "a project that was applied", "brewslm plan, then brewslm apply"
    return PlanError(
        f'nothing is recorded at "{what}"',
        code="unknown_address",
        found=what if recorded else "no record at all",
        expected=expected,
        remedy=remedy,
    )
