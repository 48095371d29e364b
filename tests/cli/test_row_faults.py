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
    b'{"text": NaN, "label": "late", "n": 1}': "number_not_finite",
    b'{"text": "a", "label": 1e400, "n": NaN}': "number_out_of_range",
    b'{"text": ' + b"9" * 30 + b', "label": "late"}': "number_out_of_range",
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


@pytest.mark.case("ROW-02")
def test_what_no_field_is_bound_to_rejects_no_row(bench: Bench, run: Run) -> None:
    path = bench.root / "data" / "rows.jsonl"
    odd = ["NaN", "1e400", "9" * 30, '"\\ud800"', '"\\u0000"', "[" * 60 + "]" * 60, '1, "n": 2']
    lines = [
        line.replace("{", f'{{"n": {odd[at % len(odd)]}, ', 1)
        for at, line in enumerate(path.read_text().splitlines())
    ]
    before = run("plan", "--json").document
    path.write_text("\n".join(lines) + "\n")
    after = run("plan", "--json").document
    assert _dataset(after)["splits"] == _dataset(before)["splits"]
    assert (
        _dataset(after)["file_hashes"]["train.jsonl"]
        == (_dataset(before)["file_hashes"]["train.jsonl"])
    )
    assert "rejected" not in run("plan").out.replace("rejected 0", "")


def _dataset(plan: dict[str, Any]) -> dict[str, Any]:
    (action,) = (item for item in plan["actions"] if item["address"] == "dataset")
    return dict(action["after"]["values"]["manifest"])


@pytest.mark.case("ROW-04")
def test_one_unclosed_quote_leaves_the_other_rows(bench: Bench, run: Run) -> None:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["text", "label"])
    for number in range(300):
        writer.writerow([row(number)["text"], row(number)["label"]])
    lines = out.getvalue().splitlines()
    lines[40] = '"' + lines[40]
    (bench.root / "data" / "rows.csv").write_text("\n".join(lines) + "\n")
    bench.edit("data/rows.jsonl", "data/rows.csv")
    shown = run("plan").out
    assert "data/rows.csv:41: warning[parse_error]" in shown
    assert "an unclosed quote, which would cover 261 lines" in shown
    assert "rejected 1" in shown


@pytest.mark.parametrize(
    ("text", "line"),
    [("[{rows}]\n[{rows}]", 2), ('{{"data": [{rows}]}}\n\n\n[{rows}]', 4)],
)
def test_a_second_array_is_an_error_with_its_place(
    bench: Bench, run: Run, text: str, line: int
) -> None:
    rows = ", ".join(json.dumps(row(number)) for number in range(40))
    (bench.root / "data" / "rows.json").write_text(text.format(rows=rows))
    bench.edit("data/rows.jsonl", "data/rows.json")
    answer = run("plan")
    assert answer.code == 1
    assert f"data/rows.json:{line}: error[SOURCE_STRUCTURE]" in answer.out


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
    faults = ["a,late,more\n", "only text\n", '"a" quote,late\n', "nul \0,late\n"]
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


def test_rows_without_an_answer_are_for_evaluation_only(bench: Bench, run: Run) -> None:
    path = bench.root / "data" / "chats.jsonl"
    ask, reply = {"role": "user", "content": "where is"}, {"role": "assistant", "content": "here"}
    chats = [[{**ask, "content": f"where is {at}"}, reply][: 2 - at % 2] for at in range(40)]
    path.write_text("".join(json.dumps({"messages": turns}) + "\n" for turns in chats))
    (bench.root / "brewslm.yaml").write_text(
        "api_version: brewslm/v1\nkind: Project\nmetadata: {name: chats}\nspec:\n"
        "  model: {base_model: builtin:nano}\n"
        "  data_sources: [{name: chats, type: raw, file_path: data/chats.jsonl}]\n"
        "  adapters:\n    - name: turns\n      source_ref: chats\n"
        "      base_adapter_id: chat_messages_passthrough\n"
        "      adapter_config: {require_assistant_reply: false}\n"
    )
    answer = run("plan")
    assert answer.code == 1
    assert "data/chats.jsonl:2: error[NO_TRAINING_TARGET]" in answer.out
    assert "use the rows as gold rows" in answer.out


def test_labels_that_a_set_lacks_are_named(bench: Bench, run: Run) -> None:
    rows = [{**row(number), "label": "rare"} for number in range(200, 201)]
    with (bench.root / "data" / "rows.jsonl").open("a") as stream:
        stream.writelines(json.dumps(item) + "\n" for item in rows)
    found = {item["code"]: item for item in run("plan", "--json").document["findings"]}
    assert found["LABELS_WITHOUT_GOLD"]["message"].endswith("gold_test has no row of 1 label")
    assert '"rare"' in found["LABEL_MISSING_IN_SPLIT"]["found"]
