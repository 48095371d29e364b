"""A plan of a stranger's repository runs nothing of it, asks no network and reads nothing beside
it.

Each repository is planned in a fresh interpreter under an audit hook: it plans, or is refused with
findings, and what it touched is looked at.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.apply.bench import MANIFEST, Bench, row
from tests.cli.repository import begin, git

ROOT = Path(__file__).parents[2]
_CANARY = "canary-3f9a1c"
_SYSTEM = ("/proc/", "/sys/", "/dev/null")
"""Facts of the host, such as its memory."""
_MODULES = (
    *("sitecustomize", "usercustomize", "conftest", "setup", "click", "ruamel", "torch", "json"),
    *("brewslm_plugin", "mapper", "label_to_classification", "encodings"),
)


@dataclass(frozen=True)
class Touched:
    """What a command did."""

    code: int
    said: str
    opened: list[str]
    sockets: list[str]
    ran: list[str]
    executed: list[str]


_ROW_FILES = ("gold_test.jsonl", "index.jsonl")


def planned(root: Path, *arguments: str, command: str = "plan") -> Touched:
    scratch = root.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-I", ROOT / "tests/boundaries/audited.py", ROOT, command, *arguments],
        cwd=root,
        env={
            "PATH": f"{os.environ['PATH']}:{root}",
            "HOME": str(root),
            "PYTHONPATH": str(root),
            "TMPDIR": str(scratch),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    said, _, last = done.stdout.rstrip("\n").rpartition("\n")
    found = json.loads(last)
    return Touched(
        code=found["code"],
        said=said + done.stderr,
        opened=found["open"],
        sockets=found["socket"],
        ran=found["run"],
        executed=found["exec"],
    )


def assert_inert(root: Path, touched: Touched) -> None:
    inside = f"{root.resolve()}"
    scratch = f"{root.resolve().parent / 'scratch'}"
    expected = (f"{inside}/", f"{scratch}/", *_SYSTEM)
    beside = [
        path
        for path in touched.opened
        if path.startswith("/") and path not in (inside, scratch) and not path.startswith(expected)
    ]
    assert beside == []
    assert touched.sockets == []
    assert [path for path in touched.ran if Path(path).name != "git"] == []
    assert [path for path in touched.ran if Path(path).is_relative_to(root)] == []
    assert [path for path in touched.executed if path.startswith((inside, scratch))] == []
    assert not (root / "ran").exists()
    assert _CANARY not in touched.said
    assert "Traceback" not in touched.said
    assert "internal error" not in touched.said


def modules(bench: Bench) -> None:
    """Modules that Python or a test runner would import by themselves, and a shadow of ours."""
    code = f"open({str(bench.root / 'ran')!r}, 'w')\n"
    for name in _MODULES:
        (bench.root / f"{name}.py").write_text(code)
    for name in ("brewslm", "numpy"):
        (bench.root / name).mkdir()
        (bench.root / name / "__init__.py").write_text(code)
    (bench.root / "evil.pth").write_text(f"import os; {code}")
    (bench.root / "pyproject.toml").write_text('[project.entry-points."brewslm"]\nx = "mapper:x"\n')


def links_out(bench: Bench) -> None:
    """Rows, a schema and a pack that are links to files beside the project."""
    secret = bench.root.parent / "secret"
    secret.write_text(json.dumps({"text": _CANARY, "label": _CANARY}) + "\n")
    for name in ("data/rows.jsonl", "schema.json", "pack.yaml"):
        (bench.root / name).unlink(missing_ok=True)
        (bench.root / name).symlink_to(secret)
    bench.edit("dataset: {", "dataset: {contract: {json_schema: schema.json}, ")
    bench.edit("eval_pack:\n", "eval_pack:\n    path: pack.yaml\n")


def folder_out(bench: Bench) -> None:
    """A folder of rows that is a link to one beside the project."""
    (bench.root / "data").rename(bench.root.parent / "data")
    (bench.root / "data").symlink_to(bench.root.parent / "data")


def manifest_out(bench: Bench) -> None:
    """A manifest that is a link to a file beside the project."""
    outside = bench.root.parent / "outside.yaml"
    outside.write_text(MANIFEST.replace("parcels", _CANARY))
    (bench.root / "brewslm.yaml").unlink()
    (bench.root / "brewslm.yaml").symlink_to(outside)


def policy_out(bench: Bench) -> None:
    """A policy that is a link to a file beside the project."""
    (bench.root.parent / "policy").write_text(f"{_CANARY}: 1\n")
    (bench.root / "brewslm.policy.yaml").symlink_to("../policy")


def huge_aliases(bench: Bench) -> None:
    """Aliases of aliases that would be more nodes than there are atoms."""
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    (bench.root / "brewslm.yaml").write_text("\n".join(lines) + "\n" + MANIFEST)


def paths_out(bench: Bench) -> None:
    """Paths that climb, are absolute, or name devices."""
    bench.edit("file_path: data/rows.jsonl", "file_path: ../../../../etc/passwd")
    bench.edit("file_path: data/gold.jsonl", "file_path: /etc/shadow")


def doors(bench: Bench) -> None:
    """Names of mappers, sources, formats and optimizers that would be code."""
    bench.edit("name: rows, type: raw,", 'name: rows, type: raw, adapter: "os:system",')
    bench.edit("formats: [adapter", "formats: [../../mapper, mapper, adapter")
    bench.edit("adamw_torch", "mapper.Optimizer")
    modules(bench)


def model_with_code(bench: Bench) -> None:
    """A base model whose config asks for code beside it, and a pickle for weights."""
    model = bench.root / "model"
    model.mkdir()
    settings = {"model_type": "llama", "auto_map": {"AutoModelForCausalLM": "modeling.Evil"}}
    (model / "config.json").write_text(json.dumps(settings))
    (model / "modeling.py").write_text(f"open({str(bench.root / 'ran')!r}, 'w')\n")
    code = f"cos\nsystem\n(S'touch {bench.root / 'ran'}'\ntR."
    (model / "pytorch_model.bin").write_text(code)
    bench.edit("base_model: builtin:nano", "base_model: ./model")


def rows_with_words(bench: Bench) -> None:
    """Rows that a template or a spreadsheet would carry out."""
    evil = "{{ ''.__class__.__mro__ }} =cmd|' /C calc'!A0 $(touch ran)"
    rows = [row(number) for number in range(60)]
    lines = [json.dumps(item | {"text": f"{item['text']} {evil}"}) for item in rows]
    (bench.root / "data" / "rows.jsonl").write_text("\n".join(lines) + "\n")


def git_that_runs(bench: Bench) -> None:
    """A repository whose configuration, hooks and attributes name programs."""
    begin(bench.root)
    program = bench.root / "git"
    program.write_text(f"#!/bin/sh\ntouch {bench.root / 'ran'}\n")
    program.chmod(0o755)
    for key in (
        "core.fsmonitor",
        "core.pager",
        "diff.external",
        "filter.x.clean",
        "core.sshCommand",
    ):
        git(bench.root, "config", key, str(program))
    git(bench.root, "config", "core.hooksPath", str(bench.root))
    git(bench.root, "config", "include.path", "../evil.config")
    (bench.root / "evil.config").write_text(f"[core]\n\talternateRefsCommand = {program}\n")
    (bench.root / "evil.config").rename(bench.root / ".git" / "evil.config")
    (bench.root / ".gitattributes").write_text("* filter=x diff=x\n")
    (bench.root / "ran").unlink(missing_ok=True)


def untracked_code(bench: Bench) -> None:
    """Modules, links and a state that git does not track."""
    begin(bench.root)
    modules(bench)
    (bench.root / ".brewslm").symlink_to("/etc")


def stores_of_the_host(bench: Bench) -> None:
    """A state and artifacts at addresses that only the host can reach."""
    state = "state: 'postgresql://127.0.0.1:1/x'"
    backend = f"backend: {{{state}, artifacts: 's3://169.254.169.254/x'}}"
    bench.edit("spec:\n", f"spec:\n  workflow: {{{backend}}}\n")


def tracked_state(bench: Bench) -> None:
    """A state and a cache that the commit brings along."""
    (bench.home / "cache").mkdir(parents=True)
    (bench.home / "state.db").write_bytes(b"SQLite format 3\0 and no more")
    (bench.home / "cache" / "digests.json").write_text(json.dumps({_CANARY: {"digest": _CANARY}}))
    git(bench.root, "init", "-q", "-b", "main")
    git(bench.root, "add", "-A")
    git(bench.root, "commit", "-q", "-m", "all")


_CORPUS: list[tuple[Callable[[Bench], None], int, str]] = [
    (modules, 0, "11 to create"),
    (links_out, 1, "PATH_OUTSIDE_PROJECT"),
    (folder_out, 1, "PATH_OUTSIDE_PROJECT"),
    (manifest_out, 1, "path_outside_project"),
    (policy_out, 0, "11 to create"),
    (huge_aliases, 1, "YAML_ALIAS_LIMIT"),
    (paths_out, 1, "PATH_OUTSIDE_PROJECT"),
    (doors, 1, "INVALID_VALUE"),
    (model_with_code, 1, "MODEL_NOT_SAFETENSORS"),
    (rows_with_words, 0, "to create"),
    (git_that_runs, 0, "11 to create"),
]


@pytest.mark.case("UNT-02", "UNT-09", "PTH-01", "PTH-02")
@pytest.mark.parametrize(
    ("made", "code", "said"), _CORPUS, ids=[item[0].__name__ for item in _CORPUS]
)
def test_a_hostile_repository_plans_inertly(
    made: Callable[[Bench], None], code: int, said: str, bench: Bench
) -> None:
    made(bench)
    touched = planned(bench.root)
    assert (touched.code, said in touched.said) == (code, True), touched.said
    assert_inert(bench.root, touched)


_UNTRUSTED = [
    *_CORPUS,
    (untracked_code, 0, "11 to create"),
    (stores_of_the_host, 0, "11 to create"),
    (tracked_state, 0, "warning[SYSTEM_CONFIG_INVALID]"),
]


@pytest.mark.case("UNT-02", "UNT-07", "UNT-09", "PTH-02")
@pytest.mark.parametrize(
    ("made", "code", "said"), _UNTRUSTED, ids=[item[0].__name__ for item in _UNTRUSTED]
)
def test_a_hostile_commit_plans_inertly_and_leaves_nothing(
    made: Callable[[Bench], None], code: int, said: str, bench: Bench
) -> None:
    made(bench)
    if not (bench.root / ".git").exists():
        begin(bench.root)
    before = sorted(bench.root.rglob("*"))
    touched = planned(bench.root, "--untrusted")
    assert (touched.code, said in touched.said) == (code, True), touched.said
    assert_inert(bench.root, touched)
    assert sorted(bench.root.rglob("*")) == before, "nothing is written into the tree"
    assert list((bench.root.parent / "scratch").iterdir()) == [], "the copy is gone"
    state = [path for path in touched.opened if "/.brewslm/" in path and "/scratch/" not in path]
    assert state == []


_ELSEWHERE = [
    ("http://169.254.169.254/latest.csv", "LOCATOR_FORM"),
    ("http://localhost/rows.csv", "LOCATOR_FORM"),
    ("ftp://rows.internal/rows.csv", "LOCATOR_FORM"),
    ("https://169.254.169.254/latest.csv", "HTTPS_SOURCE_UNPINNED"),
    ("https://localhost:1/rows.csv", "HTTPS_SOURCE_UNPINNED"),
    ("https://rows.internal/rows.csv", "HTTPS_SOURCE_UNPINNED"),
    ("hf:evil/rows:train:main", "VALUE_UNAVAILABLE"),
]


_BOTH = pytest.mark.parametrize("command", ["plan", pytest.param("apply", marks=pytest.mark.slow)])


@pytest.mark.case("UNT-04")
@_BOTH
@pytest.mark.parametrize(("locator", "said"), _ELSEWHERE, ids=[item[0] for item in _ELSEWHERE])
def test_rows_of_another_machine_are_never_asked_for(
    command: str, locator: str, said: str, bench: Bench
) -> None:
    bench.edit("type: raw, file_path: data/rows.jsonl", f"type: raw, locator: '{locator}'")
    words = ["--auto-approve"] if command == "apply" else []
    touched = planned(bench.root, *words, command=command)
    assert (touched.code, said in touched.said) == (1, True), touched.said
    assert_inert(bench.root, touched)
    assert not (bench.home / "state.db").exists()


@pytest.mark.case("UNT-01")
@_BOTH
@pytest.mark.parametrize(
    ("before", "after", "code", "offered"),
    [
        ("  dataset:", "  adapters: [{§base_adapter_id: 'tools.map:run'}]\n  dataset:",
         "UNKNOWN_MAPPER", "label_to_classification"),
        ("  dataset:", "  adapters: [{§base_adapter_id: ./tools/map.py}]\n  dataset:",
         "UNKNOWN_MAPPER", "label_to_classification"),
        ("metric_id: accuracy", "metric_id: 'tools.map:run'", "GATE_METRIC_UNKNOWN", "accuracy"),
        ("file_path: data/rows.jsonl", "locator: 'tools.map:run'", "LOCATOR_FORM", "jsonl:"),
        ("file_path: data/rows.jsonl", "locator: ./tools/map.py", "LOCATOR_FORM", "jsonl:"),
    ],
)  # fmt: skip
def test_code_of_the_tree_is_no_name_of_anything(
    before: str, after: str, code: str, offered: str, command: str, bench: Bench
) -> None:
    tools = bench.root / "tools"
    tools.mkdir()
    for name in ("__init__.py", "map.py"):
        (tools / name).write_text(f"open({str(bench.root / 'ran')!r}, 'w')\n")
    bench.edit(before, after.replace("§", "name: any, source_ref: rows, "))
    words = ["--auto-approve"] if command == "apply" else []
    touched = planned(bench.root, *words, command=command)
    said = [f"error[{code}]", offered, "tools", "brewslm.yaml:"]
    assert (touched.code, [text for text in said if text not in touched.said]) == (1, [])
    assert_inert(bench.root, touched)
    assert_inert(bench.root, planned(bench.root, command="validate"))
    assert not (bench.home / "state.db").exists()


@pytest.mark.case("ROW-01")
@_BOTH
@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("locator: jsonl:data/parcels", "PATH_NOT_REGULAR_FILE"),
        ("file_path: data/parcels", "VALUE_UNAVAILABLE"),
        ("file_path: data/parcels/parcels.py", "VALUE_UNAVAILABLE"),
        ("locator: hf:data/parcels:train:main", "VALUE_UNAVAILABLE"),
    ],
)
def test_rows_that_need_code_of_their_own_are_not_had(
    place: str, said: str, command: str, bench: Bench
) -> None:
    _loading_script(bench)
    bench.edit("type: raw, file_path: data/rows.jsonl", f"type: raw, {place}")
    words = ["--auto-approve"] if command == "apply" else []
    touched = planned(bench.root, *words, command=command)
    assert (touched.code, said in touched.said) == (1, True), touched.said
    assert "trust_remote_code" not in touched.said, "it is not offered"
    assert_inert(bench.root, touched)
    assert not (bench.home / "state.db").exists()


@pytest.mark.case("ROW-01")
def test_rows_beside_code_are_rows(bench: Bench) -> None:
    folder = _loading_script(bench)
    (bench.root / "data" / "rows.jsonl").rename(folder / "rows.jsonl")
    bench.edit("file_path: data/rows.jsonl", "file_path: data/parcels/rows.jsonl")
    touched = planned(bench.root)
    assert (touched.code, "11 to create" in touched.said) == (0, True), touched.said
    assert_inert(bench.root, touched)


def _loading_script(bench: Bench) -> Path:
    """Make a data set that says of itself that its code has to be run."""
    folder = bench.root / "data" / "parcels"
    folder.mkdir()
    folder.joinpath("README.md").write_text("---\ntrust_remote_code: true\n---\n# Parcels\n")
    code = f"open({str(bench.root / 'ran')!r}, 'w')\n"
    for name in ("parcels.py", "__init__.py", "dataset_infos.py"):
        (folder / name).write_text(code)
    return folder


def test_against_a_hostile_repository_runs_git_alone(bench: Bench) -> None:
    git_that_runs(bench)
    bench.edit("num_epochs: 2", "num_epochs: 3")
    touched = planned(bench.root, "--against", "main", "--markdown", "plan.md")
    assert touched.code == 0, touched.said
    assert "update training_plan: config.num_epochs 2 -> 3" in touched.said
    assert {Path(path).name for path in touched.ran} == {"git"}
    assert_inert(bench.root, touched)


def test_the_hook_sees_what_it_has_to(bench: Bench) -> None:
    seen = Touched(0, "", ["/etc/passwd"], ["socket.connect"], ["sh"], [])
    with pytest.raises(AssertionError, match="/etc/passwd"):
        assert_inert(bench.root, seen)
    assert planned(bench.root).opened != [], "files of the project are seen"


def test_unchanged_rows_are_not_read_again_for_gates_on_slices(bench: Bench) -> None:
    bench.edit("operator: gte}", 'operator: gte, slice: "label=late"}')
    assert bench.apply().exit_code == 0
    listing = bench.artifacts().listing(bench.records()["dataset"].outputs["prepared"].digest)
    rows = {listing[name].digest.removeprefix("sha256:")[2:] for name in _ROW_FILES}
    touched = planned(bench.root)
    assert (touched.code, "No changes." in touched.said) == (0, True)
    assert rows.isdisjoint(Path(name).name for name in touched.opened)
    bench.edit("threshold: 0.8", "threshold: 0.7")
    assert not rows.isdisjoint(Path(name).name for name in planned(bench.root).opened)
