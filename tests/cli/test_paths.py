"""Paths of a project: what leaves it or is no file is refused, odd names are names."""

import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from brewslm.fingerprint import digest_bytes
from brewslm.plan.base_model import BUILTIN
from tests.apply.bench import Bench
from tests.cli.conftest import Run
from tests.cli.repository import begin

CANARY = "canary-7d1e"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Return a folder beside the project with a file that nobody may read."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "rows.jsonl").write_text(f'{{"text": "{CANARY}", "label": "late"}}\n')
    return folder


def refused(run: Run, code: str) -> None:
    """Check that every reader refuses the project with this code and shows nothing of the file."""
    for words in (("plan",), ("plan", "--json"), ("apply", "--auto-approve")):
        answer = run(*words)
        assert answer.code == 1
        assert code in answer.out + answer.err
        assert CANARY not in answer.out + answer.err
        assert "Traceback" not in answer.err


@pytest.mark.case("PTH-02")
@pytest.mark.parametrize("kind", ["file", "folder", "chain", "itself"])
def test_links_that_lead_out_are_not_followed(
    kind: str, bench: Bench, outside: Path, run: Run
) -> None:
    rows = bench.root / "data" / "rows.jsonl"
    rows.unlink()
    match kind:
        case "file":
            rows.symlink_to(outside / "rows.jsonl")
        case "folder":
            (bench.root / "data" / "gold.jsonl").rename(outside / "gold.jsonl")
            (bench.root / "data").rmdir()
            (bench.root / "data").symlink_to(outside)
        case "chain":
            for number in range(50):
                (bench.root / f"link{number}").symlink_to(f"link{number + 1}")
            (bench.root / "link50").symlink_to(outside / "rows.jsonl")
            rows.symlink_to("../link0")
        case _:
            rows.symlink_to("rows.jsonl")
    refused(run, "PATH_OUTSIDE_PROJECT")


@pytest.mark.case("PTH-03")
@pytest.mark.parametrize("kind", ["pipe", "folder", "socket", "device", "process"])
def test_what_is_no_file_is_not_opened(kind: str, bench: Bench, run: Run) -> None:
    rows = bench.root / "data" / "rows.jsonl"
    rows.unlink()
    code = "PATH_NOT_REGULAR_FILE"
    match kind:
        case "pipe":
            os.mkfifo(rows)
        case "folder":
            rows.mkdir()
        case "socket":
            before = Path.cwd()
            os.chdir(rows.parent)
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(rows.name)
            os.chdir(before)
        case "device":
            rows.symlink_to("/dev/zero")
            code = "PATH_OUTSIDE_PROJECT"
        case _:
            rows.symlink_to("/proc/self/environ")
            code = "PATH_OUTSIDE_PROJECT"
    refused(run, code)


NAMES = [
    "a b",
    "it's",
    'q"q',
    "100%25",
    "$(touch ran)",
    "`touch ran`",
    "😀",
    "n" * 249,
    "é",
    "-rf",
    "a;b",
]


@pytest.mark.case("PTH-06")
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_odd_names_are_names(name: str, bench: Bench, run: Run) -> None:
    (bench.root / "data" / "rows.jsonl").rename(bench.root / "data" / f"{name}.jsonl")
    quoted = name.replace("'", "''")
    bench.edit("file_path: data/rows.jsonl", f"file_path: 'data/{quoted}.jsonl'")
    answer = run("plan", "--json")
    assert answer.code == 0, answer.out
    assert f"data/{name}.jsonl" in {item["path"] for item in answer.document["inputs"]}
    assert not (bench.root / "ran").exists()


@pytest.mark.case("PTH-06")
def test_a_name_with_a_line_end_is_used_or_refused_on_one_line(bench: Bench, run: Run) -> None:
    (bench.root / "data" / "rows.jsonl").rename(bench.root / "data" / "a\nb.jsonl")
    bench.edit("file_path: data/rows.jsonl", 'file_path: "data/a\\nb.jsonl"')
    answer = run("plan", "--explain")
    assert answer.code in (0, 1)
    assert "a\\u{A}b" in answer.out
    assert "a\nb" not in answer.out


@pytest.mark.case("PTH-06")
def test_a_backslash_is_refused(bench: Bench, run: Run) -> None:
    bench.edit("file_path: data/rows.jsonl", "file_path: 'C:\\x.jsonl'")
    run("plan").says(1, "PATH_OUTSIDE_PROJECT")


