"""A text turned into another text."""

from brewslm.tasks.task import Form, Reference

TASK = Form(
    name="seq2seq",
    reference=Reference.TEXT,
    text_input="source_text",
    other_inputs={"subtask": "seq2seq"},
)
