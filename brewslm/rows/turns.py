"""One chat turn, as trainers and services write it, in our form: role, content, calls, flags.

What is clear is accepted and noted; what is not is a reject. Nothing that a turn says is left out
without a word: keys that nothing reads are noted as unread.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from brewslm.rows.adjustments import Adjustment, Remarks
from brewslm.rows.rejects import RejectCode, RejectedRow
from brewslm.rows.targets import check_exact_integers
from brewslm.strict_json import StrictJsonError, parse_strict

ROLES = ("system", "user", "assistant", "tool")
KNOWN_ROLES: Mapping[str, str] = {
    "developer": "system",
    "human": "user",
    "gpt": "assistant",
    "model": "assistant",
    "function": "tool",
    "observation": "tool",
}
"""Names of other tools to ours; an adapter's `role_map` comes before them."""
_CALL_ROLES = ("function_call", "tool_call")
"""Speakers whose text is the JSON of calls that the assistant makes."""
_FLAGS = ("train", "loss", "weight")
"""Names of the flag that says whether loss is taken at a turn."""
_TEXT_PARTS = ("text", "input_text", "output_text")
_REASONING = ("reasoning_content", "reasoning", "thinking")
_PARTS_BREAK = "\n"


def turn_of(
    turn: Any, keys: tuple[str, str], roles: Mapping[str, str], path: str, remarks: Remarks
) -> dict[str, Any]:
    """Return a turn in our form; `keys` are the names of role and content.

    Raises: RejectedRow.
    """
    role_key, content_key = keys
    if type(turn) is not dict or type(turn.get(role_key)) is not str:
        raise RejectedRow(RejectCode.INVALID_MESSAGES_SHAPE, path)
    written = {name: value for name, value in turn.items() if value is not None}
    role = _role(written.pop(role_key), roles, path, remarks)
    content = written.pop(content_key, None)
    if role in _CALL_ROLES:
        role, content, written["tool_calls"] = "assistant", None, content
        remarks.adjustments.add(Adjustment.CALLS_READ)
    is_trained = _is_trained(written, path)
    calls = _calls(written, role, path, remarks)
    kept: dict[str, Any] = {"role": role, "content": _text(content, role, path, remarks)}
    if not kept["content"].strip() and role != "tool" and not calls:
        if content_key not in turn:
            raise RejectedRow(RejectCode.INVALID_MESSAGES_SHAPE, path)
        if role != "system":
            raise RejectedRow(RejectCode.EMPTY_TURN, path)
    if not is_trained:
        kept["train"] = False
    if calls:
        kept["tool_calls"] = calls
    if role == "assistant":
        kept |= _reasoning(written, path)
    if role == "tool":
        names = ("name", "tool_call_id")
        kept |= {name: written.pop(name) for name in names if type(written.get(name)) is str}
    column = path.partition("/")[0]
    remarks.unread |= {
        f"{column}/*/{name}" for name, value in written.items() if not _is_nil(value)
    }
    return kept


def _role(written: str, roles: Mapping[str, str], path: str, remarks: Remarks) -> str:
    if written in roles:
        role = roles[written]
    elif written in ROLES:
        return written
    else:
        plain = written.strip().lower()
        role = KNOWN_ROLES.get(plain, plain)
        if role in ROLES:
            remarks.adjustments.add(Adjustment.ROLE_RENAMED)
    if role not in ROLES and role not in _CALL_ROLES:
        raise RejectedRow(RejectCode.UNKNOWN_ROLE, path)
    return role


def _is_trained(written: dict[str, Any], path: str) -> bool:
    """Return whether loss may be taken at a turn; all flags that are written have to agree.

    Raises: RejectedRow with invalid_train_flag.
    """
    flags = {written.pop(name) for name in _FLAGS if _is_flag(written.get(name))}
    if len(flags) > 1 or any(name in written for name in _FLAGS):
        raise RejectedRow(RejectCode.INVALID_TRAIN_FLAG, path)
    return bool(flags.pop()) if flags else True


