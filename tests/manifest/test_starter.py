import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brewslm.address import Address
from brewslm.diagnostics import Severity
from brewslm.manifest.carried_out import PROFILES
from brewslm.manifest.load import check_manifest, load_manifest
from brewslm.manifest.project import Manifest
from brewslm.manifest.starter import DEFAULT_PACK_ID, starter_text
from brewslm.rows.dataset import DatasetSpec
from brewslm.rows.introspect import Proposal, propose
from brewslm.stages.adapter import AdapterSpec
from brewslm.stages.data_source import DataSourceSpec
from brewslm.stages.eval_pack import EvalPackSpec
from brewslm.stages.training_plan import TrainingPlanSpec
from tests.manifest.writing import write

LOCATOR = "jsonl:data/rows.jsonl"
LONG = "a sentence with more than thirty characters, number {}"


def proposals(folder: Path, row: dict[str, Any]) -> tuple[Proposal, ...]:
    (folder / "data").mkdir()
    filled = [json.dumps(row).replace("{}", str(index)) for index in range(40)]
    (folder / "data/rows.jsonl").write_text("\n".join(filled) + "\n", encoding="utf-8")
    return propose(LOCATOR, folder)


def started(folder: Path, text: str) -> Manifest:
    write(folder, text)
    manifest, findings = check_manifest(folder)
    noisy = [
        item
        for item in findings
        if item.severity is not Severity.INFO and item.code != "VALUE_UNAVAILABLE"
    ]
    assert manifest is not None, findings
    assert noisy == []
    return manifest


def is_supported(manifest: Manifest) -> bool:
    return "VALUE_UNAVAILABLE" not in {item.code for item in manifest.findings}


def spec_of(manifest: Manifest, address: Address) -> Any:
    return manifest.resources[address].spec


def test_without_data_it_is_a_project_for_labels(tmp_path: Path) -> None:
    manifest = started(tmp_path, starter_text(name="desk"))
    assert manifest.name == "desk"
    assert {str(address) for address in manifest.resources} >= {
        "model",
        "data_source.rows",
        "adapter.mapping",
        "dataset",
        "training_plan",
        "eval_pack",
        "export.adapter",
    }
    assert "deployment" not in {address.kind for address in manifest.resources}
    assert is_supported(manifest)


ROWS: list[tuple[dict[str, Any], str, str]] = [
    ({"text": LONG, "label": "ab"}, "label_to_classification", "sft"),
    ({"messages": [{"role": "user", "content": "x"}]}, "chat_messages_passthrough", "sft"),
    ({"conversations": [{"from": "human", "value": "x"}]}, "sharegpt_to_chat", "sft"),
    ({"instruction": LONG, "output": LONG}, "instruction_passthrough", "sft"),
    ({"prompt": LONG, "chosen": LONG, "rejected": LONG}, "preference_pair", "dpo"),
    ({"question": LONG, "context": LONG, "answer": LONG}, "rag_passthrough", "sft"),
    ({"tokens": ["a", "b"], "tags": ["O", "B-X"]}, "bio_to_spans", "sft"),
    ({"text": LONG}, "text_only", "cpt"),
]


@pytest.mark.parametrize(("row", "mapper_id", "mode"), ROWS, ids=[item[1] for item in ROWS])
@pytest.mark.parametrize("gold", [None, "jsonl:data/gold.jsonl"])
def test_each_kind_of_rows_gets_a_manifest_that_loads(
    row: dict[str, Any], mapper_id: str, mode: str, gold: str | None, tmp_path: Path
) -> None:
    best = proposals(tmp_path, row)[0]
    text = starter_text(name="rows", proposal=best, rows=80, locator=LOCATOR, gold_locator=gold)
    manifest = started(tmp_path, text)
    adapter: AdapterSpec = spec_of(manifest, Address("adapter", "mapping"))
    assert (adapter.base_adapter_id, adapter.field_mapping) == (mapper_id, best.field_map)
    source: DataSourceSpec = spec_of(manifest, Address("data_source", "rows"))
    assert (source.locator, source.adapter) == (LOCATOR, "mapping")
    plan: TrainingPlanSpec = spec_of(manifest, Address("training_plan"))
    assert (plan.training_mode, plan.config.max_steps) == (mode, 120)
    dataset: DatasetSpec = spec_of(manifest, Address("dataset"))
    assert dataset.task_profile == best.target_task_profile
    assert f"confidence {best.confidence:.2f}" in text
    is_carried_out = best.target_task_profile in PROFILES
    assert is_supported(manifest) is is_carried_out


def test_gold_rows_bring_the_gates_of_the_default_pack(tmp_path: Path) -> None:
    best = proposals(tmp_path, {"text": LONG, "label": "ab"})[0]
    gold = "jsonl:data/gold.jsonl"
    with_gold = starter_text(name="n", proposal=best, gold_locator=gold)
    pack: EvalPackSpec = spec_of(started(tmp_path, with_gold), Address("eval_pack"))
    assert (pack.pack_id, pack.datasets) == (DEFAULT_PACK_ID, ("gold",))
    assert "min_macro_f1" in with_gold
    plain = spec_of(started(tmp_path, starter_text(name="n", proposal=best)), Address("eval_pack"))
    assert (plain.pack_id, plain.datasets, plain.gates) == (None, ("test",), ())


def test_labels_become_the_contract(tmp_path: Path) -> None:
    best = Proposal(
        "label_to_classification",
        "classification",
        {"text": "body", "label": "kind"},
        0.9,
        "a text column",
        labels=("no", "2", "two\nlines", 'a "quoted" one', "1999-01-01"),
    )
    manifest = started(tmp_path, starter_text(name="n", proposal=best))
    assert spec_of(manifest, Address("dataset")).contract.allowed_labels == best.labels


@settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60
)
@given(name=st.text(), column=st.text(min_size=1), label=st.text(min_size=1))
def test_no_text_of_a_file_breaks_the_manifest(
    name: str, column: str, label: str, tmp_path: Path
) -> None:
    best = Proposal(
        "label_to_classification",
        "classification",
        {"text": column, "label": "kind"},
        0.9,
        f"a text column {column}",
        warnings=(label,),
        labels=(label, label + "x"),
    )
    write_text = starter_text(name=name, proposal=best)
    write(tmp_path, write_text.encode())
    manifest = load_manifest(tmp_path)
    assert spec_of(manifest, Address("adapter", "mapping")).field_mapping["text"] == column
    assert spec_of(manifest, Address("dataset")).contract.allowed_labels == (label, label + "x")