@pytest.mark.case("PTH-11")
def test_a_folder_without_a_manifest_stays_as_it_is(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "nothing"
    folder.mkdir()
    for words in (("plan",), ("apply", "--auto-approve"), ("validate",), ("fmt",)):
        answer = run("--chdir", folder, *words)
        answer.says(1, "manifest_missing", "brewslm init")
    assert list(folder.iterdir()) == []
    (folder / "brewslm.yaml").mkdir()
    for words in (("plan",), ("apply", "--auto-approve"), ("validate",), ("fmt",)):
        run("--chdir", folder, *words).says(1, "path_not_regular_file")
    assert [path.name for path in folder.iterdir()] == ["brewslm.yaml"]


@pytest.mark.case("PTH-04")
@pytest.mark.parametrize("what", [".brewslm", ".brewslm/store", ".brewslm/state.db"])
def test_a_home_that_is_a_link_is_not_written_through(
    what: str, applied: Bench, tmp_path: Path, run: Run
) -> None:
    place, elsewhere = applied.root / what, tmp_path / "elsewhere"
    place.rename(elsewhere)
    place.symlink_to(elsewhere)
    before = {
        path: (path.stat().st_mtime_ns, path.stat().st_size)
        for path in (elsewhere, *elsewhere.rglob("*"))
        if path.exists()
    }
    applied.edit("sorts complaints", "sorts them")
    answer = run("apply", "--auto-approve")
    answer.says(1, "system_config_invalid")
    after = {
        path: (path.stat().st_mtime_ns, path.stat().st_size)
        for path in (elsewhere, *elsewhere.rglob("*"))
        if path.exists()
    }
    assert after == before


def test_named_files_are_relative_to_the_folder_of_chdir(
    bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bench.root.parent)
    into = ("--out", "a.plan.json", "--markdown", "../a.md")
    made = run("--chdir", bench.root.name, "plan", *into)
    assert made.code == 0
    assert "brewslm apply a.plan.json" in made.out
    assert str(bench.root) not in made.out
    assert (bench.root / "a.plan.json").is_file()
    assert (bench.root.parent / "a.md").is_file()
    assert run("--chdir", bench.root.name, "show", "a.plan.json").code == 0


@pytest.mark.case("PTH-07")
@pytest.mark.parametrize(("first", "second"), [("rows", "Rows"), ("r\u00e9", "re\u0301")])
def test_paths_that_other_systems_merge_are_told(
    first: str, second: str, bench: Bench, run: Run
) -> None:
    rows = bench.root / "data" / "rows.jsonl"
    (bench.root / "data" / f"{second}.jsonl").write_text('{"text": "a b", "label": "late"}\n')
    rows.rename(bench.root / "data" / f"{first}.jsonl")
    bench.edit("data/rows.jsonl", f"data/{first}.jsonl")
    source = f"    - {{name: second, type: raw, file_path: data/{second}.jsonl}}\n"
    bench.edit("  data_sources:\n", f"  data_sources:\n{source}")
    made = run("validate")
    assert "warning[PATH_NOT_PORTABLE]" in made.out + made.err
    assert ascii(f"data/{first}.jsonl").strip("'") in made.out + made.err


@pytest.mark.case("SEC-07")
def test_a_crash_leaves_no_memory_on_the_disk() -> None:
    code = (
        "import resource as r; soft, hard = r.getrlimit(r.RLIMIT_CORE);"
        "r.setrlimit(r.RLIMIT_CORE, (hard, hard)); from brewslm.cli.main import main;"
        "main(['schema']); import subprocess; subprocess.run('ulimit -c >&2', shell=True)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "0"


@contextmanager
def writing(write: Callable[[], None]) -> Iterator[None]:
    """Have something written again and again while a block runs."""
    is_over = threading.Event()

    def repeat() -> None:
        while not is_over.is_set():
            write()

    writer = threading.Thread(target=repeat)
    writer.start()
    try:
        yield
    finally:
        is_over.set()
        writer.join()


@pytest.mark.case("PTH-10")
def test_source_that_is_replaced_while_it_is_read_is_one_of_its_versions(
    bench: Bench, run: Run
) -> None:
    rows = bench.root / "data" / "rows.jsonl"
    lines = rows.read_bytes().splitlines(keepends=True)
    versions = [b"".join(lines * 40), b"".join(lines[::-1] * 30)]
    turns = itertools.cycle(versions)

    def replace() -> None:
        fresh = rows.with_name("rows.new")
        fresh.write_bytes(next(turns))
        fresh.replace(rows)

    replace()
    with writing(replace):
        plans = [json.loads(run("plan", "--json").out) for _ in range(6)]
    for plan in plans:
        assert [item for item in plan["findings"] if item["severity"] == "error"] == []
        found = {item["digest"] for item in plan["inputs"] if item["path"] == "data/rows.jsonl"}
        assert len(found) == 1
        assert found <= {digest_bytes(version) for version in versions}


@pytest.mark.case("PTH-10")
def test_source_that_grows_while_it_is_read_is_refused(bench: Bench, run: Run) -> None:
    rows = bench.root / "data" / "rows.jsonl"
    lines = rows.read_bytes().splitlines(keepends=True)
    rows.write_bytes(b"".join(lines * 40))

    def grow() -> None:
        with rows.open("ab") as stream:
            stream.write(lines[0])
        time.sleep(0.001)

    with writing(grow):
        answer = run("plan", "--json")
    assert answer.code == 1
    assert "INPUT_CHANGED" in {item["code"] for item in json.loads(answer.out)["findings"]}


def _allow(bench: Bench, folder: Path | str) -> None:
    backend = f'workflow: {{backend: {{link_roots: ["{folder}"]}}}}'
    bench.edit("spec:\n", f"spec:\n  {backend}\n")


@pytest.mark.case("PTH-02")
def test_rows_are_read_through_links_into_a_folder_that_the_manifest_allows(
    bench: Bench, outside: Path, run: Run
) -> None:
    rows = bench.root / "data" / "rows.jsonl"
    before = run("plan", "--json").document
    kept = outside / "files" / "md5" / "ab" / "cd"
    kept.parent.mkdir(parents=True)
    rows.rename(kept)
    rows.symlink_to(kept)
    refusal = run("plan").out
    assert f'found:    a link to "{kept}"' in refusal
    written = f'link_roots: ["{outside}"]'
    assert "do:       put a copy in place of the link, or allow the folder" in refusal
    assert written in refusal
    _allow(bench, outside)
    after = run("plan", "--json").document
    assert [item for item in after["findings"] if item["severity"] == "error"] == []
    assert after["inputs"] == before["inputs"]
    assert run("validate").code == 0
    begin(bench.root)
    run("plan", "--untrusted").says(1, "PATH_OUTSIDE_PROJECT", "data/rows.jsonl")
    kept.unlink()
    assert "is a link to a file that is not there" in run("plan").out
    assert "dvc pull data/rows.jsonl" in run("plan").out


def test_what_git_lfs_did_not_fetch_is_named(bench: Bench, run: Run) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
    rows = bench.root / "data" / "rows.jsonl"
    lines = rows.read_text()
    rows.write_text(pointer)
    answer = run("plan")
    assert answer.code == 1
    assert "error[SOURCE_NOT_FETCHED]" in answer.out
    assert "do:       git lfs pull\n" in answer.out
    rows.write_text(lines)
    shutil.copytree(BUILTIN / "nano", bench.root / "models" / "own")
    bench.edit("base_model: builtin:nano", "base_model: ./models/own")
    assert "SOURCE_NOT_FETCHED" not in run("plan").out
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        path = bench.root / "models" / "own" / name
        kept = path.read_bytes()
        path.write_text(pointer)
        assert f"{name} of the base model is a pointer of Git LFS" in run("plan").out
        path.write_bytes(kept)


def test_a_folder_that_is_written_like_a_hub_model_is_named(
    bench: Bench, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    shutil.copytree(BUILTIN / "nano", bench.root / "models" / "own")
    bench.edit("base_model: builtin:nano", "base_model: models/own")
    answer = run("plan")
    assert (answer.code, "error[BASE_MODEL_FORM]" in answer.out) == (1, True)
    assert "do:       write base_model: ./models/own\n" in answer.out
    commit = "a" * 40
    repository = tmp_path / "hub" / "models--models--own"
    shutil.copytree(BUILTIN / "nano", repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    assert "warning[BASE_MODEL_FORM]" in run("plan").out
    bench.edit("base_model: models/own", "base_model: ./models/own")
    assert "BASE_MODEL_FORM" not in run("plan").out
