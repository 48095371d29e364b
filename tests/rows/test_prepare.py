"""Preparing: every row has one fate, content alone decides it, and leaks block."""

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brewslm.diagnostics import FindingCode, Severity
from brewslm.fingerprint import digest_value
from brewslm.rows.dataset import CleaningSpec, LeakCheckSpec, MixBackSpec, SplitSpec
from tests.rows.composing import codes_of, lines_of, prepared, rows_of, source, write_rows

EXAMPLE_FILES = (
    "train.jsonl",
    "val.jsonl",
    "test.jsonl",
    "gold_dev.jsonl",
    "gold_test.jsonl",
    "held.jsonl",
)


def example_bytes(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in EXAMPLE_FILES]


def places(folder: Path) -> dict[str, str]:
    return {line["row_id"]: line["split"] for line in lines_of(folder, "index.jsonl")}


def test_lines_hold_what_training_and_evaluation_read(tmp_path: Path) -> None:
    write_rows(tmp_path / "tickets.jsonl", rows_of(60))
    result = prepared(tmp_path, source(), tag_columns=("site",))
    line = lines_of(tmp_path / "out", "train.jsonl")[0]
    assert list(line) == [
        "row_id",
        "task_profile",
        "group_key",
        "weight",
        "messages",
        "completion_from",
        "loss",
        "inputs",
        "reference",
        "tags",
    ]
    assert line["tags"]["site"].startswith("site")
    assert line["messages"][line["completion_from"]]["role"] == "assistant"
    stored = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    assert stored == result.manifest
    assert str(tmp_path) not in json.dumps(stored)


@pytest.mark.case("ROW-06", "EVA-10")
def test_order_of_rows_and_files_decides_nothing(tmp_path: Path) -> None:
    rows = rows_of(80)
    rows += [{**rows[0], "site": "elsewhere"}, {"text": "x"}, dict(reversed(rows[3].items()))]
    write_rows(tmp_path / "tickets.jsonl", rows)
    prepared(tmp_path, source(), tag_columns=("site",))
    random.Random(3).shuffle(rows)  # noqa: S311  a shuffle for a test
    (tmp_path / "moved").mkdir()
    write_rows(tmp_path / "moved" / "a.jsonl", rows)
    moved = source(locator="jsonl:moved/a.jsonl")
    prepared(tmp_path, moved, out="again", tag_columns=("site",))
    assert example_bytes(tmp_path / "out") == example_bytes(tmp_path / "again")


@pytest.mark.parametrize("seed", ["1", "77"])
def test_hash_seed_and_locale_decide_nothing(tmp_path: Path, seed: str) -> None:
    rows = [{**row, "label": f"{row['label']}{number % 7}"} for number, row in
            enumerate(rows_of(60))]  # fmt: skip
    write_rows(tmp_path / "tickets.jsonl", [*rows, {"text": "x"}, rows[0]])
    prepared(tmp_path, source())
    script = (
        "from pathlib import Path; from tests.rows.composing import prepared, source;"
        "prepared(Path('.'), source(), out='again')"
    )
    here = Path(__file__).parents[2]
    environment = {
        "PYTHONHASHSEED": seed,
        "PYTHONPATH": str(here),
        "LC_ALL": "C",
        "TZ": "Asia/Tokyo",
    }
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True)
    for path in (tmp_path / "out").iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.case("ROW-10")
def test_added_rows_move_no_other_row(tmp_path: Path) -> None:
    write_rows(tmp_path / "tickets.jsonl", rows_of(200))
    prepared(tmp_path, source())
    before = places(tmp_path / "out")
    write_rows(tmp_path / "tickets.jsonl", rows_of(260))
    prepared(tmp_path, source(), out="more")
    after = places(tmp_path / "more")
    assert all(after[row_id] == split for row_id, split in before.items())


