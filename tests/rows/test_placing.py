"""Rows that resemble each other: what they may cost, and what the plan says about them."""

from pathlib import Path
from typing import Any

import pytest

from brewslm.diagnostics import Finding, Severity
from brewslm.rows.dataset import CleaningSpec, LeakCheckSpec, SplitSpec
from brewslm.rows.prepare import Preparation
from brewslm.rows.record import Split
from brewslm.rows.split import set_of
from tests.rows.composing import codes_of, lines_of, prepared, rows_of, source, write_rows
from tests.rows.test_prepare import jaccard


def templated(count: int, templates: int = 1) -> list[dict[str, Any]]:
    """Rows of a few sentences, in each of which a number changes."""
    return [
        {
            "text": f"what became of order {row} that left the harbour {kind * 'very '}late,"
            f" case {' '.join(f'k{kind}x{word}' for word in range(12 if templates > 1 else 0))}",
            "label": "ab"[row % 2],
        }
        for row in range(count)
        for kind in [row % templates]
    ]


def finding(result: Preparation, code: str) -> Finding:
    return next(item for item in result.findings if item.code == code)


@pytest.mark.parametrize("count", [50, 60, 120, 200])
def test_a_first_project_of_one_template_trains(tmp_path: Path, count: int) -> None:
    write_rows(tmp_path / "tickets.jsonl", templated(count))
    result = prepared(tmp_path, source())
    splits = result.manifest["splits"]
    assert splits["held"] == 0
    assert splits["train"] >= 0.6 * count
    assert min(splits["validation"], splits["test"]) > 0
    kept = finding(result, "SIMILAR_ROWS_KEPT")
    assert kept.severity is Severity.WARNING
    trained = splits["train"] + splits["validation"]
    assert f"{trained} of {trained} training rows" in kept.message
    assert kept.found.count("tickets.jsonl:") == 6
    assert "harbour" not in repr(kept)
    assert [item.code for item in result.findings if item.severity is Severity.ERROR] == []
    leaks = lines_of(tmp_path / "out", "leak_report.jsonl")
    assert len(leaks) == trained
    assert all(item["is_only_reported"] for item in leaks)


def test_accepting_it_removes_the_finding_and_moves_no_row(tmp_path: Path) -> None:
    write_rows(tmp_path / "tickets.jsonl", templated(60))
    before = prepared(tmp_path, source())
    accepted = LeakCheckSpec(near=None, ngram=0)
    after = prepared(tmp_path, source(), leak_check=accepted, out="accepted")
    assert "near: null, ngram: 0" in finding(before, "SIMILAR_ROWS_KEPT").actionable_fix
    assert not [code for code in codes_of(after) if code.startswith("SIMILAR")]
    for name in ("train.jsonl", "val.jsonl", "test.jsonl"):
        assert before.files[name] == after.files[name]


def test_rows_of_many_templates_are_placed_template_by_template(tmp_path: Path) -> None:
    write_rows(tmp_path / "tickets.jsonl", templated(200, 20))
    result = prepared(tmp_path, source())
    assert finding(result, "SIMILAR_ROWS_GROUPED").severity is Severity.INFO
    splits = result.manifest["splits"]
    assert splits["held"] == 0
    assert splits["train"] >= 100
    texts = {
        name: [line["inputs"]["text"] for line in lines_of(tmp_path / "out", name)]
        for name in ("train.jsonl", "test.jsonl")
    }
    assert all(
        jaccard(one, other) < 0.7 for one in texts["train.jsonl"] for other in texts["test.jsonl"]
    )


def test_provided_rows_stay_protected_where_templates_are_let_through(tmp_path: Path) -> None:
    rows = templated(90)
    write_rows(tmp_path / "tickets.jsonl", rows[:60])
    write_rows(tmp_path / "gold.jsonl", rows[60:])
    result = prepared(tmp_path, source(), source("gold", "gold_test"))
    assert finding(result, "LEAK_FOUND").severity is Severity.ERROR
    assert result.manifest["leaks"]["blocking"] > 40
    kept = finding(result, "SIMILAR_ROWS_KEPT")
    assert "ngram: 0" not in kept.actionable_fix, "that would lift the protection of the gold rows"


