"""`show eval_pack` writes what was evaluated: for programs, for people, for spreadsheets."""

import csv
import json
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest

from brewslm.contracts import Job, Result
from tests.apply.bench import Bench
from tests.cli.conftest import Run
from tests.conftest import copied
from tests.render.reading import assert_inert
from tests.render.test_csv import assert_no_formula
from tests.render.test_markdown import assert_sound

_HOSTILE = [
    '<script>alert("1")</script>',
    "=HYPERLINK(\"javascript:alert(1)\")' onload='x",
    "</pre><!-- @org \u202e",
]
_FILES = ("--report", "r.json", "--html", "r.html", "--csv", "r.csv")


def items(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(path.read_bytes().decode(), newline="")))


def test_all_files_come_of_one_evaluation(applied: Bench, run: Run) -> None:
    answer = run("show", "eval_pack", *_FILES)
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.splitlines() == [
        "wrote r.json, which holds no rows",
        "wrote r.html, which holds no rows",
        "warning: wrote r.csv, which holds rows of your data; only you may read it",
    ]
    report = json.loads((applied.root / "r.json").read_text())
    assert report["verdict"] == "PASS"
    assert "PASS" in assert_inert((applied.root / "r.html").read_text()).shown
    assert len(items(applied.root / "r.csv")) == 2 * report["datasets"][0]["rows"]
    for name in _FILES[1::2]:
        assert (applied.root / name).stat().st_mode & 0o777 == 0o600


def test_rows_stand_only_where_they_are_asked_for(applied: Bench, run: Run) -> None:
    run("show", "eval_pack", *_FILES)
    comment = run("show", "eval_pack", "--markdown").out
    assert_sound(comment)
    assert comment.startswith("**PASS · 1 of 1 required gate passed")
    for text in (comment, *((applied.root / name).read_text() for name in ("r.json", "r.html"))):
        assert "of order" not in text
        assert "no idea" not in text
    assert "of order" in (applied.root / "r.csv").read_text()
    answer = run("show", "eval_pack", "--html", "r.html", "--rows", "2")
    assert "holds rows" in answer.err
    page = assert_inert((applied.root / "r.html").read_text())
    assert page.tags.count("article") == 2
    assert "of order" in page.shown


def test_the_same_evaluation_gives_the_same_bytes_anywhere(
    applied: Bench, run: Run, tmp_path: Path
) -> None:
    other = copied(applied.root, tmp_path / "another")
    wanted = ("show", "eval_pack", *_FILES, "--rows", "5")
    assert run(*wanted).code == run("--chdir", other.root, *wanted).code == 0
    for name in _FILES[1::2]:
        assert (applied.root / name).read_bytes() == (other.root / name).read_bytes()


def test_a_file_that_is_there_is_replaced(applied: Bench, run: Run) -> None:
    path = applied.root / "r.html"
    path.write_text("old")
    path.chmod(0o644)
    assert run("show", "eval_pack", "--html", "r.html").code == 0
    assert path.read_text().startswith("<!doctype html>")
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("applied")
def test_a_folder_that_is_missing_is_told(run: Run) -> None:
    run("show", "eval_pack", "--csv", "no/r.csv").says(1, "error[output_unwritable]", "no/r.csv")


def test_the_record_is_still_shown_beside(applied: Bench, run: Run) -> None:
    answer = run("show", "eval_pack", "--html", "r.html", "--json")
    assert answer.document["address"] == "eval_pack"
    assert (applied.root / "r.html").exists()


@pytest.mark.parametrize("wish", [("--report", "r"), ("--html", "r"), ("--csv", "r")])
def test_only_an_evaluation_has_a_report(wish: tuple[str, str], applied: Bench, run: Run) -> None:
    run("show", "dataset", *wish).says(1, "error[usage_error]", "brewslm show eval_pack")
    if wish[0] != "--html":
        run("show", "training_plan", *wish).says(1, "error[usage_error]", "brewslm show eval_pack")
    run("show", *wish).says(1, "error[usage_error]", "brewslm show eval_pack")
    assert not (applied.root / "r").exists()


def test_rows_are_for_a_page(applied: Bench, run: Run) -> None:
    run("show", "eval_pack", "--rows", "3").says(1, "error[usage_error]", "--html")
    run("show", "eval_pack", "--csv", "r", "--rows", "3").says(1, "error[usage_error]", "--html")
    assert not (applied.root / "r").exists()


@pytest.mark.usefixtures("applied")
def test_quiet_still_tells_which_files_hold_rows(run: Run) -> None:
    answer = run("--quiet", "show", "eval_pack", *_FILES, "--rows", "1")
    assert answer.err.splitlines() == [
        f"warning: wrote {name}, which holds rows of your data; only you may read it"
        for name in ("r.html", "r.csv")
    ]


