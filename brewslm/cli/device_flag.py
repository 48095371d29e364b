"""Which device a command uses: `--device`, else BREWSLM_DEVICE, else what this machine has."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from brewslm.cli.usage import UsageError
from brewslm.platform_facts import DEVICE_KINDS, DEVICE_VARIABLE

_CHOICES = ("auto", *DEVICE_KINDS)

C = TypeVar("C", bound=Callable[..., Any])


def choosing_device(command: C) -> C:
    """Give a command the flag that names the device of its work."""
    return click.option(
        "--device",
        type=click.Choice(_CHOICES),
        help="Device that trains and evaluates; BREWSLM_DEVICE by default, else auto: cuda (ROCm "
        "included), mps or cpu, whichever this machine has.",
    )(command)


def wanted_device(flag: str | None, environment: Mapping[str, str]) -> str:
    """Return auto, cuda, mps or cpu.

    Raises: UsageError for a BREWSLM_DEVICE that is none of them.
    """
    wanted = flag or environment.get(DEVICE_VARIABLE) or "auto"
    if wanted not in _CHOICES:
        raise UsageError(
            f"invalid {DEVICE_VARIABLE}",
            code="usage_error",
            found=f'"{wanted}"',
            expected="one of " + ", ".join(_CHOICES),
            remedy=f"unset {DEVICE_VARIABLE}, or set it to auto",
        )
    return wanted
