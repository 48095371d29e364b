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


def _refused(project: Bench, code: str) -> str:
    done = called(project.root, "apply", "--auto-approve")
    assert done.returncode == 1, done.stdout + done.stderr
    assert code in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "training_plan" not in project.records()
    assert project.promoted() is None
    return done.stderr


@pytest.mark.case("ART-05")
def test_template_that_waits_for_a_row_is_ended_there(project: Bench) -> None:
    template = project.root / "base" / "chat_template.jinja"
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    trap = "{% if 'order 7 ' in messages[0].content %}" + endless + "{% endif %}"
    template.write_text(trap + template.read_text())
    assert "processor time" in _refused(project, "template_limit_exceeded")
