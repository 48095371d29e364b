"""A chat template as the worker sees it: conversations in, texts out, the work done elsewhere."""

import atexit
import json
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError

from brewslm.errors import WorkerError
from brewslm.rows.confined import Confined, EndedError
from brewslm.rows.template_program import MAX_CPU_S, MAX_MEMORY_BYTES, MAX_OUTPUT_BYTES

_MODULE = "brewslm.rows.template_program"
_LIBRARIES = ("jinja2", "markupsafe")
_CPU = f"{MAX_CPU_S} s of processor time"
_MEMORY = f"{MAX_MEMORY_BYTES >> 20} MiB"
_OUTPUT = f"{MAX_OUTPUT_BYTES >> 20} MiB of text"


class ChatTemplate:
    """A template in a process of its own, which is started with the first text."""

    def __init__(self, text: str, tokens: Mapping[str, Any]) -> None:
        """tokens: special tokens by the names that templates call them by."""
        self._setup = {"template": text, "tokens": dict(tokens)}
        self._process: Confined | None = None

    def render(
        self, messages: Sequence[Mapping[str, Any]], tools: Any = None, *, is_prompt: bool
    ) -> str:
        """Return a conversation as text; a prompt ends where the answer begins.

        tools: those that the assistant may call, None without any.

        Raises: WorkerError with template_limit_exceeded; TemplateError when the template itself
        objects to the conversation; ImportError where a library is not installed.
        """
        if self._process is None:
            self._process = Confined(_MODULE, _LIBRARIES)
            self._asked(self._process, self._setup)
        asked: dict[str, Any] = {
            "messages": [dict(item) for item in messages],
            "tools": tools,
            "add_generation_prompt": is_prompt,
        }
        return self._asked(self._process, asked)

    def close(self) -> None:
        """End the process; the next text starts another one."""
        process, self._process = self._process, None
        if process is not None:
            process.close()

    def _asked(self, process: Confined, request: Mapping[str, Any]) -> str:
        try:
            answer = process.ask(json.dumps(request).encode())
        except EndedError as error:
            self._process = None
            found = f"a text takes more than {_CPU}" if error.is_over_cpu else str(error)
            raise _refused(found) from error
        except ImportError:
            self._process = None
            raise
        if "text" in answer:
            return str(answer["text"])
        self.close()
        if "failed" in answer:
            raise TemplateError(answer["failed"])
        raise _refused(answer["refused"])


_templates: dict[str, ChatTemplate] = {}


def chat_template(text: str, tokens: Mapping[str, Any]) -> ChatTemplate:
    """Return a template, the same one for the same text and tokens."""
    key = json.dumps([text, dict(tokens)], sort_keys=True)
    if key not in _templates:
        _templates[key] = ChatTemplate(text, tokens)
    return _templates[key]


@atexit.register
def close_all() -> None:
    """End the processes of all templates."""
    for template in _templates.values():
        template.close()


def _refused(found: str) -> WorkerError:
    return WorkerError(
        "the chat template of the base model does what no template may",
        code="template_limit_exceeded",
        found=found,
        expected=f"a template that loads nothing and stays within {_CPU}, {_MEMORY} and {_OUTPUT}",
        remedy="write use_tokenizer_chat_template: false and choose chat_template, or take another "
        "base model",
    )
