"""The tree of errors: each has a remedy and ends a command with a code of the one table."""

import pytest

from brewslm import errors
from brewslm.errors import BrewError, ExitCode


def below(kind: type[BrewError]) -> set[type[BrewError]]:
    return {kind, *(inner for child in kind.__subclasses__() for inner in below(child))}


OWN = sorted(
    (kind for kind in below(BrewError) if kind.__module__ == errors.__name__),
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", OWN, ids=lambda kind: kind.__name__)
def test_every_error_is_drawn_and_wants_a_remedy(kind: type[BrewError]) -> None:
    assert errors.__doc__ is not None
    assert kind.__name__ in errors.__doc__
    with pytest.raises(TypeError, match="remedy"):
        kind("broken", code="broken")  # type: ignore[call-arg]  # the remedy is left out
    error = kind("broken", code="broken", remedy="mend it", found="one", expected="two")
    assert (str(error), error.remedy, error.found, error.expected) == (
        "broken",
        "mend it",
        "one",
        "two",
    )


def test_exit_codes_are_the_published_table() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "DONE": 0,
        "ERROR": 1,
        "CHANGES_PENDING": 2,
        "GATE_NOT_PASSED": 3,
        "PLAN_STALE": 4,
        "STATE_LOCKED": 5,
        "REFUSED": 6,
        "INTERRUPTED": 130,
    }


def test_errors_with_an_exit_code_of_their_own() -> None:
    assert {
        kind.__name__: kind.exit_code for kind in OWN if kind.exit_code is not ExitCode.ERROR
    } == {
        "GateError": ExitCode.GATE_NOT_PASSED,
        "InterruptedRunError": ExitCode.INTERRUPTED,
        "RefusedError": ExitCode.REFUSED,
        "StalePlanError": ExitCode.PLAN_STALE,
        "StateLockedError": ExitCode.STATE_LOCKED,
    }
