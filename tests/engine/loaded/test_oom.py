"""Memory that runs out: a smaller micro-batch with the same step, told each time, or an error."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from brewslm.contracts import Job
from brewslm.engine import run as training
from brewslm.errors import WorkerError
from brewslm.fingerprint import digest_file
from tests.engine.loaded.conftest import Listener, prepared_row

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

MakeJob = Callable[..., Job]
_EXTRA_MIB = 350
"""Holds a pass over 8 of the long rows below, and none over 16."""


def _accelerator_is_full() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def _host_is_full() -> None:
    torch.empty(1 << 45, dtype=torch.float64)


@contextmanager
def holding_at_most(
    rows: int, from_pass: int = 0, full: Callable[[], None] = _accelerator_is_full
) -> Iterator[None]:
    """Let an allocator's own error come out of training passes over more rows than `rows`.

    from_pass: the passes before that one are left alone.
    """
    passes = 0

    def refuse(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal passes
        if not isinstance(module, torch.nn.Embedding) or not torch.is_grad_enabled():
            return
        passes += 1
        if inputs[0].shape[0] > rows and passes > from_pass:
            full()

    hook = torch.nn.modules.module.register_module_forward_pre_hook(refuse)
    try:
        yield
    finally:
        hook.remove()


def _sizes(listener: Listener) -> list[tuple[int, int, int]]:
    return [
        (
            facts["held"]["batch_size"],
            facts["held"]["gradient_accumulation_steps"],
            facts["step"],
        )
        for code, _text, facts in listener.warnings
        if code == "training_oom"
    ]


def _logged_steps(job: Job) -> list[int]:
    path = Path(job.folder) / "run" / "train_log.csv"
    return [int(line["step"]) for line in csv.DictReader(path.open()) if line["loss"]]


def _weights(job: Job) -> Path:
    return Path(job.folder) / "lora_adapter" / "adapter_model.safetensors"


def _are_close(one: Job, other: Job) -> bool:
    tensors, others = load_file(_weights(one)), load_file(_weights(other))
    return all(torch.allclose(tensors[name], others[name], atol=2e-3) for name in tensors)


def _limited(job: Job, extra_mib: int) -> dict[str, Any]:
    """Train in a child whose freed blocks of 1 MiB and more no longer count against its limit."""
    path = Path(job.folder) / "job.json"
    path.write_text(job.model_dump_json())
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "tests.engine.loaded.limited",
            str(path),
            str(extra_mib),
        ],
        capture_output=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": str(1 << 20)},
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture
def long_rows(tmp_path: Path) -> str:
    """Return a folder of prepared rows that need hundreds of MiB together."""
    folder = tmp_path / "long"
    folder.mkdir()
    rows = [prepared_row(number) for number in range(16)]
    for row in rows:
        row["messages"][0]["content"] = " ".join(["and it rains on the light"] * 60)
    (folder / "train.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(folder)


def test_limit_of_the_host_is_met_by_a_smaller_micro_batch(
    training_job: MakeJob, long_rows: str
) -> None:
    recipe: dict[str, Any] = {
        "batch_size": 16,
        "num_epochs": 1.0,
        "warmup_ratio": 0.0,
        "max_seq_length": 512,
        "completion_only_loss": False,
        "eval_strategy": "no",
        "lora_dropout": 0.0,
        "max_oom_retries": 4,
    }
    jobs = [training_job(name, **recipe) for name in ("free", "limited")]
    jobs = [job.model_copy(update={"inputs": job.inputs | {"prepared": long_rows}}) for job in jobs]
    free, limited = (_limited(job, extra) for job, extra in zip(jobs, (0, _EXTRA_MIB), strict=True))
    values = limited["values"]
    assert free["warnings"] == []
    assert len(limited["warnings"]) == len(values["oom_tries"]) > 0
    assert "allocate memory" in values["oom_tries"][0]["why"]
    assert values["held"]["batch_size"] < 16
    assert values["held"]["batch_size"] * values["held"]["gradient_accumulation_steps"] == 16
    assert values["steps"] == free["values"]["steps"]
    assert values["trained_tokens"] == free["values"]["trained_tokens"]
    assert values["train_loss"] == pytest.approx(free["values"]["train_loss"], rel=1e-5)
    assert _are_close(*jobs)


@pytest.mark.parametrize("drop_last", [False, True])
def test_shrunk_run_does_the_same_steps_as_an_undisturbed_one(
    training_job: MakeJob, drop_last: bool
) -> None:
    recipe = {"lora_dropout": 0.0, "batch_size": 12, "dataloader_drop_last": drop_last}
    calm, shrunk = training_job("calm", **recipe), training_job("shrunk", **recipe)
    listener = Listener()
    expected = training.run(calm, Listener()).values
    with holding_at_most(3):
        values = training.run(shrunk, listener).values
    assert _sizes(listener) == [(6, 2, 0), (3, 4, 0)]
    assert values["held"]["batch_size"] == 3
    assert [item["held"]["batch_size"] for item in values["oom_tries"]] == [12, 6]
    assert values["steps"] == expected["steps"]
    assert values["trained_tokens"] == expected["trained_tokens"]
    assert values["train_loss"] == pytest.approx(expected["train_loss"], rel=2e-3)
    resolved = json.loads((Path(shrunk.folder) / "run" / "config.resolved.json").read_bytes())
    assert resolved["spec"]["config"]["batch_size"] == 12
    assert resolved["held"] == values["held"]


def test_next_try_goes_on_from_the_newest_checkpoint(training_job: MakeJob) -> None:
    calm, shrunk = training_job("calm", lora_dropout=0.0), training_job("shrunk", lora_dropout=0.0)
    expected = training.run(calm, Listener()).values
    listener = Listener()
    with holding_at_most(4, from_pass=7):
        values = training.run(shrunk, listener).values
    assert _sizes(listener) == [(4, 2, 5)]
    assert listener.steps == [*range(1, 8), *range(6, 11)]
    assert _logged_steps(shrunk) == list(range(1, 11))
    assert values["trained_tokens"] == expected["trained_tokens"]
    assert values["train_loss"] == pytest.approx(expected["train_loss"], rel=2e-3)
    assert _are_close(calm, shrunk)


@pytest.mark.parametrize("full", [_accelerator_is_full, _host_is_full])
def test_try_without_a_checkpoint_starts_over(
    training_job: MakeJob, full: Callable[[], None]
) -> None:
    job, listener = training_job(), Listener()
    with holding_at_most(4, from_pass=3, full=full):
        values = training.run(job, listener).values
    assert _sizes(listener) == [(4, 2, 0)]
    assert listener.steps == [1, 2, 3, *range(1, 11)]
    assert _logged_steps(job) == list(range(1, 11))
    assert values["resumed_from_step"] is None


def test_interrupted_after_a_shrink_goes_on_to_the_same_bits(training_job: MakeJob) -> None:
    whole, broken = training_job("whole"), training_job("broken")
    with holding_at_most(2):
        training.run(whole, Listener())
        listener = Listener(stop_after=7)
        with pytest.raises(WorkerError):
            training.run(broken, listener)
    step, path = listener.checkpoints[-1]
    assert step == 7
    again = Listener()
    resumed = training_job("broken", resume_from=str(Path(broken.folder) / path))
    values = training.run(resumed, again).values
    assert again.warnings == []
    assert values["held"]["batch_size"] == 2
    assert digest_file(_weights(resumed)) == digest_file(_weights(whole))


@pytest.mark.parametrize(
    ("changes", "tries", "remedy"),
    [
        ({"auto_oom_retry": False}, 0, "auto_oom_retry: true"),
        ({"max_oom_retries": 0}, 0, "batch_size 4, gradient_accumulation_steps 2"),
        ({"max_oom_retries": 1}, 1, "raise max_oom_retries"),
        ({"max_oom_retries": 5}, 4, "max_seq_length"),
    ],
    ids=["switched off", "no try", "one try", "end of the ladder"],
)
def test_memory_that_never_suffices_is_an_error_with_the_way_out(
    training_job: MakeJob, changes: dict[str, Any], tries: int, remedy: str
) -> None:
    listener = Listener()
    with holding_at_most(0), pytest.raises(WorkerError) as caught:
        training.run(training_job(**changes), listener)
    assert caught.value.code == "training_oom"
    assert remedy in caught.value.remedy
    assert len(_sizes(listener)) == tries
    assert "batch_size 8" in caught.value.found


def test_other_errors_are_not_taken_for_memory(training_job: MakeJob) -> None:
    def refuse(module: torch.nn.Module, _inputs: tuple[Any, ...]) -> None:
        if isinstance(module, torch.nn.Embedding) and torch.is_grad_enabled():
            raise RuntimeError("shapes do not fit")

    hook = torch.nn.modules.module.register_module_forward_pre_hook(refuse)
    listener = Listener()
    try:
        with pytest.raises(RuntimeError, match="shapes"):
            training.run(training_job(), listener)
    finally:
        hook.remove()
    assert listener.warnings == []
