"""Chat turns: checked as they are, never repaired, split before the last assistant turn."""

from collections.abc import Mapping
from typing import Any

from brewslm.rows.mapper import Mapped
from brewslm.rows.rejects import RejectCode, RejectedRow
from brewslm.rows.targets import Target, check_calls, text_reference, tool_catalogue

ROLES = ("system", "user", "assistant", "tool")
_BEFORE = {
    "system": ("",),
    "user": ("", "system", "assistant"),
    "assistant": ("user", "tool"),
    "tool": ("assistant", "tool"),
}


def turns_of(
    value: Any, field: str, missing: RejectCode, keys: tuple[str, str], roles: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the turns of a list of objects; `keys` are the names of role and content.

    Raises: RejectedRow.
    """
    if value is None or value == [] or (type(value) is str and not value.strip()):
        raise RejectedRow(missing, field)
    role_key, content_key = keys
    if type(value) is not list or not all(
        type(turn) is dict
        and type(turn.get(role_key)) is str
        and type(turn.get(content_key)) is str
        and type(turn.get("train", True)) is bool
        for turn in value
    ):
        raise RejectedRow(RejectCode.INVALID_MESSAGES_SHAPE, field)
    turns = []
    for index, turn in enumerate(value):
        role = roles.get(turn[role_key], turn[role_key])
        if role not in ROLES:
            raise RejectedRow(RejectCode.UNKNOWN_ROLE, f"{field}/{index}")
        if not turn[content_key].strip():
            raise RejectedRow(RejectCode.EMPTY_TURN, f"{field}/{index}")
        kept = {"role": role, "content": turn[content_key]}
        turns.append(kept if turn.get("train", True) else {**kept, "train": False})
    return turns


def check_order(turns: list[dict[str, Any]], field: str, *, requires_reply: bool) -> None:
    """Check that the turns alternate as a chat does and end with a reply.

    Raises: RejectedRow.
    """
    if all(turn["role"] == "system" for turn in turns):
        raise RejectedRow(RejectCode.NO_VALID_TURNS, field)
    before = ""
    for index, turn in enumerate(turns):
        role = turn["role"]
        if before not in _BEFORE[role]:
            raise RejectedRow(RejectCode.INVALID_ROLE_ORDER, f"{field}/{index}")
        before = role
    if requires_reply and turns[-1]["role"] != "assistant":
        raise RejectedRow(RejectCode.MISSING_ASSISTANT_REPLY, f"{field}/{len(turns) - 1}")


def chat_example(
    turns: list[dict[str, Any]], tools: Any, target: Target, field: str, *, requires_reply: bool
) -> Mapped:
    """Return the turns before the final assistant turn as inputs and that turn as reference.

    Raises: RejectedRow.
    """
    check_order(turns, field, requires_reply=requires_reply)
    catalogue = [] if tools is None else tool_catalogue(tools)
    extra = {"tools": catalogue} if tools is not None else {}
    if turns[-1]["role"] != "assistant":
        return Mapped({"messages": turns, **extra}, {"text": ""})
    inputs = {"messages": turns[:-1], **extra}
    final = turns[-1]["content"]
    if target.task_profile == "chat_sft":
        return Mapped(inputs, {"text": final})
    reference = text_reference(
        target, final, f"{field}/{len(turns) - 1}", RejectCode.MISSING_ASSISTANT_REPLY
    )
    if target.task_profile == "tool_calling":
        check_calls(reference["calls"], catalogue, f"{field}/{len(turns) - 1}")
        return Mapped({"messages": turns[:-1], "tools": catalogue}, reference)
    return Mapped(inputs, reference)
