"""What is wrong with a row has one outcome, which a person finds by file and line."""

import csv
import io
import json
import unicodedata
from typing import Any

import msgspec
import orjson
import pytest

from tests.apply.bench import Bench, row
from tests.cli.conftest import Doubles, Run

_FAULTS: dict[bytes, str] = {
    b'{"text": "a", "text": "b", "label": "late"}': "duplicate_key",
    b'{"text": "a", "te\\u0078t": "b", "label": "late"}': "duplicate_key",
    b'{"text": "a", "label": "late", "n": NaN}': "number_not_finite",
    b'{"text": "a", "label": "late", "n": 1e400}': "number_out_of_range",
    b'{"text": "a", "label": "late", "n": ' + b"9" * 30 + b"}": "number_out_of_range",
    b'{"text": "\\ud800", "label": "late"}': "invalid_unicode",
    b'\xef\xbb\xbf{"text": "a", "label": "late"}': "parse_error",
    b'{"text": "a", "label": "late",}': "parse_error",
    b'{"text": "a", "label": ' + b"[" * 2000 + b"]" * 2000 + b"}": "nesting_too_deep",
    b'{"text": "a\\u0000", "label": "late"}': "control_character",
}


@pytest.mark.case("ROW-02")
def test_lines_that_parsers_read_differently_are_no_rows(
    bench: Bench, run: Run, doubles: Doubles
) -> None:
    path = bench.root / "data" / "rows.jsonl"
    good = path.read_bytes().splitlines()
    lines = [line for pair in zip(good, _FAULTS, strict=False) for line in pair]
    lines += good[len(_FAULTS) :]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    bench.edit("dataset: {", "dataset: {contract: {max_reject_rate: 1.0}, ")
    shown = run("plan").out
    for at, code in enumerate(_FAULTS.values()):
        assert f"warning[{code}]" in shown
        assert f"data/rows.jsonl:{2 * at + 2}" in shown
    assert run("apply", "--auto-approve").code == 0
    assert doubles.doors
    rejected = {item["line"]: item["reason_code"] for item in _prepared(bench, "rejected.jsonl")}
    assert rejected == {2 * at + 2: code for at, code in enumerate(_FAULTS.values())}
    for line in good:
        value = json.loads(line)
        assert value == orjson.loads(line) == msgspec.json.decode(line)
    texts = {item["inputs"]["text"] for name in ("train", "val") for item in _examples(bench, name)}
    assert texts == {json.loads(line)["text"] for line in good}


def _prepared(bench: Bench, name: str) -> list[dict[str, Any]]:
    """Return the lines of a file of the recorded dataset."""
    artifacts, output = bench.artifacts(), bench.records()["dataset"].outputs["prepared"]
    data = artifacts.read_bytes(artifacts.listing(output.digest)[name].digest)
    return [json.loads(line) for line in data.splitlines()]


def _examples(bench: Bench, name: str) -> list[dict[str, Any]]:
    return _prepared(bench, f"{name}.jsonl")


@pytest.mark.case("ROW-04")
def test_cells_that_do_not_fit_are_told_by_the_line_that_an_editor_shows(
    bench: Bench, run: Run
) -> None:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["text", "label"])
    for number in range(60):
        writer.writerow([f"{row(number)['text']}\nand more", row(number)["label"]])
    faults = ["a,late,more\n", "only text\n", 'a "quote,late\n', "nul \0,late\n"]
    codes = ["column_count_mismatch", "column_count_mismatch", "parse_error", "control_character"]
    text = "\ufeff" + out.getvalue().replace("\r\n", "\n") + "".join(faults)
    (bench.root / "data" / "rows.csv").write_text(text)
    bench.edit("data/rows.jsonl", "data/rows.csv")
    shown = run("plan").out
    first = len(text.splitlines()) - len(faults) + 1
    for at, code in enumerate(codes):
        assert f"warning[{code}]" in shown
        assert f"data/rows.csv:{first + at}" in shown, shown
    assert "read 94 · accepted 90 · rejected 4" in shown


@pytest.mark.case("ROW-04")
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"text,text\na,b\n", "DUPLICATE_COLUMN"),
        ("text,label\né,late\n".encode("utf-16"), "ENCODING_UNSUPPORTED"),
        ("text,label\né,late\n".encode("latin-1"), "invalid_unicode"),
    ],
)
def test_tables_that_cannot_be_read_are_refused(
    data: bytes, code: str, bench: Bench, run: Run, doubles: Doubles
) -> None:
    (bench.root / "data" / "rows.csv").write_bytes(data)
    bench.edit("data/rows.jsonl", "data/rows.csv")
    for words in (("plan",), ("apply", "--auto-approve")):
        answer = run(*words)
        assert (answer.code, code in answer.out + answer.err) == (1, True), answer
    assert (doubles.started, (bench.home / "state.db").exists()) == ([], False)


@pytest.mark.case("ROW-08")
@pytest.mark.parametrize(
    ("label", "other", "code"),
    [
        ("late", "Late", "LABEL_COLLISION"),
        ("late", " late ", ""),
        ("late", "late\u00a0", ""),
        ("late", "la\u200bte", "LABEL_COLLISION"),
        ("caf\u00e9", "cafe\u0301", ""),
    ],
    ids=ascii,
)
def test_labels_that_look_equal_are_one_or_are_told(
    label: str, other: str, code: str, bench: Bench, run: Run
) -> None:
    path = bench.root / "data" / "rows.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    adapters = (
        f"{{name: {name}, source_ref: {name}, base_adapter_id: label_to_classification}}"
        for name in ("rows", "gold")
    )
    bench.edit("  dataset:", f"  adapters: [{', '.join(adapters)}]\n  dataset:")
    named = [
        {**item, "label": label if item["label"] == "late" else item["label"]} for item in rows
    ]
    named += [{"text": f"another {number}", "label": other} for number in range(8)]
    path.write_text("".join(f"{json.dumps(item)}\n" for item in named))
    document = run("plan", "--json").document
    codes = {item["code"] for item in document["findings"]}
    dataset = next(item for item in document["actions"] if item["address"] == "dataset")
    labels = dataset["after"]["values"]["manifest"]["labels"]
    looks = {unicodedata.normalize("NFC", item).strip().casefold() for item in labels}
    assert code in codes if code else len(looks) == len(labels), (codes, labels)


@pytest.mark.case("ROW-07")
def test_loss_of_rows_meets_the_least_that_is_written(
    applied: Bench, run: Run, doubles: Doubles
) -> None:
    records = applied.records()
    applied.edit("dataset: {", "dataset: {contract: {min_rows: 50}, ")
    path = applied.root / "data" / "rows.jsonl"
    path.write_text("".join(f"{line}\n" for line in path.read_text().splitlines()[:6]))
    for words in (("plan",), ("apply", "--auto-approve")):
        answer = run(*words)
        assert answer.code == 1
        assert "min_rows" in (answer.out + answer.err).lower()
    assert (doubles.started, applied.records()) == ([], records)
