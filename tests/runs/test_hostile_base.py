"""A base model that turns on who trains it, met by the whole program."""

import shutil

import pytest

from brewslm.plan.base_model import BUILTIN
from tests.apply.bench import Bench
from tests.runs.calls import called

pytestmark = pytest.mark.slow


@pytest.fixture
def project(bench: Bench) -> Bench:
    """Return a project with a base model in its own folder that was never applied."""
    shutil.copytree(BUILTIN / "nano", bench.root / "base")
    bench.edit("builtin:nano", "./base")
    return bench


def _refused(project: Bench) -> str:
    """Return what an apply says that is refused before anything runs."""
    done = called(project.root, "apply", "--auto-approve")
    said = done.stdout + done.stderr
    assert done.returncode == 6, said
    assert "BASE_REFUSED" in said
    assert "Traceback" not in said
    assert not (project.home / "state.db").exists()
    return str(said)


@pytest.mark.case("ART-05")
def test_template_that_waits_for_a_row_is_ended_before_anything_runs(project: Bench) -> None:
    template = project.root / "base" / "chat_template.jinja"
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    trap = "{% if 'order 7 ' in messages[0].content %}" + endless + "{% endif %}"
    template.write_text(trap + template.read_text())
    assert "processor time" in _refused(project)
