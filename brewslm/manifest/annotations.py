"""What the annotation of a spec field allows: a section, a list, null."""

import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel


def model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model that a field may hold, None for plain values."""
    for branch in _branches(annotation):
        if isinstance(branch, type) and issubclass(branch, BaseModel):
            return branch
    return None


def element_in(annotation: Any) -> Any:
    """Return the annotation of a list's elements, None where the field holds no list."""
    for branch in _branches(annotation):
        if get_origin(branch) is tuple:
            return get_args(branch)[0]
    return None


def takes_null(annotation: Any) -> bool:
    """Return whether null is a value of the field."""
    return any(branch in (type(None), Any) for branch in _branches(annotation))


def _branches(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        for branch in get_args(annotation):
            yield from _branches(branch)
    elif origin is not None and hasattr(annotation, "__metadata__"):
        yield from _branches(get_args(annotation)[0])
    else:
        yield annotation
