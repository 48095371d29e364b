"""Every command on a project that is in order."""

import json
import shutil
from pathlib import Path

import pytest

from brewslm import __version__
from brewslm.cli.main import COMMANDS
from brewslm.plan.saved import read_saved
from brewslm.render.text import NO_CHANGES
from tests.apply.bench import Bench
from tests.cli.conftest import Run

ROOT = Path(__file__).parents[2]
_SHARED = {
    "addresses",
    "applying",
    "approval",
    "backend",
    "device_flag",
    "devices",
    "git_clone",
    "elsewhere",
    "following",
    "git_objects",
    "importing",
    "leasing",
    "main",
    "paths",
    "plan_answer",
    "plan_memory",
    "planning",
    "provenance",
    "reconciling",
    "pushing",
    "redaction",
    "reporting",
    "reviewing",
    "row_progress",
    "selecting",
    "session",
    "sync_memory",
    "sync_reasons",
    "snapshot",
    "stored_files",
    "tracked",
    "usage",
    "watching",
}


def test_table_and_folder_agree() -> None:
    files = {path.stem for path in (ROOT / "brewslm" / "cli").glob("[!_]*.py")} - _SHARED
    modules = {target.partition(":")[0].rpartition(".")[2] for target, _ in COMMANDS.values()}
    assert modules == files


def test_version(run: Run) -> None:
    assert run("--version").out == f"brewslm {__version__}\n"


def test_help_lists_every_command_with_its_summary(run: Run) -> None:
    answer = run("--help")
    assert answer.code == 0
    for name, (_, summary) in COMMANDS.items():
        assert f"  {name} " in answer.out
        assert summary in answer.out


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name: str, run: Run) -> None:
    answer = run(name, "--help")
    assert answer.code == 0
    assert answer.out.startswith(f"Usage: brewslm {name}")


def test_validate(bench: Bench, run: Run) -> None:
    answer = run("validate")
    assert (answer.code, answer.err) == (0, "")
    assert "info[PROFILE_OVERRIDDEN]" in answer.out
    codes = {item["code"] for item in run("validate", "--json").document["findings"]}
    assert "PROFILE_OVERRIDDEN" in codes
    assert run("validate", "--warnings-as-errors").code == 0
    bench.edit("metric_id: accuracy", "severity: S0, metric_id: accuracy")


def test_plan_says_what_would_be_done(bench: Bench, run: Run) -> None:
    answer = run("plan")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("Plan for parcels")
    assert "  # training_plan will be created" in answer.out
    assert "Plan: 11 to create, 0 to update, 0 to delete, 0 unchanged." in answer.out
    assert not (bench.home / "state.db").exists(), "a plan makes no state"


def test_detailed_exit_code_tells_changes_apart(bench: Bench, run: Run) -> None:
    assert run("plan", "--detailed-exitcode").code == 2
    bench.apply()
    assert run("plan", "--detailed-exitcode").code == 0