@pytest.mark.parametrize(
    "wish",
    [
        ("--html", "r", "--csv", "r"),
        ("--report", "r", "--html", "data/../r"),
        ("--csv", "r", "--json", "--out", "./r"),
        ("--report", "linked/r", "--csv", "data/r"),
    ],
)
def test_one_file_for_two_views_is_refused(wish: tuple[str, ...], applied: Bench, run: Run) -> None:
    (applied.root / "linked").symlink_to("data")
    run("show", "eval_pack", *wish).says(1, "error[usage_error]", "name one file")
    assert not (applied.root / "r").exists()
    assert not (applied.root / "data" / "r").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("eval_pack", "--rejects"),
        ("eval_pack", "--validate"),
        ("eval_pack", "--markdown", "--json"),
        ("eval_pack", "--html", "r", "--rejects"),
        ("training_plan", "--markdown"),
        ("--markdown",),
        ("--validate",),
        ("--rejects", "--json"),
        ("a.plan.json", "--markdown", "--json"),
        ("a.plan.json", "--rejects"),
    ],
    ids=" ".join,
)
def test_flags_that_do_nothing_are_refused(
    words: tuple[str, ...], applied: Bench, run: Run
) -> None:
    run("plan", "--out", "a.plan.json")
    answer = run("show", *words)
    answer.says(1, "error[usage_error]", words[-1])
    assert answer.out == ""
    assert not (applied.root / "r").exists()


@pytest.mark.parametrize("wish", [_FILES, ("--markdown",)])
def test_nothing_was_evaluated_yet(wish: tuple[str, ...], bench: Bench, run: Run) -> None:
    before = sorted(bench.root.rglob("*"))
    run("show", "eval_pack", *wish).says(
        1, "error[unknown_address]: nothing was evaluated yet", "brewslm apply"
    )
    assert sorted(bench.root.rglob("*")) == before


def test_kept_bytes_that_are_gone_stop_every_file(applied: Bench, run: Run) -> None:
    digest = applied.records()["eval_pack"].outputs["predictions.candidate.gold_test"].digest
    (path,) = applied.home.rglob(f"*{digest.removeprefix('sha256:')[2:]}*")
    path.unlink()
    run("show", "eval_pack", *_FILES).says(
        1, "error[artifact_missing]: predictions.candidate.gold_test of eval_pack", "brewslm apply"
    )
    assert [name for name in _FILES[1::2] if (applied.root / name).exists()] == []
    assert run("show", "eval_pack", "--html", "r.html").code == 0, "which shows no answer"


class Hostile(Bench):
    """A project whose base model answers with an attack."""

    def answer(self, job: Job, folder: Path) -> Result:
        result = super().answer(job, folder)
        for name in result.outputs.values():
            if name.startswith("predictions.baseline"):
                said = [json.loads(line) for line in (folder / name).read_text().splitlines()]
                for index, line in enumerate(said):
                    line["output"] = _HOSTILE[index % 3] if index else "=<b>" * (1 << 18)
                (folder / name).write_text("".join(f"{json.dumps(line)}\n" for line in said))
        return result


@pytest.fixture
def hostile(bench: Bench) -> Bench:
    """Return an evaluated project whose rows, labels and answers are attacks."""
    for name, numbers in (("rows", range(60)), ("gold", range(100, 130))):
        rows = [
            {"text": f"{_HOSTILE[number % 3]} of {number}", "label": _HOSTILE[number // 3 % 3]}
            for number in numbers
        ]
        path = bench.root / "data" / f"{name}.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for name in ("type: raw,", "type: gold_test,"):
        bench.edit(name, f"{name} adapter: labels,")
    bench.edit(
        "  dataset: {",
        "  adapters:\n    - {name: labels, base_adapter_id: label_to_classification, "
        "task_profile: classification}\n  dataset: {",
    )
    made = Hostile(bench.root)
    assert made.apply().exit_code == 0
    return made


@pytest.mark.case("RND-05", "RND-06")
def test_hostile_rows_labels_and_answers_are_text(hostile: Bench, run: Run) -> None:
    assert run("show", "eval_pack", *_FILES, "--rows", "30").code == 0
    page = assert_inert((hostile.root / "r.html").read_text())
    for text in ('<script>alert("1")</script>', "\\u{202E}", "' onload='x"):
        assert text in page.shown
    rows = assert_no_formula_in(hostile.root / "r.csv")
    assert {row["reference"].removeprefix("'") for row in rows} == set(_HOSTILE)
    assert max(len(row["output"]) for row in rows) > 1 << 20
    raw = json.loads((hostile.root / "r.json").read_text())
    assert {item["slice"] for item in raw["per_slice"]} >= {f"label={text}" for text in _HOSTILE}
    assert_sound(run("show", "eval_pack", "--markdown").out)


def assert_no_formula_in(path: Path) -> list[dict[str, str]]:
    """Check every cell of a file and return its lines."""
    csv.field_size_limit(1 << 24)
    return assert_no_formula(path.read_bytes())


@pytest.mark.usefixtures("applied")
def test_only_reports_pay_for_reports() -> None:
    script = (
        "import json, sys\n"
        "from brewslm.cli.main import main\n"
        "main(sys.argv[1:])\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )

    def loaded(*arguments: str) -> set[str]:
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
        )
        return set(json.loads(done.stdout.splitlines()[-1]))

    ours = {
        "brewslm.cli.reporting",
        "brewslm.render.html",
        "brewslm.plan.recorded_evaluation",
        "brewslm.render.csv",
    }
    assert loaded("show", "eval_pack").isdisjoint(ours)
    full = loaded("show", "eval_pack", "--html", "r.html", "--csv", "r.csv")
    assert ours <= full
    assert full.isdisjoint({"torch", "transformers", "numpy"})
