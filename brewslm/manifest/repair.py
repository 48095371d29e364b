"""A manifest with refused values, made whole just far enough to look for what else is wrong.

Nobody plans with it: only findings about values that stand for themselves are taken from it.
"""

import json
from typing import Any

from pydantic import ValidationError

from brewslm.diagnostics import Finding, FindingCode, Severity
from brewslm.manifest.schema import ManifestFile
from brewslm.manifest.shape import Shaped

_ROUNDS = 8
"""Each round repairs every error of the one before, a level further up."""
_STAND_INS: dict[str, Any] = {"type": "raw", "metric_id": "accuracy", "metadata": {}}
_ALONE = frozenset(
    {
        FindingCode.BACKEND_URL,
        FindingCode.BASE_MODEL_FORM,
        FindingCode.DUPLICATE_ADAPTER_NAME,
        FindingCode.DUPLICATE_DATASET_NAME,
        FindingCode.DUPLICATE_GATE_ID,
        FindingCode.HTTPS_SOURCE_UNPINNED,
        FindingCode.INVALID_VALUE,
        FindingCode.LOCATOR_CONFLICT,
        FindingCode.LOCATOR_FORM,
        FindingCode.NAME_CHARACTERS,
        FindingCode.OUT_OF_RANGE,
        FindingCode.PATH_NOT_REGULAR_FILE,
        FindingCode.PATH_OUTSIDE_PROJECT,
        FindingCode.REVISION_NOT_APPLICABLE,
        FindingCode.SECRET_IN_MANIFEST,
        FindingCode.SECRET_NOT_ALLOWED,
        FindingCode.SOURCE_NOT_FOUND,
        FindingCode.SPLIT_RATIOS,
        FindingCode.SPLIT_STRATIFY_METHOD,
        FindingCode.GATE_METRIC_UNKNOWN,
    }
)
"""Codes of findings that hold whatever else is wrong."""


def repaired(shaped: Shaped) -> Shaped | None:
    """Return the manifest as it was probably meant, None when there is no telling."""
    if not isinstance(shaped.plain, dict):
        return None
    for container, key, value in shaped.meant:
        container.setdefault(key, value)
    for _ in range(_ROUNDS):
        try:
            file = ManifestFile.model_validate_json(json.dumps(shaped.plain))
        except ValidationError as error:
            for number, item in enumerate(error.errors(include_url=False, include_context=False)):
                _repair(shaped.plain, item["loc"], is_missing=item["type"] == "missing", n=number)
        else:
            return Shaped(file=file, written=shaped.written)
    return None


def still_true(found: list[Finding], refused: list[Finding]) -> list[Finding]:
    """Return what was found in a repaired manifest that is about what people wrote.

    refused: findings that the repair did away with.
    """
    fields = [
        item.field
        for item in refused
        if item.severity is Severity.ERROR and item.code != FindingCode.YAML_DUPLICATE_KEY
    ]
    return [
        item
        for item in found
        if item.severity is Severity.ERROR
        and item.code in _ALONE
        and not any(
            _is_within(item.field, field) or _is_within(field, item.field) for field in fields
        )
    ]


def _repair(plain: Any, location: tuple[str | int, ...], *, is_missing: bool, n: int) -> None:
    """Take the value away that an error is about, or fill in what is missing."""
    *steps, last = location
    parent = plain
    for step in steps:
        inner = _inner(parent, step)
        if inner is None:
            break
        parent = inner
    else:
        if is_missing and isinstance(parent, dict) and isinstance(last, str):
            parent[last] = _STAND_INS.get(last, f"?{n}")
            return
    _drop(plain, location)


def _drop(plain: Any, location: tuple[str | int, ...]) -> None:
    """Delete the deepest key on the way to a location."""
    owner, key = None, ""
    value = plain
    for step in location:
        inner = _inner(value, step)
        if inner is None:
            break
        if isinstance(value, dict):
            owner, key = value, str(step)
        value = inner
    if owner is not None:
        del owner[key]


def _inner(value: Any, step: str | int) -> Any:
    """Return what lies a step further in, None where nothing does; steps of unions lead nowhere."""
    if isinstance(value, dict) and isinstance(step, str):
        return value.get(step)
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return value[step]
    return None


def _is_within(field: str, of: str) -> bool:
    return field == of or field.startswith((f"{of}.", f"{of}["))
