"""`plan --against REF`: what a change does, from another commit's objects alone."""

import json
import os

import pytest

from tests.apply.bench import Bench
from tests.cli.conftest import Run
from tests.cli.repository import begin, commit, git


@pytest.fixture
def base(bench: Bench) -> str:
    """Return the first commit of a project that was never applied."""
    return begin(bench.root)


def test_fields_bytes_and_resources_are_told(bench: Bench, base: str, run: Run) -> None:
    bench.edit("learning_rate: 2.0e-3", "learning_rate: 1.0e-3")
    bench.edit("formats: [adapter, safetensors]", "formats: [adapter]")
    bench.write_rows("rows", range(61))
    commit(bench.root)
    document = run("plan", "--against", "HEAD~1", "--json").document
    against = document["against"]
    assert (against["ref"], against["commit"]) == ("HEAD~1", base)
    changes = {item["address"]: item for item in against["changes"]}
    assert set(changes) == {"training_plan", "export.safetensors", "data_source.rows"}
    assert changes["export.safetensors"]["operation"] == "delete"
    rate = {"path": "config.learning_rate", "before": 0.002, "after": 0.001}
    assert changes["training_plan"]["fields"] == [rate]
    content = changes["data_source.rows"]["content"]
    digests = {item["path"]: item["digest"] for item in document["inputs"]}
    assert (content["path"], content["after"]) == ("data/rows.jsonl", digests["data/rows.jsonl"])
    assert content["before"].startswith("sha256:")
    assert content["before"] != content["after"]
    text = run("plan", "--against", "main~1").out
    assert "update training_plan: config.learning_rate 0.002 -> 0.001\n" in text
    assert "update data_source.rows: other bytes in data/rows.jsonl\n" in text


def test_uncommitted_data_that_is_the_same_is_no_change(bench: Bench, base: str, run: Run) -> None:
    (bench.root / "data" / "rows.jsonl").touch()
    assert run("plan", "--against", base, "--json").document["against"]["changes"] == []
    assert (
        f"Changed against {base} ({base[:6]})\n    nothing\n" in run("plan", "--against", base).out
    )


def test_without_a_state_it_cannot_be_applied(bench: Bench, base: str, run: Run) -> None:
    assert run("plan", "--against", base, "--json").document["is_applyable"] is False
    bench.apply()
    assert run("plan", "--against", base, "--json").document["is_applyable"] is True


def test_a_gate_weaker_than_there_is_refused(bench: Bench, base: str, run: Run) -> None:
    bench.edit("threshold: 0.8", "threshold: 0.7")
    answer = run("plan", "--against", base)
    assert answer.code == 6
    assert "error[GATE_WEAKENED]" in answer.out
    assert "Gates weaker than at" in answer.out
    assert "gates.right.threshold: threshold_lowered, 0.8 -> 0.7\n" in answer.out
    run("plan", "--against", base, "--markdown", "plan.md")
    lines = (bench.root / "plan.md").read_text().splitlines()
    assert lines[1].startswith("**Refused, 1 error · 0 deletes · 1 gate weakened")
    assert "### Gates weaker than at the base" in lines
    assert run("plan").code == 0, "nothing was applied yet that it could be weaker than"


def test_weakening_that_the_base_allows_is_listed_only(bench: Bench, run: Run) -> None:
    bench.edit("spec:\n", "spec:\n  workflow: {gate_policy: {allow_weakening: true}}\n")
    base = begin(bench.root)
    bench.edit("threshold: 0.8", "threshold: 0.7")
    answer = run("plan", "--against", base)
    assert answer.code == 0
    assert "threshold_lowered" in answer.out


def test_the_leave_has_to_be_in_the_base(bench: Bench, base: str, run: Run) -> None:
    bench.edit("spec:\n", "spec:\n  workflow: {gate_policy: {allow_weakening: true}}\n")
    bench.edit("threshold: 0.8", "threshold: 0.7")
    assert run("plan", "--against", base).code == 6