def test_few_similar_rows_are_held_as_before_and_said_so(tmp_path: Path) -> None:
    base = [" ".join(f"w{row}x{number}" for number in range(30)) for row in range(60)]
    rows = [{"text": text + end, "label": "a"} for text in base for end in ("", " so", " now")]
    write_rows(tmp_path / "tickets.jsonl", rows)
    result = prepared(tmp_path, source())
    held = result.manifest["accounting"]["total"]["holds"]["leak_held"]
    said = finding(result, "SIMILAR_ROWS_HELD")
    assert said.message.startswith(f"{held} of ")
    write_rows(tmp_path / "tickets.jsonl", rows_of(60))
    assert not [code for code in codes_of(prepared(tmp_path, source())) if "SIMILAR" in code]


def test_rows_that_repeat_a_test_row_are_held_even_where_templates_pass(tmp_path: Path) -> None:
    rows = [{**row, "site": f"s{at}"} for at, row in enumerate(templated(60))]
    shouted = [{**row, "text": row["text"].upper(), "site": row["site"] * 2} for row in rows]
    write_rows(tmp_path / "tickets.jsonl", rows + shouted)
    result = prepared(tmp_path, source(), split=SplitSpec(group_by=("site",)))
    matching = {
        name: {line["inputs"]["text"].lower() for line in lines_of(tmp_path / "out", name)}
        for name in ("train.jsonl", "test.jsonl")
    }
    assert result.manifest["splits"]["held"] > 0
    assert matching["train.jsonl"]
    assert not matching["train.jsonl"] & matching["test.jsonl"]


def test_nothing_to_train_on_says_where_the_rows_are(tmp_path: Path) -> None:
    write_rows(tmp_path / "tickets.jsonl", templated(60))
    near = CleaningSpec(dedupe="near", near_threshold=0.6)
    results = (
        prepared(tmp_path, source(), split=SplitSpec(seed=seed), cleaning=near, out=f"out{seed}")
        for seed in range(99)
    )
    result = next(item for item in results if item.manifest["splits"]["train"] == 0)
    said = finding(result, "NO_TRAIN_ROWS")
    assert "held 59 (near_duplicate 59)" in said.found
    assert "rejected 0" in said.found
    assert "dedupe: exact" in said.actionable_fix


def test_holding_does_not_empty_a_set(tmp_path: Path) -> None:
    split = SplitSpec(group_by=("site",))
    places = {f"s{at}": set_of(f'g:["s{at}"]', split) for at in range(60)}
    sites = {chosen: [site for site in places if places[site] is chosen] for chosen in Split}
    text = " ".join(f"word{number}" for number in range(30))
    rows = [
        {**row, "site": site} for row, site in zip(rows_of(30), sites[Split.TRAIN], strict=False)
    ]
    rows += [
        {"text": text, "label": "minor", "site": sites[Split.TEST][0]},
        {"text": f"{text} so", "label": "minor", "site": sites[Split.VALIDATION][0]},
    ]
    write_rows(tmp_path / "tickets.jsonl", rows)
    result = prepared(tmp_path, source(), split=split)
    assert all(result.manifest["splits"][name] for name in ("train", "validation", "test"))
    assert {"SIMILAR_ROWS_KEPT", "SIMILAR_ROWS_GROUPED"} & set(codes_of(result))


def test_rows_that_wait_for_review_neither_leak_nor_fill_a_set(tmp_path: Path) -> None:
    gold = rows_of(30, 900)
    write_rows(tmp_path / "gold.jsonl", gold)
    approved = [{**row, "review_status": "approved"} for row in rows_of(40)]
    waiting = [{**row, "review_status": "open"} for row in gold]
    write_rows(tmp_path / "made.jsonl", [*waiting, *approved])
    result = prepared(
        tmp_path,
        source("made", "synthetic"),
        source("gold", "gold_test"),
        split=SplitSpec(train=1.0, validation=0.0, test=0.0),
        leak_check=LeakCheckSpec(near=None, ngram=0),
        max_examples=35,
    )
    assert result.manifest["leaks"]["blocking"] == 0
    total = result.manifest["accounting"]["total"]
    assert total["holds"] == {"pending_review": 30, "capped": 5}


