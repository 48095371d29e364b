"""Leaks are those that comparing every training row with every evaluation row finds."""

import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brewslm.rows.dataset import LeakCheckSpec, SplitSpec
from brewslm.rows.identity import identify
from brewslm.rows.leak_scan import RunFilter, Texts
from brewslm.rows.leaks import CODES, Leak, LeakReport, find_leaks
from brewslm.rows.record import Example, Position
from brewslm.rows.stored import (
    ContentStore,
    StoredExample,
    content_bytes,
    content_of,
    place_at,
    stored,
)
from tests.rows.composing import codes_of, lines_of, prepared, rows_of, source, write_rows


@dataclass(frozen=True)
class Row:
    """A row as a test writes it; what is compared of it is its words."""

    text: str
    label: str
    group: str
    key: str | None
    derived_from: str | None
    side: int

    def store(self, line: int, contents: ContentStore) -> StoredExample:
        """Keep the row as prepare does."""
        example = Example(
            Position(f"side{self.side}", line, "rows.jsonl"),
            "",
            self.key,
            "classification",
            {"text": self.text, "instruction": "choose a label now"},
            {"label": self.label},
            derived_from=self.derived_from,
        )
        identify(example, {"group": self.group})
        data = content_bytes(example)
        item = stored(example, place_at(0, len(data)))
        contents.take([item], data)
        return item

    @property
    def folded(self) -> str:
        return " ".join(self.text.lower().split())

    def texts(self, *, is_constant: bool) -> list[list[str]]:
        """Words of the inputs that vary and of the reference."""
        inputs = [] if is_constant else [words_of(self.folded)]
        return [*inputs, words_of(self.label.lower())]


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def runs_of(words: list[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + size]) for at in range(len(words) - size + 1)]


def grams(text: str) -> set[str]:
    return {text[at : at + 5] for at in range(max(len(text) - 4, 1))}


class Slowly:
    """The layers of the reference page, pair by pair.

    Each yields (code, score, words of the run, is_only_reported) of an evaluation row and a
    training row where the layer sees them.
    """

    def __init__(self, evaluated: list[Row], trained: list[Row], check: LeakCheckSpec) -> None:
        rows = evaluated + trained
        texts = {row.folded for row in rows}
        self.is_constant = len(texts) <= max(5, len(rows) / 100) and len(texts) < len(rows)
        self.check = check
        counts = Counter(
            run
            for row in evaluated
            for run in {run for words in self.texts(row) for run in runs_of(words, check.ngram)}
        )
        most = max(3, len(evaluated) / 100)
        self.frequent = {run for run, count in counts.items() if check.ngram and count > most}

    def texts(self, row: Row) -> list[list[str]]:
        return row.texts(is_constant=self.is_constant)

    def layers(self) -> list[Callable[[Row, Row], Iterator[tuple[str, float, int, bool]]]]:
        check = self.check
        return [
            *([self.exact] if check.exact else []),
            *([self.group] if check.group else []),
            self.derived,
            *([self.ngram, self.short] if check.ngram else []),
            *([self.near] if check.near is not None else []),
        ]

    def exact(self, one: Row, other: Row) -> Iterator[tuple[str, float, int, bool]]:
        if (one.text, one.label) == (other.text, other.label):
            yield "leak_exact", 1, 0, False
        elif one.folded == other.folded:
            is_same = one.label.lower() == other.label.lower()
            yield "leak_normalized" if is_same else "leak_input", 1, 0, False

    def group(self, one: Row, other: Row) -> Iterator[tuple[str, float, int, bool]]:
        if one.group == other.group:
            yield "leak_group", 1, 0, False

    def derived(self, one: Row, other: Row) -> Iterator[tuple[str, float, int, bool]]:
        if other.derived_from is not None and other.derived_from == one.key:
            yield "leak_derived", 1, 0, False

    def ngram(self, one: Row, other: Row) -> Iterator[tuple[str, float, int, bool]]:
        size = self.check.ngram
        own = {run for words in self.texts(one) for run in runs_of(words, size)} - self.frequent
        longest = covered = 0
        for words in self.texts(other):
            shared = "".join("+" if run in own else " " for run in runs_of(words, size))
            lengths = [size - 1 + len(run) for run in shared.split()]
            longest, covered = max([longest, *lengths]), covered + sum(lengths)
        if longest:
            total = sum(map(len, self.texts(one)))
            yield "leak_ngram", min(covered / total, 1), longest, False

    def tie(self, code: str, one: Row, other: Row) -> int:
        """Return what decides between equally near rows: equality, or the first shared run."""
        if code != "leak_ngram":
            return int(code != "leak_exact")
        size = self.check.ngram
        own = {run for words in self.texts(one) for run in runs_of(words, size)} - self.frequent
        runs = [run for words in self.texts(other) for run in runs_of(words, size)]
        return next(at for at, run in enumerate(runs) if run in own)

    def short(self, one: Row, other: Row) -> Iterator[tuple[str, float, int, bool]]:
        if self.is_constant:
            return
        item = words_of(one.folded)
        if 5 <= len(item) <= 12 and any(
            tuple(item) in runs_of(words, len(item)) for words in self.texts(other)
        ):
            yield "leak_short_item", 1, len(item), False

    def near(self, one: Row, other: Row) -> Iterator[tuple[str, float, int, bool]]:
        if self.is_constant or self.check.near is None:
            return
        first, second = grams(one.folded), grams(other.folded)
        jaccard = len(first & second) / len(first | second)
        if jaccard >= self.check.near - 1e-9:
            yield "leak_near_duplicate", jaccard, 0, len(words_of(one.folded)) < 8