def test_an_applied_gate_is_refused_once(applied: Bench, run: Run) -> None:
    base = begin(applied.root)
    applied.edit("threshold: 0.8", "threshold: 0.7")
    findings = run("plan", "--against", base, "--json").document["findings"]
    assert [item["code"] for item in findings if item["severity"] == "error"] == ["GATE_WEAKENED"]


def test_a_schema_file_is_read_where_it_was(bench: Bench, run: Run) -> None:
    schema = bench.root / "data" / "schema.json"
    schema.write_text('{"type": "object"}')
    bench.edit(
        "dataset: {",
        "dataset: {task_profile: classification, contract: {json_schema: data/schema.json}, ",
    )
    base = begin(bench.root)
    schema.write_text('{"type": "object", "title": "other"}')
    answer = run("plan", "--against", base, "--json")
    assert answer.err == ""
    changes = answer.document["against"]["changes"]
    paths = [field["path"] for item in changes for field in item["fields"]]
    assert paths == ["contract.json_schema.title"]


def test_a_commit_without_a_manifest_has_everything_new(bench: Bench, run: Run) -> None:
    (bench.root / "brewslm.yaml").rename(bench.root / "aside")
    base = begin(bench.root)
    (bench.root / "aside").rename(bench.root / "brewslm.yaml")
    against = run("plan", "--against", base, "--json").document["against"]
    assert against["has_manifest"] is False
    assert {item["operation"] for item in against["changes"]} == {"create"}


def test_a_project_in_a_folder_of_the_repository(bench: Bench, run: Run) -> None:
    base = begin(bench.root.parent)
    bench.edit("num_epochs: 2", "num_epochs: 3")
    changes = run("plan", "--against", base, "--json").document["against"]["changes"]
    assert [item["address"] for item in changes] == ["training_plan"]


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize(
    "ref", ["nothing", "-x", "--help", "../../etc/passwd", "a" * 40, "", "HEAD:x"]
)
def test_a_commit_that_is_not_there_is_told(ref: str, run: Run) -> None:
    run("plan", f"--against={ref}").says(1, "error[unknown_revision]", "fetch-depth: 0")


@pytest.mark.usefixtures("bench")
def test_outside_of_a_repository_it_is_told(run: Run) -> None:
    run("plan", "--against", "HEAD").says(1, "unknown_revision", "in no git repository")


def test_nothing_of_the_repository_runs(bench: Bench, base: str, run: Run) -> None:
    ran = bench.root / "ran"
    program = bench.root / "evil.sh"
    program.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    program.chmod(0o755)
    for key in (
        *("core.fsmonitor", "core.pager", "core.sshCommand", "core.editor", "diff.external"),
        *("filter.x.clean", "filter.x.smudge", "diff.x.textconv", "core.alternateRefsCommand"),
        *("alias.cat-file", "uploadpack.packObjectsHook", "core.gitProxy"),
    ):
        git(bench.root, "config", key, f"!{program}" if key.startswith("alias") else str(program))
    git(bench.root, "config", "core.hooksPath", str(bench.root))
    (bench.root / ".gitattributes").write_text("* filter=x diff=x\n")
    (bench.root / ".git" / "hooks" / "post-checkout").symlink_to(program)
    (bench.root / "git").symlink_to(program)
    ran.unlink(missing_ok=True)
    assert run("plan", "--against", base).code == 0
    assert not ran.exists()


def test_a_replaced_object_is_read_as_it_was(bench: Bench, base: str, run: Run) -> None:
    bench.edit("threshold: 0.8", "threshold: 0.7")
    weaker = commit(bench.root)
    git(bench.root, "replace", base, weaker)
    assert run("plan", "--against", base).code == 6


