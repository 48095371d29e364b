"""A training run as it was recorded: its curve, its results, and where its settings came from.

Only stored files are read; what a run of another version left out is absent.
"""

import csv
import io
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson
from msgspec import Struct

from brewslm.artifacts.store import ArtifactReader
from brewslm.errors import ArtifactError
from brewslm.state.records import ResourceRecord

_RUN, _LOG = "run", "train_log.csv"


class Point(Struct, frozen=True):
    """One line of the training log; a value that was not measured there is None."""

    step: int
    loss: float | None
    eval_loss: float | None
    learning_rate: float | None


class RecordedRun(Struct, frozen=True):
    """What a training run left behind."""

    points: tuple[Point, ...] = ()
    results: dict[str, Any] = {}
    origins: dict[str, str] = {}
    """Dotted path of a setting to where its value came from."""
    baseline_loss: float | None = None
    """Of the base model on the same validation rows."""

    @classmethod
    def of(cls, record: ResourceRecord, artifacts: ArtifactReader) -> "RecordedRun":
        """Return the run of a record, without what cannot be read."""
        files: dict[str, bytes] = {}
        with suppress(ArtifactError, KeyError):
            for name, output in artifacts.listing(record.outputs[_RUN].digest).items():
                if name in (_LOG, "config.resolved.json"):
                    files[name] = artifacts.read_bytes(output.digest)
        baseline = record.values.get("baseline_eval_loss")
        return cls(
            points=_points(files.get(_LOG, b"")),
            results=dict(record.values),
            origins=_origins(files.get("config.resolved.json", b"{}")),
            baseline_loss=baseline if isinstance(baseline, float) else None,
        )


def _points(data: bytes) -> tuple[Point, ...]:
    lines = csv.DictReader(io.StringIO(data.decode(errors="replace")))
    points = []
    for line in lines:
        step = _number(line, "step")
        if step is not None:
            values = (_number(line, name) for name in ("loss", "eval_loss", "learning_rate"))
            points.append(Point(int(step), *values))
    return tuple(points)


def _number(line: Mapping[str, str | None], name: str) -> float | None:
    try:
        return float(line.get(name) or "")
    except ValueError:
        return None


def _origins(data: bytes) -> dict[str, str]:
    with suppress(orjson.JSONDecodeError, LookupError, AttributeError, TypeError):
        return {str(path): str(origin) for path, origin in orjson.loads(data)["origins"].items()}
    return {}
