"""What makes a change durable is announced, so that the sweeps stop at every such step."""

import ast
from collections.abc import Iterator
from pathlib import Path

import brewslm

_ROOT = Path(brewslm.__file__).parent
_STEPS = {"fsync", "rename", "symlink_to", "link"}


def _unannounced(node: ast.AST, *, is_inside: bool = False) -> Iterator[int]:
    """Return the lines of durable steps outside a `with durable(...)`."""
    if isinstance(node, ast.With):
        calls = [item.context_expr for item in node.items]
        is_inside = is_inside or any(
            isinstance(call, ast.Call) and ast.unparse(call.func) == "durable" for call in calls
        )
    if isinstance(node, ast.Call) and not is_inside and _is_step(node):
        yield node.lineno
    for child in ast.iter_child_nodes(node):
        yield from _unannounced(child, is_inside=is_inside)


def _is_step(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute):
        return False
    is_commit = call.func.attr == "execute" and ast.unparse(call.args[0]) == "'COMMIT'"
    is_move = call.func.attr == "replace" and len(call.args) == 1 and not call.keywords
    return is_commit or is_move or call.func.attr in _STEPS


def test_every_durable_step_is_announced() -> None:
    found = [
        f"{path.relative_to(_ROOT)}:{line}"
        for path in sorted(_ROOT.rglob("*.py"))
        if path.relative_to(_ROOT).parts[0] != "engine"
        for line in _unannounced(ast.parse(path.read_text()))
    ]
    assert found == []


def test_a_step_that_is_not_announced_is_found() -> None:
    text = "with durable(step, path):\n    a.rename(b)\na.rename(b)\nc.execute('COMMIT')\n"
    assert list(_unannounced(ast.parse(text))) == [3, 4]
