"""The built-in base model and prepared rows for tests that load torch and what builds on it."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import brewslm
from brewslm.contracts import Job
from brewslm.engine.base import Loading, load_tokenizer
from brewslm.engine.tokens import Renderer
from brewslm.stages.training_config import TrainingConfig
from brewslm.stages.training_plan import TrainingPlanSpec

_HERE = Path(__file__).parent
NANO = Path(brewslm.__path__[0]) / "builtin" / "nano"
RECIPE: dict[str, Any] = {
    "base_model": "builtin:nano",
    "learning_rate": 3e-3,
    "num_epochs": 2.0,
    "batch_size": 8,
    "gradient_accumulation_steps": 1,
    "max_seq_length": 256,
    "sequence_packing": False,
    "gradient_checkpointing": False,
    "lora_dropout": 0.1,
    "target_modules": "all-linear",
    "dtype": "float32",
    "bf16": False,
    "optimizer": "adamw_torch",
    "eval_strategy": "steps",
    "eval_steps": 5,
    "save_strategy": "steps",
    "save_steps": 5,
    "logging_steps": 1,
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark these tests as slow."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.slow)


class Listener:
    """A reporter that remembers, and asks to stop after a step if told to."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.steps: list[int] = []
        self.checkpoints: list[tuple[int, str]] = []
        self.superseded: list[str] = []
        self.warnings: list[tuple[str, str, dict[str, Any]]] = []
        self._stop_after = stop_after

    def progress(self, _unit: str, done: int, _total: int | None, _metrics: Any = None) -> None:
        self.steps.append(done)

    def log(self, text: str) -> None:
        pass

    def checkpoint(self, step: int, path: str, superseded: Sequence[str] = ()) -> None:
        self.checkpoints.append((step, path))
        self.superseded += superseded

    def warn(self, reason_code: str, text: str, facts: Mapping[str, Any]) -> None:
        self.warnings.append((reason_code, text, dict(facts)))

    def is_stop_requested(self) -> bool:
        return (
            self._stop_after is not None
            and bool(self.steps)
            and (self.steps[-1] + 1 >= self._stop_after)
        )


@pytest.fixture(scope="session")
def renderer() -> Renderer:
    """Return the tokenizer of the built-in model with its template."""
    return Renderer(load_tokenizer(NANO, Loading()))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of prepared rows: short questions with one-word answers."""
    folder = tmp_path_factory.mktemp("prepared")
    for name, count, begin in (("train", 40, 0), ("val", 8, 100), ("gold_test", 12, 200)):
        lines = [json.dumps(prepared_row(begin + number)) for number in range(count)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def prepared_row(number: int) -> dict[str, Any]:
    """Return one prepared row; lengths differ from row to row."""
    colour, answer = [("red", "stop"), ("green", "go"), ("blue", "wait")][number % 3]
    text = " ".join(["the light is", colour, *["and it rains"] * (number % 4)])
    return {
        "row_id": f"r{number:04d}",
        "task_profile": "classification",
        "messages": [
            {"role": "user", "content": text},
            {"role": "assistant", "content": answer},
        ],
        "completion_from": 1,
        "loss": "completion",
        "inputs": {"text": text},
        "reference": {"label": answer},
        "tags": {},
    }


@pytest.fixture
def training_job(tmp_path: Path, prepared: Path) -> Callable[..., Job]:
    """Return a maker of training jobs: changes to the recipe by name, `resume_from` apart."""

    def make(folder: str = "run", resume_from: str = "", **changes: Any) -> Job:
        path = tmp_path / folder
        path.mkdir(exist_ok=True)
        spec = TrainingPlanSpec(config=TrainingConfig(**(RECIPE | changes)))
        return Job(
            job_id="t1",
            door="brewslm.engine.run:run",
            address="training_plan",
            fingerprint="sha256:f",
            spec=spec.model_dump(mode="json"),
            inputs={"model": str(NANO), "prepared": str(prepared)},
            options={"resume_from": resume_from},
            folder=str(path),
        )

    return make