@pytest.mark.usefixtures("bench")
def test_plan_json_is_the_plan_and_nothing_else(run: Run) -> None:
    answer = run("plan", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == run("plan", "--json").out
    document = answer.document
    assert sum(document["summary"].values()) == len(document["actions"])


@pytest.mark.case("PLN-08")
def test_saved_plan_holds_the_bytes_of_the_json(bench: Bench, run: Run) -> None:
    answer = run("plan", "--out", "a.plan.json", "--json", "--json-into", "b.json")
    saved = bench.root / "a.plan.json"
    assert saved.read_text() == (bench.root / "b.json").read_text() == answer.out
    assert saved.stat().st_mode & 0o777 == 0o600
    assert read_saved(saved).digest == answer.document["digest"]


@pytest.mark.usefixtures("bench")
def test_saving_names_the_command_that_does_exactly_this(run: Run) -> None:
    assert run("plan", "--out", "a.plan.json").out.endswith(
        "Saved. To do exactly this: brewslm apply a.plan.json\n"
    )


def test_markdown_begins_with_the_verdict(bench: Bench, run: Run) -> None:
    assert run("plan", "--markdown", "plan.md").code == 0
    mark, verdict, *rest = (bench.root / "plan.md").read_text().splitlines()
    assert mark.startswith("<!-- brewslm-plan v1 project=parcels run=")
    assert verdict.startswith("**Would train once, ")
    assert verdict.endswith(" · 0 deletes · no gate weakened**")
    assert "| 11 | 0 | 0 | 0 |" in rest


@pytest.mark.usefixtures("bench")
def test_explain_shows_defaults_and_notes(run: Run) -> None:
    explained = run("plan", "--explain").out
    assert "config.weight_decay" in explained
    assert "info[PROFILE_OVERRIDDEN]" in explained
    assert "notes hidden" not in explained
    short = run("plan").out
    assert "config.weight_decay" not in short
    assert "notes hidden (--explain shows them)" in short


def test_unchanged_resources_are_counted_or_listed(applied: Bench, run: Run) -> None:
    assert run("plan").out.endswith(f"{NO_CHANGES}\n")
    applied.edit("threshold: 0.8", "threshold: 0.9")
    assert "unchanged resources hidden (--show-unchanged lists them)" in run("plan").out
    listed = run("plan", "--show-unchanged").out
    assert "  # model is unchanged" in listed
    assert "resources hidden" not in listed


def test_ascii_output_is_ascii(applied: Bench, run: Run) -> None:
    applied.edit("learning_rate: 2.0e-3", "learning_rate: 1.0e-3")
    for words in (["plan"], ["show"], ["show", "eval_pack"], ["state", "list"], ["events"]):
        assert run("--ascii", *words).out.isascii()


def test_global_flags_stand_on_either_side_of_the_verb(
    bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    assert run("plan", "--chdir", bench.root).out == run("--chdir", bench.root, "plan").out


def test_show_before_and_after_the_first_apply(bench: Bench, run: Run) -> None:
    assert run("show").out.startswith("Nothing was applied here yet.")
    bench.apply()
    shown = run("show").out
    assert shown.startswith("parcels    lineage 0aa2b4")
    assert "PASS  right  accuracy (as label) 1.0000" in shown
    assert "deployment " in shown
    assert set(run("show", "--json").document["resources"]) == set(bench.records())


@pytest.mark.usefixtures("applied")
def test_show_one_resource(run: Run) -> None:
    shown = run("show", "training_plan")
    assert "config.learning_rate" in shown.out
    assert run("state", "show", "training_plan").out == shown.out
    record = run("show", "training_plan", "--json").document
    assert record["spec"]["config"]["learning_rate"] == 0.002
    assert "# Decision note" in run("show", "eval_pack").out or run("show", "eval_pack").out


@pytest.mark.usefixtures("applied")
def test_show_a_revision(run: Run) -> None:
    assert run("show", "1").document["revision"] == 1


def test_show_a_saved_plan_in_every_form(bench: Bench, run: Run) -> None:
    planned = run("plan", "--out", "a.plan.json", "--json").out
    assert run("show", "a.plan.json").out.endswith("brewslm apply a.plan.json\n")
    assert run("show", "a.plan.json", "--json").out == planned
    assert run("show", "a.plan.json", "--markdown").out.startswith("<!-- brewslm-plan v1")
    checked = run("show", "a.plan.json", "--validate")
    assert (checked.code, json.loads(planned)["digest"] in checked.out) == (0, True)
    assert run("show", "a.plan.json", "--markdown", "--out", "c.md").out == ""
    assert (bench.root / "c.md").read_text().startswith("<!-- brewslm-plan v1")


def test_rejected_rows_are_shown_with_their_place(bench: Bench, run: Run) -> None:
    with (bench.root / "data" / "rows.jsonl").open("a") as stream:
        stream.write('{"text": "no label here"}\n')
    run("plan")
    shown = run("show", "--rejects").out
    assert "rows.jsonl:61: " in shown
    assert "no label here" in shown


def test_state_list(applied: Bench, run: Run) -> None:
    assert len(run("state", "list").out.splitlines()) == len(applied.records())
    kinds = run("state", "list", "--kind", "export", "--json").document["resources"]
    assert sorted(kinds) == ["export.adapter", "export.safetensors"]


def test_state_pull_is_one_document(applied: Bench, run: Run) -> None:
    document = run("state", "pull").document
    assert document["lineage"].startswith("0aa2b4")
    assert run("state", "pull", "--out", "state.json").out == ""
    assert json.loads((applied.root / "state.json").read_text()) == document


@pytest.mark.usefixtures("applied")
def test_events_are_newest_first_and_can_be_chosen(run: Run) -> None:
    lines = run("events").out.splitlines()
    assert "revision_recorded" in lines[0]
    documents = [json.loads(line) for line in run("events", "--json").out.splitlines()]
    assert len(documents) == len(lines)
    assert len(run("events", "--stage", "eval").out.splitlines()) == 1
    assert len(run("events", "--limit", "2").out.splitlines()) == 2
    assert run("events", "--code", "eval_decided").out.count("eval_decided") == 1
    assert run("events", "--since", "2999-01-01").out == "No event yet.\n"
    assert run("events", "--since", "2000-01-01T00:00:00+02:00").out.splitlines() == lines


def test_history_of_all_and_of_one_resource(applied: Bench, run: Run) -> None:
    applied.edit("learning_rate: 2.0e-3", "learning_rate: 1.0e-3")
    applied.apply()
    assert [line.split()[0] for line in run("history").out.splitlines()] == ["2", "1"]
    assert len(run("history", "model").out.splitlines()) == 1
    assert len(run("history", "--limit", "1").out.splitlines()) == 1
    revision = json.loads(run("history", "--json").out.splitlines()[0])
    assert revision["verdicts"]["verdict"] == "PASS"


@pytest.mark.parametrize("words", [["events"], ["history"], ["state", "list"], ["show"]])
def test_readers_of_a_fresh_project_say_that_there_is_nothing(
    words: list[str], bench: Bench, run: Run
) -> None:
    answer = run(*words)
    assert answer.code == 0
    assert answer.out.startswith(("No ", "Nothing "))
    assert not bench.home.exists(), "a reader writes nothing"


@pytest.mark.parametrize("name", ["manifest", "plan", "event", "sync"])
def test_schema_prints_json(name: str, run: Run) -> None:
    assert run("schema", name).document["$schema"].startswith("https://json-schema.org/")


@pytest.mark.case("PLN-17")
def test_apply_refuses_to_begin_without_room(
    bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage(bench.root)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    answer = run("apply", "--auto-approve")
    answer.says(6, "disk_too_small", "1,000 bytes free")
    assert not (bench.home / "state.db").exists()
