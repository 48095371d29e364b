"""A prompt and its completion, both text or both lists of messages."""

from collections.abc import Mapping
from typing import Any

from brewslm.rows.chat import chat_example, turns_of
from brewslm.rows.mapper import Mapped, Mapper, MapperField, NoOptions, Sample, text_field
from brewslm.rows.rejects import RejectCode, RejectedRow
from brewslm.rows.targets import Target, check_calls, text_inputs, text_reference, tool_catalogue

_KEYS = ("role", "content")


def _map(values: Mapping[str, Any], _options: NoOptions, target: Target) -> Mapped:
    prompt, completion = values.get("prompt"), values.get("completion")
    if values.get("label") is not None or target.task_profile == "preference":
        return _judged(values)
    if type(prompt) is list or type(completion) is list:
        if prompt and completion and type(prompt) is not type(completion):
            raise RejectedRow(RejectCode.INVALID_MESSAGES_SHAPE, "completion")
        turns = turns_of(prompt, "prompt", RejectCode.MISSING_PROMPT, _KEYS, {})
        turns += turns_of(completion, "completion", RejectCode.MISSING_COMPLETION, _KEYS, {})
        chat = Target("chat_sft") if target.task_profile == "instruction_sft" else target
        mapped = chat_example(turns, values.get("tools"), chat, "completion", requires_reply=True)
        return mapped._replace(task_profile=chat.task_profile)
    text = text_field(values, "prompt", RejectCode.MISSING_PROMPT)
    inputs = text_inputs(target, text)
    reference = text_reference(target, completion, "completion", RejectCode.MISSING_COMPLETION)
    if target.task_profile == "tool_calling":
        inputs["tools"] = tool_catalogue(values.get("tools"))
        check_calls(reference["calls"], inputs["tools"], "completion")
    return Mapped(inputs, reference)


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
    task_profile="instruction_sft",
    other_profiles=(
        "structured_extraction",
        "classification",
        "tool_calling",
        "summarization",
        "qa",
        "preference",
    ),
    fields=(
        MapperField("prompt", is_required=True),
        MapperField("completion", is_required=True),
        MapperField("label"),
        MapperField("tools"),
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