@pytest.mark.case("ROW-05")
def test_every_row_read_has_one_fate(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = rows_of(50)
    write_rows(tmp_path / "tickets.jsonl", [*rows, rows[0], {"text": "no label"}])
    write_rows(tmp_path / "gold.jsonl", rows_of(12, 900))
    result = prepared(tmp_path, source(), source("gold", "gold_test"))
    total = result.manifest["accounting"]["total"]
    assert total["read"] == 64
    assert total["rejected"] == {"missing_label": 1}
    assert total["duplicates"] == 1
    assert total["splits"]["gold_test"] == 12
    assert total["accepted"] == 62
    fates = [line["kind"] for line in lines_of(tmp_path / "out", "rejected.jsonl")]
    assert sorted(fates) == ["duplicate", "reject"]
    assert "SMALL_GOLD_SET" in codes_of(result)


@pytest.mark.case("ROW-05")
@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.binary(max_size=30)
        | st.fixed_dictionaries(
            {"text": st.text(max_size=12), "label": st.sampled_from("ab") | st.integers(0, 2)}
        ).map(lambda row: json.dumps(row).encode()),
        max_size=14,
    ).map(b"\n".join)
)
def test_any_bytes_obey_the_accounting_laws_twice_the_same(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "tickets.jsonl").write_bytes(data)
    first = prepared(folder, source(), out="first")
    second = prepared(folder, source(), out="second")
    assert first == second
    if first.sources:
        total = first.manifest["accounting"]["total"]
        lost = total["read"] - total["accepted"] - total["duplicates"]
        assert lost == sum(total["rejected"].values())


@pytest.mark.case("EVA-04")
@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda text: text, "leak_exact"),
        (lambda text: text.upper(), "leak_normalized"),
        (lambda text: text.replace(" ", "   "), "leak_normalized"),
        (lambda text: text.replace("word17", "another"), "leak_ngram"),
        (lambda text: f"before it {text} and after it", "leak_ngram"),
    ],
)
def test_gold_rows_in_training_block(tmp_path: Path, change: Any, code: str) -> None:
    text = " ".join(f"word{number}" for number in range(20))
    write_rows(tmp_path / "tickets.jsonl", [*rows_of(40), {"text": change(text), "label": "minor"}])
    write_rows(tmp_path / "gold.jsonl", [*rows_of(30, 900), {"text": text, "label": "minor"}])
    split = SplitSpec(train=1.0, validation=0.0, test=0.0)
    result = prepared(tmp_path, source(), source("gold", "gold_test"), split=split)
    leaks = [item for item in result.findings if item.code == "LEAK_FOUND"]
    assert [item.message.split()[0] for item in leaks] == [code]
    assert leaks[0].severity is Severity.ERROR
    assert leaks[0].found == "tickets.jsonl:41 = gold.jsonl:31"
    warned = prepared(
        tmp_path,
        source(),
        source("gold", "gold_test"),
        split=split,
        leak_check=LeakCheckSpec(action="warn"),
    )
    assert [item.severity for item in warned.findings if item.code == "LEAK_FOUND"] == [
        Severity.WARNING
    ]


@pytest.mark.case("EVA-04")
def test_equal_input_with_another_answer_and_equal_groups_leak(tmp_path: Path) -> None:
    rows = rows_of(40)
    other = {**rows[4], "label": "other", "site": "alone"}
    write_rows(tmp_path / "tickets.jsonl", rows)
    write_rows(tmp_path / "gold.jsonl", [*rows_of(30, 900), other])
    sources = (source(), source("gold", "gold_test"))
    result = prepared(tmp_path, *sources, split=SplitSpec(train=1.0, validation=0.0, test=0.0))
    assert result.manifest["leaks"]["counts"]["leak_input"] == 1
    grouped = SplitSpec(train=1.0, validation=0.0, test=0.0, group_by=("site",))
    result = prepared(tmp_path, *sources, split=grouped, out="grouped")
    assert result.manifest["leaks"]["counts"]["leak_group"] == 40


