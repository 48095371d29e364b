"""Which fields of a spec differ: dotted paths, one walk for all kinds."""

from collections.abc import Mapping
from typing import Any

_MISSING = object()


def changed_paths(before: Any, after: Any, path: str = "") -> list[str]:
    """Return the dotted paths of the smallest values that differ, sorted."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        found: list[str] = []
        for key in sorted(set(before) | set(after)):
            inner = f"{path}.{key}" if path else str(key)
            found += changed_paths(before.get(key, _MISSING), after.get(key, _MISSING), inner)
        return found
    if _is_list_of_mappings(before) and _is_list_of_mappings(after) and len(before) == len(after):
        found = []
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            found += changed_paths(old, new, f"{path}[{index}]")
        return found
    return [] if _equal(before, after) else [path]


def value_at(document: Any, path: str) -> Any:
    """Return the value at a dotted path, None where there is none."""
    for step in path.replace("[", ".[").split("."):
        if step.startswith("["):
            index = int(step[1:-1])
            document = (
                document[index] if isinstance(document, list) and index < len(document) else None
            )
        elif isinstance(document, Mapping):
            document = document.get(step)
        else:
            return None
    return document


def _equal(before: Any, after: Any) -> bool:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return not changed_paths(before, after)
    if isinstance(before, (list, tuple)) and type(before) is type(after):
        return len(before) == len(after) and all(map(_equal, before, after))
    return bool(type(before) is type(after) or _numbers(before, after)) and bool(before == after)


def _numbers(before: Any, after: Any) -> bool:
    both = (before, after)
    return all(isinstance(item, (int, float)) and not isinstance(item, bool) for item in both)


def _is_list_of_mappings(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(x, Mapping) for x in value)
