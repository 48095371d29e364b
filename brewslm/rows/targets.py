"""What an example of each task profile holds: typed inputs and a typed reference.

Mappers that read text answers share these: the profile of the adapter says whether an answer stays
text, is one of several answers, a label, a JSON value, entities or tool calls.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson
from msgspec import Struct

from brewslm.fingerprint import canonical_json
from brewslm.registry import closest
from brewslm.rows.rejects import RejectCode, RejectedRow
from brewslm.rows.schema import SchemaError, Validator, compile_schema
from brewslm.strict_json import MAX_EXACT_INTEGER, StrictJsonError, parse_strict
from brewslm.tasks.task import Form, Reference, form_of

NO_TOOL = "no_tool"
_TOOL_KEYS = ("type", "name", "description", "parameters")


class Target(Struct, frozen=True):
    """Which task the examples are for, and what limits their answers."""

    task_profile: str
    scoring_mode: str = "auto"
    labels: frozenset[str] | None = None
    """Allowed labels, None where any label is."""

    @property
    def form(self) -> Form:
        """What a row of the task holds."""
        return form_of(self.task_profile)


def text_reference(target: Target, answer: Any, field: str, missing: RejectCode) -> dict[str, Any]:
    """Return the reference that an answer is for the task.

    Raises: RejectedRow: `missing` where the answer is absent or blank, or what is wrong with it.
    """
    match target.form.reference:
        case Reference.CALLS:
            return {"calls": tool_calls(json_answer(answer, field, missing), field)}
        case Reference.OBJECT:
            return structured_reference(target, json_answer(answer, field, missing), field)
        case Reference.ANSWERS:
            return {"answers": answer_list(answer, field, missing)}
        case Reference.LABEL:
            label = _answer_text(answer, field, missing, accepts_fractions=False)
            return {"label": allowed_label(target, label, field)}
        case Reference.TEXT | Reference.PAIR:
            return {"text": _answer_text(answer, field, missing)}


def answer_list(answer: Any, field: str, missing: RejectCode) -> list[str]:
    """Return one or more answers, each trimmed.

    Raises: RejectedRow.
    """
    items = answer if type(answer) is list else [answer]
    if not items:
        raise RejectedRow(missing, field)
    return [_answer_text(item, field, missing) for item in items]


def json_answer(answer: Any, field: str, missing: RejectCode) -> Any:
    """Return the JSON value of an answer, which may be the value itself or its text.

    Raises: RejectedRow.
    """
    if answer is None or (type(answer) is str and not answer.strip()):
        raise RejectedRow(missing, field)
    value = answer
    if type(answer) is str:
        try:
            value = parse_strict(answer, require_object=False)
        except StrictJsonError as error:
            raise RejectedRow(RejectCode.REFERENCE_NOT_JSON, field, str(error.code)) from error
    if type(value) not in (dict, list):
        raise RejectedRow(RejectCode.REFERENCE_NOT_JSON, field, "a bare value")
    check_exact_integers(value, field)
    return value


def structured_reference(target: Target, value: Any, field: str) -> dict[str, Any]:
    """Return `{object}`, or `{entities}` under scoring mode span_set.

    Raises: RejectedRow.
    """
    if target.scoring_mode == "span_set":
        entities = value.get("entities") if type(value) is dict else value
        if type(entities) is not list:
            raise RejectedRow(RejectCode.REFERENCE_NOT_JSON, field, "no list of entities")
        return {"entities": sorted_entities([_entity(item, field) for item in entities])}
    if type(value) is not dict:
        raise RejectedRow(RejectCode.REFERENCE_NOT_JSON, field, "no object")
    return {"object": value}


def sorted_entities(entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return entities by start, end and type."""
    return sorted(entities, key=lambda item: (item["start"], item["end"], item["type"]))


def allowed_label(target: Target, label: str, field: str) -> str:
    """Return the label if it is allowed, exactly as written.

    Raises: RejectedRow with the closest allowed label.
    """
    if target.labels is not None and label not in target.labels:
        near = closest(label, target.labels, limit=1)
        raise RejectedRow(
            RejectCode.LABEL_NOT_ALLOWED, field, f'closest is "{near[0]}"' if near else ""
        )
    return label


def check_exact_integers(value: Any, field: str) -> None:
    """Refuse integers beyond ±(2^53 - 1): a reference is compared as canonical JSON.

    Raises: RejectedRow.
    """
    if type(value) is int and not -MAX_EXACT_INTEGER <= value <= MAX_EXACT_INTEGER:
        raise RejectedRow(RejectCode.NUMBER_OUT_OF_RANGE, field, "more than 53 bits")
    if type(value) is dict:
        for item in value.values():
            check_exact_integers(item, field)
    elif type(value) is list:
        for item in value:
            check_exact_integers(item, field)


