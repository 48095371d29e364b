"""A plan tries rows with the base model's own template and tokenizer before anything is trained."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from brewslm.contracts import Job, Result
from brewslm.plan.action import Action
from brewslm.plan.base_model import BUILTIN
from brewslm.plan.build import Built
from brewslm.plan.counts import planned_run
from brewslm.plan.rehearsed import SetRehearsal
from brewslm.stages.training_config import TrainingConfig
from tests.apply import bench as bench_module
from tests.apply.bench import Bench, row


def _training(built: Built) -> Action:
    return next(item for item in built.plan.actions if item.address == "training_plan")


def _run(built: Built) -> dict[str, Any]:
    data = _training(built).data
    assert data is not None
    return dict(data)


def _add(bench: Bench, name: str, *texts: str) -> None:
    path = bench.root / "data" / f"{name}.jsonl"
    lines = [json.dumps({"text": text, "label": "late"}) for text in texts]
    path.write_text(path.read_text() + "\n".join(lines) + "\n")


def _own_base(bench: Bench) -> None:
    shutil.copytree(BUILTIN / "nano", bench.root / "base")
    bench.edit("builtin:nano", "./base")


def _all_train(bench: Bench) -> None:
    bench.edit("dataset: {", "dataset: {split: {train: 1.0, validation: 0.0, test: 0.0}, ")


@pytest.mark.parametrize("is_own", [False, True], ids=["builtin", "folder"])
def test_row_with_a_special_token_is_left_out_and_named(bench: Bench, is_own: bool) -> None:
    _all_train(bench)
    if is_own:
        _own_base(bench)
    _add(bench, "rows", "my parcel <|end|><|assistant|>late", "a parcel that is fine")
    built = bench.built()
    assert built.plan.is_applyable
    assert _run(built)["left out"] == {"special_token_in_text": 1}
    assert _run(built)["run"]["rows"] == 61
    (told,) = [item for item in built.plan.findings if item["code"] == "special_token_in_text"]
    assert (told["file"], told["line"], told["severity"]) == ("data/rows.jsonl", 61, "warning")
    assert "<|assistant|> in messages/0" in told["found"]


def test_too_many_rows_that_cannot_be_trained_on_are_an_error(bench: Bench) -> None:
    _all_train(bench)
    _add(bench, "rows", *(f"parcel {number} is gone <|end|>" for number in range(12)))
    plan = bench.built().plan
    assert not plan.is_applyable
    told = {item["code"]: item for item in plan.findings}
    assert told["REJECT_RATE_EXCEEDED"]["found"] == "0.1667 (special_token_in_text 12)"
    assert told["REJECT_RATE_EXCEEDED"]["expected"] == "at most 0.1"


@pytest.mark.parametrize(("limit", "is_applyable"), [("0.16", False), ("0.17", True)])
def test_written_limit_counts_for_rows_that_cannot_be_trained_on(
    bench: Bench, limit: str, is_applyable: bool
) -> None:
    _all_train(bench)
    bench.edit("dataset: {", f"dataset: {{contract: {{max_reject_rate: {limit}}}, ")
    _add(bench, "rows", *(f"parcel {number} is gone <|end|>" for number in range(12)))
    assert bench.built().plan.is_applyable is is_applyable


def test_rows_that_are_too_long_are_left_out_and_are_no_rejects(bench: Bench) -> None:
    _all_train(bench)
    _add(bench, "rows", *(f"parcel {number} is gone. " * 300 for number in range(12)))
    built = bench.built()
    assert _run(built)["left out"] == {"rows_too_long": 12}
    assert built.plan.is_applyable


def test_template_that_fits_no_row_is_refused_by_the_plan(bench: Bench) -> None:
    _own_base(bench)
    template = bench.root / "base" / "chat_template.jinja"
    template.write_text(
        "{% for m in messages %}{% if m.content|length > 3 %}{{ raise_exception('long') }}"
        "{% endif %}{{ m.content }}{% endfor %}"
    )
    plan = bench.built().plan
    (told,) = [item for item in plan.findings if item["code"] == "BASE_REFUSED"]
    assert (told["found"], plan.is_applyable) == ("long", False)
    assert "use_tokenizer_chat_template: false" in told["actionable_fix"]


def test_template_that_never_ends_is_refused_by_the_plan(bench: Bench) -> None:
    _own_base(bench)
    template = bench.root / "base" / "chat_template.jinja"
    template.write_text(
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    )
    plan = bench.built().plan
    assert [item["code"] for item in plan.findings if item["severity"] == "error"] == [
        "BASE_REFUSED"
    ]


def test_gold_row_that_cannot_be_asked_is_named(bench: Bench) -> None:
    _add(bench, "gold", "where is <|user|> my parcel")
    plan = bench.built().plan
    assert not plan.is_applyable
    told = {item["code"]: item for item in plan.findings}
    assert told["special_token_in_text"]["file"] == "data/gold.jsonl"
    assert "cannot be asked" in told["special_token_in_text"]["message"]


def test_steps_are_those_of_packed_sequences() -> None:
    made = SetRehearsal(lengths=[(100, f"r{number}") for number in range(40)])
    config = TrainingConfig(
        batch_size=2, gradient_accumulation_steps=2, num_epochs=1.5, max_seq_length=256
    )
    assert made.steps(config.model_copy(update={"sequence_packing": False})) == 15
    assert made.steps(config) == 8
    dropped = {"dataloader_drop_last": True, "sequence_packing": False, "batch_size": 3}
    assert made.steps(config.model_copy(update=dropped)) == math.ceil(1.5 * 7)
    assert made.steps(config.model_copy(update={"max_steps": 3})) == 3


def test_rows_and_steps_follow_weights(bench: Bench) -> None:
    _all_train(bench)
    bench.edit("max_seq_length: 256", "max_seq_length: 256\n      sequence_packing: false")
    plain = _run(bench.built())["run"]
    assert plain["steps"] == 2 * -(-60 // plain["effective_batch"])
    bench.edit("file_path: data/rows.jsonl}", "file_path: data/rows.jsonl, weight: 3}")
    weighted = _run(bench.built())["run"]
    assert (weighted["rows"], weighted["steps"]) == (180, 2 * -(-180 // plain["effective_batch"]))


def test_apply_hands_the_counts_to_the_run(bench: Bench) -> None:
    _all_train(bench)
    built = bench.built()
    bench.apply()
    job = next(job for job in bench.jobs if job.address == "training_plan")
    run = _run(built)["run"]
    counted = {"rows": run["rows"], "steps": run["steps"], "rows_too_long": 0}
    assert job.options["planned"] == counted


def test_rows_beyond_the_tried_ones_are_no_promise(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brewslm.plan.rehearsal.MOST_ROWS", 20)
    bench.write_rows("rows", range(70))
    data = _run(bench.built())
    assert data["run"]["estimated"] == "rows and steps"
    assert planned_run(data) == {}


def test_unchanged_project_is_not_tried_again(
    applied: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("rehearsed")

    monkeypatch.setattr("brewslm.plan.rehearsal._rehearsed", never)
    assert not [item for item in applied.built().plan.actions if item.is_work]


def test_changed_recipe_is_tried_on_the_kept_rows(applied: Bench) -> None:
    applied.edit("max_seq_length: 256", "max_seq_length: 128")
    assert _run(applied.built())["run"]["rows"] > 0
    assert row(0)["text"]


@pytest.mark.parametrize("values", [{"rows": 60}, {"rows": 60, "rows_effective": 180}])
def test_adapter_that_was_trained_without_weights_is_named(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, values: dict[str, int]
) -> None:
    def trained(job: Job, folder: Path) -> Result:
        result = train(job, folder)
        return result.model_copy(update={"values": result.values | values})

    train = bench_module._train
    monkeypatch.setattr(bench_module, "_train", trained)
    bench.edit("file_path: data/rows.jsonl}", "file_path: data/rows.jsonl, weight: 3}")
    bench.apply()
    codes = [item["code"] for item in bench.built().plan.findings]
    assert ("WEIGHTS_NOT_TRAINED" in codes) is ("rows_effective" not in values)
