"""The program of a chat template: renders conversations in a process that is ended at its limits.

Reads JSON lines: first the template with the tokens that it may name, then conversations. Answers
each with a line that holds `text`, or `refused` for what no template may do or need, or `failed`
for what the template itself objects to. A template is a program of whoever made the base model: it
runs in Jinja's immutable sandbox, with no loader behind it, and a process that takes more processor
time than a rendering may is ended by the system.
"""

import json
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from brewslm.rows.limits import allow_cpu, limit_memory

MAX_TEMPLATE_BYTES = 64 << 10
MAX_OUTPUT_BYTES = 1 << 20
MAX_MEMORY_BYTES = 256 << 20
MAX_CPU_S = 2
MAX_NESTED_BLOCKS = 8
TODAY = datetime(2024, 7, 26, tzinfo=UTC)
"""The day of every rendering: the one that the templates of Llama 3 assume without a clock."""

_LOADING = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
_BLOCKS = (nodes.For, nodes.If, nodes.Macro, nodes.CallBlock, nodes.FilterBlock, nodes.With)
_NAMING_FILTERS = frozenset(
    ("attr", "groupby", "map", "max", "min", "rejectattr", "selectattr", "sort", "sum", "unique")
)
"""Filters that take the names of attributes."""
_INNER_NAME = re.compile(r"__\w+__")


class RefusedTemplateError(Exception):
    """A template does or needs what no chat template may."""


class Generation(Extension):
    """`{% generation %}` marks what the assistant writes, which is rendered like anything else."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return what is between the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def compiled(text: str) -> Template:
    """Return a template that may be rendered.

    Raises: RefusedTemplateError, TemplateError.
    """
    if len(text.encode("utf-8", "replace")) > MAX_TEMPLATE_BYTES:
        raise RefusedTemplateError(f"it is longer than {MAX_TEMPLATE_BYTES} bytes")
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {"raise_exception": _complain, "strftime_now": _now, "dict": _dict}
    tree = environment.parse(text)
    if any(tree.find_all(_LOADING)):
        raise RefusedTemplateError("it loads another template")
    if any(map(_is_inner_name, tree.find_all((nodes.Getattr, nodes.Getitem, nodes.Filter)))):
        raise RefusedTemplateError("it asks for the insides of a value")
    if _nested(tree) > MAX_NESTED_BLOCKS:
        raise RefusedTemplateError(f"more than {MAX_NESTED_BLOCKS} blocks are nested")
    return environment.from_string(text)


def rendered(template: Template, values: Mapping[str, Any]) -> str:
    """Return what a template makes of values.

    Raises: RefusedTemplateError, TemplateError.
    """
    parts: list[str] = []
    size_bytes = 0
    for part in template.generate(**values):
        size_bytes += len(part.encode("utf-8", "replace"))
        if size_bytes > MAX_OUTPUT_BYTES:
            raise RefusedTemplateError(f"it writes more than {MAX_OUTPUT_BYTES} bytes")
        parts.append(part)
    return "".join(parts)


def main() -> None:
    """Serve one template until the input closes."""
    limit_memory(MAX_MEMORY_BYTES)
    served = _Served()
    for line in sys.stdin.buffer:
        allow_cpu(MAX_CPU_S)
        try:
            answer = {"text": served.answer(json.loads(line))}
        except Exception as error:  # noqa: BLE001  whatever a template comes to is an answer
            answer = _objection(error)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


class _Served:
    """The template that the first request brings."""

    def __init__(self) -> None:
        self._template: Template | None = None
        self._values: dict[str, Any] = {"tools": None, "documents": None}

    def answer(self, request: Mapping[str, Any]) -> str:
        if self._template is None:
            self._template = compiled(request["template"])
            self._values |= request["tokens"]
            return ""
        return rendered(self._template, {**self._values, **request})


def _objection(error: Exception) -> dict[str, str]:
    match error:
        case RefusedTemplateError() | SecurityError() | OverflowError():
            return {"refused": str(error)}
        case MemoryError():
            return {"refused": f"it takes more than {MAX_MEMORY_BYTES} bytes of memory"}
        case RecursionError():
            return {"refused": "it calls itself without an end"}
        case TemplateError():
            return {"failed": error.message or type(error).__name__}
        case _:
            return {"failed": f"{type(error).__name__}: {error}"}


def _is_inner_name(node: nodes.Node) -> bool:
    """Return whether a node is an attribute, or names one, that belongs to Python."""
    match node:
        case nodes.Getattr():
            return node.attr.startswith("_")
        case nodes.Getitem():
            names: list[nodes.Node] = [node.arg]
        case nodes.Filter() if node.name in _NAMING_FILTERS:
            names = [*node.args, *(item.value for item in node.kwargs)]
        case _:
            return False
    constants = (item for name in names for item in (name, *name.find_all(nodes.Const)))
    return any(
        isinstance(item, nodes.Const) and _INNER_NAME.search(str(item.value)) for item in constants
    )


def _nested(node: nodes.Node) -> int:
    """Return how deep blocks lie in each other; the branches of an `if` lie side by side."""
    branches = node.elif_ if isinstance(node, nodes.If) else []
    inner = max(
        (_nested(child) for child in node.iter_child_nodes() if child not in branches), default=0
    )
    beside = max(map(_nested, branches), default=0)
    return max(inner + isinstance(node, _BLOCKS), beside)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _complain(message: str) -> NoReturn:
    raise TemplateError(message)


def _now(form: str) -> str:
    """Return the day of every rendering in a form.

    This differs on purpose from transformers, which gives the present day: a template that writes
    it into every prompt would make other tokens of the same rows tomorrow, even in a resumed run.
    """
    return TODAY.strftime(form)


def _dict(*arguments: Any, **values: Any) -> dict[Any, Any]:
    return dict(*arguments, **values)