def test_short_evaluation_items_inside_training_texts_leak(tmp_path: Path) -> None:
    item = {"text": "which pump stops in hall nine", "label": "minor"}
    longer = {"text": f"she asked {item['text']} again and again today", "label": "minor"}
    write_rows(tmp_path / "tickets.jsonl", [*rows_of(40), longer])
    write_rows(tmp_path / "gold.jsonl", [*rows_of(30, 900), item])
    result = prepared(
        tmp_path,
        source(),
        source("gold", "gold_test"),
        split=SplitSpec(train=1.0, validation=0.0, test=0.0),
    )
    assert result.manifest["leaks"]["counts"]["leak_short_item"] == 1


def test_training_rows_like_the_own_test_set_are_held(tmp_path: Path) -> None:
    base = [" ".join(f"w{row}x{number}" for number in range(30)) for row in range(60)]
    rows = [{"text": text + end, "label": "a"} for text in base for end in ("", " indeed")]
    write_rows(tmp_path / "tickets.jsonl", rows)
    result = prepared(tmp_path, source())
    assert result.manifest["accounting"]["total"]["holds"]["leak_held"] > 0
    assert "LEAK_FOUND" not in codes_of(result)
    test_texts = {line["inputs"]["text"][:40] for line in lines_of(tmp_path / "out", "test.jsonl")}
    train = lines_of(tmp_path / "out", "train.jsonl")
    assert not test_texts & {line["inputs"]["text"][:40] for line in train}


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), min_size=1, max_size=25),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), min_size=1, max_size=25),
)
def test_leaks_of_templated_rows_are_those_that_comparing_all_pairs_finds(
    train: list[tuple[int, int]], gold: list[tuple[int, int]]
) -> None:
    frames = (
        "please send order {} to the desk in the harbour street today",
        "please send order {} to the desk in the harbour street tomorrow morning",
        "who can repair the pump number {} in the western hall",
        "order {}",
    )
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        rows = [[frames[frame].format(slot) for frame, slot in side] for side in (train, gold)]
        varied = [{"text": text, "label": "a"} for text in rows[0]]
        write_rows(root / "tickets.jsonl", [*varied, *rows_of(8)])
        write_rows(root / "gold.jsonl", [{"text": text, "label": "a"} for text in rows[1]])
        everything = SplitSpec(train=1.0, validation=0.0, test=0.0)
        check = LeakCheckSpec(exact=False, ngram=0, action="warn")
        prepared(root, source(), source("gold", "gold_test"), split=everything, leak_check=check)
        found = {
            item["train_row_id"]
            for item in lines_of(root / "out", "leak_report.jsonl")
            if not item["is_only_reported"]
        }
        texts = {
            line["row_id"]: line["inputs"]["text"] for line in lines_of(root / "out", "train.jsonl")
        }
    expected = {
        row_id
        for row_id, text in texts.items()
        for other in rows[1]
        if len(other.split()) >= 8 and jaccard(text, other) >= 0.7
    }
    assert found == expected


def jaccard(first: str, second: str) -> float:
    one, two = ({text[at : at + 5] for at in range(len(text) - 4)} for text in (first, second))
    return len(one & two) / len(one | two)


def test_rows_of_one_template_are_reported_once_each(tmp_path: Path) -> None:
    rows = [
        {"text": f"please send the order number {row} to the desk in the harbour", "label": "a"}
        for row in range(300)
    ]
    write_rows(tmp_path / "tickets.jsonl", rows[:200])
    write_rows(tmp_path / "gold.jsonl", rows[200:])
    result = prepared(
        tmp_path,
        source(),
        source("gold", "gold_test"),
        split=SplitSpec(train=1, validation=0, test=0),
    )
    assert result.manifest["leaks"]["counts"]["leak_near_duplicate"] == 200
    assert "LEAK_FOUND" in codes_of(result)


