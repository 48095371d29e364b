"""One look of `brewslm reconcile`: whole processes on real clones of a real hub."""

import json
import shutil
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from brewslm.cli.sync_memory import MemoryFile
from brewslm.render.schemas import schema_bytes
from tests.cli.hub import Hub, codes, reports, stand
from tests.cli.repository import commit, git
from tests.faults.calls import Launcher


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory, launcher: Launcher) -> Path:
    """Return a folder whose clone was reconciled once; for copies alone."""
    hub = Hub.make(tmp_path_factory.mktemp("synced") / "all", launcher)
    assert hub.reconcile().code == 0
    return hub.folder


@pytest.fixture
def hub(synced: Path, tmp_path: Path, launcher: Launcher) -> Hub:
    """Return a hub whose clone was reconciled once."""
    copy = tmp_path / "all"
    shutil.copytree(synced, copy, symlinks=True)
    hub = Hub(copy, launcher)
    for folder in ("desk", "agent"):
        git(copy / folder, "remote", "set-url", "origin", hub.url)
    return hub


def test_commit_is_applied_and_then_nothing_has_to_be_done(hub: Hub) -> None:
    pushed = hub.push(("2.0e-3", "1.0e-3"))
    begun, ended = reports(hub.reconcile("--json"))
    assert (stand(begun), begun["operation"]["phase"]) == ("OutOfSync/Progressing", "Running")
    assert (stand(ended), ended["operation"]["phase"]) == ("Synced/Healthy", "Succeeded")
    assert ended["sync"]["revision"] == ended["last_applied"]["commit"] == pushed
    assert ended["last_applied"]["revision"] == 2
    again = hub.reconcile("--json")
    assert (again.code, [stand(item) for item in reports(again)]) == (0, ["Synced/Healthy"])
    assert hub.trainings() == 2


def test_gold_rows_that_went_are_never_applied(hub: Hub) -> None:
    hub.push(("gold.jsonl}", "gold.jsonl, limit: 9}"))
    answer = hub.reconcile("--json")
    assert answer.code == 6
    assert "GATE_WEAKENED" in answer.out
    assert hub.trainings() == 1
    assert hub.reconcile().code == 6


@pytest.mark.slow
def test_line_for_people_names_time_commit_sync_and_health(hub: Hub) -> None:
    pushed = hub.push(("2.0e-3", "1.0e-3"))
    begun, ended = hub.reconcile().out.splitlines()
    assert f"Z  {pushed[:7]}  OutOfSync/Progressing  Would retrain once" in begun
    assert ended.endswith(f"  Synced/Healthy  Applied revision 2  Succeeded {pushed[:7]}")


def test_reports_fit_their_schema(hub: Hub) -> None:
    schema = Draft202012Validator(json.loads(schema_bytes("sync")))
    hub.push_failing("untrainable", "1.0e-3")
    for report in [*reports(hub.reconcile("--json")), hub.status()]:
        assert [error.message for error in schema.iter_errors(report)] == []


def test_commit_whose_gate_failed_is_not_tried_again_and_the_champion_stays(hub: Hub) -> None:
    champion = hub.agent.promoted()
    pushed = hub.push_failing("unskilled", "1.0e-3")
    failed = hub.reconcile("--json")
    assert failed.code == 3
    report = reports(failed)[-1]
    assert (stand(report), report["operation"]["phase"]) == ("OutOfSync/Degraded", "Failed")
    assert codes(report) == ["gate_not_passed", "not_retried"]
    begun = hub.trainings()
    for _ in range(2):
        again = hub.reconcile("--json")
        assert (again.code, len(reports(again))) == (3, 1), "an apply was begun"
        assert reports(again)[-1]["operation"]["revision"] == pushed
    assert (hub.trainings(), hub.agent.promoted()) == (begun, champion)


@pytest.mark.slow
def test_commit_whose_training_failed_is_tried_again_only_when_asked(hub: Hub) -> None:
    hub.push_failing("untrainable", "1.0e-3")
    assert [hub.reconcile().code for _ in range(3)] == [1, 1, 1]
    assert hub.trainings() == 2
    assert codes(hub.status()) == ["training_runtime_error", "not_retried"]
    assert hub.reconcile("--retry").code == 1
    assert hub.trainings() == 3
    assert hub.reconcile().code == 1
    assert hub.trainings() == 3


