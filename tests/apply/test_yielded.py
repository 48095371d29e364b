"""What a door yields has to be what the plan asked it for; else nothing of it is kept."""

from collections.abc import Callable
from pathlib import Path

import pytest

from brewslm.contracts import Job, Result
from brewslm.errors import ExitCode
from tests.apply.bench import Bench

pytestmark = pytest.mark.case("PLN-10")


def _without_a_row(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))


def _with_another_row(path: Path) -> None:
    path.write_text(path.read_text().replace('"row_id": "', '"row_id": "x', 1))


def _with_a_row_twice(path: Path) -> None:
    text = path.read_text()
    path.write_text(text + text.splitlines(keepends=True)[0])


def _cut(path: Path) -> None:
    path.write_text(path.read_text()[:-20])


@pytest.mark.parametrize("spoil", [_without_a_row, _with_another_row, _with_a_row_twice, _cut])
def test_answers_to_other_rows_are_not_kept(bench: Bench, spoil: Callable[[Path], None]) -> None:
    def answer(job: Job, folder: Path) -> Result:
        result = Bench.answer(bench, job, folder)
        if job.options.get("role") == "candidate":
            spoil(folder / result.outputs["predictions.candidate.gold_test"])
        return result

    setattr(bench, "answer", answer)  # noqa: B010  another worker
    outcome = bench.apply()
    assert outcome.exit_code is ExitCode.ERROR
    assert [error.code for error in outcome.errors] == ["worker_protocol_error"]
    assert outcome.failed == ["eval_pack"]
    assert outcome.skipped == ["export.adapter", "export.safetensors", "deployment"]
    assert "eval_pack" not in bench.records()
    assert bench.promoted() is None
    delattr(bench, "answer")
    assert bench.apply().exit_code is ExitCode.DONE, "the spoilt answers are not reused"
    assert "generate candidate" in bench.doors()


@pytest.mark.parametrize(
    ("door", "change"),
    [
        ("run", {"run": "run"}),
        ("run", {"lora_adapter": "../elsewhere", "run": "run"}),
        ("run", {"lora_adapter": "/etc", "run": "run"}),
        ("run", {"lora_adapter": "nowhere", "run": "run"}),
        ("generate", {}),
        ("score", {"metrics": "metrics.json"}),
        ("export", {"weights": "files"}),
    ],
)
def test_result_without_its_outputs_is_an_error(
    bench: Bench, door: str, change: dict[str, str]
) -> None:
    def answer(job: Job, folder: Path) -> Result:
        result = Bench.answer(bench, job, folder)
        is_asked = job.door.startswith(f"brewslm.engine.{door}")
        return result.model_copy(update={"outputs": change}) if is_asked else result

    setattr(bench, "answer", answer)  # noqa: B010  another worker
    outcome = bench.apply()
    assert {error.code for error in outcome.errors} == {"worker_protocol_error"}
    assert not set(outcome.failed) & set(bench.records())
    assert bench.promoted() is None
