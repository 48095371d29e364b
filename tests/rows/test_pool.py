"""Several processes: the same bytes and findings as one, and none of them left behind."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from brewslm.errors import ExitCode
from brewslm.rows import prepare as preparing
from brewslm.rows.dataset import CleaningSpec, LeakCheckSpec
from brewslm.rows.pool import WorkerLostError, each
from brewslm.rows.prepare import Preparation
from tests.rows.composing import compose, requested, rows_of, source, write_rows

_FILES = (
    "gold_dev.jsonl", "gold_test.jsonl", "held.jsonl", "index.jsonl", "leak_report.jsonl",
    "manifest.json", "rejected.jsonl", "test.jsonl", "train.jsonl", "val.jsonl",
)  # fmt: skip


@dataclass(frozen=True)
class Doubling:
    """Work that doubles numbers and cannot double 13."""

    argument: type[int] = int
    result: type[int] = int

    def open(self) -> Callable[[int], int]:
        return _doubled


def _doubled(number: int) -> int:
    if number == 13:
        raise ValueError("13 is not doubled")
    return 2 * number


def _prepared(root: Path, workers: int) -> Preparation:
    settings = {
        "cleaning": CleaningSpec(pii="redact"),
        "leak_check": LeakCheckSpec(ngram=4, near=0.7),
    }
    sources = (source(), source("gold", "gold_test"), source("other"))
    request = requested(*sources, **settings)
    return preparing.prepare(request, root, root / f"out{workers}", compose, None, workers)


def _write_troubled(root: Path) -> None:
    """Rows with every kind of trouble: torn, blank, repeated, personal, leaking, too long."""
    write_rows(root / "tickets.jsonl", rows_of(400))
    write_rows(root / "gold.jsonl", [*rows_of(5, 390), *rows_of(40, 1000)])
    lines = (root / "tickets.jsonl").read_bytes().splitlines()
    lines[7] = b'{"text": "write to ana@example.org or +49 170 1234567", "label": "minor"}'
    lines[11], lines[12] = b"", b'{"text": 1, "text": 2}'
    lines[20:23] = [b'{"n": NaN, ' + line[1:] for line in lines[20:23]]
    other = [
        *lines[:30],
        b'{"text": NaN, "label": "minor"}',
        b'{"text": "' + b"x" * (2 << 20) + b'"}',
        *lines[5:9],
        b'{"text": "to',
    ]
    (root / "tickets.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(lines) + b"\n")
    (root / "other.jsonl").write_bytes(b"\n".join(other))


def test_size_of_batches_changes_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{**row, "site": f"site{at % 7}"} for at, row in enumerate(3 * rows_of(40))]
    write_rows(tmp_path / "tickets.jsonl", rows)
    request = requested(source(), cleaning=CleaningSpec(dedupe="off"), tag_columns=("site",))
    written = []
    for size in (1, 7, 1024):
        monkeypatch.setattr("brewslm.rows.prepared._BATCH_ROWS", size)
        monkeypatch.setattr("brewslm.rows.prepare._BATCH_ROWS", size)
        made = preparing.prepare(request, tmp_path, tmp_path / f"out{size}", compose, None, 1)
        files = [(tmp_path / f"out{size}" / name).read_bytes() for name in _FILES]
        written.append((files, made.bindings["tickets"].examples_digest))
    assert len(set(written[0][0][-2].splitlines())) > 40
    assert written[0] == written[1] == written[2]


def test_number_of_processes_changes_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brewslm.rows.source._CHUNK_BYTES", 1 << 10)
    _write_troubled(tmp_path)
    alone, shared = _prepared(tmp_path, 1), _prepared(tmp_path, 2)
    assert alone.manifest["accounting"]["total"]["rejected"].keys() >= {
        "duplicate_key", "number_not_finite", "row_too_large", "truncated_last_line"
    }  # fmt: skip
    assert [(tmp_path / "out1" / name).read_bytes() for name in _FILES] == [
        (tmp_path / "out2" / name).read_bytes() for name in _FILES
    ]
    assert sorted(path.name for path in (tmp_path / "out2").iterdir()) == sorted(_FILES)
    assert (alone.findings, alone.sources, alone.bindings) == (
        shared.findings,
        shared.sources,
        shared.bindings,
    )


def test_an_array_under_the_name_of_lines_is_read_by_several_processes_too(tmp_path: Path) -> None:
    write_rows(tmp_path / "gold.jsonl", rows_of(40, 1000))
    write_rows(tmp_path / "other.jsonl", rows_of(40, 500))
    lines = [json.dumps(row) for row in rows_of(100)]
    (tmp_path / "tickets.jsonl").write_text("[" + ",\n".join(lines) + "]")
    alone, shared = _prepared(tmp_path, 1), _prepared(tmp_path, 2)
    assert alone.sources == shared.sources
    assert alone.sources["tickets"].rows_read == 100
    assert alone.files == shared.files


def test_results_come_in_the_order_of_the_chunks() -> None:
    assert list(each(Doubling(), range(20, 60), 3)) == [2 * number for number in range(20, 60)]


def test_error_of_a_worker_is_raised_where_its_result_is_due() -> None:
    results = each(Doubling(), range(10, 20), 2)
    assert [next(results) for _ in range(3)] == [20, 22, 24]
    with pytest.raises(ValueError, match="13 is not doubled"):
        next(results)


@pytest.mark.parametrize(
    ("sent", "found", "is_about_memory"),
    [(signal.SIGKILL, "SIGKILL", True), (signal.SIGTERM, "SIGTERM", False)],
)
def test_worker_that_is_killed_is_missed(
    sent: signal.Signals, found: str, is_about_memory: bool
) -> None:
    results = each(Doubling(), iter(range(20, 10**6)), 2)
    next(results)
    for process in multiprocessing.active_children():
        assert process.pid is not None
        os.kill(process.pid, sent)
    with pytest.raises(WorkerLostError) as caught:
        list(results)
    error = caught.value
    assert (error.code, error.found, error.exit_code) == ("worker_killed", found, ExitCode.ERROR)
    assert ("memory" in error.message, "memory" in error.remedy) == (is_about_memory,) * 2
    assert error.expected
    assert multiprocessing.active_children() == []


def test_lost_worker_ends_the_preparation_and_is_no_finding_of_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(tmp_path / "tickets.jsonl", rows_of(400))
    monkeypatch.setattr("brewslm.rows.pool._serve", _killed)
    request = requested(source())
    with pytest.raises(WorkerLostError):
        preparing.prepare(request, tmp_path, tmp_path / "out", compose, None, 2)


def _killed(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_parent(tmp_path: Path, sent: signal.Signals) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            import multiprocessing, signal, time
            from brewslm.rows.pool import each
            from tests.rows.test_pool import Doubling

            if __name__ == "__main__":
                # What started the tests may have had them ignore it.
                signal.signal(signal.SIGINT, signal.default_int_handler)
                results = each(Doubling(), iter(range(20, 10**9)), 2)
                next(results)
                print(*(item.pid for item in multiprocessing.active_children()), flush=True)
                for _ in results:
                    time.sleep(0.01)
            """
        )
    )
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, str(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(root)},
        start_new_session=True,
        text=True,
    )
    with process:
        assert process.stdout is not None
        workers = [int(word) for word in process.stdout.readline().split()]
        assert len(workers) == 2
        os.killpg(process.pid, sent) if sent == signal.SIGINT else process.send_signal(sent)
    deadline = time.monotonic() + 10
    while any(map(_lives, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(_lives, workers))


def _lives(process_id: int) -> bool:
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