def test_weights_repeat_and_hold_train_rows_only(tmp_path: Path) -> None:
    counts = {"a": (10, 3.0), "b": (200, 1.0), "c": (400, 0.25)}
    for start, (name, (count, _)) in enumerate(counts.items()):
        write_rows(tmp_path / f"{name}.jsonl", rows_of(count, start * 1000))
    plain = [source(name, "train") for name in counts]
    weighted = [source(name, "train", weight=weight) for name, (_, weight) in counts.items()]
    split = SplitSpec(train=1.0, validation=0.0, test=0.0)
    before = prepared(tmp_path, *plain, split=split)
    after = prepared(tmp_path, *weighted, split=split, out="weighted")
    mix = after.manifest["mix"]["sources"]
    assert (mix["a"]["effective_rows"], mix["b"]["effective_rows"]) == (30, 200)
    assert 70 <= mix["c"]["rows"] <= 130
    held = after.manifest["accounting"]["total"]["holds"]["weight_excluded"]
    assert held == 400 - mix["c"]["rows"]
    assert before.manifest["train_rows_effective"] == 610


def test_mixing_back_reaches_its_fraction_within_one_row(tmp_path: Path) -> None:
    write_rows(tmp_path / "tickets.jsonl", rows_of(100))
    write_rows(tmp_path / "general.jsonl", rows_of(100, 5000))
    result = prepared(
        tmp_path,
        source(),
        source("general"),
        split=SplitSpec(train=1.0, validation=0.0, test=0.0),
        mix_back=MixBackSpec(source="general", fraction=0.1),
    )
    effective = result.manifest["train_rows_effective"]
    assert abs(result.manifest["mix"]["mix_back"]["rows"] - 0.1 * effective) <= 1


def test_too_few_rows_to_mix_back_are_told(tmp_path: Path) -> None:
    write_rows(tmp_path / "tickets.jsonl", rows_of(100))
    write_rows(tmp_path / "general.jsonl", rows_of(5, 5000))
    result = prepared(
        tmp_path,
        source(),
        source("general"),
        split=SplitSpec(train=1.0, validation=0.0, test=0.0),
        mix_back=MixBackSpec(source="general", fraction=0.2),
    )
    (told,) = [item for item in result.findings if item.code == "MIX_BACK_SHORT"]
    assert (told.found, told.expected) == (
        "5 rows, a share of 0.0476",
        "25 rows, a share of 0.2",
    )


def test_a_smaller_cap_is_a_subset_of_a_larger_one(tmp_path: Path) -> None:
    write_rows(tmp_path / "tickets.jsonl", rows_of(60))
    split = SplitSpec(train=1.0, validation=0.0, test=0.0)
    kept = []
    for size in (10, 20):
        prepared(tmp_path, source(), split=split, max_examples=size, out=f"cap{size}")
        train = lines_of(tmp_path / f"cap{size}", "train.jsonl")
        kept.append({line["row_id"] for line in train})
    assert [len(own) for own in kept] == [10, 20]
    assert kept[0] < kept[1]


def test_a_late_label_is_known(tmp_path: Path) -> None:
    write_rows(tmp_path / "tickets.jsonl", [*rows_of(1000), {"text": "late one", "label": "zz"}])
    result = prepared(tmp_path, source(), leak_check=LeakCheckSpec(near=None))
    assert result.manifest["labels"] == ["blocker", "major", "minor", "zz"]
    assert not result.bindings["tickets"].rejected


@pytest.mark.case("ROW-08")
def test_labels_that_look_equal_collide(tmp_path: Path) -> None:
    rows = [{**row, "label": "Major"} if number == 7 else row for number, row in
            enumerate(rows_of(40))]  # fmt: skip
    write_rows(tmp_path / "tickets.jsonl", rows)
    found = [
        item for item in prepared(tmp_path, source()).findings if item.code == "LABEL_COLLISION"
    ]
    assert [str(item.place) for item in found] == ["tickets.jsonl:8"]


@pytest.mark.case("ROW-08")
def test_labels_with_invisible_characters_are_named(tmp_path: Path) -> None:
    rows = [*rows_of(40), {"text": "another one", "label": "ma\u200bjor"}]
    write_rows(tmp_path / "tickets.jsonl", rows)
    codes = codes_of(prepared(tmp_path, source()))
    assert {"INVISIBLE_IN_IDENTIFIER", "LABEL_COLLISION"} <= set(codes)


