"""Commands that only look at a project whose state an older program wrote."""

import json
from collections.abc import Callable
from importlib import import_module

import click
import pytest

from brewslm.cli.main import COMMANDS
from brewslm.cli.session import Session
from tests.apply.bench import Bench
from tests.state.newer import MARK, NEWER, file_dump

Call = Callable[..., str]

READERS = [
    ("plan",),
    ("plan", "--json"),
    ("show",),
    ("show", "training_plan"),
    ("state", "list"),
    ("state", "list", "--json"),
    ("state", "show", "dataset"),
    ("state", "pull"),
    ("history",),
    ("events",),
    ("lock", "show"),
    ("gc",),
]


@pytest.fixture
def later(applied: Bench, capsys: pytest.CaptureFixture[str]) -> Call:
    """Return the commands of a program whose state has the next version."""

    def call(verb: str, *words: str) -> str:
        capsys.readouterr()
        module, _, name = COMMANDS[verb][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        session = Session(root=applied.root, schema=NEWER)
        assert not command.main(args=words, standalone_mode=False, obj=session)
        captured = capsys.readouterr()
        assert "note[state_migrated]: the state has version 1;" in captured.err
        return captured.out

    return call


@pytest.mark.case("CRA-08")
@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_looking_at_an_older_state_writes_nothing(
    applied: Bench, later: Call, words: tuple[str, ...]
) -> None:
    state_path = applied.home / "state.db"
    before = file_dump(state_path)
    assert later(*words)
    assert file_dump(state_path) == before


def test_plan_and_pulled_state_are_those_of_the_migrated_one(later: Call) -> None:
    assert "No changes." in later("plan")
    pulled = json.loads(later("state", "pull"))
    assert pulled["schema_version"] == NEWER.version
    assert all(MARK.items() <= item["values"].items() for item in pulled["resources"])
