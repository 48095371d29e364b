"""A text and its summary."""

from brewslm.tasks.task import Form, Reference

TASK = Form(
    name="summarization",
    reference=Reference.TEXT,
    text_input="source_text",
    other_inputs={"subtask": "summarization"},
)