Found = tuple[str, int, int, float, int, bool]


def slowly(
    evaluated: list[StoredExample],
    trained: list[StoredExample],
    rows: dict[int, Row],
    check: LeakCheckSpec,
) -> list[Found]:
    """Return the leaks: per layer, training row and side the nearest pair that no layer before saw,
    of equally near ones the first in order of row_id. Where the layer cannot tell evaluation rows
    apart (one group, the same words, all that are similar) only the first of them is asked.
    """
    ordered = sorted(evaluated, key=lambda item: item.row_id)
    compared = Slowly([rows[id(e)] for e in evaluated], [rows[id(t)] for t in trained], check)
    seen: set[tuple[int, int]] = set()
    leaks: list[Found] = []
    for layer in compared.layers():
        offered: set[tuple[int, int, object]] = set()
        best: dict[tuple[int, int, bool], tuple[tuple[float, int, int], Found]] = {}
        for other, one in product(trained, ordered):
            side = rows[id(one)].side
            for code, score, run, is_only in layer(rows[id(one)], rows[id(other)]):
                alike: dict[str, object] = {
                    "leak_group": "group",
                    "leak_short_item": tuple(words_of(rows[id(one)].folded)),
                    "leak_near_duplicate": is_only,
                }
                stands_for = id(other), side, alike.get(code, one.line)
                if stands_for in offered:
                    continue
                offered.add(stands_for)
                if (one.line, other.line) in seen:
                    continue
                key = id(other), side, is_only
                rank = score, run, -compared.tie(code, rows[id(one)], rows[id(other)])
                if key not in best or rank > best[key][0]:
                    best[key] = rank, (code, one.line, other.line, score, run, is_only)
        found = [leak for _, leak in best.values()]
        seen |= {leak[1:3] for leak in found}
        leaks += found
    return sorted(leaks)


def shown(leak: Leak) -> Found:
    return (
        leak.code,
        leak.evaluated.line,
        leak.trained.line,
        leak.score,
        leak.run_tokens,
        leak.is_only_reported,
    )


def found_and_expected(
    evaluated: list[Row], trained: list[Row], check: LeakCheckSpec, *, is_compared: bool = True
) -> tuple[LeakReport, list[Found]]:
    with tempfile.TemporaryDirectory() as folder, ContentStore(Path(folder)) as contents:
        items = [row.store(line, contents) for line, row in enumerate(evaluated + trained)]
        rows = {id(item): row for item, row in zip(items, evaluated + trained, strict=True)}
        own, others = items[: len(evaluated)], items[len(evaluated) :]
        report = find_leaks(
            own,
            others,
            check,
            contents,
            has_declared_groups=True,
            side=lambda item: rows[id(item)].side,
        )
        expected = slowly(own, others, rows, check) if own and others and is_compared else []
        return report, expected


WORDS = st.sampled_from(["pump", "hall", "Hall", "stops", "nine", "oil", "valve", "north"])
TEXT = st.lists(WORDS, min_size=1, max_size=16).map(" ".join)
FRAMED = st.builds(
    "the {} in the old {} stops at {} and nobody knows {}".format, WORDS, WORDS, WORDS, TEXT
)


