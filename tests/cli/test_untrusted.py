"""`plan --untrusted`: the commit alone is read, and nothing is left behind in the work tree."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from brewslm.cli import tracked
from brewslm.cli.session import Session
from tests.apply.bench import Bench
from tests.cli.conftest import Run
from tests.cli.repository import begin, commit, git

_WRONG = '"{}" is not what the commit says'


def listed(root: Path) -> dict[str, int]:
    """Return every path below a folder but git's own, with its time of change."""
    return {
        str(path.relative_to(root)): path.lstat().st_mtime_ns
        for path in root.rglob("*")
        if ".git" not in path.relative_to(root).parts
    }


def test_a_commit_plans_like_a_fresh_clone(bench: Bench, run: Run) -> None:
    begin(bench.root)
    before = listed(bench.root)
    untrusted = run("plan", "--untrusted", "--json")
    assert listed(bench.root) == before, "nothing is written into the tree"
    plain = run("plan", "--json").document
    document = untrusted.document
    assert untrusted.code == 0
    for same in ("manifest_digest", "actions", "inputs", "git_commit", "effective_manifest"):
        assert document[same] == plain[same]
    assert document["is_applyable"] is False
    assert "REFRESH_SKIPPED" in [item["code"] for item in document["findings"]]


def test_the_state_beside_the_manifest_says_nothing(applied: Bench, run: Run) -> None:
    begin(applied.root)
    answer = run("plan", "--untrusted")
    assert "11 to create" in answer.out
    assert answer.out.endswith("made without a state and can't be applied. It says what changes.\n")


@pytest.mark.case("PLN-07")
def test_it_is_not_applied_without_a_state(bench: Bench, run: Run) -> None:
    begin(bench.root)
    assert run("plan", "--untrusted", "--out", "a.plan.json").code == 0
    run("apply", "a.plan.json").says(6, "error[plan_incomplete]", "made without a state")


@pytest.mark.case("UNT-07")
def test_a_tracked_state_is_told_and_not_read(applied: Bench, run: Run) -> None:
    (applied.home / "cache" / "digests.json").write_text('{"data/rows.jsonl": {"digest": "x"}}')
    (applied.home / ".gitignore").unlink(missing_ok=True)
    (applied.root / ".env").write_text("BREWSLM_ACTOR=mallory\n")
    git(applied.root, "init", "-q", "-b", "main")
    (applied.root / "brewslm.policy.yaml").write_text("deletes: {max: {value: 0}}\n")
    base = commit(applied.root)
    (applied.root / "brewslm.policy.yaml").write_text("deletes: {max: {value: 999}}\n")
    commit(applied.root)
    answer = run("plan", "--untrusted", "--against", base, "--json")
    assert answer.code == 0
    found = {item["code"]: item for item in answer.document["findings"]}
    assert found["POLICY_CHANGED"]["severity"] == "warning"
    assert found["SYSTEM_CONFIG_INVALID"]["severity"] == "warning"
    assert found["SYSTEM_CONFIG_INVALID"]["found"].startswith(".brewslm/")
    assert answer.document["summary"]["create"] == 11
    assert answer.document["project"]["serial"] == 0
    assert "mallory" not in answer.out


@pytest.mark.case("PTH-09")
def test_a_hard_link_with_other_content_is_refused(bench: Bench, run: Run) -> None:
    begin(bench.root)
    rows = bench.root / "data" / "rows.jsonl"
    secret = bench.root.parent / "secret"
    secret.write_bytes(rows.read_bytes().replace(b"lamp", b"cord"))
    rows.unlink()
    os.link(secret, rows)
    answer = run("plan", "--untrusted")
    answer.says(1, "brewslm.yaml:7:", "error[PATH_OUTSIDE_PROJECT]", _WRONG.format(rows.name)[-20:])
    assert "cord" not in answer.out + answer.err


@pytest.mark.parametrize("name", ["data/rows.jsonl", "pack.yaml", "schema.json"])
def test_what_git_does_not_track_is_refused(name: str, bench: Bench, run: Run) -> None:
    bench.edit("dataset: {", "dataset: {contract: {json_schema: schema.json}, ")
    bench.edit("eval_pack:\n", "eval_pack:\n    path: pack.yaml\n")
    for other in ("pack.yaml", "schema.json"):
        (bench.root / other).write_text("{}")
    begin(bench.root)
    git(bench.root, "rm", "-q", "--cached", name)
    git(bench.root, "commit", "-q", "-m", "left out")
    run("plan", "--untrusted").says(1, "error[PATH_OUTSIDE_PROJECT]", _WRONG.format(name))


def test_a_manifest_that_is_not_the_commits_is_refused(bench: Bench, run: Run) -> None:
    begin(bench.root)
    bench.edit("threshold: 0.8", "threshold: 0.7")
    run("plan", "--untrusted").says(1, "error[path_outside_project]", _WRONG.format("brewslm.yaml"))


