"""The base model's files are the recorded ones whenever something loads them, or nothing does."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from brewslm.contracts import Job, Result
from brewslm.plan.base_model import BUILTIN
from tests.apply.bench import Bench
from tests.cli.conftest import Doubles, Run
from tests.conftest import copied


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a project with a base model in its own folder, applied."""
    bench = Bench.make(tmp_path_factory.mktemp("based") / "project")
    shutil.copytree(BUILTIN / "nano", bench.root / "base")
    bench.edit("builtin:nano", "./base")
    assert bench.apply().exit_code == 0
    return bench.root


@pytest.fixture
def based(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a copy of that project as the current folder, with something to train."""
    bench = copied(made, tmp_path / "based")
    bench.edit("learning_rate: 2.0e-3", "learning_rate: 1.0e-3")
    monkeypatch.chdir(bench.root)
    return bench


def _flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


_LATE = ["modeling_evil.py", "adapter_config.json", "libevil.so", "pytorch_model.bin"]


@pytest.mark.case("ART-14")
@pytest.mark.parametrize("name", _LATE)
def test_file_that_came_after_the_record_is_named_and_nothing_is_loaded(
    based: Bench, run: Run, doubles: Doubles, name: str
) -> None:
    late = based.root / "base" / name
    late.write_text(f"open({str(based.root / 'canary')!r}, 'w')")
    before = based.records()
    answer = run("apply", "--auto-approve")
    assert answer.code == 6
    assert "error[BASE_REFUSED]" in answer.out
    assert name in answer.out
    assert doubles.doors == []
    assert based.records() == before
    assert not (based.root / "canary").exists()
    late.unlink()
    assert run("apply", "--auto-approve").code == 0


def _while_training(based: Bench, change: Callable[[], object]) -> Callable[[Job, Path], Result]:
    """Return a worker's answer that changes something beside it once the training is done."""

    def answer(job: Job, folder: Path) -> Result:
        result = based.answer(job, folder)
        if job.address == "training_plan":
            change()
        return result

    return answer


@pytest.mark.case("ART-14")
@pytest.mark.parametrize("name", _LATE)
def test_file_that_comes_during_an_apply_stops_what_would_load_it(
    based: Bench, run: Run, doubles: Doubles, name: str
) -> None:
    late = based.root / "base" / name
    doubles.answer = _while_training(based, lambda: late.write_text("{}"))
    promoted = based.promoted()
    run("apply", "--auto-approve").says(6, "base_refused", name)
    assert doubles.doors == ["brewslm.engine.train:run"]
    assert based.promoted() == promoted
    late.unlink()
    doubles.answer = None
    assert run("apply", "--auto-approve").code == 0
    assert doubles.doors.count("brewslm.engine.train:run") == 1


@pytest.mark.case("ART-06", "ART-14")
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "chat_template.jinja"])
def test_bit_of_the_base_that_flips_during_an_apply_stops_what_would_load_it(
    based: Bench, run: Run, doubles: Doubles, name: str
) -> None:
    path = based.root / "base" / name
    doubles.answer = _while_training(based, lambda: _flip_a_bit(path))
    promoted = based.promoted()
    run("apply", "--auto-approve").says(1, "artifact_corrupt", name)
    assert doubles.doors == ["brewslm.engine.train:run"]
    assert based.promoted() == promoted
    _flip_a_bit(path)
    doubles.answer = None
    assert run("apply", "--auto-approve").code == 0
    assert doubles.doors.count("brewslm.engine.train:run") == 1


@pytest.mark.case("ART-14")
def test_pinned_base_names_the_file_that_is_another_one(
    based: Bench, run: Run, doubles: Doubles
) -> None:
    pin = based.records()["model"].outputs["base"].digest
    based.edit("base_model: ./base", f"base_model: ./base, cache_fingerprint: '{pin}'")
    assert run("apply", "--auto-approve").code == 0
    doubles.started.clear()
    settings = based.root / "base" / "generation_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"top_k": 17}))
    based.edit("learning_rate: 1.0e-3", "learning_rate: 3.0e-3")
    before = based.records()
    answer = run("apply", "--auto-approve")
    assert "FINGERPRINT_MISMATCH" in answer.out
    assert "generation_config.json" in answer.out
    assert answer.code == 1
    assert doubles.doors == []
    assert based.records() == before
