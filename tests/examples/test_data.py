"""The example projects: sound manifests, and data that say what their labels claim."""

import csv
import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, Final

import pytest

from brewslm.address import Address
from brewslm.diagnostics import Severity
from brewslm.manifest.load import load_manifest
from brewslm.manifest.project import Manifest
from brewslm.rows.dataset import DatasetSpec
from brewslm.rows.prepare import Preparation, prepare
from brewslm.rows.request import Request, SourceRequest
from brewslm.stages.adapter import AdapterSpec
from brewslm.stages.data_source import DataSourceSpec
from brewslm.stages.eval_pack import EvalPackSpec
from brewslm.tasks.compose import compose
from brewslm.tasks.gate_checks import gate_problems
from brewslm.tasks.packs import gates_of

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
NAMES: Final = ("support-triage", "intent-routing", "house-style")
MAX_WORDS: Final = 25
MIN_CONTRAST_PAIRS: Final = 7

CLOSED: Final = {
    "reason": {"billing", "login", "bug", "shipping", "info"},
    "priority": {"low", "normal", "high"},
    "label": {
        "set_alarm",
        "play_music",
        "report_leak",
        "find_parcel",
        "send_money",
        "say_weather",
    },
}
LABELLED: Final = (
    ("support-triage", "reason"),
    ("support-triage", "priority"),
    ("intent-routing", "label"),
)
OPENING: Final = "Hello! "
CLOSING: Final = " Always glad to help."


def rows_of(name: str, part: str) -> list[dict[str, Any]]:
    folder = EXAMPLES / name / "data"
    table = folder / f"{part}.csv"
    if table.exists():
        with table.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    lines = (folder / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def wordings(row: dict[str, Any]) -> list[str]:
    """What people wrote in a row, turn by turn."""
    if "messages" in row:
        return [turn["content"] for turn in row["messages"] if turn["role"] == "user"]
    return [row["text"]]


def sentences(text: str) -> set[str]:
    return {part.strip(" .?!").casefold() for part in re.split(r"(?<=[.?!])\s+", text)}


def words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.casefold())


def request_of(manifest: Manifest) -> Request:
    specs = {address: wanted.spec for address, wanted in manifest.resources.items()}
    dataset, pack = specs[Address("dataset")], specs[Address("eval_pack")]
    assert isinstance(dataset, DatasetSpec)
    assert isinstance(pack, EvalPackSpec)
    adapters = {spec.name: spec for spec in specs.values() if isinstance(spec, AdapterSpec)}
    return Request(
        project=manifest.name,
        sources=tuple(
            source_of(spec, adapters[spec.adapter or ""])
            for spec in specs.values()
            if isinstance(spec, DataSourceSpec)
        ),
        dataset=dataset,
        tag_columns=tuple(gate.slice.partition("=")[0] for gate in pack.gates if gate.slice),
    )


def source_of(spec: DataSourceSpec, adapter: AdapterSpec) -> SourceRequest:
    return SourceRequest(
        name=spec.name,
        role=spec.type,
        locator=spec.locator or "",
        record_count=spec.record_count,
        adapter=adapter.name,
        mapper_id=adapter.base_adapter_id,
        task_profile=adapter.task_profile,
        field_mapping=adapter.field_mapping,
        options=adapter.adapter_config,
        contract=adapter.output_contract,
    )


@pytest.fixture(params=NAMES)
def example(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Manifest, Preparation]:
    root = EXAMPLES / str(request.param)
    manifest = load_manifest(root)
    return manifest, prepare(request_of(manifest), root, tmp_path, compose)


def test_manifest_has_no_error(example: tuple[Manifest, Preparation]) -> None:
    severities = {finding.severity for finding in example[0].findings}
    assert Severity.ERROR not in severities


def test_every_row_is_accepted_and_none_leaks(example: tuple[Manifest, Preparation]) -> None:
    _, preparation = example
    assert [str(finding) for finding in preparation.findings] == []
    total = preparation.manifest["accounting"]["total"]
    assert total["read"] == total["accepted"] > 0
    assert total["splits"]["held"] == 0
    assert set(preparation.manifest["leaks"]["counts"].values()) == {0}