@pytest.mark.case("EVA-04")
def test_texts_to_learn_leak_by_similarity(tmp_path: Path) -> None:
    text = " ".join(f"word{number}" for number in range(11))
    write_rows(tmp_path / "tickets.jsonl", [*rows_of(30), {"text": f"{text} tail"}])
    write_rows(tmp_path / "gold.jsonl", [*rows_of(30, 900), {"text": text}])
    plain = {"mapper_id": "text_only"}
    result = prepared(
        tmp_path,
        source(**plain),
        source("gold", "gold_test", **plain),
        split=SplitSpec(train=1.0, validation=0.0, test=0.0),
        leak_check=LeakCheckSpec(ngram=0),
    )
    assert result.manifest["leaks"]["counts"]["leak_near_duplicate"] == 1


def test_contract_names_schema_violations_and_limits(tmp_path: Path) -> None:
    rows = [
        {"question": f"report {number} {number * 7}", "answer": json.dumps({"n": number})}
        for number in range(40)
    ]
    rows.append({"question": "bad", "answer": '{"n": "three"}'})
    write_rows(tmp_path / "tickets.jsonl", rows)
    contract = {
        "json_schema": {"type": "object", "properties": {"n": {"type": "integer"}}},
        "max_rejects_by_code": {"schema_violation": 0},
        "min_rows": 1000,
    }
    extraction = source(mapper_id="qa_pair_passthrough", task_profile="structured_extraction")
    result = prepared(tmp_path, extraction, contract=contract)
    codes = codes_of(result)
    assert {"REJECT_RATE_EXCEEDED", "MIN_ROWS_UNMET", "schema_violation"} <= set(codes)
    reject = lines_of(tmp_path / "out", "rejected.jsonl")[0]
    assert (reject["reason_code"], reject["detail"]) == ("schema_violation", "/n type")


def test_remote_schema_references_are_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "tickets.jsonl", rows_of(3))
    contract = {"json_schema": {"$ref": "http://127.0.0.1:1/schema.json"}}
    assert "JSON_SCHEMA_INVALID" in codes_of(prepared(tmp_path, source(), contract=contract))


def test_secrets_and_redacted_data_reach_no_file(tmp_path: Path) -> None:
    secret, email = "AKIA" + "ABCDEFGHIJKLMNOP", "mira.long@example.org"
    rows = rows_of(40)
    rows[3]["text"] += f" {secret}"
    rows[5]["text"] += f" write to {email} or +49 170 1234567"
    rows += [{"text": secret}, {"text": email}]
    write_rows(tmp_path / "tickets.jsonl", rows)
    with (tmp_path / "tickets.jsonl").open("a") as stream:
        stream.write(f'{{"text": {secret}}}\n{{"text": {email}}}\n')
    result = prepared(tmp_path, source(), cleaning=CleaningSpec(pii="redact"))
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert result.bindings["tickets"].rejected == {
        "missing_label": 2,
        "parse_error": 2,
        "secret_in_row": 1,
    }
    for canary in (secret, email, "1234567"):
        assert canary.encode() not in written
        assert canary not in repr(result.findings)
    assert b"[REDACTED_EMAIL]" in written


@pytest.mark.parametrize(
    ("action", "severity"), [("warn", Severity.WARNING), ("block", Severity.ERROR)]
)
def test_personal_data_warns_or_blocks_without_its_text(
    tmp_path: Path, action: Any, severity: Severity
) -> None:
    rows = rows_of(40)
    rows[5]["text"] += " mira@example.org"
    write_rows(tmp_path / "tickets.jsonl", rows)
    result = prepared(tmp_path, source(), cleaning=CleaningSpec(pii=action))
    found = [item for item in result.findings if item.code == "PII_FOUND"]
    assert [(item.severity, item.place.line) for item in found] == [(severity, 6)]
    assert found[0].found == "EMAIL 1; first tickets.jsonl:6"