def tool_catalogue(value: Any, field: str = "tools") -> list[dict[str, Any]] | None:
    """Return a row's tools as a list of `{name, description, parameters}`, None without any.

    JSON text is read, and so is `{"type": "function", "function": {...}}`.

    Raises: RejectedRow.
    """
    if value is None or (type(value) is str and not value.strip()):
        return None
    if type(value) is str:
        try:
            value = parse_strict(value, require_object=False)
        except StrictJsonError as error:
            raise RejectedRow(RejectCode.WRONG_TYPE, field, str(error.code)) from error
    if type(value) is dict:
        value = [value]
    if type(value) is not list:
        raise RejectedRow(RejectCode.WRONG_TYPE, field, "no list of tools")
    tools = [_unwrapped(tool) for tool in value]
    if not all(type(tool) is dict and type(tool.get("name")) is str for tool in tools):
        raise RejectedRow(RejectCode.WRONG_TYPE, field, "no list of objects with a name")
    if not all(tool["name"] for tool in tools):
        raise RejectedRow(RejectCode.WRONG_TYPE, field, "a tool with an empty name")
    check_exact_integers(value, field)
    return [
        {
            "name": tool["name"],
            "description": tool.get("description") or "",
            "parameters": tool.get("parameters") or {"type": "object"},
            **{key: item for key, item in sorted(tool.items()) if key not in _TOOL_KEYS},
        }
        for tool in tools
    ]


def needed_catalogue(value: Any, field: str = "tools") -> list[dict[str, Any]]:
    """Return the tools of a row that has to have some.

    Raises: RejectedRow.
    """
    catalogue = tool_catalogue(value, field)
    if catalogue is None:
        raise RejectedRow(RejectCode.WRONG_TYPE, field, "no list of tools")
    return catalogue


def _unwrapped(tool: Any) -> Any:
    """Return the function of a tool in the form of OpenAI's interface."""
    function = tool.get("function") if type(tool) is dict else None
    return function if type(function) is dict else tool


def tool_calls(value: Any, field: str) -> list[dict[str, Any]]:
    """Return the calls of an answer, empty for `no_tool`.

    Raises: RejectedRow with invalid_tool_call.
    """
    calls = value if type(value) is list else [value]
    if len(calls) == 1 and type(calls[0]) is dict and calls[0].get("tool") == NO_TOOL:
        return []
    for call in calls:
        if (
            type(call) is not dict
            or type(call.get("tool")) is not str
            or call["tool"] == NO_TOOL
            or type(call.get("arguments", {})) is not dict
            or not call.keys() <= {"tool", "arguments"}
        ):
            raise RejectedRow(RejectCode.INVALID_TOOL_CALL, field, "no {tool, arguments}")
    return [{"tool": call["tool"], "arguments": call.get("arguments", {})} for call in calls]


def check_calls(calls: list[dict[str, Any]], tools: list[dict[str, Any]], field: str) -> None:
    """Check each call against the row's catalogue.

    Raises: RejectedRow with invalid_tool_call.
    """
    parameters: Mapping[str, Any] = {tool["name"]: tool["parameters"] for tool in tools}
    for call in calls:
        if call["tool"] not in parameters:
            raise RejectedRow(RejectCode.INVALID_TOOL_CALL, field, "a tool outside the catalogue")
        if not _parameters_fit(canonical_json(parameters[call["tool"]]), call["arguments"]):
            raise RejectedRow(RejectCode.INVALID_TOOL_CALL, field, "arguments do not fit")


@lru_cache(maxsize=256)
def _parameters(schema: bytes) -> Validator:
    return compile_schema(orjson.loads(schema))


def _parameters_fit(schema: bytes, arguments: Any) -> bool:
    try:
        return _parameters(schema).is_valid(arguments)
    except SchemaError as error:
        raise RejectedRow(
            RejectCode.INVALID_TOOL_CALL, "tools", "parameters are no JSON Schema"
        ) from error


def _answer_text(
    answer: Any, field: str, missing: RejectCode, *, accepts_fractions: bool = True
) -> str:
    """Return an answer as trimmed text; a number or a boolean becomes its JSON text."""
    if answer is None:
        raise RejectedRow(missing, field)
    if type(answer) in (bool, int) or (accepts_fractions and type(answer) is float):
        return canonical_json(answer).decode() if type(answer) is float else str(answer).lower()
    if type(answer) is not str:
        raise RejectedRow(RejectCode.WRONG_TYPE, field, f"a {type(answer).__name__}")
    if not (text := answer.strip()):
        raise RejectedRow(missing, field)
    return text


def _entity(item: Any, field: str) -> dict[str, Any]:
    if type(item) is not dict or not (
        type(item.get("type")) is str
        and type(item.get("start")) is int
        and type(item.get("end")) is int
        and type(item.get("text")) is str
    ):
        raise RejectedRow(RejectCode.REFERENCE_NOT_JSON, field, "an entity without type, offsets")
    return {name: item[name] for name in ("type", "start", "end", "text")}