def test_packed_branches_and_tags_are_found(bench: Bench, base: str, run: Run) -> None:
    git(bench.root, "tag", "-a", "v1", "-m", "one")
    git(bench.root, "update-ref", "refs/remotes/origin/main", base)
    git(bench.root, "pack-refs", "--all")
    git(bench.root, "gc", "-q")
    for ref in ("v1", "main", "origin/main", "refs/heads/main", base[:10], "HEAD"):
        assert run("plan", "--against", ref, "--json").document["against"]["commit"] == base


def test_the_link_of_another_commit_is_not_followed(bench: Bench, run: Run) -> None:
    outside = bench.root.parent / "outside.yaml"
    outside.write_text((bench.root / "brewslm.yaml").read_text())
    real = (bench.root / "brewslm.yaml").read_text()
    (bench.root / "brewslm.yaml").unlink()
    (bench.root / "brewslm.yaml").symlink_to(outside)
    base = begin(bench.root)
    (bench.root / "brewslm.yaml").unlink()
    (bench.root / "brewslm.yaml").write_text(real)
    assert not run("plan", "--against", base, "--json").document["against"]["has_manifest"]


def test_nothing_is_left_in_the_cache(bench: Bench, base: str, run: Run) -> None:
    assert run("plan", "--against", base).code == 0
    left = [path.name for path in (bench.home / "cache").iterdir()]
    assert not [name for name in left if name.startswith(("git-", "base-"))]


def test_large_manifests_of_another_commit_are_not_read(bench: Bench, run: Run) -> None:
    path = bench.root / "brewslm.yaml"
    real = path.read_text()
    path.write_bytes(real.encode() + b"#" * (1 << 20))
    base = begin(bench.root)
    path.write_text(real)
    assert not run("plan", "--against", base, "--json").document["against"]["has_manifest"]


PACK = """\
contract_version: slm.evaluation-pack/v2
pack_id: own
task_specs:
  - task_profile: classification
    gates: [{gate_id: held, metric_id: accuracy, operator: gte, threshold: 0.9}]
"""


@pytest.mark.parametrize("profile", ["", "task_profile: classification, "], ids=["rows", "said"])
def test_a_pack_file_made_weaker_is_refused(profile: str, bench: Bench, run: Run) -> None:
    bench.edit("dataset: {", f"dataset: {{{profile}")
    bench.edit("eval_pack:\n", "eval_pack:\n    path: own.yaml\n")
    (bench.root / "own.yaml").write_text(PACK)
    base = begin(bench.root)
    assert run("plan", "--against", base).code == 0
    (bench.root / "own.yaml").write_text(PACK.replace("0.9", "0.8"))
    answer = run("plan", "--against", base)
    assert answer.code == 6
    assert "error[GATE_WEAKENED]" in answer.out


