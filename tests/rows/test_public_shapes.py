"""Rows as public data sets have them: which mapper and task they are read for."""

from pathlib import Path
from typing import Any

import pytest

from brewslm.rows.introspect import Reading, read_feed
from brewslm.rows.source import open_source
from tests.rows.composing import write_rows

USER = {"role": "user", "content": "Where is pump {n}?"}
ASSISTANT = {"role": "assistant", "content": "In hall {n}."}
HUMAN, GPT = {"from": "human", "value": "Where?"}, {"from": "gpt", "value": "Hall {n}"}
TOOL = {"name": "stop", "parameters": {"type": "object"}}
LABEL_NAMES = ("card arrival", "lost card", "exchange rate", "top up")

PROMPTS = ("prompt_completion_passthrough", "instruction_sft")
INSTRUCTIONS = ("instruction_passthrough", "instruction_sft")
LABELS = ("label_to_classification", "classification")
CHATS = ("chat_messages_passthrough", "chat_sft")
QUESTIONS = ("qa_pair_passthrough", "qa")
PAIRS = ("preference_pair", "preference")
PASSAGES = ("rag_passthrough", "rag_qa")
SUMMARIES = ("qa_pair_passthrough", "summarization")
TRANSLATIONS = ("qa_pair_passthrough", "seq2seq")

