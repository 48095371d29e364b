"""Every finding code is raised by the program and seen by a test: others are promises without code.

A code that is only listed, compared, or written in a docstring is not raised by that.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import brewslm
from brewslm.diagnostics import PREFLIGHT_CODES, FindingCode

ROOT = Path(brewslm.__path__[0])
TESTS = Path(__file__).parents[1]
NO_RAISING = ("diagnostics.py", "state/run_events.py")
"""Where codes are listed."""
SAID = re.compile(r"(?:note|warning|error)\[(\w+)\]")
"""A code in front of a sentence that is printed."""


def _raised(tree: ast.AST) -> Iterator[str]:
    """Yield the names and strings of a module that can leave it: arguments, values, returns."""
    if isinstance(tree, ast.Compare) or _is_docstring(tree) or _is_list(tree):
        return
    if isinstance(tree, ast.Attribute):
        yield tree.attr
    if isinstance(tree, ast.Constant) and isinstance(tree.value, str):
        yield from (tree.value, *SAID.findall(tree.value))
    for child in ast.iter_child_nodes(tree):
        yield from _raised(child)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_list(node: ast.AST) -> bool:
    """Return whether a node is a set of codes that others are looked up in."""
    return isinstance(node, ast.Set) or (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "frozenset"
    )


def _named(folder: Path, *, without: tuple[str, ...] = ()) -> set[str]:
    return {
        name.upper()
        for path in sorted(folder.rglob("*.py"))
        if not path.as_posix().endswith(without)
        for name in _raised(ast.parse(path.read_text(encoding="utf-8")))
    }


def test_every_code_is_raised_somewhere() -> None:
    assert sorted({*map(str, FindingCode)} - _named(ROOT, without=NO_RAISING)) == []


def test_every_code_is_seen_by_a_test() -> None:
    """What a test compares with or looks for in a text is a string or a member in its code."""
    words: set[str] = set()
    for path in sorted(TESTS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                words |= set(re.findall(r"\w+", node.value))
            elif isinstance(node, ast.Attribute):
                words.add(node.attr)
    unseen = {
        code
        for code in map(str, FindingCode)
        if not {code, code.lower() if "_" in code else code} & words
    }
    assert sorted(unseen) == []


def test_a_code_that_is_only_compared_or_listed_is_not_raised() -> None:
    assert set(_raised(ast.parse("if item.code == FindingCode.HELD: pass"))) <= {"code"}
    assert "HELD" not in set(_raised(ast.parse("ALL = frozenset({FindingCode.HELD})")))
    assert "HELD" not in set(_raised(ast.parse('"""HELD"""')))
    assert "HELD" in set(_raised(ast.parse("say(FindingCode.HELD, place)")))
    assert "held" in set(_raised(ast.parse("say(f'note[held]: {why}')")))


def test_refusals_are_codes_that_are_raised() -> None:
    assert set(FindingCode) >= PREFLIGHT_CODES