@pytest.mark.slow
def test_new_commit_is_tried_and_a_failed_one_that_comes_back_is_not(hub: Hub) -> None:
    failing = hub.push_failing("untrainable", "1.0e-3")
    assert hub.reconcile().code == 1
    (hub.desk.root / "untrainable").unlink()
    hub.push()
    assert stand(hub.report()) == "Synced/Healthy"
    begun = hub.trainings()
    git(hub.desk.root, "push", "-q", "--force", "origin", f"{failing}:refs/heads/main")
    report = hub.report()
    assert report["sync"]["revision"] == failing
    assert codes(report)[0] == "history_rewritten"
    assert hub.trainings() == begun


@pytest.mark.slow
def test_drift_is_repaired_even_while_the_commit_stays_failed(hub: Hub) -> None:
    hub.push_failing("unskilled", "1.0e-3")
    hub.reconcile()
    begun = hub.trainings()
    exported = hub.agent.home / "exports" / "adapter"
    shutil.rmtree(exported)
    drifted = hub.reconcile("--json")
    assert (drifted.code, exported.is_dir()) == (3, True)
    report = reports(drifted)[-1]
    assert (stand(report), report["operation"]["phase"]) == ("OutOfSync/Degraded", "Failed")
    assert hub.trainings() == begun


@pytest.mark.slow
def test_drift_is_repaired_without_a_new_commit(hub: Hub) -> None:
    exported = hub.agent.home / "exports" / "adapter"
    shutil.rmtree(exported)
    first, last = reports(hub.reconcile("--json"))
    assert "drifted" in first["message"]
    assert (stand(last), exported.is_dir()) == ("Synced/Healthy", True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("edit", "exit_code", "code", "stands"),
    [
        (("threshold: 0.8", "threshold: 0.5"), 6, "GATE_WEAKENED", "OutOfSync/Healthy"),
        (("threshold: 0.8", "threshold: 1.5"), 1, "GATE_THRESHOLD", "OutOfSync/Degraded"),
        (("kind: Project", "kind: Projekt"), 1, "", "Unknown/Degraded"),
    ],
)
def test_what_is_not_allowed_is_reported_and_left(
    hub: Hub, edit: tuple[str, str], exit_code: int, code: str, stands: str
) -> None:
    hub.push(edit)
    champion = hub.agent.promoted()
    refused = hub.reconcile("--json")
    report = reports(refused)[-1]
    assert (refused.code, stand(report)) == (exit_code, stands)
    assert code in codes(report)[0]
    assert report["conditions"][0]["needs_person"]
    assert hub.agent.promoted() == champion


@pytest.mark.slow
def test_more_deletes_than_allowed_are_left(hub: Hub) -> None:
    hub.push(("formats: [adapter, safetensors]", "formats: [adapter]"))
    assert hub.reconcile("--max-deletes", "0").code == 6
    assert codes(hub.status()) == ["DELETE_BUDGET_EXCEEDED"]
    assert hub.reconcile("--max-deletes", "1").code == 0


def test_dirty_tree_is_left_alone(hub: Hub) -> None:
    hub.push(("2.0e-3", "1.0e-3"))
    hub.agent.edit("sorts complaints", "sorts \x1b[31mcomplaints")
    text = (hub.agent.root / "brewslm.yaml").read_text()
    head = git(hub.agent.root, "rev-parse", "HEAD")
    dirty = hub.reconcile("--json")
    report = reports(dirty)[-1]
    assert (dirty.code, stand(report), codes(report)) == (6, "OutOfSync/Healthy", ["tree_dirty"])
    assert (hub.agent.root / "brewslm.yaml").read_text() == text
    assert git(hub.agent.root, "rev-parse", "HEAD") == head
    assert hub.trainings() == 1


