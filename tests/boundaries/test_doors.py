"""Every door that a kind names leads to a function with the parameters of a door; torch is not
needed to see that.
"""

import ast
from pathlib import Path

import pytest

import brewslm
from brewslm.stages.export_format import FORMATS
from brewslm.stages.kinds import KINDS
from brewslm.stages.mode import MODES

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


@pytest.mark.parametrize(
    ("folder", "name", "declared"),
    [
        ("modes", "WORK", {key for key, mode in MODES.all().items() if mode.is_trained}),
        ("formats", "WRITER", {key for key, item in FORMATS.all().items() if item.is_written}),
    ],
)
def test_engine_has_a_file_for_each_that_is_declared_to_work(
    folder: str, name: str, declared: set[str]
) -> None:
    files = {path.stem: path for path in (PACKAGE / "engine" / folder).glob("[a-z]*.py")}
    assert files.keys() == declared
    for path in files.values():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        targets = [
            target for item in tree.body if isinstance(item, ast.Assign) for target in item.targets
        ]
        assert name in [target.id for target in targets if isinstance(target, ast.Name)]
