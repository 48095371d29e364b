"""Conversations: turns in an order that a chat has, split before the last assistant turn."""

from collections.abc import Mapping, Sequence
from typing import Any

from brewslm.rows.adjustments import Adjustment, Remarks
from brewslm.rows.mapper import Mapped
from brewslm.rows.rejects import RejectCode, RejectedRow
from brewslm.rows.targets import Target, check_calls, text_reference, tool_catalogue
from brewslm.rows.turns import turn_of
from brewslm.strict_json import StrictJsonError, parse_strict

_BEFORE = {
    "system": ("",),
    "user": ("", "system", "assistant", "user"),
    "assistant": ("", "system", "user", "tool"),
    "tool": ("assistant", "tool"),
}
_TURNS_BREAK = "\n\n"
_BESIDE_CONTENT = ("train", "tool_calls", "reasoning_content")
"""Of an assistant turn."""


def turns_of(
    value: Any,
    field: str,
    missing: RejectCode,
    keys: tuple[str, str],
    roles: Mapping[str, str],
    remarks: Remarks,
) -> list[dict[str, Any]]:
    """Return the turns of a list of objects, or of its JSON text, in our form.

    keys: the names of role and content; roles: an adapter's own names of roles to ours.

    Raises: RejectedRow.
    """
    if value is None or value == [] or (type(value) is str and not value.strip()):
        raise RejectedRow(missing, field)
    if type(value) is str:
        value = _parsed(value, field)
        remarks.adjustments.add(Adjustment.MESSAGES_FROM_TEXT)
    if type(value) is not list:
        raise RejectedRow(RejectCode.INVALID_MESSAGES_SHAPE, field)
    return [
        turn_of(turn, keys, roles, f"{field}/{index}", remarks) for index, turn in enumerate(value)
    ]


def with_system(turns: Sequence[dict[str, Any]], system: str) -> list[dict[str, Any]]:
    """Return turns that begin with the system text of a column of its own.

    Raises: RejectedRow with conflicting_system where they begin with another one.
    """
    if not system:
        return list(turns)
    if turns and turns[0]["role"] == "system" and turns[0]["content"].strip():
        if turns[0]["content"].strip() != system:
            raise RejectedRow(RejectCode.CONFLICTING_SYSTEM, "system")
        return list(turns)
    rest = turns[1:] if turns and turns[0]["role"] == "system" else turns
    return [{"role": "system", "content": system}, *rest]


def ordered_turns(
    turns: Sequence[dict[str, Any]], field: str, remarks: Remarks, *, requires_reply: bool
) -> list[dict[str, Any]]:
    """Return turns as a chat has them, what is clear put right.

    Raises: RejectedRow.
    """
    if all(turn["role"] == "system" for turn in turns):
        raise RejectedRow(RejectCode.NO_VALID_TURNS, field)
    kept: list[dict[str, Any]] = []
    for index, turn in enumerate(turns):
        before = kept[-1]["role"] if kept else ""
        if turn["role"] == "system" and not turn["content"].strip():
            remarks.adjustments.add(Adjustment.EMPTY_SYSTEM_DROPPED)
        elif before not in _BEFORE[turn["role"]]:
            raise RejectedRow(RejectCode.INVALID_ROLE_ORDER, f"{field}/{index}")
        elif before == turn["role"] == "user":
            remarks.adjustments.add(Adjustment.USER_TURNS_MERGED)
            joined = kept[-1]["content"] + _TURNS_BREAK + turn["content"]
            kept[-1] = {**kept[-1], "content": joined}
        elif before in ("", "system") and turn["role"] == "assistant":
            remarks.adjustments.add(Adjustment.OPENING_REPLY_NOT_TRAINED)
            kept.append({**turn, "train": False})
        else:
            kept.append(turn)
    return _ended(kept, field, remarks) if requires_reply else kept


def _ended(turns: list[dict[str, Any]], field: str, remarks: Remarks) -> list[dict[str, Any]]:
    """Return turns up to the last reply to a user.

    Raises: RejectedRow with missing_assistant_reply.
    """
    length = len(turns)
    while turns and turns[-1]["role"] != "assistant":
        turns = turns[:-1]
    if not any(turn["role"] == "user" for turn in turns):
        raise RejectedRow(RejectCode.MISSING_ASSISTANT_REPLY, f"{field}/{length - 1}")
    if len(turns) < length:
        remarks.adjustments.add(Adjustment.TRAILING_TURNS_DROPPED)
    return turns


def chat_example(
    turns: list[dict[str, Any]],
    tools: Any,
    target: Target,
    field: str,
    remarks: Remarks,
    *,
    requires_reply: bool,
) -> Mapped:
    """Return the turns before the final assistant turn as inputs and that turn as reference.

    Raises: RejectedRow.
    """
    turns = ordered_turns(turns, field, remarks, requires_reply=requires_reply)
    catalogue = tool_catalogue(tools)
    extra = {} if catalogue is None else {"tools": catalogue}
    if turns[-1]["role"] != "assistant":
        if target.task_profile != "chat_sft":
            raise RejectedRow(RejectCode.MISSING_ASSISTANT_REPLY, f"{field}/{len(turns) - 1}")
        return Mapped({"messages": turns, **extra}, {"text": ""}, remarks=remarks)
    inputs = {"messages": turns[:-1], **extra}
    final = turns[-1]
    beside = {name: final[name] for name in _BESIDE_CONTENT if name in final}
    if target.task_profile == "chat_sft":
        return Mapped(inputs, {"text": final["content"], **beside}, remarks=remarks)
    path = f"{field}/{len(turns) - 1}"
    if target.task_profile == "tool_calling":
        return _called(inputs, final, catalogue or [], target, path, remarks)
    reference = text_reference(target, final["content"], path, RejectCode.MISSING_ASSISTANT_REPLY)
    return Mapped(inputs, {**reference, **beside}, remarks=remarks)


def _called(
    inputs: dict[str, Any],
    final: dict[str, Any],
    catalogue: list[dict[str, Any]],
    target: Target,
    path: str,
    remarks: Remarks,
) -> Mapped:
    """Return an example whose answer is calls, in the turn's own form or as its text."""
    if "tool_calls" in final:
        functions = [call["function"] for call in final["tool_calls"]]
        calls = [{"tool": item["name"], "arguments": item["arguments"]} for item in functions]
        reference: dict[str, Any] = {"calls": calls}
    else:
        reference = text_reference(
            target, final["content"], path, RejectCode.MISSING_ASSISTANT_REPLY
        )
    check_calls(reference["calls"], catalogue, path)
    return Mapped({**inputs, "tools": catalogue}, reference, remarks=remarks)


def _parsed(text: str, field: str) -> Any:
    try:
        return parse_strict(text, require_object=False)
    except StrictJsonError as error:
        raise RejectedRow(RejectCode.INVALID_MESSAGES_SHAPE, field, str(error.code)) from error