@pytest.mark.slow
@pytest.mark.parametrize("is_ignored", [False, True])
def test_untracked_file_is_never_overwritten(hub: Hub, is_ignored: bool) -> None:
    (hub.agent.root / "notes.txt").write_text("mine")
    if is_ignored:
        (hub.agent.root / ".git" / "info" / "exclude").write_text("notes.txt\n")
    (hub.desk.root / "notes.txt").write_text("theirs")
    hub.push()
    report = hub.report()
    assert codes(report) == ["tree_dirty"]
    assert "notes.txt" in report["conditions"][0]["message"]
    assert (hub.agent.root / "notes.txt").read_text() == "mine"
    (hub.agent.root / "notes.txt").unlink()
    assert stand(hub.report()) == "Synced/Healthy"


def test_commit_with_a_state_in_it_is_refused(hub: Hub) -> None:
    (hub.desk.root / ".gitignore").write_text("")
    (hub.desk.root / ".brewslm").mkdir()
    (hub.desk.root / ".brewslm" / "state.db").write_text("planted")
    hub.push()
    assert codes(hub.report()) == ["state_in_commit"]
    assert hub.trainings() == 1


@pytest.mark.slow
def test_commit_without_the_manifest_is_refused(hub: Hub) -> None:
    git(hub.desk.root, "mv", "brewslm.yaml", "elsewhere.yaml")
    hub.push()
    assert codes(hub.report()) == ["manifest_missing"]
    assert (hub.agent.root / "brewslm.yaml").exists()


def test_rewritten_history_is_followed_and_told(hub: Hub) -> None:
    git(hub.desk.root, "commit", "-q", "--amend", "-m", "another first commit")
    pushed = hub.push(("2.0e-3", "1.0e-3"))
    report = hub.report()
    assert (report["sync"]["revision"], stand(report)) == (pushed, "Synced/Healthy")
    assert codes(report) == ["history_rewritten"]
    assert git(hub.agent.root, "rev-parse", "HEAD") == pushed
    assert codes(hub.report()) == []


@pytest.mark.slow
def test_shallow_clone_follows(tmp_path: Path, launcher: Launcher) -> None:
    hub = Hub.make(tmp_path / "all", launcher)
    hub.push(("sorts complaints", "sorts all complaints"))
    shutil.rmtree(hub.agent.root)
    hub.clone("agent", "--depth", "1")
    assert stand(hub.report()) == "Synced/Healthy"
    pushed = hub.push(("2.0e-3", "1.0e-3"))
    report = hub.report()
    assert (report["sync"]["revision"], codes(report)) == (pushed, [])


@pytest.mark.slow
def test_missing_ref_and_silent_remote_are_told_and_do_not_change_what_is_followed(
    hub: Hub,
) -> None:
    missing = hub.reconcile("--ref", "nowhere", "--json")
    report = reports(missing)[-1]
    assert (missing.code, stand(report)) == (1, "Unknown/Healthy")
    assert codes(report) == ["ref_missing"]
    (hub.folder / "hub.git").rename(hub.folder / "gone.git")
    assert codes(hub.report()) == ["fetch_failed"]
    (hub.folder / "gone.git").rename(hub.folder / "hub.git")
    assert stand(hub.report()) == "Synced/Healthy"


@pytest.mark.parametrize(
    "url",
    [
        "http://mira:c4n4ry-s3cr3t@127.0.0.1:1/hub.git",
        "http://c4n4ry-s3cr3t@127.0.0.1:1/hub.git",
        "http://mira:c4n4ry%2Fs3cr3t%40x@127.0.0.1:1/hub.git",
        "http://127.0.0.1:1/hub.git?private_token=c4n4ry-s3cr3t",
        "http://127.0.0.1:1/hub.git#c4n4ry-s3cr3t",
        "http://mira:c4n4ry@s3cr3t@127.0.0.1:1/hub.git",
    ],
)
def test_credentials_in_the_url_of_a_remote_are_shown_nowhere(hub: Hub, url: str) -> None:
    git(hub.agent.root, "remote", "set-url", "origin", url)
    refused = hub.reconcile("--json")
    assert codes(reports(refused)[-1]) == ["fetch_failed"]
    assert "127.0.0.1" in refused.out
    for said in (refused.said, (hub.agent.home / "reconcile.json").read_text()):
        assert "c4n4ry" not in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("--ref=--upload-pack=touch ran",),
        ("--ref=-f",),
        ("--ref=a..b",),
        ("--ref=main:refs/heads/other",),
        ("--remote=-x",),
        ("--remote=ext::touch ran",),
        ("--remote=nobody",),
        ("--interval=0s", "--watch"),
    ],
)
def test_names_that_git_would_take_for_something_else_are_refused(
    hub: Hub, arguments: tuple[str, ...]
) -> None:
    refused = hub.launcher.call(hub.agent.root, "reconcile", "--remote=origin", *arguments)
    assert (refused.code, refused.is_clean()) == (1, True)
    assert "error[usage_error]" in refused.err
    assert not list(hub.folder.rglob("ran"))