@pytest.mark.case("PTH-12")
def test_a_commit_that_a_shallow_clone_lacks_names_the_depth(
    bench: Bench, base: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.edit("num_epochs: 2", "num_epochs: 3")
    commit(bench.root)
    shallow = bench.root.parent / "shallow"
    git(bench.root.parent, "clone", "-q", "--depth", "1", bench.root.as_uri(), str(shallow))
    monkeypatch.chdir(shallow)
    for ref in (base, base[:12], "HEAD~1", "main~1"):
        answer = run("plan", "--against", ref)
        answer.says(1, "error[unknown_revision]", ref, "git fetch --depth", "fetch-depth: 0")


@pytest.mark.case("PTH-12")
@pytest.mark.parametrize("ref", ["--output=canary", "HEAD;touch canary", "$(touch canary)", "-x"])
def test_a_commit_is_a_name_and_no_command(ref: str, bench: Bench, base: str, run: Run) -> None:
    assert base
    run("plan", f"--against={ref}").says(1, "error[unknown_revision]")
    assert not list(bench.root.rglob("canary"))


@pytest.mark.case("PLN-01")
def test_other_gold_rows_than_there_count_as_weaker(bench: Bench, base: str, run: Run) -> None:
    bench.write_rows("gold", range(100, 129))
    answer = run("plan", "--against", base, "--json")
    assert answer.code == 6
    (change,) = answer.document["against"]["gate_changes"]
    assert (change["kind"], change["path"]) == ("eval_rows_changed", "rows.gold_test")
    assert change["before"].startswith("data/gold.jsonl sha256:")
    assert change["weakened"] is True
    (refused,) = [item for item in answer.document["findings"] if item["severity"] == "error"]
    assert refused["code"] == "GATE_WEAKENED"
    assert "eval rows changed" in refused["message"]


def test_gold_rows_are_compared_by_content_and_told_by_id(
    bench: Bench, base: str, run: Run
) -> None:
    bench.write_rows("gold", [*range(100, 128), 500])
    (change,) = run("plan", "--against", base, "--json").document["against"]["gate_changes"]
    assert change["before"].endswith(", 30 rows")
    assert ", 29 rows: 2 removed, 1 added (" in change["after"]


def test_gold_rows_in_another_order_or_spelling_are_the_same(
    bench: Bench, base: str, run: Run
) -> None:
    path = bench.root / "data" / "gold.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(dict(reversed(x.items()))) + "\n" for x in lines[::-1]))
    answer = run("plan", "--against", base, "--json")
    assert (answer.code, answer.document["against"]["gate_changes"]) == (0, [])
    left = [item.name for item in (bench.home / "cache").iterdir()]
    assert not [name for name in left if name.startswith("base-")]


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ("gold.jsonl}", "gold.jsonl, limit: 9}", "rows.gold_test"),
        ("{require_baseline: true}", "{}", "policy.require_baseline"),
        ("type: gold_test", "type: train", "rows.gold_test"),
    ],
)
def test_what_decides_is_compared_with_the_base(
    bench: Bench, run: Run, before: str, after: str, path: str
) -> None:
    bench.edit("spec:\n", "spec:\n  workflow: {gate_policy: {require_baseline: true}}\n")
    base = begin(bench.root)
    bench.edit(before, after)
    answer = run("plan", "--against", base, "--json")
    changes = answer.document["against"]["gate_changes"]
    assert (answer.code, [item["path"] for item in changes if item["weakened"]]) == (6, [path])


@pytest.mark.parametrize("said", ["", "task_profile: classification, "])
@pytest.mark.parametrize("option", ["json_mode: strict", "normaliser: none"])
def test_options_of_a_pack_file_are_compared_with_the_base(
    bench: Bench, run: Run, said: str, option: str
) -> None:
    bench.edit("dataset: {", f"dataset: {{{said}")
    bench.edit("eval_pack:\n", "eval_pack:\n    path: own.yaml\n")
    strict = f"task_profile: classification\n    options: {{{option}}}\n"
    plain = PACK.replace("task_specs:", "extensions: [brewslm/gates-1]\ntask_specs:")
    (bench.root / "own.yaml").write_text(plain.replace("task_profile: classification\n", strict))
    base = begin(bench.root)
    (bench.root / "own.yaml").write_text(plain)
    assert run("plan", "--against", base).code == 6


def test_gold_rows_that_moved_are_the_same(bench: Bench, base: str, run: Run) -> None:
    (bench.root / "data" / "gold.jsonl").rename(bench.root / "data" / "good.jsonl")
    bench.edit("data/gold.jsonl", "data/good.jsonl")
    answer = run("plan", "--against", base, "--json")
    assert (answer.code, answer.document["against"]["gate_changes"]) == (0, [])


