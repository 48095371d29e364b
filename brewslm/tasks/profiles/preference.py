"""A prompt with a preferred and another answer, or with an answer that is judged."""

from brewslm.tasks.task import Form, Reference

TASK = Form(
    name="preference",
    reference=Reference.PAIR,
    text_input="prompt",
)
