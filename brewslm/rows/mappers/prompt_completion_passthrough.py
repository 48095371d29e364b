"""A prompt and its completion, both text or both lists of messages."""

from collections.abc import Mapping
from typing import Any

from brewslm.rows.adjustments import Remarks
from brewslm.rows.chat import chat_example, turns_of, with_system
from brewslm.rows.context import CONTEXT_FIELDS, context_inputs
from brewslm.rows.mapper import (
    HISTORY_FIELD,
    SYSTEM_FIELD,
    Mapped,
    Mapper,
    MapperField,
    NoOptions,
    Sample,
    optional_text,
    text_field,
)
from brewslm.rows.rejects import RejectCode, RejectedRow
from brewslm.rows.targets import (
    Target,
    check_calls,
    needed_catalogue,
    text_reference,
)
from brewslm.tasks.task import Reference

_KEYS = ("role", "content")


def _map(values: Mapping[str, Any], _options: NoOptions, target: Target) -> Mapped:
    prompt, completion = values.get("prompt"), values.get("completion")
    if values.get("label") is not None or target.form.reference is Reference.PAIR:
        return _judged(values)
    if type(prompt) is list or type(completion) is list:
        if prompt and completion and type(prompt) is not type(completion):
            raise RejectedRow(RejectCode.INVALID_MESSAGES_SHAPE, "completion")
        return _conversation(values, target)
    text = text_field(values, "prompt", RejectCode.MISSING_PROMPT)
    inputs = {**target.form.inputs_of(text), **context_inputs(values, target)}
    reference = text_reference(target, completion, "completion", RejectCode.MISSING_COMPLETION)
    if target.form.reference is Reference.CALLS:
        inputs["tools"] = needed_catalogue(values.get("tools"))
        check_calls(reference["calls"], inputs["tools"], "completion")
    return Mapped(inputs, reference)


def _conversation(values: Mapping[str, Any], target: Target) -> Mapped:
    """Return turns of which those of the completion are trained."""
    if values.get(HISTORY_FIELD):
        raise RejectedRow(RejectCode.INVALID_MESSAGES_SHAPE, HISTORY_FIELD)
    remarks = Remarks()
    asked = turns_of(values.get("prompt"), "prompt", RejectCode.MISSING_PROMPT, _KEYS, {}, remarks)
    answered = turns_of(
        values.get("completion"), "completion", RejectCode.MISSING_COMPLETION, _KEYS, {}, remarks
    )
    turns = [
        {**turn, "train": False} if turn["role"] == "assistant" else turn
        for turn in with_system(asked, optional_text(values, SYSTEM_FIELD))
    ]
    own = target.form.profile_of_turns
    chat = Target(own) if own else target
    mapped = chat_example(
        turns + answered, values.get("tools"), chat, "completion", remarks, requires_reply=True
    )
    return mapped._replace(task_profile=chat.task_profile)


def _judged(values: Mapping[str, Any]) -> Mapped:
    """Return a completion with the judgement whether it is wanted."""
    prompt = text_field(values, "prompt", RejectCode.MISSING_PROMPT)
    completion = text_field(values, "completion", RejectCode.MISSING_COMPLETION)
    if type(values.get("label")) is not bool:
        raise RejectedRow(RejectCode.WRONG_TYPE, "label", "no boolean")
    return Mapped(
        {"prompt": prompt},
        {"completion": completion, "label": values["label"]},
        task_profile="preference",
    )


_TURN = {"role": "user", "content": "Where is pump 3?"}
_REPLY = {"role": "assistant", "content": "In hall B"}

MAPPER = Mapper(
    id="prompt_completion_passthrough",
    aliases=("seq2seq-pair",),
    task_profile="instruction_sft",
    references=tuple(Reference),
    fields=(
        MapperField("prompt", is_required=True),
        MapperField("completion", is_required=True),
        MapperField("label"),
        MapperField("tools"),
        *CONTEXT_FIELDS,
    ),
    map=_map,
    samples=(
        Sample({"prompt": "Where is pump 3?", "completion": "In hall B"}),
        Sample({"prompt": [_TURN], "completion": [_REPLY]}),
        Sample({"prompt": "Where is pump 3?", "completion": "In hall B", "label": True}),
        Sample({"completion": "In hall B"}, RejectCode.MISSING_PROMPT),
        Sample({"prompt": "Where is pump 3?"}, RejectCode.MISSING_COMPLETION),
        Sample({"prompt": [_TURN], "completion": "In hall B"}, RejectCode.INVALID_MESSAGES_SHAPE),
        Sample({"prompt": 3, "completion": "In hall B"}, RejectCode.WRONG_TYPE),
        Sample(
            {"prompt": "Where?", "completion": "In hall B", "label": "yes"},
            RejectCode.WRONG_TYPE,
        ),
        Sample(
            {"prompt": "Where?", "completion": "hall"},
            RejectCode.REFERENCE_NOT_JSON,
            profile="structured_extraction",
        ),
    ),
)