def unlike(count: int, start: int = 5000) -> list[dict[str, Any]]:
    """Rows that resemble no other row."""
    return [
        {"text": " ".join(f"u{row}x{word}" for word in range(12)), "label": "ab"[row % 2]}
        for row in range(start, start + count)
    ]


@pytest.mark.parametrize(
    ("alike", "code"), [(75, "SIMILAR_ROWS_KEPT"), (35, "SIMILAR_ROWS_HELD"), (5, "")]
)
def test_similar_rows_are_held_up_to_half_of_the_rows_and_told_from_a_tenth_on(
    tmp_path: Path, alike: int, code: str
) -> None:
    write_rows(tmp_path / "tickets.jsonl", templated(alike) + unlike(100 - alike))
    split = SplitSpec(train=0.6, validation=0.2, test=0.2, seed=3)
    result = prepared(tmp_path, source(), split=split)
    held = result.manifest["accounting"]["total"]["holds"].get("leak_held", 0)
    assert [item for item in codes_of(result) if item.startswith("SIMILAR")] == [code][: len(code)]
    assert (held > 0) is (code != "SIMILAR_ROWS_KEPT")
    assert held <= alike


def test_rows_that_share_runs_alone_are_not_grouped(tmp_path: Path) -> None:
    frame = " ".join(f"frame{word}" for word in range(14))
    rows = [{**row, "text": f"{row['text'] * 4} {frame} {row['text']}"} for row in unlike(20)]
    write_rows(tmp_path / "tickets.jsonl", rows)
    for number, near in enumerate((0.7, None)):
        result = prepared(
            tmp_path, source(), leak_check=LeakCheckSpec(ngram=13, near=near), out=f"out{number}"
        )
        assert [code for code in codes_of(result) if "SIMILAR" in code] == ["SIMILAR_ROWS_KEPT"]
        assert result.manifest["splits"]["held"] == 0


def placed_sites(count: int, split: SplitSpec) -> dict[Split, list[str]]:
    """Sites by the set that each is placed in."""
    sites = [f"s{number}" for number in range(count)]
    return {
        chosen: [site for site in sites if set_of(f'g:["{site}"]', split) is chosen]
        for chosen in Split
    }


def test_rows_that_contain_a_short_test_row_are_kept_where_they_are_most(tmp_path: Path) -> None:
    split = SplitSpec(group_by=("site",))
    sites = placed_sites(90, split)
    short = "pump nine of the old hall"
    trained = [
        {**row, "text": f"{row['text']} {short}", "site": site}
        for row, site in zip(unlike(40), sites[Split.TRAIN], strict=False)
    ]
    others = [
        {**row, "site": sites[split][0]}
        for row, split in zip(unlike(1, 100), [Split.VALIDATION], strict=True)
    ]
    tested = {"text": short, "label": "a", "site": sites[Split.TEST][0]}
    write_rows(tmp_path / "tickets.jsonl", [*trained, *others, tested])
    result = prepared(tmp_path, source(), split=split)
    assert [code for code in codes_of(result) if "SIMILAR" in code] == ["SIMILAR_ROWS_KEPT"]
    assert result.manifest["splits"]["held"] == 0
    assert result.manifest["leaks"]["counts"]["leak_short_item"] == 40


def test_rows_equal_to_a_test_row_are_held_however_many_they_are(tmp_path: Path) -> None:
    split = SplitSpec(group_by=("site",))
    sites = placed_sites(90, split)
    text = "pump nine of the old hall stops"
    forms = [text[:at] + text[at].upper() + text[at + 1 :] for at in range(31) if text[at] != " "]
    trained = [{"text": form, "label": "a"} for form in forms] + unlike(9)
    rows = [{**row, "site": site} for row, site in zip(trained, sites[Split.TRAIN], strict=False)]
    rows.append({"text": text, "label": "a", "site": sites[Split.TEST][0]})
    write_rows(tmp_path / "tickets.jsonl", rows)
    result = prepared(tmp_path, source(), split=split)
    assert result.manifest["splits"]["held"] == len(forms) > 20
    assert not [code for code in codes_of(result) if "SIMILAR" in code]