FAULT = "major fault of hall nine stops"


def rows(kind: str) -> st.SearchStrategy[list[Row]]:
    keys = st.integers(0, 9).map("k{}".format)
    return st.lists(
        st.builds(
            Row,
            TEXT | FRAMED,
            st.sampled_from(["minor", "Minor", FAULT, FAULT.title()]),
            st.integers(0, 30).map(str),
            st.none(),
            keys | st.none() if kind == "trained" else st.none(),
            st.integers(0, 1) if kind == "evaluated" else st.just(0),
        ),
        max_size=14,
    )


@settings(max_examples=100, derandomize=True)
@given(
    rows("evaluated"),
    rows("trained"),
    st.builds(
        LeakCheckSpec,
        exact=st.booleans(),
        group=st.booleans(),
        ngram=st.sampled_from([0, 2, 3, 6]),
        near=st.sampled_from([None, 0.5, 0.7]),
    ),
)
def test_leaks_are_those_that_comparing_all_pairs_finds(
    evaluated: list[Row], trained: list[Row], check: LeakCheckSpec
) -> None:
    unique = {(row.side, row.text, row.label): row for row in evaluated}.values()
    named = [replace(row, key=f"k{number}") for number, row in enumerate(unique)]
    report, expected = found_and_expected(named, trained, check)
    assert sorted(map(shown, report.leaks)) == expected


WORDY = " ".join(f"machine{number}" for number in range(20))
SHORT = "pump nine of the hall"


def row(text: str, label: str = "minor", *, side: int = 0, **more: Any) -> Row:
    return Row(text, label, more.pop("group", f"g{text}{label}"), None, None, side)


@pytest.mark.parametrize(
    ("code", "own", "other"),
    [
        ("leak_exact", row(WORDY), row(WORDY)),
        ("leak_normalized", row(WORDY), row(WORDY.upper())),
        ("leak_input", row(WORDY), row(WORDY, "major")),
        ("leak_group", row(WORDY, group="a"), row("else", group="a")),
        ("leak_ngram", row(f"{WORDY} a b"), row(f"c d e f g h i j k {WORDY[:120]}")),
        ("leak_short_item", row(SHORT), row(f"so the {SHORT} stops")),
        ("leak_short_item", row(SHORT), row("which one", f"the {SHORT}")),
        ("leak_near_duplicate", row(WORDY), row(f"{WORDY}s")),
    ],
)
def test_each_side_is_told_of_its_own_row(code: str, own: Row, other: Row) -> None:
    check = LeakCheckSpec(ngram=0 if code == "leak_near_duplicate" else 6, near=0.7)
    evaluated = [own, replace(own, side=1)]
    fillers = [row(f"far{at}", side=at % 2) for at in range(9)]
    report, expected = found_and_expected([*evaluated, *fillers], [other, row("far")], check)
    assert sorted(map(shown, report.leaks)) == expected
    assert [(leak.code, leak.evaluated.line) for leak in report.leaks] == [(code, 0), (code, 1)]
    assert report.counts() == {name: 2 * (name == code) for name in CODES}


def test_report_lists_the_strongest_layer_first() -> None:
    trained = [row(f"{WORDY}s"), row(WORDY.upper()), row(WORDY), row("far")]
    report, _ = found_and_expected(
        [row(WORDY), *(row(f"f{at}") for at in range(9))], trained, LeakCheckSpec(ngram=0)
    )
    codes = [json.loads(line)["code"] for line in report.lines()]
    assert codes == ["leak_exact", "leak_normalized", "leak_near_duplicate"]
    assert LeakReport(leaks=report.leaks[::-1]).lines() == report.lines()


def test_similar_row_that_is_only_reported_hides_none_that_blocks() -> None:
    near = f"{WORDY} so"
    pair = row("abcdefgh " * 7), row("abcdefgh " * 9)
    report, expected = found_and_expected(list(pair), [row(pair[0].text + "i")], ONLY_NEAR)
    assert sorted(map(shown, report.leaks)) == expected
    assert sorted(leak.is_only_reported for leak in report.leaks) == [False, True]
    report, _ = found_and_expected([row(WORDY), row(f"{WORDY} s")], [row(near)], ONLY_NEAR)
    (leak,) = report.leaks
    assert leak.evaluated.line == 1