def test_every_gate_can_be_decided(example: tuple[Manifest, Preparation], tmp_path: Path) -> None:
    manifest, preparation = example
    pack = manifest.resources[Address("eval_pack")].spec
    assert isinstance(pack, EvalPackSpec)
    prepared = preparation.manifest
    gates = gates_of(None, prepared["task_profile"], prepared["contract"], pack.gates)
    lines = (tmp_path / "gold_test.jsonl").read_text(encoding="utf-8").splitlines()
    tags = Counter(
        f"{column}={value}" for line in lines for column, value in json.loads(line)["tags"].items()
    )
    problems = gate_problems(
        gates,
        prepared["task_profile"],
        prepared["contract"],
        rows=len(lines),
        slice_rows=tags,
        has_deployment=True,
    )
    assert gates
    assert problems == []


@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_unique_and_short(name: str) -> None:
    rows = [row for part in ("train", "gold") for row in rows_of(name, part)]
    texts = ["\n".join(wordings(row)).casefold() for row in rows]
    assert [text for text, count in Counter(texts).items() if count > 1] == []
    assert max(len(words(text)) for row in rows for text in wordings(row)) <= MAX_WORDS


@pytest.mark.parametrize("name", NAMES)
def test_no_gold_wording_is_in_training(name: str) -> None:
    trained, gold = (
        set().union(*(sentences(text) for row in rows_of(name, part) for text in wordings(row)))
        for part in ("train", "gold")
    )
    assert trained & gold == set()


@pytest.mark.parametrize("name", NAMES)
def test_gold_uses_mostly_words_of_training(name: str) -> None:
    trained = {
        word for row in rows_of(name, "train") for text in wordings(row) for word in words(text)
    }
    gold = [word for row in rows_of(name, "gold") for text in wordings(row) for word in words(text)]
    assert sum(word in trained for word in gold) / len(gold) >= 0.9


@pytest.mark.parametrize(("name", "column"), LABELLED)
@pytest.mark.parametrize("part", ["train", "gold"])
def test_labels_are_closed_and_balanced(name: str, column: str, part: str) -> None:
    counts = Counter(row[column] for row in rows_of(name, part))
    assert set(counts) == CLOSED[column]
    assert max(counts.values()) <= 1.5 * min(counts.values())


def test_every_reason_has_every_priority() -> None:
    for part in ("train", "gold"):
        seen = {(row["reason"], row["priority"]) for row in rows_of("support-triage", part)}
        assert len(seen) == len(CLOSED["reason"]) * len(CLOSED["priority"])


def test_contrast_pairs_share_the_complaint_and_differ_in_priority() -> None:
    pairs = defaultdict(list)
    for row in rows_of("support-triage", "gold"):
        if row["case"] == "contrast":
            pairs[re.split(r"(?<=[.?])\s", row["text"])[0]].append(row)
    assert len(pairs) >= MIN_CONTRAST_PAIRS
    for rows in pairs.values():
        assert len(rows) == 2
        assert len({row["reason"] for row in rows}) == 1
        assert len({row["priority"] for row in rows}) == 2


@pytest.mark.parametrize("part", ["train", "gold"])
def test_every_answer_of_the_desk_is_in_house_style(part: str) -> None:
    for row in rows_of("house-style", part):
        roles = [turn["role"] for turn in row["messages"]]
        assert roles in (["user", "assistant"] * 2, ["user", "assistant"] * 3)
        for turn in row["messages"]:
            if turn["role"] == "assistant":
                assert turn["content"].startswith(OPENING)
                assert turn["content"].endswith(CLOSING)


def test_gold_chats_ask_for_no_answer_that_training_lacks() -> None:
    answers = {
        part: Counter(row["messages"][-1]["content"] for row in rows_of("house-style", part))
        for part in ("train", "gold")
    }
    assert set(answers["gold"]) <= set(answers["train"])
    assert max(answers["gold"].values()) <= len(rows_of("house-style", "gold")) / 4
