"""`brewslm state pull`: the document on standard output or in a file."""

import io
import json
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from brewslm.cli.session import Session
from brewslm.cli.state import command
from brewslm.state.portable import open_pulled, pulled_bytes
from tests.state.states import LINEAGE, NOW, ended, lease, operation, resource


@pytest.fixture
def session(tmp_path: Path) -> Session:
    session = Session(root=tmp_path, out=io.StringIO(), err=io.StringIO())
    session.make_home()
    session.store().create(LINEAGE)
    with closing(session.store().acquire(lease(), NOW)) as state:
        state.begin(operation())
        state.end(ended(operation()), records=[resource()])
    return session


def test_pull_prints_the_document(session: Session) -> None:
    result = CliRunner().invoke(command, ["pull"], obj=session, standalone_mode=False)
    assert isinstance(session.out, io.StringIO)
    assert result.return_value == 0
    assert json.loads(session.out.getvalue())["lineage"] == LINEAGE


def test_pull_into_a_file_takes_no_lease_and_can_be_read_back(
    session: Session, tmp_path: Path
) -> None:
    out = tmp_path / "snapshot.json"
    with closing(session.store().acquire(lease(), NOW)) as state:
        result = CliRunner().invoke(
            command, ["pull", "--out", str(out)], obj=session, standalone_mode=False
        )
        assert result.return_value == 0
        assert out.read_bytes() == pulled_bytes(state)
    assert out.stat().st_mode & 0o777 == 0o600
    assert list(open_pulled(out.read_bytes()).resources()) == ["training_plan"]