def test_of_rows_that_are_contained_wholly_the_longest_run_is_reported() -> None:
    words = WORDY.split()
    evaluated = [row(" ".join(words[:7])), row(" ".join(words[7:])), row(" ".join(words[2:8]))]
    evaluated = [replace(item, label=item.text) for item in evaluated]
    check = LeakCheckSpec(ngram=6, near=None)
    report, expected = found_and_expected(evaluated, [row(WORDY), row("a"), row("b")], check)
    assert sorted(map(shown, report.leaks)) == expected
    assert [leak.run_tokens for leak in report.leaks if leak.code == "leak_ngram"] == [13]


def test_row_that_repeats_a_run_covers_no_more_than_the_whole_of_another() -> None:
    own = row(" ".join(WORDY.split()[:7]), "minor")
    fillers = [row(f"far{at}") for at in range(9)]
    report, expected = found_and_expected([own, *fillers], [row(f"{own.text} or " * 3)], RUNS)
    assert sorted(map(shown, report.leaks)) == expected
    assert report.leaks[0].score == 1


@pytest.mark.parametrize(("values", "is_constant"), [(7, True), (8, False)])
def test_input_of_few_values_for_its_many_rows_counts_in_the_exact_layers_only(
    values: int, is_constant: bool
) -> None:
    trained = [row(f"kind{at % (values - 1)}", f"label{at}") for at in range(698)]
    evaluated, shared = [row(WORDY, "gold")], row(WORDY, "trained")
    check = LeakCheckSpec(exact=False, group=False, ngram=6, near=None)
    report, _ = found_and_expected(evaluated, [*trained, shared], check, is_compared=False)
    assert bool(report.leaks) is not is_constant


@pytest.mark.parametrize(("shared", "is_template"), [(5, False), (6, True)])
def test_run_is_template_text_in_more_than_one_of_a_hundred_rows(
    shared: int, is_template: bool
) -> None:
    evaluated = [row(f"{WORDY} {at}") for at in range(shared)]
    evaluated += [row(f"no{at}") for at in range(500 - shared)]
    check = LeakCheckSpec(exact=False, group=False, ngram=6, near=None)
    report, _ = found_and_expected(
        evaluated, [row(f"{WORDY} or"), row("x")], check, is_compared=False
    )
    assert bool(report.leaks) is not is_template
    assert bool(report.boilerplate) is is_template


RUNS = LeakCheckSpec(exact=False, group=False, ngram=6, near=None)
ONLY_NEAR = LeakCheckSpec(exact=False, group=False, ngram=0, near=0.7)
EVERYTHING = SplitSpec(train=1.0, validation=0.0, test=0.0)
ONLY_DERIVED = LeakCheckSpec(exact=False, group=False, ngram=0, near=None)


def report_of(folder: Path) -> list[dict[str, Any]]:
    return lines_of(folder / "out", "leak_report.jsonl")


@pytest.mark.parametrize("named_by", ["row_id", "key"])
def test_training_row_that_names_an_evaluation_row_blocks(tmp_path: Path, named_by: str) -> None:
    gold = source("gold", "gold_test", field_mapping={"id": "id"})
    write_rows(tmp_path / "gold.jsonl", [{**row, "id": row["text"]} for row in rows_of(30, 900)])
    prepared(tmp_path, gold)
    entry = lines_of(tmp_path / "out", "index.jsonl")[4]
    origin = entry["row_id"] if named_by == "row_id" else f"gold-{rows_of(1, 904)[0]['text']}"
    rows = [
        {**row, "derived_from": origin if at == 7 else "x"} for at, row in enumerate(rows_of(40))
    ]
    write_rows(tmp_path / "tickets.jsonl", rows)
    result = prepared(tmp_path, source(), gold, split=EVERYTHING, leak_check=ONLY_DERIVED)
    (leak,) = report_of(tmp_path)
    assert (leak["code"], leak["score"], leak["is_only_reported"]) == ("leak_derived", 1.0, False)
    assert [place["line"] for place in leak["positions"]] == [5, 8]
    assert leak["gold_row_id"] == entry["row_id"] != leak["train_row_id"]
    assert result.manifest["leaks"]["blocking"] == 1
    assert [item.found for item in result.findings if item.code == "LEAK_FOUND"] == [
        "tickets.jsonl:8 = gold.jsonl:5"
    ]