@pytest.mark.parametrize("is_tracked", [True, False])
def test_no_link_is_followed_even_inside(is_tracked: bool, bench: Bench, run: Run) -> None:
    rows = bench.root / "data" / "rows.jsonl"
    if not is_tracked:
        begin(bench.root)
    rows.rename(bench.root / "data" / "real.jsonl")
    rows.symlink_to("real.jsonl")
    if is_tracked:
        begin(bench.root)
    assert run("plan").code == 0, "a link that stays inside is followed in a tree of one's own"
    run("plan", "--untrusted").says(1, "error[PATH_OUTSIDE_PROJECT]", '"data/rows.jsonl"')


@pytest.mark.case("PTH-03")
def test_a_pipe_is_refused_without_waiting(bench: Bench, run: Run) -> None:
    begin(bench.root)
    rows = bench.root / "data" / "rows.jsonl"
    rows.unlink()
    os.mkfifo(rows)
    run("plan", "--untrusted").says(1, "error[PATH_NOT_REGULAR_FILE]")


def test_other_findings_are_told_in_the_same_run(bench: Bench, run: Run) -> None:
    bench.edit("num_epochs: 2", "num_epochs: -2")
    begin(bench.root)
    bench.write_rows("rows", range(3))
    run("plan", "--untrusted").says(1, "PATH_OUTSIDE_PROJECT", "OUT_OF_RANGE")


def test_sizes_are_capped(bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(bench.root)
    size_bytes = sum(path.stat().st_size for path in (bench.root / "data").iterdir())
    with monkeypatch.context() as patched:
        patched.setattr(tracked, "MAX_TOTAL_BYTES", size_bytes - 1)
        run("plan", "--untrusted").says(1, "error[FILE_TOO_LARGE]")
    monkeypatch.setattr(tracked, "MAX_FILE_BYTES", 100)
    run("plan", "--untrusted").says(1, "file_too_large")


def test_what_git_lfs_keeps_counts_as_committed(bench: Bench, run: Run) -> None:
    rows = bench.root / "data" / "rows.jsonl"
    content = rows.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    rows.write_text(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(content)}\n"
    )
    base = begin(bench.root)
    rows.write_bytes(content)
    answer = run("plan", "--untrusted", "--against", base, "--json")
    assert answer.code == 0, answer.err
    assert answer.document["against"]["changes"] == []
    rows.write_bytes(content.replace(b"lamp", b"cord"))
    run("plan", "--untrusted").says(1, _WRONG.format("data/rows.jsonl"))


def test_a_model_of_the_project_is_copied_too(bench: Bench, run: Run) -> None:
    builtin = Path(tracked.__file__).parents[1] / "builtin" / "nano"
    shutil.copytree(builtin, bench.root / "model")
    bench.edit("base_model: builtin:nano", "base_model: ./model")
    begin(bench.root)
    assert run("plan", "--untrusted").code == 0
    with (bench.root / "model" / "config.json").open("a") as stream:
        stream.write(" ")
    run("plan", "--untrusted").says(1, _WRONG.format("model/config.json"))


def test_a_project_in_a_folder_of_the_repository(bench: Bench, run: Run) -> None:
    begin(bench.root.parent)
    assert "11 to create" in run("plan", "--untrusted").out


@pytest.mark.usefixtures("bench")
def test_outside_of_a_repository_it_is_told(run: Run) -> None:
    run("plan", "--untrusted").says(1, "unknown_revision", "in no git repository")


def test_a_shared_state_is_not_asked(bench: Bench, run: Run) -> None:
    backend = "backend: {state: 'postgresql://10.0.0.1/x', artifacts: 's3://bucket/x'}"
    bench.edit("spec:\n", f"spec:\n  workflow: {{{backend}}}\n")
    begin(bench.root)
    assert "11 to create" in run("plan", "--untrusted").out


@pytest.mark.case("UNT-05")
def test_environment_and_home_say_nothing(
    bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(bench.root)
    plain = run("plan", "--untrusted", "--json").out
    for name in ("HOME", "HF_HOME", "HF_HUB_CACHE", "BREWSLM_ACTOR", "BREWSLM_RESCUE_DIR"):
        monkeypatch.setenv(name, str(bench.root / "data"))
    assert run("plan", "--untrusted", "--json").out == plain
    with tracked.tracked_copy(Session(bench.root)) as copy:
        assert set(copy.session.environment) == {"PATH"}


def test_a_model_of_the_hub_is_known_by_name_alone(
    bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    builtin = Path(tracked.__file__).parents[1] / "builtin" / "nano"
    hub = bench.root.parent / "hub"
    shutil.copytree(builtin, hub / "models--org--nano" / "snapshots" / ("0" * 40))
    monkeypatch.setenv("HF_HUB_CACHE", str(hub))
    bench.edit("{base_model: builtin:nano}", f"{{base_model: org/nano, revision: '{'0' * 40}'}}")
    begin(bench.root)
    assert "MODEL_NOT_CACHED" not in run("plan").out
    answer = run("plan", "--untrusted")
    assert "warning[MODEL_NOT_CACHED]" in answer.out
    assert answer.code == 0


def test_drift_is_looked_for_elsewhere(bench: Bench, run: Run) -> None:
    begin(bench.root)
    run("plan", "--untrusted", "--refresh-only").says(1, "usage_error", "--refresh-only")
