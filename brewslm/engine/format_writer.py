"""What the engine does differently for each export format."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from msgspec import Struct

from brewslm.engine.base import Loading
from brewslm.registry import Registry


class Export(Struct, frozen=True):
    """What is written, and where."""

    base: Path
    lora_adapter: Path
    loading: Loading
    """How the base is loaded for it."""
    folder: Path
    options: Mapping[str, Any]
    """Those of the job: card, path of the base, folder as the project sees it."""


class FormatWriter(Struct, frozen=True, kw_only=True):
    """A way to write a candidate, and to open what was written."""

    loading: Callable[[Loading], Loading]
    """How training holds the base to how it is loaded here."""
    open: Callable[[Export], AbstractContextManager[Any]]
    """Lends the trained model."""
    write: Callable[[Export, Any], None]
    """(export, trained model) to files; the model may be used up."""
    needs_model: bool
    """Whether the trained model is written, not only compared with."""
    reopen: Callable[[Export], AbstractContextManager[Any]]
    """Lends the model as the files hold it."""
    bits: Callable[[Export], int]
    """Bits that say how close the two have to be."""
    library: str
    """Library that loads it, as model cards name it."""
    snippet: Callable[[Export], str]
    """Python that loads it."""


WRITERS: Registry[FormatWriter] = Registry("brewslm.engine.formats", "WRITER", "export format")