SHAPES: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "sums": ({"prompt": "what is {n} plus 1", "completion": "{n}"}, PROMPTS),
    "sums as numbers": ({"prompt": "what is {n} plus 1", "completion": int}, PROMPTS),
    "one word": ({"prompt": "p{n}", "completion": "y"}, PROMPTS),
    "humaneval": (
        {"task_id": "HumanEval/{n}", "prompt": "def f{n}():", "canonical_solution": " return {n}"},
        PROMPTS,
    ),
    "capybara turns": ({"prompt": [USER], "completion": [ASSISTANT]}, PROMPTS),
    "kto": (
        {"prompt": "Where is {n}?", "completion": "In {n}", "label": True},
        ("prompt_completion_passthrough", "preference"),
    ),
    "alpaca": (
        {"instruction": "Name pump {n}", "input": "", "output": "P{n}", "text": "Below is {n}"},
        INSTRUCTIONS,
    ),
    "alpaca cleaned": (
        {"instruction": "Name {n}", "input": "pump {n}", "output": "P"},
        INSTRUCTIONS,
    ),
    "dolly": (
        {
            "instruction": "Name {n}",
            "context": "Pump {n}",
            "response": "P{n}",
            "category": ("open_qa", "closed_qa"),
        },
        INSTRUCTIONS,
    ),
    "evol": ({"instruction": "Write {n}", "output": "x = {n}"}, INSTRUCTIONS),
    "orca": (
        {"id": "f.{n}", "system_prompt": "Be brief.", "question": "Why {n}?", "response": "So {n}"},
        ("qa_pair_passthrough", "instruction_sft"),
    ),
    "flan": ({"inputs": "Translate {n}", "targets": "Uebersetze {n}"}, PROMPTS),
    "two speakers": ({"user": "Where is {n}?", "assistant": "In hall {n}"}, PROMPTS),
    "sometimes a context": (
        {"question": "Where {n}?", "context": ("", "Hall {n}"), "answer": "B{n}"},
        INSTRUCTIONS,
    ),
    "stars": ({"review": "It broke after {n} days", "stars": (1, 2, 3, 4, 5)}, LABELS),
    "metamath": ({"query": "What is {n}?", "response": "It is {n}"}, QUESTIONS),
    "gsm8k": ({"question": "How many are {n}?", "answer": "There are #### {n}"}, QUESTIONS),
    "numeric answers": ({"question": "How many are {n}?", "answer": int}, QUESTIONS),
    "nq open": ({"question": "Who is {n}?", "answer": ["A {n}", "B {n}"]}, QUESTIONS),
    "squad": (
        {
            "id": "{n}",
            "title": "Pumps",
            "context": "Pump {n} stands in hall B.",
            "question": "Where is pump {n}?",
            "answers": {"text": ["hall B"], "answer_start": [18]},
        },
        PASSAGES,
    ),
    "rag": ({"question": "Where {n}?", "context": "Hall {n}", "answer": "B"}, PASSAGES),
    "chat": ({"messages": [USER, ASSISTANT]}, CHATS),
    "no robots": (
        {
            "prompt": "Where is pump {n}?",
            "prompt_id": "{n}",
            "messages": [USER, ASSISTANT],
            "category": ("Generation", "Coding"),
        },
        CHATS,
    ),
    "conversations of roles": ({"conversations": [USER, ASSISTANT]}, CHATS),
    "sharegpt": (
        {"id": "{n}", "conversations": [HUMAN, GPT]},
        ("sharegpt_to_chat", "chat_sft"),
    ),
    "openhermes": (
        {"conversations": [HUMAN, GPT], "source": "airoboros", "category": ("a", "b")},
        ("sharegpt_to_chat", "chat_sft"),
    ),
    "tools in chats": (
        {"messages": [USER, ASSISTANT], "tools": [TOOL]},
        ("chat_messages_passthrough", "tool_calling"),
    ),
    "xlam": (
        {
            "id": int,
            "query": "Stop pump {n}",
            "tools": '[{"name": "stop"}]',
            "answers": '[{"name": "stop", "arguments": {}}]',
        },
        ("instruction_passthrough", "tool_calling"),
    ),
    "imdb": ({"text": "A film about {n} that I saw twice", "label": (0, 1)}, LABELS),
    "sst2": ({"idx": int, "sentence": "a film about {n}", "label": (0, 1)}, LABELS),
    "emotion": ({"text": "i feel {n}", "label": ("joy", "anger", "fear")}, LABELS),
    "banking77": ({"text": "where is my card {n}?", "label": LABEL_NAMES}, LABELS),
    "clinc": ({"text": "tell me {n}", "intent": ("weather", "alarm")}, LABELS),
    "spam": ({"sms": "win {n} now", "kind": ("spam", "ham")}, LABELS),
    "booleans": ({"comment": "you are {n}", "toxic": (True, False)}, LABELS),
    "conll": (
        {"tokens": ["EU", "rejects", "{n}"], "ner_tags": ["B-ORG", "O", "B-MISC"]},
        ("bio_to_spans", "structured_extraction"),
    ),
    "extraction": (
        {"text": "Pump {n} stops", "answer": {"pump": "{n}"}},
        ("qa_pair_passthrough", "structured_extraction"),
    ),
    "extraction by instruction": (
        {"instruction": "Sort", "input": "Pump {n} stops", "output": '{"pump": "{n}"}'},
        ("instruction_passthrough", "structured_extraction"),
    ),
    "ultrafeedback": (
        {"prompt": "Where {n}?", "chosen": [USER, ASSISTANT], "rejected": [USER, ASSISTANT]},
        PAIRS,
    ),
    "hh-rlhf": (
        {"chosen": "Human: {n} Assistant: A", "rejected": "Human: {n} Assistant: B"},
        PAIRS,
    ),
    "orca pairs": (
        {"system": "", "question": "Why {n}?", "chosen": "So {n}", "rejected": "No {n}"},
        PAIRS,
    ),
    "cnn": ({"article": "A long story {n}", "highlights": "short {n}", "id": "{n}"}, SUMMARIES),
    "samsum": ({"id": "{n}", "dialogue": "A: {n} B: x", "summary": "A says {n}"}, SUMMARIES),
    "xsum": ({"document": "A story {n}", "summary": "short {n}", "id": "{n}"}, SUMMARIES),
    "opus columns": ({"en": "the pump {n}", "de": "die Pumpe {n}"}, TRANSLATIONS),
    "wikitext": ({"text": "A page about pump {n}."}, ("text_only", "language_modeling")),
    "c4": (
        {"text": "A page about {n}", "url": "https://a.example/{n}", "timestamp": "2020-01-{n}"},
        ("text_only", "language_modeling"),
    ),
}

