"""Questions answered from passages."""

from brewslm.tasks.task import Form, Reference

TASK = Form(
    name="rag_qa",
    aliases=("rag", "grounded_qa"),
    reference=Reference.ANSWERS,
    text_input="question",
    takes_passages=True,
)
