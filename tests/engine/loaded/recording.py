"""A program that trains and is killed at durable steps: `recording.py JOB.json FOLDER POINT...`.

Each point is a number of announcements of the second checkpoint, `write` for the middle of
Trainer's own writing, or `record` for the moment before the checkpoint is recorded. Each training
is a fork of this process. What a parent records is kept in FOLDER/POINT/journal.jsonl: whoever
records a checkpoint removes those that it supersedes, as apply does.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from brewslm import durability
from brewslm.contracts import Job
from brewslm.engine import run as training
from brewslm.fingerprint import digest_folder
from tests.engine.loaded.conftest import Listener


class Recorder(Listener):
    """Records checkpoints durably, then removes what they supersede."""

    def __init__(self, folder: Path, point: str) -> None:
        super().__init__()
        self._folder = folder
        self._point = point
        self._seen = 0

    def checkpoint(self, step: int, path: str, superseded: Sequence[str] = ()) -> None:
        if self.checkpoints and self._point == "record":
            _end()
        super().checkpoint(step, path, superseded)
        entry = {"step": step, "path": path, "digest": digest_folder(self._folder / path)}
        with (self._folder / "journal.jsonl").open("a") as stream:
            stream.write(json.dumps(entry) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        for old in superseded:
            shutil.rmtree(self._folder / old)

    def watch(self, _step: durability.Step, _what: str, _is_taken: bool) -> None:
        """End the process at the wanted announcement after the first checkpoint."""
        if len(self.checkpoints) == 1:
            self._seen += 1
            if str(self._seen) == self._point:
                _end()

    def save(self, *given: Any, **named: Any) -> Any:
        """Stand for torch.save: of the second checkpoint, half a file is written."""
        if self.checkpoints and self._point == "write":
            Path(given[1]).write_bytes(b"half")
            _end()
        return _SAVE(*given, **named)


_SAVE = torch.save


def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Train once for each point; print how each process ended."""
    job = Job.model_validate_json(Path(sys.argv[1]).read_bytes())
    ends: dict[str, int] = {}
    for point in sys.argv[3:]:
        folder = Path(sys.argv[2]) / point
        folder.mkdir()
        child = os.fork()
        if not child:
            recorder = Recorder(folder, point)
            durability.watcher = recorder.watch
            torch.save = recorder.save
            training.run(job.model_copy(update={"folder": str(folder)}), recorder)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        ends[point] = os.waitstatus_to_exitcode(status)
    sys.stdout.write(json.dumps(ends))


if __name__ == "__main__":
    main()