def test_trouble_with_a_source_is_a_finding_with_its_place(tmp_path: Path) -> None:
    write_rows(tmp_path / "tickets.jsonl", rows_of(40))
    result = prepared(
        tmp_path,
        source(sha256="0" * 64, record_count=7, field_mapping={"label": "lable"}),
        source("gone", locator="jsonl:gone.jsonl"),
    )
    errors = {item.code for item in result.findings if item.severity is Severity.ERROR}
    assert errors >= {
        "SOURCE_NOT_FOUND",
        "SOURCE_DIGEST_MISMATCH",
        "RECORD_COUNT_MISMATCH",
        "COLUMN_NOT_FOUND",
    }
    assert "NO_TRAIN_ROWS" not in errors, "what a missing file would have brought is not known"
    column = next(item for item in result.findings if item.code == "COLUMN_NOT_FOUND")
    assert column.actionable_fix == "write label: label in field_mapping (closest match)"


def test_unapproved_synthetic_rows_are_held(tmp_path: Path) -> None:
    rows = [
        {**row, "review_status": "approved" if number % 2 else "open"}
        for number, row in enumerate(rows_of(40))
    ]
    write_rows(tmp_path / "tickets.jsonl", rows)
    result = prepared(tmp_path, source(role="synthetic"))
    assert result.manifest["accounting"]["total"]["holds"] == {"pending_review": 20}
    index = lines_of(tmp_path / "out", "index.jsonl")
    assert {line["line"] for line in index if line["split"] == "held"} == set(range(1, 41, 2))


def test_large_integers_group_and_stratify(tmp_path: Path) -> None:
    rows = [{**row, "site": 2**60 + number % 4} for number, row in enumerate(rows_of(40))]
    write_rows(tmp_path / "tickets.jsonl", rows)
    stratified = SplitSpec(method="random", stratify_by="site")
    result = prepared(tmp_path, source(), split=stratified)
    assert result.manifest["splits"]["train"] == 32
    grouped = prepared(tmp_path, source(), split=SplitSpec(group_by=("site",)), out="grouped")
    assert set(grouped.bindings["tickets"].rejected) <= {"number_out_of_range"}


def test_near_duplicates_are_held_and_the_smallest_stays(tmp_path: Path) -> None:
    text = " ".join(f"word{number}" for number in range(40))
    rows = [*rows_of(40), {"text": text, "label": "a"}, {"text": text + " end", "label": "a"}]
    write_rows(tmp_path / "tickets.jsonl", rows)
    result = prepared(tmp_path, source(), cleaning=CleaningSpec(dedupe="near"))
    assert result.manifest["accounting"]["total"]["holds"] == {"near_duplicate": 1}
    entries = lines_of(tmp_path / "out", "index.jsonl")[-2:]
    held = [entry["row_id"] for entry in entries if entry["hold"] == "near_duplicate"]
    assert held == [max(entry["row_id"] for entry in entries)]


def test_cleaning_changes_line_ends_and_unicode_only(tmp_path: Path) -> None:
    text = "  cafe\u0301\r\n\tindented \n"
    write_rows(tmp_path / "tickets.jsonl", [{"text": text}, *rows_of(20)])
    prepared(tmp_path, source(mapper_id="text_only"))
    lines = [line for name in EXAMPLE_FILES for line in lines_of(tmp_path / "out", name)]
    assert "  caf\u00e9\n\tindented \n" in {line["text"] for line in lines}


def test_introspection_prepares_what_it_is_sure_of(tmp_path: Path) -> None:
    rows = [
        {"text": f"the pump in hall {number} stops after a while", "label": "ab"[number % 2]}
        for number in range(40)
    ]
    write_rows(tmp_path / "tickets.jsonl", rows)
    result = prepared(
        tmp_path, source(mapper_id=None), leak_check=LeakCheckSpec(near=None, ngram=0)
    )
    stats = result.bindings["tickets"]
    assert (stats.mapper_id, stats.confidence) == ("label_to_classification", 0.95)
    write_rows(tmp_path / "tickets.jsonl", [{"x": 1, "y": 2}, {"x": 2, "y": 3}])
    assert "MAPPING_LOW_CONFIDENCE" in codes_of(prepared(tmp_path, source(mapper_id=None)))


_KV = {"mapper_id": "kv_to_structured", "options": {"fields": ["site", "label"]}}


