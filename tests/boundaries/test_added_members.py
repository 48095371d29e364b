"""A made-up task, mapper or source is one file, a training mode or an export format two: with them
a project validates, plans and applies.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import brewslm
from tests.apply.bench import Bench

TASK = '''
"""Moods of a text."""

from msgspec.structs import asdict

from brewslm.tasks.profiles.classification import TASK as LABELS
from brewslm.tasks.task import Task, user_turn


def prompt(inputs, _contract):
    return user_turn(f"Mood of: {inputs['remark']}")


TASK = Task(**asdict(LABELS) | {"name": "moods", "text_input": "remark", "prompt": prompt})
'''
MAPPER = '''
"""The last word of a text is its label."""

from brewslm.rows.mapper import Mapped, Mapper, MapperField, Sample, text_field
from brewslm.rows.rejects import RejectCode


def _map(values, _options, _target):
    text, _, label = text_field(values, "sentence", RejectCode.MISSING_TEXT).rpartition(" ")
    return Mapped({"text": text}, {"label": label})


MAPPER = Mapper(
    id="last_word",
    task_profile="classification",
    fields=(MapperField("sentence", is_required=True),),
    map=_map,
    samples=(Sample({"sentence": "it is late"}),),
)
'''
SOURCE = '''
"""A text and its label on each line, with a bar between them."""

from brewslm.rows.record import Record
from brewslm.rows.source import Source


def _read(stream, _tally):
    for number, line in enumerate(stream.read().decode().splitlines(), 1):
        text, _, label = line.partition("|")
        yield Record(number, None, line.encode(), {"text": text, "label": label}, None)


SOURCE = Source("barred", _read, (".barred",))
'''
MODE = '''
"""Answers, of which every other one counts twice."""

from brewslm.stages.mode import Mode, takes_answers

MODE = Mode(name="halves", takes=takes_answers, is_trained=True, defaults={"weight_decay": 0.5})
'''
WORK = '''
"""The loss of every other token twice."""

from brewslm.engine.losses import token_losses
from brewslm.engine.mode_work import ModeWork
from brewslm.engine.modes.sft import WORK as SFT


def _losses(model, inputs, dtype):
    losses = token_losses(model, inputs, dtype)
    return losses + losses * (losses.new_ones(losses.shape).cumsum(0) % 2)


WORK = ModeWork(SFT.tokenize, SFT.sequence, _losses)
'''
FORMAT = '''
"""The adapter, with a note beside it."""

from msgspec.structs import replace

from brewslm.stages.formats.adapter import FORMAT as ADAPTER

FORMAT = replace(ADAPTER, name="noted")
'''
WRITER = '''
"""The adapter and a note."""

from msgspec.structs import replace

from brewslm.engine.formats.adapter import WRITER as ADAPTER


def _write(export, trained):
    ADAPTER.write(export, trained)
    (export.folder / "note.txt").write_text("as promised")


WRITER = replace(ADAPTER, write=_write)
'''
ADAPTER = "  adapters: [{{name: own, base_adapter_id: {mapper}, task_profile: {task}}}]\n"


class Grown:
    """A copy of the package with a new member, and a project that needs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        package = Path(brewslm.__file__).parent
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(package, folder / "package" / "brewslm", ignore=ignored)
        self.bench = Bench.make(folder / "project")

    def add(self, path: str, text: str) -> None:
        """Write a file of the new member."""
        (self.folder / "package" / "brewslm" / path).write_text(text.lstrip())

    def bind(self, mapper: str, task: str) -> None:
        """Have all rows mapped by an adapter."""
        self.bench.edit("  dataset: {", ADAPTER.format(mapper=mapper, task=task) + "  dataset: {")
        for name in ("rows", "gold"):
            self.bench.edit(f"{{name: {name},", f"{{name: {name}, adapter: own,")

    def rewrite(self, shape: Callable[[str, str], str]) -> None:
        """Write every row anew, as `shape` returns it for text and label."""
        for name in ("rows", "gold"):
            path = self.bench.root / "data" / f"{name}.jsonl"
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            path.write_text("".join(f"{shape(row['text'], row['label'])}\n" for row in rows))

    def call(self, *arguments: str) -> str:
        """Run the program of the copy, which has to succeed."""
        environment = os.environ | {"PYTHONPATH": str(self.folder / "package")}
        done = subprocess.run(
            [sys.executable, "-m", "brewslm", *arguments],
            cwd=self.bench.root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def grown(tmp_path: Path) -> Grown:
    return Grown(tmp_path)


def with_task(grown: Grown) -> None:
    grown.add("tasks/profiles/moods.py", TASK)
    grown.bind("prompt_completion_passthrough", "moods")
    grown.rewrite(lambda text, label: json.dumps({"prompt": text, "completion": label}))
    grown.bench.edit("dataset: {", "dataset: {task_profile: moods, ")


def with_mapper(grown: Grown) -> None:
    grown.add("rows/mappers/last_word.py", MAPPER)
    grown.bind("last_word", "classification")
    grown.rewrite(lambda text, label: json.dumps({"sentence": f"{text} {label}"}))


def with_source(grown: Grown) -> None:
    grown.add("rows/sources/barred.py", SOURCE)
    grown.rewrite(lambda text, label: f"{text}|{label}")
    for name in ("rows", "gold"):
        path = grown.bench.root / "data" / f"{name}.jsonl"
        path.rename(path.with_suffix(".barred"))
        grown.bench.edit(f"data/{name}.jsonl", f"data/{name}.barred")


def with_mode(grown: Grown) -> None:
    grown.add("stages/modes/halves.py", MODE)
    grown.add("engine/modes/halves.py", WORK)
    grown.bench.edit("training_plan:\n", "training_plan:\n    training_mode: halves\n")


def with_format(grown: Grown) -> None:
    grown.add("stages/formats/noted.py", FORMAT)
    grown.add("engine/formats/noted.py", WRITER)
    grown.bench.edit("formats: [adapter, safetensors]", "formats: [noted]")


MEMBERS = [with_task, with_mapper, with_source, with_mode, with_format]


@pytest.mark.parametrize("member", MEMBERS)
def test_its_files_are_enough_to_plan(grown: Grown, member: Callable[[Grown], None]) -> None:
    member(grown)
    grown.call("validate")
    plan = json.loads(grown.call("plan", "--json"))
    errors = [item for item in plan["findings"] if item["severity"] == "error"]
    assert errors == []
    (dataset,) = (item for item in plan["actions"] if item["address"] == "dataset")
    assert dataset["after"]["values"]["manifest"]["accounting"]["total"]["accepted"] == 90


@pytest.mark.slow
@pytest.mark.parametrize("member", MEMBERS)
def test_its_files_are_enough_to_train_and_decide(
    grown: Grown, member: Callable[[Grown], None]
) -> None:
    member(grown)
    grown.bench.edit("num_epochs: 2", "max_steps: 2")
    gate = "metric_id: perplexity, threshold: 1000000.0, operator: lte"
    grown.bench.edit("metric_id: accuracy, threshold: 0.8, operator: gte", gate)
    grown.call("apply", "--auto-approve")
    grown.call("plan", "--detailed-exitcode")
    notes = [path.read_text() for path in grown.bench.home.glob("exports/*/note.txt")]
    assert notes == ["as promised"] * (member is with_format)
