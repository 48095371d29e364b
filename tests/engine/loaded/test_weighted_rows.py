"""What the plan counts of each source is what the model sees, in whole runs and in resumed ones."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brewslm.contracts import Job
from brewslm.engine import run as training
from brewslm.errors import WorkerError
from brewslm.rows.dataset import DatasetSpec, LeakCheckSpec, SplitSpec
from brewslm.rows.prepare import prepare
from brewslm.rows.request import Request
from brewslm.tasks.compose import compose
from tests.engine.loaded.conftest import Listener
from tests.rows.composing import lines_of, source, write_rows

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
WEIGHTS = {"common": 1.0, "hard": 2.5, "rare": 0.5}


@pytest.fixture
def weighted(tmp_path: Path) -> dict[str, Any]:
    """Prepare three sources of weights 1, 2.5 and 0.5; return the manifest of the folder."""
    for number, name in enumerate(WEIGHTS):
        rows = [
            {"text": f"{name} light {at} is {'red' if at % 2 else 'green'}", "label": "ab"[at % 2]}
            for at in range(20 * number, 20 * number + 20)
        ]
        write_rows(tmp_path / f"{name}.jsonl", rows)
    sources = tuple(source(name, weight=weight) for name, weight in WEIGHTS.items())
    request = Request(
        "lights",
        sources,
        DatasetSpec(
            split=SplitSpec(train=1.0, validation=0.0, test=0.0),
            leak_check=LeakCheckSpec(near=None, ngram=0),
        ),
    )
    return prepare(request, tmp_path, tmp_path / "prepared", compose).manifest


def _job(make: Callable[..., Job], root: Path, **changes: Any) -> Job:
    changes = {"eval_strategy": "no", "save_strategy": "steps", "save_steps": 3} | changes
    job = make(**changes)
    return job.model_copy(update={"inputs": job.inputs | {"prepared": str(root / "prepared")}})


def _record(job: Job) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((Path(job.folder) / "run" / "data.json").read_bytes())
    return document


@pytest.mark.parametrize("is_packed", [False, True])
def test_run_sees_each_source_as_often_as_planned(
    training_job: Callable[..., Job], weighted: dict[str, Any], tmp_path: Path, is_packed: bool
) -> None:
    planned = weighted["mix"]["sources"]
    assert planned["common"]["effective_rows"] == 20
    assert 40 < planned["hard"]["effective_rows"] < 60
    assert 0 < planned["rare"]["effective_rows"] < 20
    job = _job(training_job, tmp_path, sequence_packing=is_packed)
    values = training.run(job, Listener()).values
    effective = sum(item["effective_rows"] for item in planned.values())
    assert values["rows_effective"] == effective == weighted["train_rows_effective"]
    assert values["rows_seen"] == 2 * effective
    realised = _record(job)["sources"]
    for name, item in planned.items():
        assert realised[name]["effective_rows"] == item["effective_rows"]
        assert realised[name]["seen_rows"] == 2 * item["effective_rows"]
        assert realised[name]["seen_share_ratio"] == pytest.approx(item["share_ratio"])
    if not is_packed:
        assert values["steps"] == 2 * -(-effective // 8)


def test_resumed_run_counts_what_it_saw_before(
    training_job: Callable[..., Job], weighted: dict[str, Any], tmp_path: Path
) -> None:
    job = _job(training_job, tmp_path)
    listener = Listener(stop_after=7)
    with pytest.raises(WorkerError, match="a checkpoint is kept"):
        training.run(job, listener)
    _, path = listener.checkpoints[-1]
    again = _job(training_job, tmp_path, resume_from=str(Path(job.folder) / path))
    values = training.run(again, Listener()).values
    assert values["resumed_from_step"] == 7
    assert values["rows_seen"] == 2 * weighted["train_rows_effective"]


def test_run_that_stops_within_an_epoch_is_counted_to_the_row(
    training_job: Callable[..., Job], weighted: dict[str, Any], tmp_path: Path
) -> None:
    job = _job(training_job, tmp_path, max_steps=3, group_by_length=True)
    assert training.run(job, Listener()).values["rows_seen"] == 24
    assert sum(item["seen_rows"] for item in _record(job)["sources"].values()) == 24
    assert weighted["train_rows_effective"] > 24


def test_rows_that_differ_from_the_planned_ones_are_not_trained_on(
    training_job: Callable[..., Job], weighted: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "prepared" / "train.jsonl"
    lines = lines_of(tmp_path / "prepared", "train.jsonl")
    assert Counter(line["weight"] for line in lines).keys() == {1, 2, 3}
    path.write_text("".join(json.dumps({**line, "weight": 1}) + "\n" for line in lines))
    listener = Listener()
    with pytest.raises(WorkerError) as caught:
        training.run(_job(training_job, tmp_path), listener)
    assert caught.value.code == "training_data_mismatch"
    assert f"hard {weighted['mix']['sources']['hard']['effective_rows']}" in caught.value.expected
    assert listener.steps == []


@pytest.mark.parametrize(("rows", "steps"), [(1, 0), (0, 1)])
def test_run_whose_plan_counted_otherwise_does_not_begin(
    training_job: Callable[..., Job],
    weighted: dict[str, Any],
    tmp_path: Path,
    rows: int,
    steps: int,
) -> None:
    effective = weighted["train_rows_effective"]
    counted = {
        "rows": effective + rows,
        "steps": 2 * -(-effective // 8) + steps,
        "rows_too_long": 0,
    }
    job = _job(training_job, tmp_path)
    job = job.model_copy(update={"options": job.options | {"planned": counted}})
    listener = Listener()
    with pytest.raises(WorkerError) as caught:
        training.run(job, listener)
    assert (caught.value.code, listener.steps) == ("training_data_mismatch", [])
