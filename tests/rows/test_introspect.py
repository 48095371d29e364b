"""Proposals: what columns suggest, how sure, and when nobody is."""

import random
from pathlib import Path
from typing import Any

import pytest

from brewslm.rows.dataset import DatasetSpec
from brewslm.rows.introspect import Proposal, propose
from tests.rows.composing import write_rows

LONG = "a sentence with more than thirty characters, number {}"


def proposals(folder: Path, rows: list[dict[str, Any]]) -> tuple[Proposal, ...]:
    write_rows(folder / "rows.jsonl", rows)
    return propose("jsonl:rows.jsonl", folder)


@pytest.mark.parametrize(
    ("row", "mapper_id", "profile", "confidence"),
    [
        ({"text": LONG, "label": "ab"}, "label_to_classification", "classification", 0.95),
        (
            {"messages": [{"role": "user", "content": "x"}]},
            "chat_messages_passthrough",
            "chat_sft",
            0.95,
        ),
        (
            {"conversations": [{"from": "human", "value": "x"}]},
            "sharegpt_to_chat",
            "chat_sft",
            0.95,
        ),
        ({"instruction": LONG, "output": LONG}, "instruction_passthrough", "instruction_sft", 0.95),
        (
            {"prompt": LONG, "chosen": LONG, "rejected": LONG},
            "preference_pair",
            "preference",
            0.95,
        ),
        ({"question": LONG, "context": LONG, "answer": LONG}, "rag_passthrough", "rag_qa", 0.95),
        ({"article": LONG, "summary": LONG}, "qa_pair_passthrough", "summarization", 0.95),
        ({"question": LONG, "answer": LONG}, "qa_pair_passthrough", "qa", 0.95),
        (
            {"prompt": LONG, "completion": LONG},
            "prompt_completion_passthrough",
            "instruction_sft",
            0.95,
        ),
        ({"text": LONG}, "text_only", "language_modeling", 0.95),
        (
            {"tokens": ["a", "b"], "tags": ["B-X", "O"]},
            "bio_to_spans",
            "structured_extraction",
            0.95,
        ),
    ],
)
def test_columns_suggest_a_mapper(
    tmp_path: Path, row: dict[str, Any], mapper_id: str, profile: str, confidence: float
) -> None:
    rows = [
        {
            name: value.format(number)
            if value == LONG
            else value[number % 2]
            if isinstance(value, str)
            else value
            for name, value in row.items()
        }
        for number in range(12)
    ]
    best = proposals(tmp_path, rows)[0]
    assert (best.mapper_id, best.target_task_profile) == (mapper_id, profile)
    assert best.confidence == pytest.approx(confidence)
    assert not best.needs_force


def test_order_of_rows_decides_nothing(tmp_path: Path) -> None:
    rows = [{"text": LONG.format(number), "label": "ab"[number % 2]} for number in range(300)]
    first = proposals(tmp_path, rows)
    random.Random(1).shuffle(rows)  # noqa: S311  a shuffle for a test
    assert proposals(tmp_path, rows) == first
    assert first[0].labels == ("a", "b")


def test_labels_that_differ_in_spelling_need_a_decision(tmp_path: Path) -> None:
    rows = [
        {"text": LONG.format(number), "label": ("yes", "Yes", "no")[number % 3]}
        for number in range(30)
    ]
    best = proposals(tmp_path, rows)[0]
    assert best.needs_force
    assert best.confidence <= 0.79


def test_two_tasks_that_fit_need_a_decision(tmp_path: Path) -> None:
    rows = [
        {
            "question": LONG.format(number),
            "answer": LONG.format(number),
            "messages": [{"role": "user", "content": "x"}],
        }
        for number in range(12)
    ]
    ranked = proposals(tmp_path, rows)
    assert ranked[0].needs_force
    assert {item.target_task_profile for item in ranked[:2]} == {"qa", "chat_sft"}


def test_extraction_is_never_proposed(tmp_path: Path) -> None:
    rows = [{"text": LONG.format(number), "a": "x", "b": "y"} for number in range(9)]
    found = {item.mapper_id for item in proposals(tmp_path, rows)}
    assert "kv_to_structured" not in found


def test_requests_have_the_documented_defaults() -> None:
    dataset = DatasetSpec()
    assert (dataset.split.train, dataset.split.seed) == (0.8, 42)
    assert (dataset.leak_check.ngram, dataset.leak_check.near) == (13, 0.7)
    assert (dataset.cleaning.dedupe, dataset.cleaning.pii) == ("exact", "warn")
