"""A prompt with a preferred and another answer, or with an answer that is judged."""

from brewslm.tasks.task import Form, Reference

TASK = Form(
    name="preference",
    aliases=("dpo", "orpo", "kto", "alignment"),
    reference=Reference.PAIR,
    text_input="prompt",
)
