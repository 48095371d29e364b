"""Where the reference calls tools, an answer is right when it makes the same calls."""

from typing import Any

import pytest

from brewslm.tasks.task import DEFAULT_OPTIONS, TASKS

_CALL = {"type": "function", "function": {"name": "find", "arguments": {"pump": 3, "hall": "B"}}}
_REFERENCE: dict[str, Any] = {"text": "", "tool_calls": [_CALL]}


def _exact(output: str, reference: dict[str, Any] = _REFERENCE) -> float:
    task = TASKS.load("chat_sft")
    return task.score({}, reference, output, {}, DEFAULT_OPTIONS).values["exact_match"]


@pytest.mark.parametrize(
    "output",
    [
        '<tool_call>\n{"name": "find", "arguments": {"hall": "B", "pump": 3}}\n</tool_call>',
        '[TOOL_CALLS][{"name": "find", "arguments": {"pump": 3, "hall": "B"}}]',
        'So: {"function": {"name": "find", "parameters": {"pump": 3, "hall": "B"}}}',
    ],
)
def test_same_call_in_any_dress_is_right(output: str) -> None:
    assert _exact(output) == 1.0


@pytest.mark.parametrize(
    "output",
    [
        "",
        "I look for it.",
        '{"name": "find", "arguments": {"pump": 4, "hall": "B"}}',
        '{"name": "find", "arguments": {"pump": -3, "hall": "B"}}',
        '{"name": "stop", "arguments": {"pump": 3, "hall": "B"}}',
        '{"name": "find", "arguments": {"pump": 3, "hall": "B"}} {"name": "stop"}',
        "{" * 5000,
    ],
)
def test_other_call_and_no_call_are_wrong(output: str) -> None:
    assert _exact(output) == 0.0
