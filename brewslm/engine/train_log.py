"""train_log.csv: one line a logged point of a training run."""

import csv
import io
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class LogLine:
    """A point: of the training loss, or of the validation loss."""

    step: int
    epoch: float
    loss: float | None
    """Mean over the steps since the last point, in nats a token."""
    eval_loss: float | None
    learning_rate: float | None
    grad_norm: float | None
    tokens: int
    """Tokens seen so far, padding included."""
    tokens_per_s: float | None
    peak_bytes: int
    elapsed_s: float


class TrainLog:
    """The file, appended to and flushed at each point."""

    def __init__(self, path: Path, resume_step: int) -> None:
        """Keep the lines up to the step that the run goes on from."""
        self._path = path
        kept = self._kept(resume_step) if resume_step and path.exists() else []
        self._path.write_text(_row([item.name for item in fields(LogLine)]) + "".join(kept))

    def add(self, line: LogLine) -> None:
        """Append a point."""
        values = ["" if value is None else value for value in asdict(line).values()]
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(_row(values))

    def _kept(self, step: int) -> list[str]:
        lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True)[1:]
        return [line for line in lines if line.endswith("\n") and int(line.split(",")[0]) <= step]


def _row(values: list[object] | list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()
