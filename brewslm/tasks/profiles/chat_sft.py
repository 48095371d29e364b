"""Conversations: the final assistant turn after the turns before it."""

from brewslm.tasks import open_answers
from brewslm.tasks.task import Reference, Sample, Task, given_turns, no_names

TASK = Task(
    name="chat_sft",
    aliases=("chat",),
    reference=Reference.TEXT,
    text_input="messages",
    version=3,
    prompt=given_turns,
    answer=open_answers.answer,
    score=open_answers.score,
    metrics=open_answers.metrics,
    names=no_names,
    answer_tokens_floor=128,
    answer_tokens_cap=1024,
    fail_below=0.75,
    samples=(
        Sample(
            {
                "messages": [
                    {"role": "user", "content": "Hello"},
                    {"role": "assistant", "content": "Hello, how can I help?"},
                    {"role": "user", "content": "Which day follows Monday?"},
                ]
            },
            {"text": "Tuesday"},
            {},
            "Tuesday",
        ),
    ),
    loss="assistant_turns",
)