KNOWN_WITHOUT_A_MAPPER: dict[str, tuple[dict[str, Any], str]] = {
    "arc": (
        {"question": "Which {n}?", "choices": {"text": ["a"], "label": ["A"]}, "answerKey": "A"},
        "multiple-choice",
    ),
    "mmlu": ({"question": "Which {n}?", "choices": ["a", "b"], "answer": int}, "multiple-choice"),
    "mnli": (
        {"premise": "Pump {n} runs", "hypothesis": "It stops {n}", "label": (0, 1, 2)},
        "join premise and hypothesis",
    ),
    "qqp": ({"question1": "Why {n}?", "question2": "How {n}?", "label": (0, 1)}, "join question1"),
    "wmt": ({"translation": {"en": "pump {n}", "de": "Pumpe {n}"}}, "translations"),
    "oasst": ({"message_id": "{n}", "parent_id": "x{n}", "text": "Hello {n}"}, "tree"),
    "conll integers": ({"tokens": ["EU", "{n}"], "ner_tags": [3, 0]}, "numbered tags"),
    "embeddings": ({"id": int, "embedding": [0.5, 0.25]}, "embeddings"),
}


def reading(folder: Path, shape: dict[str, Any], count: int = 60) -> Reading:
    write_rows(folder / "rows.jsonl", [filled(shape, number) for number in range(count)])
    return read_feed(open_source("jsonl:rows.jsonl", folder), 0.8)


def filled(value: Any, number: int) -> Any:
    """A shape with its number: an int for the type itself, an item in turn for a tuple."""
    match value:
        case str():
            return value.replace("{n}", str(number))
        case tuple():
            return filled(value[number % len(value)], number)
        case dict():
            return {key: filled(item, number) for key, item in value.items()}
        case list():
            return [filled(item, number) for item in value]
        case type():
            return number
        case _:
            return value


@pytest.mark.parametrize("name", SHAPES)
def test_public_shape_is_read_for_its_task(name: str, tmp_path: Path) -> None:
    shape, (mapper_id, profile) = SHAPES[name]
    best = reading(tmp_path, shape).proposals[0]
    assert (best.mapper_id, best.target_task_profile) == (mapper_id, profile)
    assert not best.needs_force, best


@pytest.mark.parametrize("name", KNOWN_WITHOUT_A_MAPPER)
def test_known_shape_without_a_mapper_is_named_and_not_guessed(name: str, tmp_path: Path) -> None:
    shape, words = KNOWN_WITHOUT_A_MAPPER[name]
    found = reading(tmp_path, shape)
    assert found.proposals == ()
    assert words in found.advice


def test_two_readings_of_other_columns_need_a_decision(tmp_path: Path) -> None:
    shape = {"question": "Why {n}?", "answer": "So {n}", "messages": [USER, ASSISTANT]}
    assert reading(tmp_path, shape).proposals[0].needs_force


def test_a_column_that_is_often_empty_lowers_the_confidence(tmp_path: Path) -> None:
    rows = [{"question": f"Why {n}?", "answer": "So" if n % 2 else ""} for n in range(40)]
    write_rows(tmp_path / "rows.jsonl", rows)
    best = read_feed(open_source("jsonl:rows.jsonl", tmp_path), 0.8).proposals[0]
    assert best.confidence == pytest.approx(0.85)


def test_names_in_capitals_are_bound_as_they_are_written(tmp_path: Path) -> None:
    found = reading(tmp_path, {"Question": "Why {n}?", "Answer": "So {n}"})
    assert found.proposals[0].field_map == {"question": "Question", "answer": "Answer"}
