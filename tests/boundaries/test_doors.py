"""Every door that a kind names leads to a function with the parameters of a door; torch is not
needed to see that.
"""

import ast
from pathlib import Path

import pytest

import brewslm
from brewslm.stages.kinds import KINDS

PACKAGE = Path(brewslm.__file__).parent
_DOORS = sorted(
    {kind.door for kind in KINDS.values() if kind.door}
    | {"brewslm.engine.score:run", "brewslm.engine.answer:run"}
)


@pytest.mark.parametrize("door", _DOORS)
def test_door_leads_to_a_function_that_takes_job_and_report(door: str) -> None:
    module, _, function = door.partition(":")
    path = PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {item.name: item for item in tree.body if isinstance(item, ast.FunctionDef)}
    assert [argument.arg for argument in found[function].args.args] == ["job", "report"]