@pytest.mark.slow
def test_named_tag_and_commit_are_followed(hub: Hub) -> None:
    pushed = hub.push(("2.0e-3", "1.0e-3"))
    git(hub.desk.root, "tag", "v1")
    git(hub.desk.root, "push", "-q", "origin", "v1")
    hub.push(("1.0e-3", "3.0e-3"))
    assert hub.report("--ref", "v1")["sync"]["revision"] == pushed
    local = hub.launcher.call(hub.agent.root, "reconcile", "--json", "--ref", pushed)
    assert (local.code, reports(local)[-1]["target"]["remote"]) == (0, "")


@pytest.mark.slow
def test_tag_with_the_name_of_a_branch_is_not_followed(hub: Hub) -> None:
    first = git(hub.desk.root, "rev-parse", "HEAD")
    pushed = hub.push(("2.0e-3", "1.0e-3"))
    git(hub.desk.root, "push", "-q", "origin", f"{first}:refs/tags/main")
    assert hub.report("--ref", "main")["sync"]["revision"] == pushed
    git(hub.agent.root, "tag", "local", first)
    git(hub.agent.root, "branch", "local", pushed)
    local = hub.launcher.call(hub.agent.root, "reconcile", "--json", "--ref", "local")
    assert reports(local)[-1]["sync"]["revision"] == pushed


@pytest.mark.slow
def test_branch_of_the_clone_is_followed_without_a_remote(hub: Hub) -> None:
    git(hub.agent.root, "checkout", "-q", "-B", "local", "--no-track")
    hub.agent.edit("2.0e-3", "1.0e-3")
    made = commit(hub.agent.root)
    looked = hub.launcher.call(hub.agent.root, "reconcile", "--json")
    report = reports(looked)[-1]
    assert (report["target"]["ref"], report["sync"]["revision"]) == ("refs/heads/local", made)
    assert git(hub.agent.root, "symbolic-ref", "--short", "HEAD") == "local"


@pytest.mark.slow
def test_no_branch_of_the_clone_is_moved(hub: Hub) -> None:
    before = git(hub.agent.root, "for-each-ref", "refs/heads", "refs/remotes", "refs/tags")
    hub.push(("2.0e-3", "1.0e-3"))
    assert hub.reconcile().code == 0
    assert git(hub.agent.root, "for-each-ref", "refs/heads", "refs/remotes", "refs/tags") == before


def test_nothing_that_a_clone_could_set_going_is_run(hub: Hub) -> None:
    ran = hub.folder / "ran"
    script = hub.agent.root / ".git" / "hooks" / "post-checkout"
    script.parent.mkdir(exist_ok=True)
    script.write_text(f"#!/bin/sh\ntouch {ran}\n")
    script.chmod(0o755)
    for name in ("reference-transaction", "post-index-change", "fsmonitor-watchman"):
        shutil.copy(script, script.with_name(name))
    git(hub.agent.root, "config", "core.fsmonitor", str(script))
    (hub.desk.root / ".gitattributes").write_text("* filter=own diff=own merge=own\n")
    (hub.desk.root / ".gitmodules").write_text(
        f'[submodule "x"]\n\tpath = x\n\turl = ext::touch {ran}\n\tupdate = !touch {ran}\n'
    )
    hub.push(("2.0e-3", "1.0e-3"))
    assert hub.reconcile().code == 0
    assert not ran.exists()


def test_clone_of_another_user_is_refused(hub: Hub) -> None:
    foreign = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
    refused = hub.reconcile(environment=foreign)
    assert (refused.code, refused.is_clean()) == (1, True)
    assert "error[no_clone]" in refused.err
    assert "dubious ownership" in refused.err


