"""What a door yielded, looked at before any of it is kept."""

import json
from collections import Counter
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from brewslm.contracts import Result
from brewslm.errors import WorkerError


def check_outputs(result: Result, folder: Path, wanted: Collection[str]) -> None:
    """Refuse a result that lacks an output, or names one that does not lie below the job's folder.

    Raises: WorkerError.
    """
    for name in wanted:
        if name not in result.outputs:
            raise _contradiction(f"no output {name}", f"the outputs {', '.join(sorted(wanted))}")
    for name, text in result.outputs.items():
        path = PurePosixPath(text)
        if path.is_absolute() or ".." in path.parts or not (folder / path).exists():
            raise _contradiction(f"{name} at {text}", "a file or folder that the job has made")


def check_answers(predictions: Path, rows: Path) -> None:
    """Refuse predictions that do not answer every row, each as often as every other.

    predictions, rows: JSON lines with a row_id each. Raises: WorkerError.
    """
    asked, answered = _rows(rows), _rows(predictions)
    if asked.keys() != answered.keys() or len(set(answered.values())) > 1:
        raise _contradiction(
            f"{answered.total()} answers to {len(answered)} rows", f"answers to {len(asked)} rows"
        )


def _rows(path: Path) -> Counter[str]:
    try:
        return Counter(str(json.loads(line)["row_id"]) for line in path.read_bytes().splitlines())
    except (ValueError, KeyError, TypeError) as error:
        raise _contradiction(f"{path.name} without row ids", "a row_id in every line") from error


def _contradiction(found: str, expected: str) -> WorkerError:
    return WorkerError(
        "the worker's result contradicts the plan",
        code="worker_protocol_error",
        found=found,
        expected=expected,
        remedy="read .brewslm/runs/worker.log, then: brewslm apply",
    )
