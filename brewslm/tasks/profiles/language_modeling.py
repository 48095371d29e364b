"""Text to learn as it is."""

from brewslm.tasks.task import Form, Reference

TASK = Form(
    name="language_modeling",
    reference=Reference.TEXT,
    text_input="",
)
