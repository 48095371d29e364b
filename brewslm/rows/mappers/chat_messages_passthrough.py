"""Chat turns with role and content."""

from collections.abc import Mapping
from typing import Any

from brewslm.contracts import Spec
from brewslm.rows.adjustments import Remarks
from brewslm.rows.chat import chat_example, turns_of, with_system
from brewslm.rows.mapper import (
    SYSTEM_FIELD,
    Mapped,
    Mapper,
    MapperField,
    Sample,
    optional_text,
)
from brewslm.rows.rejects import RejectCode
from brewslm.rows.targets import Target
from brewslm.tasks.task import Reference


class Options(Spec):
    """Options of chat_messages_passthrough."""

    require_assistant_reply: bool = True
    """Reject turns without a reply of the assistant; false is for evaluation prompts."""
    role_map: dict[str, str] = {}
    """Names of roles to system, user, assistant or tool, before those that are known."""


def _map(values: Mapping[str, Any], options: Options, target: Target) -> Mapped:
    remarks = Remarks()
    turns = turns_of(
        values.get("messages"),
        "messages",
        RejectCode.MISSING_MESSAGES,
        ("role", "content"),
        options.role_map,
        remarks,
    )
    return chat_example(
        with_system(turns, optional_text(values, SYSTEM_FIELD)),
        values.get("tools"),
        target,
        "messages",
        remarks,
        requires_reply=options.require_assistant_reply,
    )


_ASK = {"role": "user", "content": "Where is\n\tpump 3?"}
_REPLY = {"role": "assistant", "content": "In hall B"}
_SYSTEM = {"role": "system", "content": "Be brief."}

MAPPER = Mapper(
    id="chat_messages_passthrough",
    aliases=("chat-messages",),
    task_profile="chat_sft",
    references=(Reference.LABEL, Reference.OBJECT, Reference.CALLS),
    fields=(
        MapperField("messages", is_required=True),
        MapperField("tools"),
        MapperField(SYSTEM_FIELD, is_extra=True),
    ),
    options=Options,
    map=_map,
    makes_turns=True,
    samples=(
        Sample({"messages": [_SYSTEM, _ASK, _REPLY]}),
        Sample({"messages": [_ASK, {**_REPLY, "train": False}, _ASK, _REPLY]}),
        Sample({"messages": []}, RejectCode.MISSING_MESSAGES),
        Sample({"messages": "hello"}, RejectCode.INVALID_MESSAGES_SHAPE),
        Sample({"messages": [{"role": "bot", "content": "x"}]}, RejectCode.UNKNOWN_ROLE),
        Sample({"messages": [_ASK, {**_REPLY, "content": " "}]}, RejectCode.EMPTY_TURN),
        Sample({"messages": [_ASK, _SYSTEM, _REPLY]}, RejectCode.INVALID_ROLE_ORDER),
        Sample({"messages": [_ASK, _REPLY, _REPLY]}, RejectCode.INVALID_ROLE_ORDER),
        Sample({"messages": [_ASK, _ASK, _REPLY]}),
        Sample({"messages": [_SYSTEM]}, RejectCode.NO_VALID_TURNS),
        Sample({"messages": [_ASK]}, RejectCode.MISSING_ASSISTANT_REPLY),
        Sample({"messages": [_ASK]}, options={"require_assistant_reply": False}),
        Sample({"messages": [_ASK, _REPLY], "tools": 3}, RejectCode.WRONG_TYPE),
        Sample(
            {"messages": [_ASK, _REPLY]},
            RejectCode.REFERENCE_NOT_JSON,
            profile="structured_extraction",
        ),
        Sample(
            {"messages": [_ASK, _REPLY]},
            RejectCode.LABEL_NOT_ALLOWED,
            profile="classification",
            labels=frozenset({"a"}),
        ),
        Sample(
            {"messages": [_ASK, {**_REPLY, "content": '{"tool": "find", "arguments": {}}'}]},
            RejectCode.INVALID_TOOL_CALL,
            profile="tool_calling",
        ),
    ),
)