@pytest.mark.slow
def test_policy_of_the_commit_decides(hub: Hub) -> None:
    (hub.desk.root / "brewslm.policy.yaml").write_text("deletes: {max: {value: 0}}\n")
    hub.push(("formats: [adapter, safetensors]", "formats: [adapter]"))
    report = hub.report()
    assert (stand(report), codes(report)) == ("OutOfSync/Healthy", ["POLICY_REFUSED"])
    assert (hub.agent.home / "exports" / "safetensors").is_dir()


@pytest.mark.slow
def test_offline_refuses_to_fetch(hub: Hub) -> None:
    refused = hub.reconcile("--offline", "--json")
    assert (refused.code, codes(reports(refused)[-1])) == (6, ["network_refused"])


@pytest.mark.slow
def test_status_says_what_the_last_look_found_and_does_nothing(hub: Hub) -> None:
    told = hub.launcher.call(hub.agent.root, "reconcile", "--status")
    assert told.code == 0
    for line in ("Follows:       refs/heads/main of origin\n", "Sync:          Synced at "):
        assert line in told.out
    hub.push(("threshold: 0.8", "threshold: 0.5"))
    assert hub.launcher.call(hub.agent.root, "reconcile", "--status").out == told.out
    hub.reconcile()
    told = hub.launcher.call(hub.agent.root, "reconcile", "--status")
    assert (told.code, "error[GATE_WEAKENED]" in told.out) == (2, True)
    fresh = hub.clone("fresh")
    unknown = hub.launcher.call(fresh.root, "reconcile", "--status")
    assert (unknown.code, "Unknown" in unknown.out, fresh.home.exists()) == (2, True, False)


@pytest.mark.slow
def test_deployment_that_a_rollback_holds_is_suspended(hub: Hub) -> None:
    hub.push(("2.0e-3", "1.0e-3"))
    assert hub.reconcile().code == 0
    assert hub.launcher.call(hub.agent.root, "rollback", "--auto-approve").code == 0
    report = hub.report()
    assert (stand(report), codes(report)) == ("Synced/Suspended", ["HELD_BY_ROLLBACK"])


@pytest.mark.slow
def test_project_that_was_never_applied_is_missing(tmp_path: Path, launcher: Launcher) -> None:
    hub = Hub.make(tmp_path / "all", launcher)
    hub.push(("threshold: 0.8", "threshold: 1.5"))
    git(hub.desk.root, "checkout", "-q", "--orphan", "empty")
    assert hub.report()["health"]["status"] == "Degraded"
    hub.agent.edit("sorts complaints", "sorts them")
    assert hub.report()["health"]["status"] == "Missing"


@pytest.mark.slow
def test_move_that_broke_off_is_finished(hub: Hub) -> None:
    pushed = hub.push(("2.0e-3", "1.0e-3"))
    file = MemoryFile(hub.agent.home)
    file.save(file.load().model_copy(update={"moving_to": pushed}))
    hub.agent.edit("learning_rate", "half written")
    (hub.agent.root / "data" / "gold.jsonl").unlink()
    report = hub.report()
    assert (stand(report), report["sync"]["revision"]) == ("Synced/Healthy", pushed)
    assert git(hub.agent.root, "status", "--porcelain") == ""


@pytest.mark.slow
def test_memory_of_another_release_stops_the_loop(hub: Hub) -> None:
    (hub.agent.home / "reconcile.json").write_text('{"format_version": "1.0", "news": 1}')
    stopped = hub.reconcile()
    assert (stopped.code, stopped.is_clean()) == (1, True)
    assert "error[reconcile_memory_corrupt]" in stopped.err
    assert "news" in (hub.agent.home / "reconcile.json").read_text(), "nothing was lost"


def test_text_of_the_repository_is_escaped(hub: Hub) -> None:
    (hub.desk.root / "brewslm.yaml").write_text("kind: \u202eProject\n\x1b[31m: x\n")
    hub.push()
    said = hub.reconcile().out
    assert "\x1b" not in said
    assert "\u202e" not in said
