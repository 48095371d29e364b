"""An export loads as its card says, in a process of its own, whatever kind of base it has."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from brewslm.fingerprint import digest_folder
from brewslm.plan.base_model import BUILTIN
from tests.apply.bench import Bench
from tests.runs.calls import ROOT, called

pytestmark = pytest.mark.slow

_COMMIT = "c0ffee" + "0" * 34
_AUTO = """
from peft import AutoPeftModelForCausalLM
AutoPeftModelForCausalLM.from_pretrained(".brewslm/exports/adapter")
"""
_EACH = """
import contextlib, io, json, sys
said = []
for code in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(code, {"__name__": "__main__"})
    said.append(out.getvalue())
print(json.dumps(said))
"""
"""Runs programs one after the other, each with names of its own: they load the same libraries."""


@pytest.fixture(params=["builtin:nano", "./models/own base", "org/name"])
def project(
    bench: Bench, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Bench:
    """Return a project with a base of each kind, and both exports, applied."""
    name = str(request.param)
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.setenv(variable, "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    if name.startswith("./"):
        shutil.copytree(BUILTIN / "nano", bench.root / name)
        _as_transformers_writes(bench.root / name)
    elif name == "org/name":
        repository = tmp_path / "hub" / "models--org--name"
        shutil.copytree(BUILTIN / "nano", repository / "snapshots" / _COMMIT)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(_COMMIT)
    bench.edit("base_model: builtin:nano", f"base_model: '{name}', license: MIT")
    bench.edit("      num_epochs: 2\n", "      max_steps: 4\n")
    bench.edit("threshold: 0.8", "threshold: 0.0")
    ungated = "workflow: {gate_policy: {promote_ungated: true}}"
    bench.edit("  deployment:", f"  {ungated}\n  deployment:")
    done = called(bench.root, "apply", "--auto-approve")
    assert done.returncode == 0, done.stdout + done.stderr
    return bench


def _as_transformers_writes(base: Path) -> None:
    """Give a folder the keys that versions of the library leave in it."""
    config = json.loads((base / "config.json").read_text())
    config |= {"_name_or_path": "org/name", "_model_name_or_path": "A Mix of 1"}
    (base / "config.json").write_text(json.dumps(config))


def _said_by(programs: list[str], folder: Path) -> list[str]:
    """Return what each of some programs prints."""
    done = subprocess.run(
        [sys.executable, "-c", _EACH],
        input=json.dumps(programs),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    said: list[str] = json.loads(done.stdout)
    return said


def _config(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text())
    return document


def test_card_says_how_to_load_and_what_was_decided(project: Bench, tmp_path: Path) -> None:
    exports = project.home / "exports"
    snippets = []
    for name in ("adapter", "safetensors"):
        text = (exports / name / "README.md").read_text()
        (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        snippets.append(snippet)
        assert re.search(r"\n\| rows \| (\d+) of \1 \|\n", text)
        assert "Licence: MIT, as the project states it; the base model's card says apache-2.0" in (
            text
        )
        assert "| PASS | right | " in text
        assert f"\nlicense: mit\nlibrary_name: {'peft' if name == 'adapter' else 'transformers'}\n"
    *answers, _ = _said_by([*snippets, _AUTO], project.root)
    assert all(answer.strip() for answer in answers), "it answers"
    named = str(json.loads((exports / "adapter" / "run.json").read_text())["facts"]["base"]["name"])
    trained = _config((project.home / "promoted" / "champion").resolve())
    revision = _COMMIT if named == "org/name" else None
    assert (trained["base_model_name_or_path"], trained["revision"]) == (named, revision)
    exported = _config(exports / "adapter")
    assert exported["revision"] == revision
    if named.startswith("builtin:"):
        assert (project.root / exported["base_model_name_or_path"] / "config.json").is_file()
    else:
        assert exported["base_model_name_or_path"] == named
    again = tmp_path / "again"
    shutil.copytree(project.root, again, ignore=shutil.ignore_patterns(".brewslm"))
    for folder in (exports / "adapter", (project.home / "promoted" / "champion").resolve()):
        words = ("state", "import", "training_plan", str(folder), "--digest", digest_folder(folder))
        done = called(again, *words)
        assert done.returncode == 0, done.stderr
