"""Which store a URL names; its driver is imported when it is asked for."""

from importlib import import_module
from typing import cast

from brewslm.errors import MissingExtraError, StateError
from brewslm.state.schema import SCHEMA, Schema
from brewslm.state.store import StateStore

_OBJECTS = ("brewslm.state.stores.objects", "ObjectStateStore", "object-store")
_STORES = {
    "postgresql": ("brewslm.state.stores.postgresql", "PostgresqlStore", "postgres"),
    **dict.fromkeys(("s3", "gs", "az"), _OBJECTS),
}
"""Scheme to module, class and the extra that brings its driver."""


def open_shared_state(url: str, schema: Schema = SCHEMA) -> StateStore:
    """Return the store of a URL; nothing is connected to yet.

    Raises: StateError for a URL of another kind, MissingExtraError without the driver. Neither
    repeats the URL.
    """
    scheme, sign, _ = url.partition("://")
    if not sign or scheme not in _STORES:
        raise StateError(
            "backend.state names no store",
            code="system_config_invalid",
            found="another scheme",
            expected="one of " + ", ".join(f"{name}://" for name in _STORES),
            remedy="correct the URL",
        )
    module, name, extra = _STORES[scheme]
    try:
        store = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"state in {scheme} cannot be opened here",
            code="missing_extra",
            found=f"not installed: {error.name}",
            expected=f"the extra {extra}",
            remedy=f'pip install "brewslm[{extra}]"',
        ) from error
    return cast("StateStore", store(url, schema))
