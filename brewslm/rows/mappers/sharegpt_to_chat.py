"""Conversations with from and value, as chat turns."""

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
    """Options of sharegpt_to_chat."""

    role_map: dict[str, str] = {"human": "user", "gpt": "assistant", "system": "system"}
    """Speaker of a turn to its role."""


def _map(values: Mapping[str, Any], options: Options, target: Target) -> Mapped:
    remarks = Remarks()
    turns = turns_of(
        values.get("conversations"),
        "conversations",
        RejectCode.MISSING_CONVERSATIONS,
        ("from", "value"),
        options.role_map,
        remarks,
    )
    turns = with_system(turns, optional_text(values, SYSTEM_FIELD))
    return chat_example(
        turns, values.get("tools"), target, "conversations", remarks, requires_reply=True
    )


_ASK = {"from": "human", "value": "Where is pump 3?"}
_REPLY = {"from": "gpt", "value": "In hall B"}

MAPPER = Mapper(
    id="sharegpt_to_chat",
    aliases=("sharegpt",),
    task_profile="chat_sft",
    references=(Reference.LABEL, Reference.OBJECT, Reference.CALLS),
    fields=(
        MapperField("conversations", is_required=True),
        MapperField("tools"),
        MapperField(SYSTEM_FIELD, is_extra=True),
    ),
    options=Options,
    map=_map,
    makes_turns=True,
    samples=(
        Sample({"conversations": [_ASK, _REPLY]}),
        Sample({}, RejectCode.MISSING_CONVERSATIONS),
        Sample({"conversations": [{"from": "human"}]}, RejectCode.INVALID_MESSAGES_SHAPE),
        Sample({"conversations": [{"from": "bot", "value": "x"}]}, RejectCode.UNKNOWN_ROLE),
        Sample({"conversations": [{"from": "human", "value": ""}]}, RejectCode.EMPTY_TURN),
        Sample({"conversations": [_REPLY, _REPLY]}, RejectCode.INVALID_ROLE_ORDER),
        Sample({"conversations": [{"from": "system", "value": "x"}]}, RejectCode.NO_VALID_TURNS),
        Sample({"conversations": [_ASK]}, RejectCode.MISSING_ASSISTANT_REPLY),
        Sample({"conversations": [_ASK, _REPLY], "tools": 3}, RejectCode.WRONG_TYPE),
    ),
)