@pytest.mark.parametrize(("option", "code"), [("", 0), (", limit: 5", 6)])
def test_gold_source_of_another_name_is_the_same(
    option: str, code: int, bench: Bench, run: Run
) -> None:
    bench.edit("eval_pack:\n", "eval_pack:\n    datasets: [gold]\n")
    base = begin(bench.root)
    bench.edit("datasets: [gold]", "datasets: [sure]")
    bench.edit("{name: gold, type: gold_test", "{name: sure, type: gold_test")
    bench.edit("data/gold.jsonl}", f"data/gold.jsonl{option}}}")
    answer = run("plan", "--against", base, "--json")
    changes = answer.document["against"]["gate_changes"]
    assert (answer.code, changes == []) == (code, code == 0)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("type: gold_test, file_path: data/gold.jsonl", "type: raw, file_path: data/gold.jsonl"),
        ("data/gold.jsonl}", "data/gold.jsonl, limit: 5}"),
        ("eval_pack:\n", "eval_pack:\n    datasets: [validation]\n"),
    ],
    ids=["retyped", "limited", "swapped"],
)
@pytest.mark.case("PLN-01")
def test_gold_rows_that_decide_no_more_count_as_weaker(
    before: str, after: str, bench: Bench, base: str, run: Run
) -> None:
    bench.edit(before, after)
    answer = run("plan", "--against", base, "--json")
    kinds = [item["kind"] for item in answer.document["against"]["gate_changes"]]
    assert set(kinds) == {"eval_rows_changed"}
    assert answer.code == 6


def test_the_first_gold_rows_are_no_weakening(bench: Bench, run: Run) -> None:
    bench.edit("    - {name: gold, type: gold_test, file_path: data/gold.jsonl}\n", "")
    base = begin(bench.root)
    rows = "    - {name: rows, type: raw, file_path: data/rows.jsonl}\n"
    gold = "    - {name: gold, type: gold_test, file_path: data/gold.jsonl}\n"
    bench.edit(rows, rows + gold)
    answer = run("plan", "--against", base, "--json")
    weaker = [item for item in answer.document["against"]["gate_changes"] if item["weakened"]]
    assert (answer.code, weaker) == (0, [])


def test_gold_rows_that_no_commit_holds_are_not_compared(bench: Bench, run: Run) -> None:
    (bench.root / "data" / ".gitignore").write_text("gold.jsonl\n")
    base = begin(bench.root)
    bench.write_rows("gold", range(100, 129))
    assert run("plan", "--against", base, "--json").document["against"]["gate_changes"] == []


def _with_submodule(bench: Bench, name: str = "shared") -> None:
    """Move the training rows into a submodule."""
    inner = bench.root.parent / "inner"
    inner.mkdir()
    (bench.root / "data" / "rows.jsonl").rename(inner / "rows.jsonl")
    git(inner, "init", "-q", "-b", "main")
    commit(inner)
    begin(bench.root)
    git(bench.root, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), name)
    bench.edit("data/rows.jsonl", f"{name}/rows.jsonl")
    commit(bench.root)


@pytest.mark.parametrize("flag", [(), ("--untrusted",)])
def test_data_of_a_submodule_is_what_its_commit_holds(
    flag: tuple[str, ...], bench: Bench, run: Run
) -> None:
    _with_submodule(bench)
    against = ("plan", "--against", "HEAD", "--json", *flag)
    assert run(*against).document["against"]["changes"] == []
    with (bench.root / "shared" / "rows.jsonl").open("a") as stream:
        stream.write('{"text": "one more row of the submodule", "label": "late"}\n')
    if flag:
        assert "PATH_OUTSIDE_PROJECT" in run(*against).err
        return
    (change,) = run(*against).document["against"]["changes"]
    assert (change["address"], change["content"]["path"]) == (
        "data_source.rows", "shared/rows.jsonl",
    )  # fmt: skip


def test_a_submodule_that_moved_is_a_change(bench: Bench, run: Run) -> None:
    _with_submodule(bench)
    with (bench.root / "shared" / "rows.jsonl").open("a") as stream:
        stream.write('{"text": "one more row of the submodule", "label": "late"}\n')
    commit(bench.root / "shared")
    commit(bench.root)
    assert run("plan", "--against", "HEAD", "--json").document["against"]["changes"] == []
    (change,) = run("plan", "--against", "HEAD~1", "--json").document["against"]["changes"]
    assert change["content"]["before"].startswith("sha256:")


