"""What comes before a single question in a row: a system text, earlier turns, tools to call."""

from collections.abc import Mapping
from typing import Any

from brewslm.rows.mapper import HISTORY_FIELD, SYSTEM_FIELD, MapperField, optional_text
from brewslm.rows.rejects import RejectCode, RejectedRow
from brewslm.rows.targets import Target, tool_catalogue
from brewslm.strict_json import StrictJsonError, parse_strict
from brewslm.tasks.task import Reference

CONTEXT_FIELDS = (
    MapperField(SYSTEM_FIELD, is_extra=True),
    MapperField(HISTORY_FIELD, is_extra=True),
)
_PAIR = 2


def context_inputs(values: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """Return `system`, `history` as turns, and `tools`, each only where the row has it.

    Raises: RejectedRow.
    """
    found: dict[str, Any] = {}
    if system := optional_text(values, SYSTEM_FIELD):
        found["system"] = system
    if history := _history(values.get(HISTORY_FIELD)):
        found["history"] = history
    if target.form.reference is not Reference.CALLS:
        if tools := tool_catalogue(values.get("tools")):
            found["tools"] = tools
    return found


def _history(value: Any) -> list[dict[str, str]]:
    """Return pairs of a question and its answer, or their JSON text, as turns."""
    if type(value) is str and value.strip():
        try:
            value = parse_strict(value, require_object=False)
        except StrictJsonError as error:
            raise RejectedRow(RejectCode.WRONG_TYPE, HISTORY_FIELD, str(error.code)) from error
    if value in (None, "", []):
        return []
    if type(value) is not list or not all(_is_pair(pair) for pair in value):
        raise RejectedRow(RejectCode.WRONG_TYPE, HISTORY_FIELD, "no list of text pairs")
    roles = ("user", "assistant")
    return [
        {"role": role, "content": text}
        for pair in value
        for role, text in zip(roles, pair, strict=True)
    ]


def _is_pair(pair: Any) -> bool:
    return (
        type(pair) is list
        and len(pair) == _PAIR
        and all(type(text) is str and text.strip() for text in pair)
    )
