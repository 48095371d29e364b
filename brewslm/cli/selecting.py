"""The flags that say which resources a plan acts on."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from brewslm.plan.selection import Selection

C = TypeVar("C", bound=Callable[..., Any])

_TARGET = click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="ADDR",
    help="Only this and what it depends on; an address, a kind or kind.*; repeatable.",
)
_EXCLUDE = click.option(
    "--exclude",
    "excludes",
    multiple=True,
    metavar="ADDR",
    help="All but this and what depends on it; repeatable.",
)
_REPLACE = click.option(
    "--replace",
    "replaces",
    multiple=True,
    metavar="ADDR",
    help="Do this work again although nothing changed; repeatable.",
)


def selecting(command: C) -> C:
    """Give a command the flags of a selection."""
    return _TARGET(_EXCLUDE(_REPLACE(command)))


def selection(
    targets: tuple[str, ...], excludes: tuple[str, ...], replaces: tuple[str, ...]
) -> "Selection":
    """Return what the flags say, each thing once and in a fixed order."""
    from brewslm.plan.selection import Selection  # noqa: PLC0415  start-up time

    return Selection(*(tuple(sorted(set(item))) for item in (targets, excludes, replaces)))
