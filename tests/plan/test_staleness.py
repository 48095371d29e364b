"""Nothing stale decides: other scoring rules, another tokenizer, other rows of the same bytes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from brewslm.errors import ExitCode
from brewslm.plan.action import Action
from brewslm.plan.base_model import BUILTIN
from brewslm.plan.plan import Plan
from brewslm.tasks import common_metrics
from brewslm.tasks.profiles import classification
from tests.apply.bench import Bench
from tests.conftest import copied


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an applied project whose base model lies in it."""
    bench = Bench.make(tmp_path_factory.mktemp("based") / "project")
    shutil.copytree(BUILTIN / "nano", bench.root / "base")
    bench.edit("builtin:nano", "./base")
    assert bench.apply().exit_code is ExitCode.DONE
    return bench.root


@pytest.fixture
def based(made: Path, tmp_path: Path) -> Bench:
    """Return a copy of that project."""
    return copied(made, tmp_path / "based")


def _action(plan: Plan, address: str) -> Action:
    return next(item for item in plan.actions if item.address == address)


def _raise_task(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = replace(classification.TASK, version=classification.TASK.version + 1)
    monkeypatch.setattr(classification, "TASK", newer)


def _raise_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = [replace(item, definition_version=9) for item in common_metrics.COMMON_METRICS]
    monkeypatch.setattr("brewslm.tasks.metrics.COMMON_METRICS", tuple(newer))


def test_program_that_answers_otherwise_answers_again(
    based: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brewslm.plan.evaluation.PREDICTIONS_VERSION", 2)
    evaluated = _action(based.built().plan, "eval_pack")
    assert evaluated.fields_changed == ("scoring.predictions",)
    assert evaluated.data is not None
    assert evaluated.data["tiers"]["predictions"] == "generated"
    assert based.apply().exit_code is ExitCode.DONE
    assert based.doors() == ["generate baseline", "generate candidate"]
    assert not based.built().plan.has_changes


@pytest.mark.case("EVA-07")
@pytest.mark.parametrize("update", [_raise_task, _raise_metric])
def test_program_that_scores_otherwise_scores_stored_answers_again(
    based: Bench, monkeypatch: pytest.MonkeyPatch, update: Callable[[pytest.MonkeyPatch], None]
) -> None:
    assert not based.built().plan.has_changes
    update(monkeypatch)
    plan = based.built().plan
    evaluated = _action(plan, "eval_pack")
    assert evaluated.is_work
    assert all(name.startswith("scoring.") for name in evaluated.fields_changed)
    assert evaluated.data is not None
    assert evaluated.data["tiers"]["predictions"] == "reused"
    assert [item.weakened for item in plan.gate_changes] == []
    assert not _action(plan, "training_plan").is_work
    assert based.apply().exit_code is ExitCode.DONE
    assert based.doors() == ["score"]
    assert not based.built().plan.has_changes


def test_other_tokenizer_counts_the_rows_again(based: Bench) -> None:
    counted = based.records()["dataset"].values["manifest"]["lengths"]
    assert counted["provenance"] == "measured"
    path = based.root / "base" / "tokenizer.json"
    document = json.loads(path.read_bytes())
    document["model"]["merges"] = []
    path.write_text(json.dumps(document))
    plan = based.built().plan
    assert [item.path for item in plan.drift] == ["base"]
    assert plan.is_pending
    based.apply(based.built(is_refresh_only=True))
    plan = based.built().plan
    dataset = _action(plan, "dataset")
    assert (dataset.is_work, dataset.reason) == (True, "content_changed")
    assert [cause.path for cause in dataset.causes] == ["prepared"]
    based.apply()
    again = based.records()["dataset"].values["manifest"]["lengths"]
    for split, spread in counted["splits"].items():
        if spread["tokens"] is not None:
            assert again["splits"][split]["tokens"]["max"] > spread["tokens"]["max"]
    assert not _action(based.built().plan, "dataset").is_work


@pytest.mark.parametrize(
    ("before", "after"),
    [("rows.jsonl}", "rows.jsonl, limit: 40}"), ("type: raw", "type: train")],
)
def test_same_bytes_read_otherwise_are_other_rows(based: Bench, before: str, after: str) -> None:
    based.edit(before, after)
    plan = based.built().plan
    assert _action(plan, "dataset").is_work
    assert _action(plan, "training_plan").is_work
    based.apply()
    assert not _action(based.built().plan, "dataset").is_work
