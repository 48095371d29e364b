"""No room above the declarations names a mode, format, scheme, task or mapper: it asks what they
declare.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import brewslm
from brewslm.rows.mapper import MAPPERS
from brewslm.rows.source import SOURCES
from brewslm.stages.export_format import FORMATS
from brewslm.stages.mode import MODES
from brewslm.tasks.task import FORMS

PACKAGE = Path(brewslm.__file__).parent
ROOMS = ("apply", "manifest", "plan", "render")
NAMES = {
    name for registry in (FORMS, FORMATS, MAPPERS, MODES, SOURCES) for name in registry.names()
}
OTHER_MEANINGS = {"adapter", "json"}
"""Also a kind of resource, and a form of output."""
ALLOWED = {
    ("manifest/spelling.py", "vllm"),  # an alias of a target
    ("manifest/spelling.py", "seq2seq"),  # a value of task_type
    ("manifest/spelling.py", "classification"),
    ("manifest/starter.py", "classification"),  # the example that a new manifest shows
    ("manifest/starter.py", "label_to_classification"),
}


def named() -> Iterator[tuple[str, str]]:
    """Yield the file and the text of every string that is the name of a member."""
    for room in ROOMS:
        for path in sorted((PACKAGE / room).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and node.value in NAMES:
                    yield path.relative_to(PACKAGE).as_posix(), str(node.value)


def test_rooms_do_not_name_what_is_declared_below() -> None:
    found = {item for item in named() if item[1] not in OTHER_MEANINGS}
    assert found - ALLOWED == set()
    assert ALLOWED - found == set(), "an exception that is not needed any more"
