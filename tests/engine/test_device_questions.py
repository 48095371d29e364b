"""Only one file of the engine asks torch for a device, and no other makes assumptions about it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import brewslm

ENGINE = Path(brewslm.__path__[0]) / "engine"
FILES = sorted(
    path for path in ENGINE.rglob("*.py") if path.name != "devices.py" and "nano" not in path.parts
)
_ACCELERATORS = {"cuda", "mps", "xpu", "hip", "backends", "accelerator", "autocast"}


def _chains(tree: ast.AST) -> Iterator[list[str]]:
    """Yield the names of each attribute chain, outermost last; a call in it is "()"."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        names: list[str] = []
        at: ast.expr = node
        while True:
            if isinstance(at, ast.Attribute):
                names.append(at.attr)
                at = at.value
            elif isinstance(at, ast.Call):
                names.append("()")
                at = at.func
            elif isinstance(at, ast.Subscript):
                at = at.value
            else:
                break
        if isinstance(at, ast.Name):
            names.append(at.id)
        yield names[::-1]


def _asks(text: str) -> list[str]:
    found = []
    for names in _chains(ast.parse(text)):
        if names[:1] == ["torch"] and _ACCELERATORS & set(names[1:2]):
            found.append(".".join(names))
        if names[-1] == "double" and "cpu" not in names:
            found.append(".".join(names))  # Metal has no float64
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_other_file_asks_for_a_device(path: Path) -> None:
    assert _asks(path.read_text("utf-8")) == []


def test_a_question_is_found() -> None:
    assert _asks("import torch\nif torch.cuda.is_available(): pass")
    assert _asks("losses.double().sum()")
    assert _asks("(a * b).sum(-1).double()")
    assert not _asks("losses.cpu().double().sum()")