@pytest.mark.parametrize(
    ("column", "settings", "request_settings", "is_needed"),
    [
        ("n", {}, {}, False),
        ("text", {}, {}, True),
        ("site", {"field_mapping": {"id": "site"}}, {}, True),
        ("site", {}, {"split": SplitSpec(group_by=("site",))}, True),
        ("site", {}, {"split": SplitSpec(method="random", stratify_by="site")}, True),
        ("site", {}, {"tag_columns": ("site",)}, True),
        ("n", _KV, {}, False),
        ("site", _KV, {}, True),
        ("review_status", {}, {}, False),
        ("review_status", {"role": "synthetic"}, {}, True),
    ],
)
def test_a_value_that_cannot_be_read_rejects_the_rows_that_need_it(
    tmp_path: Path,
    column: str,
    settings: dict[str, Any],
    request_settings: dict[str, Any],
    is_needed: bool,
) -> None:
    rows = rows_of(40)
    write_rows(tmp_path / "tickets.jsonl", rows)
    lines = (tmp_path / "tickets.jsonl").read_text().splitlines()
    lines[7] = json.dumps({**rows[7], column: 0}).replace(f'"{column}": 0', f'"{column}": NaN')
    (tmp_path / "tickets.jsonl").write_text("\n".join(lines) + "\n")
    done = prepared(tmp_path, source(**settings), **request_settings)
    rejected = done.manifest["accounting"]["total"]["rejected"]
    assert rejected == ({"number_not_finite": 1} if is_needed else {})
    found = [item for item in done.findings if item.code == "number_not_finite"]
    assert [(item.place.line, column in item.found) for item in found] == [(8, True)] * is_needed
    if column == "n" and not is_needed:
        (unread,) = [item for item in done.findings if item.code == FindingCode.COLUMNS_UNREAD]
        assert "n" in unread.found


def test_sources_of_evaluated_rows_are_those_that_the_index_names_first(tmp_path: Path) -> None:
    """Some gold rows stand in both gold sources, once in the first and once in the second half."""
    write_rows(tmp_path / "tickets.jsonl", rows_of(40))
    write_rows(tmp_path / "early.jsonl", rows_of(10, 1000))
    write_rows(tmp_path / "late.jsonl", [*rows_of(10, 2000), *rows_of(5, 1000)])
    result = prepared(tmp_path, source(), source("late", "gold_test"), source("early", "gold_test"))
    first: dict[str, dict[str, str]] = {}
    for line in lines_of(tmp_path / "out", "index.jsonl"):
        first.setdefault(line["split"], {}).setdefault(line["row_id"], line["source"])
    gold = first["gold_test"]
    assert set(gold.values()) == {"early", "late"}
    assert result.manifest["row_sources"] == {"gold_test": digest_value(gold)}


@pytest.mark.parametrize("seed", range(4))
def test_of_a_chain_of_similar_rows_the_smallest_row_id_stays(tmp_path: Path, seed: int) -> None:
    """Each row is similar to the next one alone; the order of the lines decides nothing."""
    words = [f"word{number}" for number in range(100, 200)]
    chain = [{"text": " ".join(words[at : at + 40]), "label": "late"} for at in range(0, 24, 4)]
    rows = [*rows_of(20), *chain]
    random.Random(seed).shuffle(rows)  # noqa: S311  no secret depends on it
    write_rows(tmp_path / "tickets.jsonl", rows)
    prepared(
        tmp_path,
        source(),
        cleaning=CleaningSpec(dedupe="near", near_threshold=0.75),
        leak_check=LeakCheckSpec(near=None, ngram=0),
    )
    lines = {line["line"]: line for line in lines_of(tmp_path / "out", "index.jsonl")}
    of_chain = [lines[at + 1] for at, row in enumerate(rows) if row in chain]
    stays = min(line["row_id"] for line in of_chain)
    held = {line["row_id"] for line in of_chain if line["hold"] == "near_duplicate"}
    assert held == {line["row_id"] for line in of_chain} - {stays}
