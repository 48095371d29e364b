"""Requests answered by calls of tools."""

from brewslm.tasks.task import Form, Reference

TASK = Form(
    name="tool_calling",
    reference=Reference.CALLS,
    text_input="request",
)
