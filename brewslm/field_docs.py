"""What the docstrings under a model's fields say, read from its source when a schema is printed.

Reading sources while models are built would cost every quick command a tenth of a second.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic import BaseModel


@cache
def field_docs(model: type[BaseModel]) -> Mapping[str, str]:
    """Return field name to docstring, those of base classes included."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            found |= _own_docs(base)
    return found


def with_field_docs(schema: dict[str, Any], models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """Return a JSON Schema of pydantic's with descriptions at all properties of these models."""
    docs = {model.__name__: field_docs(model) for model in models}
    for name, definition in {**schema.get("$defs", {}), str(schema.get("title")): schema}.items():
        for field, text in docs.get(name, {}).items():
            if field in definition.get("properties", {}):
                definition["properties"][field].setdefault("description", text)
    return schema


def _own_docs(model: type[BaseModel]) -> dict[str, str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    found: dict[str, str] = {}
    for field, text in pairwise(body):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[field.target.id] = inspect.cleandoc(str(text.value.value))
    return found