def _is_flag(value: Any) -> bool:
    return type(value) in (bool, int, float) and value in (0, 1)


def _text(content: Any, role: str, path: str, remarks: Remarks) -> str:
    if type(content) is str:
        return content
    if content is None:
        return ""
    if type(content) is list and all(_is_part(part) for part in content):
        remarks.adjustments.add(Adjustment.CONTENT_PARTS_JOINED)
        texts = [part if type(part) is str else part["text"] for part in content]
        return _PARTS_BREAK.join(texts)
    if type(content) is list and all(type(part) is dict and "type" in part for part in content):
        raise RejectedRow(RejectCode.UNSUPPORTED_CONTENT, path)
    if role == "tool" and type(content) in (dict, list, int, float, bool):
        remarks.adjustments.add(Adjustment.TOOL_RESULT_AS_TEXT)
        return orjson.dumps(content).decode()
    raise RejectedRow(RejectCode.INVALID_MESSAGES_SHAPE, path)


def _is_part(part: Any) -> bool:
    if type(part) is str:
        return True
    is_text = type(part) is dict and part.get("type") in _TEXT_PARTS
    return is_text and type(part.get("text")) is str


def _calls(written: dict[str, Any], role: str, path: str, remarks: Remarks) -> list[dict[str, Any]]:
    """Return the tool calls of a turn in the form that chat templates read.

    Raises: RejectedRow with invalid_tool_call.
    """
    calls = written.pop("tool_calls", None)
    legacy = written.pop("function_call", None)
    if legacy is not None:
        if calls:
            raise RejectedRow(RejectCode.INVALID_TOOL_CALL, path, "calls in two keys")
        calls = [legacy]
        remarks.adjustments.add(Adjustment.CALLS_READ)
    if type(calls) is str:
        calls = _parsed(calls, path) if calls.strip() else []
        remarks.adjustments.add(Adjustment.CALLS_READ)
    if type(calls) is dict:
        calls = [calls]
    if not calls:
        return []
    if role != "assistant" or type(calls) is not list:
        raise RejectedRow(RejectCode.INVALID_TOOL_CALL, path, "calls are the assistant's, a list")
    return [_call(call, path, remarks) for call in calls]


def _call(call: Any, path: str, remarks: Remarks) -> dict[str, Any]:
    function = call.get("function") if type(call) is dict else None
    if type(function) is not dict:
        function = call
        remarks.adjustments.add(Adjustment.CALLS_READ)
    if type(function) is not dict or type(function.get("name")) is not str or not function["name"]:
        raise RejectedRow(RejectCode.INVALID_TOOL_CALL, path, "a call without a name")
    arguments = function.get("arguments", function.get("parameters"))
    if type(arguments) is str:
        arguments = _parsed(arguments, path) if arguments.strip() else {}
    if arguments is None:
        arguments = {}
    if type(arguments) is not dict:
        raise RejectedRow(RejectCode.INVALID_TOOL_CALL, path, "arguments that are no object")
    check_exact_integers(arguments, path)
    kept = {"type": "function", "function": {"name": function["name"], "arguments": arguments}}
    return {"id": call["id"], **kept} if type(call.get("id")) is str else kept


def _reasoning(written: dict[str, Any], path: str) -> dict[str, str]:
    """Return what the assistant thought before it spoke, under the name that templates read."""
    found = [written.pop(name) for name in _REASONING if name in written]
    texts = [value for value in found if not _is_nil(value)]
    if not all(type(text) is str for text in texts) or len(set(texts)) > 1:
        raise RejectedRow(RejectCode.INVALID_MESSAGES_SHAPE, path, "reasoning in two forms")
    return {"reasoning_content": texts[0]} if texts and texts[0].strip() else {}


def _parsed(text: str, path: str) -> Any:
    try:
        return parse_strict(text, require_object=False)
    except StrictJsonError as error:
        raise RejectedRow(RejectCode.INVALID_TOOL_CALL, path, str(error.code)) from error


def _is_nil(value: Any) -> bool:
    return value is None or value in ("", [], {})
