"""`brewslm init`: what it writes, what it keeps, and what it refuses."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from brewslm.cli.session import Session
from tests.apply.bench import Bench, row
from tests.cli.conftest import Run

LONG = "{}: these words are of number {} alone"
ROWS: dict[str, dict[str, Any]] = {
    "classification": {"text": LONG, "label": "b"},
    "chat_sft": {
        "messages": [{"role": "user", "content": LONG}, {"role": "assistant", "content": LONG}]
    },
    "instruction_sft": {"instruction": LONG, "output": LONG},
    "structured_extraction": {"tokens": ["number", "{}", "of"], "tags": ["O", "B-X", "O"]},
}


def fill(folder: Path, shape: object, name: str = "rows.jsonl", count: int = 80) -> None:
    lines = [
        json.dumps(shape).replace("{}", hashlib.sha256(bytes([index])).hexdigest())
        for index in range(count)
    ]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_without_data_it_writes_a_manifest_that_validates(empty: Path, run: Run) -> None:
    answer = run("init")
    assert answer.code == 0
    assert "Wrote brewslm.yaml" in answer.out
    assert "data/rows.jsonl" in answer.out
    assert run("validate").code == 0
    assert (empty / "brewslm.yaml").stat().st_mode & 0o777 == 0o644
    assert (empty / ".brewslm").stat().st_mode & 0o777 == 0o700
    assert (empty / ".brewslm" / ".gitignore").read_text() == "*\n"


def test_the_lineage_that_it_prints_is_that_of_the_next_plan(empty: Path, run: Run) -> None:
    fill(empty, ROWS["classification"])
    answer = run("init", "--from-data", "rows.jsonl")
    lineage = run("plan", "--json").document["project"]["lineage"]
    assert len(lineage) == 36
    assert lineage[:6] in answer.out


@pytest.mark.parametrize("profile", ROWS)
def test_rows_that_are_sure_give_a_manifest_that_plans(profile: str, empty: Path, run: Run) -> None:
    fill(empty, ROWS[profile])
    answer = run("init", "--from-data", "rows.jsonl")
    assert answer.code == 0
    assert f"for {profile}, confidence 0.9" in answer.out
    assert "Next: brewslm plan" in answer.out
    planned = run("plan", "--json")
    errors = [item for item in planned.document["findings"] if item["severity"] == "error"]
    assert (planned.code, errors) == (0, [])


@pytest.mark.parametrize("count", [10, 12, 30, 60, 200])
def test_short_numeric_answers_of_one_template_are_prompts_and_plan(
    count: int, empty: Path, run: Run
) -> None:
    lines = [
        json.dumps({"prompt": f"what is {number} plus 1", "completion": f"{number + 1}"})
        for number in range(count)
    ]
    (empty / "rows.jsonl").write_text("\n".join(lines) + "\n")
    answer = run("init", "--from-data", "rows.jsonl")
    assert answer.code == 0
    assert "prompt_completion_passthrough for instruction_sft, confidence 0.95" in answer.out
    planned = run("plan", "--json")
    errors = [item for item in planned.document["findings"] if item["severity"] == "error"]
    assert (planned.code, errors) == (0, [])


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_rows_that_are_not_sure_write_nothing_and_name_the_command_that_does(
    empty: Path, run: Run
) -> None:
    fill(empty, {"question": LONG, "answer": LONG, **ROWS["chat_sft"]})
    command = "brewslm init --from-data rows.jsonl --mapper qa_pair_passthrough"
    answer = run("init", "--from-data", "rows.jsonl")
    answer.says(1, "MAPPING_LOW_CONFIDENCE", "qa (0.79); chat_messages_passthrough", command)
    assert written(empty) == ["rows.jsonl"]
    assert run(*command.split()[1:]).code == 0
    assert run("plan").code == 0


def test_labels_in_two_spellings_are_shown_where_they_stand(empty: Path, run: Run) -> None:
    lines = [
        json.dumps({**row(number), "label": ("late", "Late")[number % 2]}) for number in range(40)
    ]
    (empty / "rows.jsonl").write_text("\n".join(lines) + "\n")
    answer = run("init", "--from-data", "rows.jsonl")
    answer.says(1, "rows.jsonl:1: error[LABEL_COLLISION]", "write one spelling")
    assert written(empty) == ["rows.jsonl"]


def test_rows_of_a_task_that_is_not_supported_write_nothing(empty: Path, run: Run) -> None:
    fill(empty, {"article": LONG, "summary": LONG})
    answer = run("init", "--from-data", "rows.jsonl")
    answer.says(1, "VALUE_UNAVAILABLE", "summarization, which is not supported yet")
    assert written(empty) == ["rows.jsonl"]


def test_a_known_shape_without_a_mapper_says_how_to_reshape_it(empty: Path, run: Run) -> None:
    fill(empty, {"premise": LONG, "hypothesis": LONG, "label": 1})
    answer = run("init", "--from-data", "rows.jsonl")
    answer.says(1, "VALUE_UNAVAILABLE", "pairs of texts", "do:", "join premise and hypothesis")
    assert written(empty) == ["rows.jsonl"]


def test_rows_whose_plan_has_errors_write_nothing(empty: Path, run: Run) -> None:
    fill(empty, ROWS["instruction_sft"], count=1)
    answer = run("init", "--from-data", "rows.jsonl")
    answer.says(1, "error[SPLIT_EMPTY]", "add rows", "Nothing was written")
    assert written(empty) == ["rows.jsonl"]


def test_rejected_rows_are_shown_with_what_is_wrong_with_them(empty: Path, run: Run) -> None:
    turns = [{"role": role, "content": LONG} for role in ("user", "moderator", "assistant")]
    fill(empty, {"messages": turns})
    answer = run("init", "--from-data", "rows.jsonl")
    answer.says(1, "rows.jsonl:1: warning[unknown_role]", "role_map", "run brewslm init without")
    assert written(empty) == ["rows.jsonl"]


def test_rows_that_are_all_long_get_a_length_that_takes_them(empty: Path, run: Run) -> None:
    fill(empty, {"instruction": LONG, "output": " ".join([LONG] * 5)})
    assert run("init", "--from-data", "rows.jsonl").code == 0
    assert "max_seq_length: 1024 #" in (empty / "brewslm.yaml").read_text()
    assert run("plan").code == 0


def test_rows_that_are_longer_than_the_context_are_to_be_shortened(empty: Path, run: Run) -> None:
    fill(empty, {"instruction": LONG, "output": " ".join([LONG] * 30)})
    answer = run("init", "--from-data", "rows.jsonl")
    answer.says(1, "error[ROWS_TOO_LONG]", "do:       shorten or split the rows")
    assert "write max_seq_length" not in answer.err


def test_a_doubtful_header_line_is_taken_with_a_mapper_named(empty: Path, run: Run) -> None:
    rows = [
        f"{name} no. {number} of the day,{name}"
        for number in range(30)
        for name in ("mail", "label")
    ]
    (empty / "rows.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    answer = run("init", "--from-data", "rows.csv")
    command = "brewslm init --from-data rows.csv --mapper label_to_classification"
    answer.says(1, "error[MAPPING_LOW_CONFIDENCE]", command)
    assert run(*command.split()[1:]).code == 0


def test_a_mapper_that_was_not_proposed_is_refused(empty: Path, run: Run) -> None:
    fill(empty, ROWS["instruction_sft"])
    answer = run("init", "--from-data", "rows.jsonl", "--mapper", "text_only")
    answer.says(1, "not among the proposals", "--mapper instruction_passthrough")
    run("init", "--mapper", "text_only").says(1, "--from-data")


def test_an_absolute_path_inside_the_project_is_written_relative(empty: Path, run: Run) -> None:
    fill(empty, ROWS["classification"])
    assert run("init", "--from-data", empty / "rows.jsonl").code == 0
    assert '"jsonl:rows.jsonl"' in (empty / "brewslm.yaml").read_text()


def test_a_manifest_that_is_there_stays(bench: Bench, run: Run) -> None:
    before = (bench.root / "brewslm.yaml").read_bytes()
    answer = run("init")
    assert answer.code == 0
    assert "stays as it is" in answer.out
    assert (bench.root / "brewslm.yaml").read_bytes() == before
    assert Session(bench.root).store().exists()


def test_data_and_a_manifest_are_refused_without_force(bench: Bench, run: Run) -> None:
    before = (bench.root / "brewslm.yaml").read_bytes()
    answer = run("init", "--from-data", "data/rows.jsonl")
    answer.says(1, "error[manifest_exists]", "--force")
    assert (bench.root / "brewslm.yaml").read_bytes() == before
    assert not (bench.root / ".brewslm").exists()


def test_force_replaces_the_manifest_and_keeps_the_state(applied: Bench, run: Run) -> None:
    lineage = run("show", "--json").document["lineage"]
    answer = run("init", "--from-data", "data/rows.jsonl", "--force")
    assert answer.code == 0
    assert f"Kept the state in .brewslm, lineage {lineage[:6]}" in answer.out
    assert "label_to_classification" in (applied.root / "brewslm.yaml").read_text()
    assert run("show", "--json").document["lineage"] == lineage


def test_another_name_of_the_manifest(empty: Path, run: Run) -> None:
    assert run("--manifest", "other.yaml", "init").code == 0
    assert run("validate", "--manifest", "other.yaml").code == 0
    assert not (empty / "brewslm.yaml").exists()


REFUSED = {
    "missing.jsonl": ("SOURCE_NOT_FOUND", "found:    nothing"),
    "folder": ("PATH_NOT_REGULAR_FILE", "expected: a regular file"),
    "../outside.jsonl": ("PATH_OUTSIDE_PROJECT", "move the file into the project folder"),
    "/etc/hostname": ("PATH_OUTSIDE_PROJECT", "expected: a relative path"),
    "link.jsonl": ("PATH_OUTSIDE_PROJECT", "is a link that leads out of the project"),
    "empty.jsonl": ("SOURCE_EMPTY", "found:    0 bytes"),
    "empty.csv": ("SOURCE_EMPTY", "found:    0 bytes"),
    "header.csv": ("SOURCE_EMPTY", "no row that can be read"),
    "rows.xlsx": ("VALUE_UNAVAILABLE", "expected: one of .csv, .json, .jsonl"),
    "bare": ("VALUE_UNAVAILABLE", "found:    no extension"),
    "odd.jsonl": ("MAPPING_LOW_CONFIDENCE", 'found:    columns "a"'),
    "utf16.jsonl": ("ENCODING_UNSUPPORTED", "iconv"),
    "torn.jsonl": ("SOURCE_EMPTY", "no row that can be read (parse_error 1)"),
    "list.jsonl": ("SOURCE_EMPTY", "write one object a line, then run brewslm init again"),
    "latin1.csv": ("ENCODING_UNSUPPORTED", "found:    2 rows of 2 with bytes that are not"),
    "latin1.jsonl": ("ENCODING_UNSUPPORTED", "found:    1 row of 1 with bytes that are not"),
    "headless.csv": ("MAPPING_LOW_CONFIDENCE", 'also values of their column: "late"'),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_without_usable_rows_is_refused_and_nothing_is_written(
    name: str, empty: Path, run: Run
) -> None:
    (empty / "folder").mkdir()
    (empty.parent / "outside.jsonl").write_text(json.dumps(row(1)) + "\n")
    (empty / "link.jsonl").symlink_to("../outside.jsonl")
    for blank in ("empty.jsonl", "empty.csv", "rows.xlsx", "bare"):
        (empty / blank).touch()
    (empty / "header.csv").write_text("text,label\n")
    (empty / "odd.jsonl").write_text('{"a": 1}\n')
    (empty / "utf16.jsonl").write_text('{"text": "a"}\n', encoding="utf-16")
    (empty / "torn.jsonl").write_text('{"text": \n')
    (empty / "list.jsonl").write_text('["a text", "late"]\n')
    (empty / "latin1.csv").write_bytes("text,label\nété,late\nhôtel,lost\n".encode("latin-1"))
    (empty / "latin1.jsonl").write_bytes('{"text": "été"}\n'.encode("latin-1"))
    headless = "".join(
        f"parcel {number} is here,{'late' if number % 2 else 'lost'}\n" for number in range(1, 9)
    )
    (empty / "headless.csv").write_text(headless)
    code, text = REFUSED[name]
    run("init", "--from-data", name).says(1, f"error[{code}]", text, "found:", "do:")
    assert not (empty / "brewslm.yaml").exists()
    assert not (empty / ".brewslm").exists()


def test_a_project_folder_that_is_not_there_is_named(empty: Path, run: Run) -> None:
    answer = run("--chdir", "nowhere", "init")
    answer.says(1, "error[system_config_invalid]", "nowhere", "mkdir -p")
    assert list(empty.iterdir()) == []


def test_a_folder_in_place_of_the_manifest_is_no_traceback(empty: Path, run: Run) -> None:
    (empty / "brewslm.yaml").mkdir()
    run("init", "--force").says(1, "error[output_unwritable]", "brewslm.yaml cannot be written")
