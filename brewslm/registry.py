"""Things found by name: one file a thing, the file's name is the name in the manifest.

A registry lists its folder in sorted order without importing anything and loads what is asked for,
so a missing optional dependency of one thing is nobody else's trouble. Doors are
`"module:function"` strings inside brewslm.
"""

import difflib
from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from brewslm.errors import BrewError

T = TypeVar("T")


class UnknownNameError(BrewError):
    """A name is not registered; carries the closest match and all known names."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        """what: the noun shown to people, such as "mapper"."""
        self.name = name
        self.known = tuple(known)
        self.suggestions = closest(name, self.known)
        super().__init__(
            f'there is no {what} "{name}"',
            code="unknown_name",
            found=f'"{name}"',
            expected="one of " + ", ".join(f'"{item}"' for item in self.known),
            remedy=(
                f"write {self.suggestions[0]} (closest match)"
                if self.suggestions
                else f"choose a known {what}"
            ),
        )


def closest(name: str, known: Iterable[str], limit: int = 3) -> tuple[str, ...]:
    """Return known names that look like `name`, best first."""
    by_folded = {item.casefold(): item for item in sorted(known)}
    matches = difflib.get_close_matches(name.casefold(), by_folded, n=limit, cutoff=0.6)
    return tuple(by_folded[match] for match in matches)


class Registry(Generic[T]):
    """The things that the modules of one package define under one attribute name."""

    def __init__(
        self, package: str, attribute: str, what: str, only: type[T] | None = None
    ) -> None:
        """package: dotted name of the folder; attribute: such as MAPPER; what: the noun shown to
        people; only: leaves out what is not of this type, which needs every module imported.
        """
        self._only = only
        self._package = package
        self._attribute = attribute
        self._what = what

    @cache  # noqa: B019  registries are module constants and live as long as the process
    def names(self) -> tuple[str, ...]:
        """Return the names of the folder's public modules, sorted; without `only` none of them is
        imported.
        """
        spec = find_spec(self._package)
        folders = spec.submodule_search_locations if spec else None
        if not folders:
            raise ModuleNotFoundError(self._package)
        stems = (path.stem for folder in folders for path in Path(folder).glob("*.py"))
        names = sorted(stem for stem in stems if not stem.startswith("_"))
        only = self._only
        return tuple(name for name in names if only is None or isinstance(self._value(name), only))

    def load(self, name: str) -> T:
        """Return the named thing, importing its module if that has not happened yet.

        Raises: UnknownNameError, and ImportError when the module needs a package that is not
        installed.
        """
        module_name = name.replace("-", "_")
        if module_name not in self.names():
            raise UnknownNameError(self._what, name, self.names())
        return cast("T", self._value(module_name))

    def _value(self, module_name: str) -> object:
        return getattr(import_module(f"{self._package}.{module_name}"), self._attribute)

    def all(self) -> dict[str, T]:
        """Load everything, in sorted order."""
        return {name: self.load(name) for name in self.names()}


def open_door(door: str) -> Callable[..., Any]:
    """Return the function behind `"brewslm.module:function"`; only the worker calls this.

    Raises: BrewError for anything outside brewslm, ImportError when an optional dependency is
    missing.
    """
    module_name, _, function_name = door.partition(":")
    if not module_name.startswith("brewslm.") or not function_name.isidentifier():
        raise BrewError(
            f'"{door}" is no door',
            code="worker_protocol_error",
            expected="brewslm.module:function",
            remedy="report this: a kind names a door that does not exist",
        )
    function = getattr(import_module(module_name), function_name)
    return cast("Callable[..., Any]", function)
