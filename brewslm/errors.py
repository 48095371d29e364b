"""Errors that end a call, and the exit codes they end it with.

BrewError
├── ManifestError        findings of severity error; carries them all
├── PlanError            a plan cannot be made or read
│   └── StalePlanError   a saved plan no longer fits the project
├── RefusedError         policy or preflight says no
├── StateError           the state cannot be read or written
│   ├── StateLockedError   somebody else holds the lease
│   ├── LeaseLostError     the lease was taken over while work went on
│   ├── StateVersionError  the state was written by a newer program
│   └── UnwrittenStateError  work is done whose record did not get into the state
├── ArtifactError        bytes are missing or are not what their digest says
├── UnreachableError     a shared store or a git remote does not answer, or refuses
├── ApplyError           an action failed
│   ├── GateError          a required gate did not pass
│   └── InterruptedRunError
├── WorkerError          the worker process failed, with a reason code
└── MissingExtraError    an optional dependency is not installed

Every error states what is wrong, where it can what was found and what was expected, and always what
to do. Trouble in user input that does not end the call is a Finding (diagnostics.py); bugs stay
plain exceptions.
"""

import copyreg
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """One table of exit codes for all commands."""

    DONE = 0
    ERROR = 1
    CHANGES_PENDING = 2
    GATE_NOT_PASSED = 3
    PLAN_STALE = 4
    STATE_LOCKED = 5
    REFUSED = 6
    INTERRUPTED = 130


class BrewError(Exception):
    """Trouble that ends a call: what is wrong, what was found and expected, and what to do."""

    exit_code = ExitCode.ERROR

    def __init__(
        self, message: str, *, code: str, remedy: str, found: str = "", expected: str = ""
    ) -> None:
        """Keep the four parts apart, so that every face can render them its own way.

        code: stable, lower_snake for errors, UPPER_SNAKE when a finding became fatal.
        """
        super().__init__(message)
        self.message = message
        self.code = code
        self.remedy = remedy
        self.found = found
        self.expected = expected

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel between processes without being made anew from its parts."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class ManifestError(BrewError):
    """The manifest has error findings."""


class PlanError(BrewError):
    """A plan cannot be made or read."""


class StalePlanError(PlanError):
    """A saved plan was made for another project, state, manifest or input."""

    exit_code = ExitCode.PLAN_STALE


class RefusedError(BrewError):
    """Policy or a check before the first action says no."""

    exit_code = ExitCode.REFUSED


class StateError(BrewError):
    """The state cannot be read or written."""


class StateLockedError(StateError):
    """Somebody else holds the lease."""

    exit_code = ExitCode.STATE_LOCKED


class LeaseLostError(StateError):
    """The lease was taken over; nothing more may be written under the old fence.

    fence: the one that writes were made under; current_fence: the one that outdated it, None where
    the lease was the session's own to give back; is_forced: whether somebody ended it by hand.
    """

    fence = 0
    current_fence: int | None = None
    is_forced = False


class StateVersionError(StateError):
    """The state was written by a newer program and stays untouched."""


class UnwrittenStateError(StateError):
    """Work is done whose record did not get into the state; it was put elsewhere.

    document: the record itself where no file could take it, otherwise empty.
    """

    document = ""


class ArtifactError(BrewError):
    """Bytes are missing, or are not what their digest says."""


class UnreachableError(BrewError):
    """A shared store or a git remote does not answer, or refuses; what it holds is not known."""


class ApplyError(BrewError):
    """An action of an apply failed."""


class GateError(ApplyError):
    """A required gate did not pass."""

    exit_code = ExitCode.GATE_NOT_PASSED


class InterruptedRunError(ApplyError):
    """A signal ended the run after it was recorded."""

    exit_code = ExitCode.INTERRUPTED


class WorkerError(BrewError):
    """The worker process failed; `code` is the reason, such as training_oom."""


class MissingExtraError(BrewError):
    """An optional dependency is needed and not installed."""
