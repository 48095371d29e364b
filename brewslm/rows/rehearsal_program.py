"""The program that rehearses training: renders, tokenizes and masks rows as the worker will.

Reads JSON lines: first what the base model brings, then lists of prepared rows. A template and a
tokenizer are programs of whoever made the base model, so this runs in a process that is ended at
its limits; only the model that comes with the package is rehearsed in the plan's own.
"""

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from jinja2 import Template, TemplateError
from jinja2.exceptions import SecurityError

from brewslm.rows.limits import (
    TOKENIZER_BYTES_PER_CPU_S,
    TOKENIZER_CPU_S,
    TOKENIZER_MEMORY_BYTES,
    Allowance,
    allow_cpu,
    limit_memory,
)
from brewslm.rows.masks import IGNORED, Masks, RowFault, loss_of
from brewslm.rows.template_program import RefusedTemplateError, compiled, rendered
from brewslm.rows.token_codec import TokenCodec

TOO_LONG, NO_LOSS = "rows_too_long", "rows_without_loss"
_REFUSALS = (RefusedTemplateError, SecurityError, OverflowError, MemoryError, RecursionError)


class Rehearsed(NamedTuple):
    """What becomes of a row: its length, or why it is left out."""

    tokens: int
    code: str = ""
    detail: str = ""
    is_of_template: bool = False
    shows_reasoning: bool = True


class Rehearser:
    """What a base model and a recipe make of rows."""

    def __init__(self, setup: Mapping[str, Any]) -> None:
        """setup: `template`, its `tokens`, `tokenizer` (a path), and the fields of the recipe.

        Raises: TemplateError, or what a template or a tokenizer may not do.
        """
        self._template = compiled(setup["template"])
        self._values = {"tools": None, "documents": None, **setup["tokens"]}
        self._setup = setup
        self._masks = Masks(self._render, TokenCodec(setup["tokenizer"], setup["tokens"]))

    def row(self, line: Mapping[str, Any], *, is_evaluated: bool) -> Rehearsed:
        """Return what becomes of a prepared row in training, or in evaluation."""
        setup = self._setup
        try:
            if is_evaluated:
                self._masks.prompt(line)
                made = self._masks.completion(line)
                return Rehearsed(len(made.input_ids), shows_reasoning=made.shows_reasoning)
            loss = loss_of(line, setup["completion_only_loss"], setup["assistant_only_loss"])
            made = self._masks.row({**line, "loss": loss})
        except RowFault as fault:
            return Rehearsed(0, str(fault.code), fault.detail, fault.is_of_template)
        code = ""
        if len(made.input_ids) > setup["max_seq_length"]:
            code = TOO_LONG
        elif all(label == IGNORED for label in made.labels):
            code = NO_LOSS
        return Rehearsed(len(made.input_ids), code, shows_reasoning=made.shows_reasoning)

    def _render(self, messages: Any, tools: Any, *, is_prompt: bool) -> str:
        asked = {"messages": messages, "tools": tools, "add_generation_prompt": is_prompt}
        return _text(self._template, {**self._values, **asked})


def main() -> None:
    """Serve one base model until the input closes."""
    limit_memory(TOKENIZER_MEMORY_BYTES)
    allow_cpu(TOKENIZER_CPU_S)
    try:
        rehearser = Rehearser(orjson.loads(sys.stdin.buffer.readline()))
    except TemplateError as error:
        _answer({"failed": str(error.message)})
        return
    except _REFUSALS as error:
        _answer({"refused": str(error)})
        return
    _answer({})
    allowance = Allowance(TOKENIZER_CPU_S, TOKENIZER_BYTES_PER_CPU_S)
    for request in sys.stdin.buffer:
        allowance.grow(len(request))
        asked = orjson.loads(request)
        try:
            rows = [
                list(rehearser.row(line, is_evaluated=asked["is_evaluated"]))
                for line in asked["lines"]
            ]
        except _REFUSALS as error:
            _answer({"refused": str(error)})
            return
        _answer({"rows": rows})


def _text(template: Template, values: Mapping[str, Any]) -> str:
    """Return what a template makes of values; whatever it trips over is its own objection."""
    try:
        return rendered(template, values)
    except (TemplateError, *_REFUSALS):
        raise
    except Exception as error:
        raise TemplateError(f"{type(error).__name__}: {error}") from error


def _answer(document: Mapping[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(document) + b"\n")
    sys.stdout.buffer.flush()
