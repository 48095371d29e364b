"""Instructions with open answers."""

from collections.abc import Mapping
from typing import Any

from brewslm.tasks import open_answers
from brewslm.tasks.task import Contract, Message, Reference, Sample, Task, no_names, user_turn


def prompt(inputs: Mapping[str, Any], _contract: Contract) -> list[Message]:
    """Return the instruction and, one blank line below, its input."""
    parts = [str(inputs[name]) for name in ("instruction", "input") if inputs.get(name)]
    return user_turn("\n\n".join(parts))


TASK = Task(
    name="instruction_sft",
    aliases=("instruction",),
    reference=Reference.TEXT,
    text_input="instruction",
    prompt_and_text=("instruction", "input"),
    profile_of_turns="chat_sft",
    version=3,
    prompt=prompt,
    answer=open_answers.answer,
    score=open_answers.score,
    metrics=open_answers.metrics,
    names=no_names,
    answer_tokens_floor=128,
    answer_tokens_cap=1024,
    fail_below=0.75,
    samples=(
        Sample(
            {"instruction": "Name the capital.", "input": "Austria"},
            {"text": "Vienna"},
            {},
            "Vienna",
        ),
    ),
)
