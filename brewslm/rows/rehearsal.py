"""A rehearsal of training and evaluation on prepared rows, without a model."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import orjson
from jinja2 import TemplateError
from jinja2.exceptions import SecurityError

from brewslm.errors import RefusedError
from brewslm.rows.confined import Confined, EndedError
from brewslm.rows.rehearsal_program import Rehearsed, Rehearser
from brewslm.rows.template_program import RefusedTemplateError

_MODULE = "brewslm.rows.rehearsal_program"
_LIBRARIES = ("tokenizers", "orjson", "jinja2", "markupsafe")
_BATCH_BYTES = 1 << 20


class Rehearsing(Protocol):
    """Something that rehearses rows."""

    def __call__(self, lines: Sequence[bytes], *, is_evaluated: bool) -> list[Rehearsed]:
        """Return what becomes of prepared rows, given as JSON.

        Raises: RefusedError with base_refused.
        """
        ...


@contextmanager
def rehearsing(setup: Mapping[str, Any], *, is_trusted: bool) -> Iterator[Rehearsing]:
    """Yield what rehearses rows: in a process of its own, unless the base model is our own.

    Raises: RefusedError with base_refused; ImportError where the package tokenizers is not
    installed.
    """
    if is_trusted:
        yield _own(setup)
        return
    process = Confined(_MODULE, _LIBRARIES)
    try:
        _asked(process, orjson.dumps(setup))
        yield lambda lines, *, is_evaluated: _rehearsed(process, lines, is_evaluated)
    finally:
        process.close()


def _own(setup: Mapping[str, Any]) -> Rehearsing:
    try:
        rehearser = Rehearser(setup)
    except (TemplateError, RefusedTemplateError, SecurityError) as error:
        raise _refused(str(error)) from error
    return lambda lines, *, is_evaluated: [
        rehearser.row(orjson.loads(line), is_evaluated=is_evaluated) for line in lines
    ]


def _rehearsed(process: Confined, lines: Sequence[bytes], is_evaluated: bool) -> list[Rehearsed]:
    made: list[Rehearsed] = []
    for batch in _batches(lines):
        head = b'{"is_evaluated":' + orjson.dumps(is_evaluated) + b',"lines":['
        answer = _asked(process, head + b",".join(batch) + b"]}")
        made += [Rehearsed(*row) for row in answer["rows"]]
    return made


def _asked(process: Confined, request: bytes) -> Mapping[str, Any]:
    try:
        answer: Mapping[str, Any] = process.ask(request)
    except EndedError as error:
        raise _refused(
            "it takes too much processor time" if error.is_over_cpu else str(error)
        ) from error
    for name in ("refused", "failed"):
        if name in answer:
            raise _refused(str(answer[name]))
    return answer


def _refused(found: str) -> RefusedError:
    return RefusedError(
        "the chat template or the tokenizer of the base model cannot be used",
        code="base_refused",
        found=found,
        expected="a template that renders a question and its answer, and a tokenizer that loads",
        remedy="write use_tokenizer_chat_template: false and choose chat_template, or take another "
        "base model",
    )


def _batches(lines: Sequence[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size_bytes = 0
    for line in lines:
        if batch and size_bytes + len(line) > _BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
        batch.append(line.rstrip(b"\n"))
        size_bytes += len(line)
    if batch:
        yield batch