def test_row_derived_from_a_row_that_is_gold_and_own_test_blocks(tmp_path: Path) -> None:
    """A row of the split's own test set only holds the training row; a gold row blocks it."""
    gold = source("gold", "gold_test")
    write_rows(tmp_path / "gold.jsonl", rows_of(30, 900))
    write_rows(tmp_path / "tickets.jsonl", rows_of(60, 900))
    prepared(tmp_path, source(), gold, leak_check=ONLY_DERIVED)
    placed = lines_of(tmp_path / "out", "index.jsonl")
    gold_ids = {row["row_id"] for row in placed if row["split"] == "gold_test"}
    origin = next(r["row_id"] for r in placed if r["split"] == "test" and r["row_id"] in gold_ids)
    trained = next(r for r in placed if r["split"] == "train")
    rows = [
        {**row, "derived_from": origin if at == trained["line"] - 1 else "x"}
        for at, row in enumerate(rows_of(60, 900))
    ]
    write_rows(tmp_path / "tickets.jsonl", rows)
    result = prepared(tmp_path, source(), gold, leak_check=ONLY_DERIVED)
    assert [leak["train_row_id"] for leak in report_of(tmp_path)] == [trained["row_id"]] * 2
    assert result.manifest["leaks"]["blocking"] == 1


@pytest.mark.parametrize(("words", "is_leak"), [(7, False), (8, True), (30, True), (79, True)])
def test_similar_texts_block_from_eight_words_on(tmp_path: Path, words: int, is_leak: bool) -> None:
    text = " ".join(f"machine{number}" for number in range(words))
    write_rows(tmp_path / "gold.jsonl", [*rows_of(30, 900), {"text": text, "label": "minor"}])
    write_rows(tmp_path / "tickets.jsonl", [*rows_of(40), {"text": f"{text}s", "label": "minor"}])
    result = prepared(
        tmp_path,
        source(),
        source("gold", "gold_test"),
        split=EVERYTHING,
        leak_check=LeakCheckSpec(ngram=0),
    )
    (leak,) = report_of(tmp_path)
    assert (leak["code"], leak["is_only_reported"]) == ("leak_near_duplicate", not is_leak)
    assert ("LEAK_FOUND" in codes_of(result)) is is_leak
    assert result.manifest["leaks"]["blocking"] == int(is_leak)


@pytest.mark.parametrize(("words", "is_leak"), [(4, False), (5, True), (12, True), (13, False)])
def test_evaluation_input_of_five_to_twelve_words_may_stand_in_no_training_text(
    tmp_path: Path, words: int, is_leak: bool
) -> None:
    text = " ".join(f"w{number}" for number in range(words))
    longer = f"{text} {' '.join(f'v{number}' for number in range(90))}"
    write_rows(tmp_path / "gold.jsonl", [*rows_of(30, 900), {"text": text, "label": "minor"}])
    write_rows(tmp_path / "tickets.jsonl", [*rows_of(40), {"text": longer, "label": "minor"}])
    check = LeakCheckSpec(ngram=14)
    prepared(tmp_path, source(), source("gold", "gold_test"), split=EVERYTHING, leak_check=check)
    found = [(leak["code"], leak["run_tokens"]) for leak in report_of(tmp_path)]
    assert found == ([("leak_short_item", words)] if is_leak else [])


def test_short_evaluation_input_of_two_fields_is_looked_for_as_one_text(tmp_path: Path) -> None:
    def row(instruction: str, text: str) -> dict[str, str]:
        return {"instruction": instruction, "input": text, "output": f"answer to {text}"}

    gold = [*(row(f"g{at} is", f"h{at}") for at in range(30)), row("please sort", "pump nine hall")]
    own = [
        *(row(f"t{at} is", f"u{at}") for at in range(40)),
        row("so please sort", "pump nine hall b"),
    ]
    write_rows(tmp_path / "gold.jsonl", gold)
    write_rows(tmp_path / "tickets.jsonl", own)
    mapper = {"mapper_id": "instruction_passthrough"}
    sources = source(**mapper), source("gold", "gold_test", **mapper)
    check = LeakCheckSpec(ngram=13, near=None)
    prepared(tmp_path, *sources, split=EVERYTHING, leak_check=check)
    found = [(leak["code"], leak["run_tokens"]) for leak in report_of(tmp_path)]
    assert found == [("leak_short_item", 5)]
    prepared(tmp_path, *sources, split=EVERYTHING, leak_check=LeakCheckSpec(ngram=0, near=0.6))
    first, second = (grams(f"{row['instruction']}\n{row['input']}") for row in (gold[-1], own[-1]))
    (leak,) = report_of(tmp_path)
    assert leak["score"] == round(len(first & second) / len(first | second), 6) > 0.8