def test_similar_rows_and_those_of_one_group_are_placed_together(tmp_path: Path) -> None:
    rows = [{**row, "site": f"own{at}"} for at, row in enumerate(templated(160, 16))]
    # Rows of three templates are one group: each template has a row at a site of the next one.
    names = [f"{chr(122 - at % 26)}{at}" for at in range(16)]
    for kind in range(0, 16, 4):
        for first in (kind, kind + 1):
            for row in (rows[first + 16], rows[first + 33]):
                row["site"] = names[first]
    short = [{"text": f"order {at} is late", "label": "a", "site": f"o{at}"} for at in range(40)]
    write_rows(tmp_path / "tickets.jsonl", rows + short)
    result = prepared(tmp_path, source(), split=SplitSpec(group_by=("site",)))
    assert "SIMILAR_ROWS_GROUPED" in codes_of(result)
    sets: dict[int, set[str]] = {}
    keys: dict[int, list[str]] = {}
    index = lines_of(tmp_path / "out", "index.jsonl")
    for line in index:
        kind = (line["line"] - 1) % 16
        if line["line"] <= 160:
            home = kind // 4 * 4 if kind % 4 < 3 else kind
            sets.setdefault(home, set()).add(line["split"])
            keys.setdefault(home, []).append(line["group_key"])
    assert len(sets) == 8
    expected = {home: {set_of(min(own), SplitSpec()).role} for home, own in keys.items()}
    assert sets == expected
    assert len({line["split"] for line in index if line["line"] > 160}) == 3


def test_sets_of_grouped_rows_are_near_their_shares(tmp_path: Path) -> None:
    whole = [{**row, "text": f"{row['text']} and so on"} for row in templated(40)]
    write_rows(tmp_path / "tickets.jsonl", templated(40, 20) + whole)
    ways = []
    for seed in (0, 2, 5, 6, 11):
        split = SplitSpec(train=0.7, validation=0.15, test=0.15, seed=seed)
        result = prepared(tmp_path, source(), split=split, out=f"out{seed}")
        ways += [code for code in codes_of(result) if code.startswith("SIMILAR")]
        if ways[-1] == "SIMILAR_ROWS_GROUPED":
            for name, share in (("train", 0.7), ("validation", 0.15), ("test", 0.15)):
                assert 0.25 * share * 80 <= result.manifest["splits"][name] <= 3 * share * 80
        else:
            index = lines_of(tmp_path / f"out{seed}", "index.jsonl")
            assert not [line for line in index if "split_forced" in line["flags"]]
    assert {*ways} >= {"SIMILAR_ROWS_GROUPED", "SIMILAR_ROWS_KEPT"}


@pytest.mark.parametrize("group_by", [(), ("site",)])
def test_group_counts_across_sets_where_it_was_declared(
    tmp_path: Path, group_by: tuple[str, ...]
) -> None:
    write_rows(tmp_path / "tickets.jsonl", [*rows_of(20), {**rows_of(1, 900)[0], "label": "minor"}])
    write_rows(
        tmp_path / "gold.jsonl", [{**row, "site": f"g{row['site']}"} for row in rows_of(9, 900)]
    )
    if group_by:
        write_rows(tmp_path / "gold.jsonl", rows_of(9, 900))
    result = prepared(
        tmp_path,
        source(),
        source("gold", "gold_test"),
        split=SplitSpec(train=1.0, validation=0.0, test=0.0, group_by=group_by),
        leak_check=LeakCheckSpec(exact=False, ngram=0, near=None),
    )
    assert bool(result.manifest["leaks"]["counts"]["leak_group"]) is bool(group_by)


@pytest.mark.parametrize("role", ["test", "gold_dev", "gold_test"])
def test_remedy_keeps_the_protection_of_every_provided_row(tmp_path: Path, role: str) -> None:
    write_rows(tmp_path / "tickets.jsonl", templated(60))
    write_rows(tmp_path / "other.jsonl", rows_of(9, 900))
    result = prepared(tmp_path, source(), source("other", role))
    assert "ngram: 0" not in finding(result, "SIMILAR_ROWS_KEPT").actionable_fix
