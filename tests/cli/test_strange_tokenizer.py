"""A base's tokenizer that goes astray on a row refuses the plan, which leaves nothing behind."""

import json
import shutil
from pathlib import Path

import pytest

from brewslm.plan.base_model import BUILTIN
from tests.apply.bench import Bench
from tests.cli.conftest import Run


@pytest.fixture
def based(bench: Bench) -> Bench:
    """Return a project in the current folder with a base model in its own folder."""
    shutil.copytree(BUILTIN / "nano", bench.root / "base")
    bench.edit("builtin:nano", "./base")
    return bench


def _panic_on_many_z(bench: Bench) -> None:
    path = bench.root / "base" / "tokenizer.json"
    split = {"type": "Split", "pattern": {"Regex": "(z+)+$"}, "behavior": "Isolated"}
    settings = json.loads(path.read_bytes())
    path.write_text(json.dumps(settings | {"pre_tokenizer": split | {"invert": False}}))


def _leftovers(bench: Bench) -> list[Path]:
    return [path for path in bench.root.rglob("*.tmp") if path.is_dir()]


def _add_row(bench: Bench, text: str) -> None:
    path = bench.root / "data" / "rows.jsonl"
    path.write_text(path.read_text() + json.dumps({"text": text, "label": "late"}) + "\n")


@pytest.mark.case("ART-12")
@pytest.mark.parametrize(
    "pool_rows", [pytest.param(1, marks=pytest.mark.slow), 1 << 20], ids=["pool", "alone"]
)
def test_row_that_a_tokenizer_panics_on_refuses_the_plan(
    based: Bench, run: Run, monkeypatch: pytest.MonkeyPatch, pool_rows: int
) -> None:
    monkeypatch.setattr("brewslm.rows.prepare._POOL_ROWS", pool_rows)
    monkeypatch.setattr("brewslm.rows.prepare.worker_count", lambda: 2)
    _panic_on_many_z(based)
    assert run("plan").code == 0
    prepared = sorted(path.name for path in (based.root / ".brewslm").rglob("prepared/*"))
    _add_row(based, "z" * 6000 + "!")
    answer = run("plan")
    assert (answer.code, answer.err) == (6, "")
    assert "error[BASE_REFUSED]" in answer.out
    assert "PanicException" in answer.out
    assert _leftovers(based) == []
    assert len(prepared) == 1
    assert prepared == sorted(path.name for path in (based.root / ".brewslm").rglob("prepared/*"))


@pytest.mark.case("ART-12")
def test_tokenizer_that_is_refused_at_once_leaves_nothing_either(based: Bench, run: Run) -> None:
    (based.root / "base" / "tokenizer.json").write_text("{}")
    answer = run("plan")
    assert (answer.code, "error[BASE_REFUSED]" in answer.out) == (6, True)
    assert _leftovers(based) == []
    assert list((based.root / ".brewslm").rglob("prepared")) == []


def test_own_copy_of_a_base_counts_the_same_lengths(bench: Bench, run: Run) -> None:
    shutil.copytree(BUILTIN / "nano", bench.root / "base")
    settings = bench.root / "base" / "generation_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_bytes()) | {"top_k": 17}))
    assert run("plan").code == 0
    bench.edit("builtin:nano", "./base")
    assert run("plan").code == 0
    lengths = [
        json.loads(path.read_bytes())["lengths"]
        for path in (bench.root / ".brewslm").rglob("prepared/*/manifest.json")
    ]
    assert len(lengths) == 2
    assert lengths[0] == lengths[1]
    assert lengths[0]["provenance"] == "measured"