def test_runs_of_template_text_are_listed_and_no_leaks(tmp_path: Path) -> None:
    frame = "please answer this question about pump {}"
    varied = [frame.format(" ".join(f"p{row}x{at}" for at in range(20))) for row in range(5)]
    gold = [{"text": text, "label": "minor"} for text in varied[:4]]
    write_rows(tmp_path / "gold.jsonl", [*rows_of(30, 900), *gold])
    rows = [*rows_of(40), {"text": varied[4], "label": "minor"}]
    write_rows(tmp_path / "tickets.jsonl", rows)
    sources = source(), source("gold", "gold_test")
    check = LeakCheckSpec(ngram=4)
    prepared(tmp_path, *sources, split=EVERYTHING, leak_check=check)
    runs = ["answer this question about", "please answer this question", "question about pump"]
    runs[2] = f"this {runs[2]}"
    assert report_of(tmp_path) == [{"code": "boilerplate", "run": run} for run in runs]
    write_rows(tmp_path / "gold.jsonl", [*rows_of(30, 900), *gold[:3]])
    prepared(tmp_path, *sources, split=EVERYTHING, leak_check=check)
    (leak,) = report_of(tmp_path)
    assert (leak["code"], leak["run_tokens"]) == ("leak_ngram", 6)
    assert leak["score"] == pytest.approx(6 / 27, abs=1e-6)


@pytest.mark.parametrize(
    ("role", "is_evaluated"),
    [("validation", False), ("test", True), ("gold_dev", True), ("gold_test", True)],
)
@pytest.mark.parametrize("trained", ["raw", "train", "validation"])
def test_rows_provided_for_evaluation_block_and_are_never_worked_around(
    tmp_path: Path, role: str, is_evaluated: bool, trained: str
) -> None:
    text = " ".join(f"word{number}" for number in range(20))
    write_rows(tmp_path / "other.jsonl", [*rows_of(30, 900), {"text": text, "label": "minor"}])
    write_rows(tmp_path / "tickets.jsonl", [*rows_of(40), {"text": f"{text} s", "label": "minor"}])
    result = prepared(tmp_path, source(role=trained), source("other", role), split=EVERYTHING)
    assert result.manifest["leaks"]["blocking"] == is_evaluated
    assert ("LEAK_FOUND" in codes_of(result)) is is_evaluated
    assert result.manifest["splits"]["held"] == 0


def test_turns_of_user_and_assistant_are_compared_and_no_system_turn_or_subtask() -> None:
    turns = [{"role": role, "content": role} for role in ("system", "user", "assistant", "tool")]
    example = Example(
        Position("chats", 1, "chats.jsonl"),
        "",
        None,
        "chat_sft",
        {"messages": turns, "subtask": "reply", "tone": "Kind"},
        {"text": "Yes"},
    )
    identify(example, {})
    content = content_of(content_bytes(example))
    assert Texts().of_inputs(content) == ["user", "assistant", "tool", "kind"]
    assert Texts().of_example(content) == ["user", "assistant", "tool", "kind", "yes"]
    assert Texts(frozenset({"tone"})).of_inputs(content) == ["user", "assistant", "tool"]


def test_text_without_inputs_stands_for_them_and_counts_once() -> None:
    at = Position("books", 1, "books.jsonl")
    example = Example(at, "", None, "language_modeling", {}, {"text": "A  Page"})
    identify(example, {})
    content = content_of(content_bytes(example))
    assert Texts().of_inputs(content) == Texts().of_example(content) == ["a page"]


def test_no_run_is_missed_wherever_it_stands() -> None:
    for size in range(2, 15):
        run = tuple(f"w{at}" for at in range(size))
        known = RunFilter.of([run], 1, size)
        for before in range(size + 1):
            assert known.may_match([*(f"x{at}" for at in range(before)), *run, "y"])
        assert not known.may_match([f"z{at}" for at in range(3 * size)])
