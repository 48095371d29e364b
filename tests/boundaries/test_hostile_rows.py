"""Rows that are made to fill the memory are counted and told, in a process that has little of
it.
"""

import gzip
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.apply.bench import Bench

ROOT = Path(__file__).parents[2]
_MEMORY_BYTES = 768 << 20
"""Address space of a plan, of which the interpreter and its libraries take the most."""
_LINE_BYTES = 2 << 30
_ARRAY_BYTES = (512 << 20) + 1
_INFLATED_BYTES = 4 << 20


def _planned(bench: Bench) -> tuple[int, dict[str, Any]]:
    """Plan a project with little memory; return the exit code and the plan."""
    done = subprocess.run(
        [sys.executable, "-m", "brewslm", "--chdir", bench.root, "plan", "--json"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES)),
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    assert not (bench.home / "state.db").exists()
    plan = json.loads(done.stdout)
    return done.returncode, plan


def _codes(plan: dict[str, Any]) -> set[str]:
    return {item["code"] for item in plan["findings"]}


def _seen(plan: dict[str, Any]) -> tuple[int, int]:
    """Return the rows and the empty lines that were read of the source."""
    named = (item for item in plan["actions"] if item["address"] == "data_source.rows")
    values = next(named)["after"]["values"]
    return values["rows_read"], values["blank_lines"]


def _long_line(path: Path) -> None:
    """Put a line of 2 GiB, which takes no room on the disk, before the rows."""
    rows = path.read_bytes()
    with path.open("wb") as stream:
        stream.truncate(_LINE_BYTES)
        stream.seek(_LINE_BYTES)
        stream.write(b"\n" + rows)


def _empty_lines(path: Path) -> None:
    with path.open("ab") as stream:
        for _ in range(10):
            stream.write(b"\n" * 1_000_000)


def _binary(path: Path) -> None:
    path.write_bytes(bytes(range(128, 256)) * 32 + os.urandom(1 << 20))


def _inflating(path: Path) -> None:
    """Write a gzip of rows that is a thousandth of what it holds."""
    line = json.dumps({"text": "x" * 1000, "label": "late"}).encode() + b"\n"
    path.write_bytes(gzip.compress(line * (_INFLATED_BYTES // len(line))))


def _array(path: Path) -> None:
    """Put a file that takes no room on the disk in the place of an array, a byte too large."""
    with path.with_suffix(".json").open("wb") as stream:
        stream.truncate(_ARRAY_BYTES)


@pytest.mark.slow
@pytest.mark.case("ROW-03")
def test_line_that_fills_the_memory_is_one_reject(bench: Bench) -> None:
    _long_line(bench.root / "data" / "rows.jsonl")
    code, plan = _planned(bench)
    assert (code, _codes(plan) & {"row_too_large"}) == (0, {"row_too_large"})
    assert _seen(plan) == (61, 0)


@pytest.mark.slow
@pytest.mark.case("ROW-03")
def test_millions_of_empty_lines_are_counted(bench: Bench) -> None:
    _empty_lines(bench.root / "data" / "rows.jsonl")
    code, plan = _planned(bench)
    assert (code, _seen(plan)) == (0, (60, 10_000_000))


@pytest.mark.case("ROW-03")
@pytest.mark.parametrize("has_adapter", [False, True], ids=["proposed", "written"])
def test_bytes_that_are_no_rows_are_refused_with_their_code(
    has_adapter: bool, bench: Bench
) -> None:
    _binary(bench.root / "data" / "rows.jsonl")
    if has_adapter:
        adapter = "{name: a, source_ref: rows, base_adapter_id: label_to_classification}"
        bench.edit("  dataset:", f"  adapters: [{adapter}]\n  dataset:")
    code, plan = _planned(bench)
    said = {item["code"]: item["found"] for item in plan["findings"]}
    assert code == 1
    if has_adapter:
        assert said.keys() >= {"NO_TRAIN_ROWS", "invalid_unicode"}
        assert said["invalid_unicode"].startswith("data/rows.jsonl:1")
    else:
        assert said["MAPPING_LOW_CONFIDENCE"].startswith("invalid_unicode ")


@pytest.mark.case("ROW-03")
def test_compressed_rows_under_the_name_of_text_are_not_inflated(bench: Bench) -> None:
    _inflating(bench.root / "data" / "rows.jsonl")
    code, plan = _planned(bench)
    said = {item["code"]: item["found"] for item in plan["findings"]}
    assert (code, said["ENCODING_UNSUPPORTED"]) == (1, "data compressed by gzip")


@pytest.mark.slow
@pytest.mark.case("ROW-03")
def test_array_that_fills_the_memory_is_refused_by_its_size(bench: Bench) -> None:
    _array(bench.root / "data" / "rows.jsonl")
    bench.edit("data/rows.jsonl", "data/rows.json")
    code, plan = _planned(bench)
    assert (code, _codes(plan) & {"FILE_TOO_LARGE"}) == (1, {"FILE_TOO_LARGE"})
