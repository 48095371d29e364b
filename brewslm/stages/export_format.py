"""What an export format is: which targets run it, how it stores weights, and how large it is."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from brewslm.registry import Registry


def size_of_base(base_bytes: float, _adapter_bytes: float) -> float:
    """Return the size of a format that holds the whole model."""
    return base_bytes


class Format(Struct, frozen=True, kw_only=True):
    """A form in which a candidate is written."""

    name: str
    aliases: tuple[str, ...] = ()
    """Other spellings, accepted with a warning."""
    targets: tuple[str, ...]
    """Target profiles that run it."""
    quantizations: tuple[str, ...] = ()
    """Names of `export.quantization` that it knows; without any it keeps the dtype of the base."""
    is_written: bool = False
    """False where the format is recognised and nothing writes it."""
    is_merged: bool = True
    """Whether adapter and base become one model."""
    size: Callable[[float, float], float] = size_of_base
    """(bytes of the base, bytes of the adapter) to the bytes of the export."""


FORMATS: Registry[Format] = Registry("brewslm.stages.formats", "FORMAT", "export format")
if TYPE_CHECKING:
    ExportFormat = str
else:
    ExportFormat = Literal[FORMATS.names()]
WITHOUT_EXPORT = "adapter"
"""The format in which a candidate is promoted where no export is asked for."""


def formats_of(target: str) -> tuple[str, ...]:
    """Return the formats that a target runs, whole models first."""
    running = [item for item in FORMATS.all().values() if target in item.targets]
    return tuple(item.name for item in sorted(running, key=lambda item: not item.is_merged))
