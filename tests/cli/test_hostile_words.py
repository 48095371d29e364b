"""Words from outside are shown as what they are: on one line, as escapes, never obeyed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from brewslm.contracts import Job, Result
from brewslm.errors import WorkerError
from tests.apply.bench import Bench
from tests.cli.conftest import Answer, Doubles, Run
from tests.render.test_markdown import assert_sound

ESCAPES = "\x1b[2J\x1b]8;;http://evil\x07x\x1b]52;c;eA==\x07\x1bP+q\x1b\\\r\b\x9b\u2028\u202e\u200b"
COMMANDS = (
    "::set-output name=a::b",
    "::add-mask::x",
    "::stop-commands::y",
    "##vso[task",
    "##[error]",
)
HOSTILE = [
    ESCAPES,
    *(f"a\n{command}\r{command}\u2028{command}" for command in COMMANDS),
    "</details><script>alert(1)</script>![x](http://evil/x.png)[y](javascript:z)@org/team #1|a|",
    "`" * 50 + "```\n~~~\n<!-- brewslm-plan -->",
    "\u0639\u0631\u0628\u064a e\u0301\u0301\u0301 \u200d\ufeff 宽宽宽",
    '=cmd|" /C calc"!A0',
]


def quoted(text: str) -> str:
    """Return a text as YAML takes it whatever it holds."""
    return json.dumps(text)


def sayings(run: Run) -> list[Answer]:
    """Call every command that tells people something."""
    words = (
        *(
            "validate",
            "plan --explain --show-unchanged",
            "show",
            "show project",
            "show training_plan",
        ),
        *("show eval_pack", "show --rejects", "state list", "history", "history project", "events"),
        *("gc", "lock show", "rollback --dry-run", "show a.plan.json", "show nothing"),
    )
    return [run(*item.split()) for item in words]


def assert_plain(*answers: Answer) -> None:
    """Check that nothing but printable text is said, and no line that a CI runner would obey."""
    for answer in answers:
        for line in f"{answer.out}\n{answer.err}".split("\n"):
            assert line.isprintable(), ascii(line)
            assert not re.match(r"\s*(::|##\[|##vso)", line), line


def name_everything(bench: Bench, text: str) -> None:
    """Write a text wherever the manifest takes one, and into rows."""
    said = quoted(text[:200])
    bench.edit("description: sorts complaints", f"description: {said}, labels: {{{said}: {said}}}")
    bench.edit(
        "  model: {base_model: builtin:nano}",
        f"  model: {{base_model: builtin:nano, license: {said}, source_ref: {said}}}\n"
        f"  blueprint: {{domain_name: {said}, problem_statement: {said}, "
        f"target_user_persona: {said}, unresolved_assumptions: [{said}]}}\n"
        f"  domain: {{pack_id: {said}}}",
    )
    bench.edit(
        "dataset: {", f"dataset: {{system_prompt: {said}, contract: {{max_reject_rate: 1}}, "
    )
    bench.edit("type: raw,", "type: raw, adapter: labels,")
    bench.edit(
        "  dataset:",
        "  adapters: [{name: labels, base_adapter_id: label_to_classification}]\n  dataset:",
    )
    gate_id = said if text.isprintable() else "right"
    bench.edit("{gate_id: right,", f"{{gate_id: {gate_id}, source: {said},")
    bench.edit("deployment: {", f"deployment: {{extra: {{{said}: {said}}}, ")
    rows = bench.root / "data" / "rows.jsonl"
    more = [{"text": f"{text} {number}", "label": "late"} for number in range(3)]
    bad = [{"text": text}, {"label": text}, {text: text}]
    lines = [json.dumps(item) for item in (*more, *bad)]
    rows.write_text(rows.read_text() + "\n".join(lines) + "\n{" + text.replace("\n", " ") + "\n")


@pytest.mark.case("RND-01", "RND-02", "RND-03", "RND-09")
@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_words_of_a_project_are_shown_and_not_obeyed(
    text: str, bench: Bench, run: Run, doubles: Doubles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BREWSLM_ACTOR", text)
    name_everything(bench, text)
    planned = run("plan", "--out", "a.plan.json", "--markdown", "a.md")
    assert planned.code == 0, planned.out
    assert_sound((bench.root / "a.md").read_text())
    document = json.loads((bench.root / "a.plan.json").read_text())
    assert document["effective_manifest"]["project"]["description"] == text[:200], "JSON keeps it"
    applied = run("apply", "--auto-approve")
    assert applied.code == 0, applied.err
    assert_plain(planned, applied, *sayings(run))
    assert doubles.doors
    bench.edit("num_epochs: 2", "num_epochs: 3")
    assert_plain(run("plan", "--explain"))


@pytest.mark.case("RND-02", "RND-03")
@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_words_of_a_worker_are_shown_and_not_obeyed(
    text: str, bench: Bench, run: Run, doubles: Doubles
) -> None:
    def fail(_job: Job, _folder: Path) -> Result:
        raise WorkerError(text, code="worker_killed", found=text, expected=text, remedy=text)

    doubles.answer = fail
    doubles.messages[0] = [
        {"type": "log", "stream": "library", "text": text},
        {"type": "warning", "reason_code": "training_oom", "text": text, "facts": {}},
        {
            "type": "progress",
            "unit": text,
            "phase": text,
            "done": 1,
            "total": 1,
            "metrics": {text: 1},
        },
    ]
    applied = run("--debug", "apply", "--auto-approve", "--json-into", "events.json")
    assert applied.code == 1
    assert_plain(applied, *sayings(run))
    lines = (bench.root / "events.json").read_bytes().splitlines()
    assert any(json.loads(line).get("text") == text for line in lines), "JSON keeps it"


@pytest.mark.case("RND-03")
@pytest.mark.parametrize("text", [ESCAPES, "\x1b[31mred", "a\rb\x00"], ids=ascii)
def test_words_of_a_command_line_and_of_findings_are_shown(
    text: str, bench: Bench, run: Run
) -> None:
    safe = text.replace("\x00", "")
    answers = [
        run("show", safe),
        run("plan", "--target", safe),
        run(safe),
        run("plan", f"--{safe}"),
    ]
    bench.edit("name: rows,", f"name: {quoted(text)},")
    answers += [run("validate"), run("plan")]
    bench.edit("num_epochs: 2", f"{quoted(text)}: 2\n      optimizer_name: {quoted(text)}")
    answers += [run("validate"), run("plan")]
    assert {answer.code for answer in answers} == {1}
    assert_plain(*answers)


@pytest.mark.case("RND-10")
def test_a_stream_is_json_whatever_is_said_beside_it(
    bench: Bench, run: Run, doubles: Doubles
) -> None:
    doubles.messages[0] = [{"type": "log", "stream": "stdout", "text": "print\nprint"}] * 3
    bench.edit("num_epochs: 2", "num_epochs: 2\n      early_stopping_patience: 2")
    applied = run("--debug", "apply", "--auto-approve", "--json")
    assert applied.code == 0
    events = [json.loads(line) for line in applied.out.splitlines()]
    assert (events[0]["type"], events[-1]["type"]) == ("version", "summary")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


@pytest.mark.case("RND-07")
@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C"},
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii", "TERM": "dumb", "COLUMNS": "20"},
        {"NO_COLOR": "1", "FORCE_COLOR": "1", "COLUMNS": "20"},
    ],
    ids=lambda item: "-".join(item),
)
def test_any_terminal_gets_all_words(environment: dict[str, str], applied: Bench) -> None:
    applied.edit("sorts complaints", "sorts 宽 über · complaints")
    made = subprocess.run(
        [sys.executable, "-m", "brewslm", "plan", "--explain"],
        cwd=applied.root,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        capture_output=True,
    )
    assert (made.returncode, made.stderr) == (0, b"")
    assert b"\x1b" not in made.stdout
    text = made.stdout.decode(environment.get("PYTHONIOENCODING", "utf-8"))
    assert "complaints" in text
    assert "宽" in text or "\\u5bbd" in text


@pytest.mark.case("RND-08")
@pytest.mark.usefixtures("bench")
@pytest.mark.parametrize("flag", ["--out", "--markdown", "--json-into"])
def test_a_file_that_cannot_be_written_is_told(flag: str, run: Run) -> None:
    answer = run("plan", flag, "nowhere/a.json")
    answer.says(1, "output_unwritable", "nowhere/a.json cannot be written")


@pytest.mark.case("RND-08")
@pytest.mark.parametrize(
    ("sink", "code", "said"), [("closed", 0, ""), ("/dev/full", 1, "disk_full")]
)
def test_an_end_that_takes_nothing_ends_the_call(
    sink: str, code: int, said: str, bench: Bench
) -> None:
    if sink == "closed":
        reading, writing = os.pipe()
        os.close(reading)
    else:
        writing = os.open(sink, os.O_WRONLY)
    made = subprocess.run(
        [sys.executable, "-m", "brewslm", "plan", "--explain"],
        cwd=bench.root,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    assert made.returncode == code, made.stderr
    assert said in made.stderr
    assert "Traceback" not in made.stderr
