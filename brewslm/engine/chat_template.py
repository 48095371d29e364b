"""A chat template as the worker sees it: conversations in, texts out, the work done elsewhere."""

import atexit
import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from brewslm.errors import WorkerError

_PROGRAM = Path(__file__).with_name("template_program.py")
_END_S = 5.0


class ChatTemplate:
    """A template in a process of its own, which is started with the first text."""

    def __init__(self, text: str, tokens: Mapping[str, Any]) -> None:
        """tokens: special tokens by the names that templates call them by."""
        self._setup = {"template": text, "tokens": dict(tokens)}
        self._process: subprocess.Popen[bytes] | None = None

    def render(self, messages: Sequence[Mapping[str, Any]], *, is_prompt: bool) -> str:
        """Return a conversation as text; a prompt ends where the answer begins.

        Raises: WorkerError with template_limit_exceeded; TemplateError when the template itself
        objects to the conversation.
        """
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(_PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            self._ask(self._process, self._setup)
        asked = {"messages": [dict(item) for item in messages], "add_generation_prompt": is_prompt}
        return self._ask(self._process, asked)

    def close(self) -> None:
        """End the process; the next text starts another one."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.communicate(timeout=_END_S)

    def _ask(self, process: "subprocess.Popen[bytes]", request: Mapping[str, Any]) -> str:
        if process.stdin is None or process.stdout is None:
            raise ValueError("the process of a template has no pipes")
        line = b""
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            pass
        if not line:
            raise self._ended(process)
        answer = json.loads(line)
        if "text" in answer:
            return str(answer["text"])
        self.close()
        if "failed" in answer:
            raise TemplateError(answer["failed"])
        raise _refused(answer["refused"])

    def _ended(self, process: "subprocess.Popen[bytes]") -> WorkerError:
        status = process.wait()
        self.close()
        if status == -signal.SIGXCPU:
            return _refused("a text takes more than 2 s of processor time")
        if status < 0:
            return _refused(f"its process was ended by {signal.Signals(-status).name}")
        return WorkerError(
            "the process that renders chat templates does not start",
            code="worker_start_failed",
            found=f"exit status {status}",
            remedy='pip install "brewslm[train]"',
        )


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
        expected="a template that loads nothing and stays within 2 s, 256 MiB and 1 MiB of text",
        remedy="write use_tokenizer_chat_template: false and choose chat_template, or take another "
        "base model",
    )