def test_a_partial_clone_names_what_is_missing_and_how_to_get_it(
    bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(bench.root)
    bench.edit("learning_rate: 2.0e-3", "learning_rate: 1.0e-3")
    commit(bench.root)
    git(bench.root, "config", "uploadpack.allowFilter", "true")
    part = bench.root.parent / "part"
    git(bench.root, "clone", "-q", "--filter=blob:none", f"file://{bench.root}", str(part))
    monkeypatch.chdir(part)
    answer = run("plan", "--against", "HEAD~1")
    answer.says(1, "error[unknown_revision]", '"brewslm.yaml"', "partial clone")
    assert "git fetch --refetch --no-filter origin" in answer.err
    git(part, "fetch", "--refetch", "--no-filter", "-q", "origin")
    assert "learning_rate 0.001 -> " not in run("plan", "--against", "HEAD~1").out
    assert "config.learning_rate 0.002 -> 0.001" in run("plan", "--against", "HEAD~1").out


@pytest.mark.parametrize("flag", [(), ("--untrusted",)])
def test_a_head_that_is_no_file_of_git_shows_and_waits_for_nothing(
    flag: tuple[str, ...], bench: Bench, base: str, run: Run
) -> None:
    head = bench.root / ".git" / "HEAD"
    canary = bench.root.parent / "canary"
    canary.write_text("canary of another folder\n")
    head.unlink()
    head.symlink_to(canary)
    for answer in (run("plan", *flag), run("plan", "--json", *flag)):
        assert "canary" not in answer.out + answer.err
    head.unlink()
    head.symlink_to("refs/heads/main")
    assert run("plan", "--json", *flag).document["git_commit"] == base
    head.unlink()
    os.mkfifo(head)
    answer = run("plan", *flag)
    assert "internal error" not in answer.err
    head.unlink()
    head.mkdir()
    assert "internal error" not in run("plan", *flag).err
    (bench.root / ".git" / "refs" / "heads" / "main").unlink()
    os.mkfifo(bench.root / ".git" / "refs" / "heads" / "main")
    assert "internal error" not in run("plan", "--against", "main", *flag).err


def test_a_repository_with_sha256_ids_is_read(bench: Bench, run: Run) -> None:
    git(bench.root, "init", "-q", "--object-format=sha256")
    base = begin(bench.root)
    assert len(base) == 64
    for flags in ((), ("--untrusted",), ("--against", "HEAD")):
        run("plan", *flags).says(0)
    bench.edit("2.0e-3", "1.0e-3")
    assert "config.learning_rate 0.002 -> 0.001" in run("plan", "--against", base).out


@pytest.mark.usefixtures("base")
def test_a_git_that_waits_for_a_pipe_ends_in_words(
    bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brewslm.cli.git_objects._TIMEOUT_S", 0.3)
    os.mkfifo(bench.root / ".git" / "objects" / "info" / "alternates")
    run("plan", "--untrusted").says(1, "error[unknown_revision]", "no answer of git in 0.3 s")


def test_gold_rows_in_another_slice_of_a_gate_count_as_weaker(bench: Bench, run: Run) -> None:
    path = bench.root / "data" / "gold.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]

    def label(hard: range) -> None:
        cases = ["hard" if at in hard else "easy" for at in range(len(rows))]
        said = (row | {"case": case} for row, case in zip(rows, cases, strict=True))
        path.write_text("".join(json.dumps(item) + "\n" for item in said))

    gate = "    gates:\n"
    sliced = "      - {gate_id: hard, metric_id: accuracy, threshold: 0.8, slice: case=hard}\n"
    bench.edit(gate, gate + sliced)
    label(range(10))
    base = begin(bench.root)
    label(range(9))
    answer = run("plan", "--against", base, "--json")
    (change,) = answer.document["against"]["gate_changes"]
    assert (answer.code, change["path"], change["weakened"]) == (6, "rows.gold_test", True)
    assert "case=hard" in change["after"]
