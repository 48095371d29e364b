"""An instruction, the text it applies to, or both, and the wanted output."""

from collections.abc import Mapping
from typing import Any

from brewslm.rows.context import CONTEXT_FIELDS, context_inputs
from brewslm.rows.mapper import Mapped, Mapper, MapperField, NoOptions, Sample, optional_text
from brewslm.rows.rejects import RejectCode, RejectedRow
from brewslm.rows.targets import (
    Target,
    check_calls,
    needed_catalogue,
    text_reference,
)
from brewslm.tasks.task import Reference


def _map(values: Mapping[str, Any], _options: NoOptions, target: Target) -> Mapped:
    instruction = optional_text(values, "instruction")
    extra = optional_text(values, "input", is_trimmed=False)
    if not instruction and not extra:
        raise RejectedRow(RejectCode.MISSING_INSTRUCTION, "instruction")
    inputs = {**target.form.inputs_of(instruction, extra), **context_inputs(values, target)}
    output = values.get("output")
    reference = text_reference(target, output, "output", RejectCode.MISSING_OUTPUT)
    if target.form.reference is Reference.CALLS:
        inputs["tools"] = needed_catalogue(values.get("tools"))
        check_calls(reference["calls"], inputs["tools"], "output")
    return Mapped(inputs, reference)


_TOOLS = [
    {
        "name": "stop",
        "description": "Stop a pump.",
        "parameters": {
            "type": "object",
            "properties": {"pump": {"type": "integer"}},
            "required": ["pump"],
        },
    }
]

MAPPER = Mapper(
    id="instruction_passthrough",
    aliases=("alpaca",),
    task_profile="instruction_sft",
    references=(
        Reference.TEXT,
        Reference.ANSWERS,
        Reference.LABEL,
        Reference.OBJECT,
        Reference.CALLS,
    ),
    fields=(
        MapperField("instruction"),
        MapperField("input"),
        MapperField("output", is_required=True),
        MapperField("tools"),
        *CONTEXT_FIELDS,
    ),
    one_of=("instruction", "input"),
    map=_map,
    samples=(
        Sample({"instruction": "Name the pump", "input": "Pump 3 stops", "output": "Pump 3"}),
        Sample({"input": "Pump 3 stops", "output": "Pump 3"}),
        Sample(
            {
                "instruction": "And pump 4?",
                "output": "In hall B",
                "system": "Be brief.",
                "history": [["Where is pump 3?", "In hall A"]],
                "tools": _TOOLS,
            }
        ),
        Sample(
            {
                "instruction": "Stop pump 3",
                "tools": _TOOLS,
                "output": '{"tool": "stop", "arguments": {"pump": 3}}',
            },
            profile="tool_calling",
        ),
        Sample(
            {
                "instruction": "What is love?",
                "tools": _TOOLS,
                "output": '{"tool": "no_tool", "reason": "no pump is named"}',
            },
            profile="tool_calling",
        ),
        Sample({"output": "Pump 3"}, RejectCode.MISSING_INSTRUCTION),
        Sample({"instruction": "Name the pump"}, RejectCode.MISSING_OUTPUT),
        Sample({"instruction": 3, "output": "Pump 3"}, RejectCode.WRONG_TYPE),
        Sample(
            {"instruction": "Name the pump", "output": "pump"},
            RejectCode.REFERENCE_NOT_JSON,
            profile="structured_extraction",
        ),
        Sample(
            {
                "instruction": "Stop pump 3",
                "tools": _TOOLS,
                "output": '{"tool": "stop", "arguments": {"pump": "three"}}',
            },
            RejectCode.INVALID_TOOL_CALL,
            profile="tool_calling",
        ),
        Sample(
            {"instruction": "Name the pump", "output": "c"},
            RejectCode.LABEL_NOT_ALLOWED,
            profile="classification",
            labels=frozenset({"a", "b"}),
        ),
    ),
)
