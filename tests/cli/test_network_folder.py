"""Commands in a project folder that several hosts share."""

import io
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from brewslm.cli import apply, init, plan
from brewslm.cli.session import Session
from brewslm.errors import StateError
from tests.apply.bench import Bench

pytestmark = pytest.mark.case("CON-12")


def _session(root: Path) -> Session:
    """Return a call of the program in a folder that the table of mounts calls shared."""
    table = f"40 22 0:40 / {root} rw - nfs4 server:/export rw\n"
    return Session(root, mounts=lambda: table, out=io.StringIO(), err=io.StringIO())


def _call(command: click.Command, session: Session, *words: str) -> object:
    return command.main(list(words), obj=session, standalone_mode=False)


def _refused(call: Callable[[], object]) -> StateError:
    with pytest.raises(StateError) as caught:
        call()
    assert (caught.value.code, caught.value.exit_code) == ("system_config_invalid", 1)
    assert ".brewslm on nfs4, server:/export" in caught.value.found
    assert "workflow: {backend: {state: secret://NAME}}" in caught.value.remedy
    assert "brewslm state pull --out FILE" in caught.value.remedy
    return caught.value


def test_no_state_is_made_there(empty: Path) -> None:
    _refused(lambda: _call(init.command, _session(empty)))
    assert not (empty / "brewslm.yaml").exists()
    assert not (empty / ".brewslm" / "state.db").exists()


def test_no_state_is_written_there_and_plan_goes_on(applied: Bench) -> None:
    applied.edit("2.0e-3", "1.0e-3")
    before = (applied.home / "state.db").read_bytes()
    session = _session(applied.root)
    assert _call(plan.command, session, "--detailed-exitcode") == 2
    _refused(lambda: _call(apply.command, session, "--auto-approve"))
    _refused(lambda: _call(apply.command, session))  # before anybody is asked
    assert (applied.home / "state.db").read_bytes() == before
    assert not list((applied.home / "runs").glob("*/"))
