"""Every branch of the engine that depends on the device, with devices that are not here.

What torch says of a device is patched; what the engine makes of it is not.
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, TrainerCallback
from trl import SFTConfig

from brewslm.engine import devices, trainer
from brewslm.engine.base import Loading, load_model
from brewslm.engine.losses import token_losses
from brewslm.engine.run_record import environment
from brewslm.engine.watch import Watch
from brewslm.errors import WorkerError
from brewslm.stages.training_config import TrainingConfig
from tests.engine.loaded.conftest import NANO, RECIPE, Listener

GIB = 1 << 30
Machine = Callable[..., None]

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def on_machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return what lets torch report devices: cuda as a compute capability, mps as a macOS."""
    monkeypatch.delenv("BREWSLM_DEVICE", raising=False)

    def use(
        cuda: tuple[int, int] | None = None,
        mps: int | None = None,
        hip: str | None = None,
        chosen: str | None = None,
    ) -> None:
        def report(where: Any, name: str, value: Any) -> None:
            monkeypatch.setattr(where, name, lambda *_: value)

        report(torch.cuda, "is_available", cuda is not None)
        report(torch.cuda, "get_device_capability", cuda)
        report(torch.cuda, "get_device_name", "NVIDIA A10")
        report(torch.cuda, "get_device_properties", SimpleNamespace(total_memory=24 * GIB))
        report(torch.cuda, "is_bf16_supported", True)
        report(torch.cuda, "max_memory_allocated", 3 * GIB)
        report(torch.backends.mps, "is_available", mps is not None)
        report(torch.mps, "recommended_max_memory", 16 * GIB)
        newer = lambda major, _minor: (mps or 0) >= major  # noqa: E731  a stand-in
        monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", newer)
        monkeypatch.setattr(torch.version, "hip", hip)
        monkeypatch.setattr(torch.version, "cuda", None if hip else "12.8")
        if chosen is not None:
            monkeypatch.setenv("BREWSLM_DEVICE", chosen)

    return use


@pytest.mark.parametrize(
    ("machine", "kind"),
    [
        ({}, "cpu"),
        ({"cuda": (8, 6)}, "cuda"),
        ({"mps": 15}, "mps"),
        ({"cuda": (8, 6), "mps": 15}, "cuda"),
        ({"cuda": (8, 6), "chosen": "auto"}, "cuda"),
        ({"cuda": (8, 6), "chosen": "cpu"}, "cpu"),
        ({"mps": 15, "chosen": "cpu"}, "cpu"),
        ({"mps": 15, "chosen": "mps"}, "mps"),
    ],
)
def test_the_chosen_device_is_used_else_what_is_there(
    machine: dict[str, Any], kind: str, on_machine: Machine
) -> None:
    on_machine(**machine)
    assert devices.kind() == kind
    assert devices.device() == torch.device("cuda:0" if kind == "cuda" else kind)
    assert devices.pins_memory() is (kind == "cuda")
    assert devices.scales_gradients("float16") is (kind != "cpu")
    assert not devices.scales_gradients("bfloat16")
    assert not devices.scales_gradients("float32")


@pytest.mark.parametrize("chosen", ["cuda", "mps"])
def test_a_chosen_device_that_torch_lacks_is_an_error(chosen: str, on_machine: Machine) -> None:
    on_machine(chosen=chosen)
    with pytest.raises(WorkerError) as raised:
        devices.device()
    assert raised.value.code == "device_not_found"
    assert "--device cpu" in raised.value.remedy


@pytest.mark.parametrize(
    ("machine", "facts"),
    [
        ({"cuda": (8, 6)}, ("cuda", "NVIDIA A10", 24 * GIB, True, "CUDA 12.8")),
        ({"cuda": (7, 5)}, ("cuda", "NVIDIA A10", 24 * GIB, False, "CUDA 12.8")),
        ({"cuda": (9, 4), "hip": "6.4"}, ("cuda", "NVIDIA A10", 24 * GIB, True, "ROCm 6.4")),
        ({"mps": 15}, ("mps", "Apple GPU", 16 * GIB, True, "Metal")),
        ({"mps": 13}, ("mps", "Apple GPU", 16 * GIB, False, "Metal")),
    ],
)
def test_a_run_records_its_device(
    machine: dict[str, Any], facts: tuple[Any, ...], on_machine: Machine
) -> None:
    on_machine(**machine)
    found = devices.facts()
    told = (found.kind, found.name, found.memory_bytes, found.has_bf16, found.driver)
    assert told == facts
    recorded = environment()
    names = ("device_kind", "device", "memory_bytes", "has_bf16", "driver")
    assert tuple(recorded[name] for name in names) == facts
    assert recorded["has_cuda"] is (facts[0] == "cuda")


def test_a_run_on_the_processor_records_the_host(on_machine: Machine) -> None:
    on_machine()
    found = devices.facts()
    assert (found.kind, found.name, found.has_bf16) == ("cpu", "cpu", False)
    assert (found.memory_bytes or 0) > 1 << 28


def test_peak_memory_is_the_device_s(on_machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    on_machine()
    assert 1 << 24 < devices.memory_peak_bytes() < 1 << 40
    on_machine(cuda=(8, 0))
    assert devices.memory_peak_bytes() == 3 * GIB
    on_machine(mps=15)
    monkeypatch.setattr(devices, "_peak", {"mps": 0})
    sizes = iter((2 * GIB, 5 * GIB, GIB))
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: next(sizes))
    assert [devices.memory_peak_bytes() for _ in range(3)] == [2 * GIB, 5 * GIB, 5 * GIB]


@pytest.mark.parametrize(
    ("machine", "emptied"), [({"cuda": (8, 0)}, ["cuda"]), ({"mps": 15}, ["mps"]), ({}, [])]
)
def test_memory_goes_back_to_the_device(
    machine: dict[str, Any],
    emptied: list[str],
    on_machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_machine(**machine)
    calls: list[str] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("cuda"))
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: calls.append("mps"))
    devices.release_memory()
    assert calls == emptied


def test_random_numbers_of_metal_go_on_after_a_resume(
    on_machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    states = [torch.arange(10, dtype=torch.uint8)]
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: states[0])
    monkeypatch.setattr(torch.mps, "set_rng_state", states.append)
    watch = Watch(TrainingConfig(**RECIPE), Listener(), None, None, {})  # type: ignore[arg-type]  # neither is asked
    on_machine()
    watch.save(tmp_path)
    assert not (tmp_path / devices.RANDOM_STATE).exists()
    on_machine(mps=15)
    devices.restore_random_state(tmp_path)  # of a run on the processor
    assert len(states) == 1
    watch.save(tmp_path)
    devices.restore_random_state(tmp_path)
    assert torch.equal(states[1], states[0])
    on_machine(cuda=(8, 0))
    devices.restore_random_state(tmp_path)  # on another device
    assert len(states) == 2


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("machine", [{"cuda": (8, 0)}, {"mps": 15}, {}])
def test_autocast_is_that_of_the_device(
    machine: dict[str, Any], dtype: str, on_machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_machine(**machine)
    entered: list[tuple[str, torch.dtype]] = []

    class Autocast:
        def __init__(self, kind: str, dtype: torch.dtype) -> None:
            entered.append((kind, dtype))

        def __enter__(self) -> None:
            pass

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(torch, "autocast", Autocast)
    with devices.autocast(devices.dtype_of(dtype)):
        pass
    kind = devices.kind()
    assert entered == ([] if dtype == "float32" else [(kind, getattr(torch, dtype))])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("machine", [{"cuda": (8, 0)}, {"mps": 15}, {}])
def test_trainer_arguments_fit_the_device(
    machine: dict[str, Any],
    dtype: str,
    on_machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    on_machine(**machine)
    given: dict[str, Any] = {}
    monkeypatch.setattr(trainer, "SFTConfig", lambda **values: given.update(values))
    config = TrainingConfig(**RECIPE | {"dtype": dtype, "dataloader_pin_memory": True})
    trainer._arguments(config, tmp_path, has_validation=True)
    kind = devices.kind()
    assert given["use_cpu"] is (kind == "cpu")
    assert given["fp16"] is (dtype == "float16" and kind != "cpu")
    assert given["bf16"] is False
    assert given["dataloader_pin_memory"] is (kind == "cuda")
    assert given["per_device_train_batch_size"] == 8
    assert given["save_total_limit"] is None


@pytest.mark.parametrize(("gpus", "processes"), [(2, 1), (1, 2), (4, 1)])
def test_arguments_that_span_devices_are_refused(
    gpus: int, processes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = SFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False)
    devices.check_single(arguments)
    monkeypatch.setattr(SFTConfig, "n_gpu", gpus)
    monkeypatch.setattr(SFTConfig, "world_size", processes)
    with pytest.raises(WorkerError) as raised:
        devices.check_single(arguments)
    assert raised.value.code == "training_dispatch_error"


def test_a_trainer_on_several_devices_is_never_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two visible devices would wrap the model and double the batch."""
    made = SimpleNamespace(args=SimpleNamespace(n_gpu=2, world_size=1))
    monkeypatch.setattr(trainer, "ModeTrainer", lambda **_: made)
    rows = [{"input_ids": [1, 2], "labels": [-100, 2]}]
    tokenizer: Any = SimpleNamespace(pad_token_id=0)
    model: Any = None
    with pytest.raises(WorkerError) as raised:
        trainer.make_trainer(
            token_losses,
            model,
            tokenizer,
            TrainingConfig(**RECIPE),
            rows,
            [],
            tmp_path,
            TrainerCallback(),
            lambda _step, _path: None,
        )
    assert "2 devices" in raised.value.found


@pytest.mark.parametrize("quantization", ["none", "nf4"])
@pytest.mark.parametrize("machine", [{"cuda": (8, 0)}, {"mps": 15}])
def test_a_base_goes_to_the_device(
    machine: dict[str, Any],
    quantization: str,
    on_machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Quantised weights are put there while they are read, others afterwards."""
    on_machine(**machine)
    asked: dict[str, Any] = {}
    moved: list[torch.device] = []

    real = AutoModelForCausalLM.from_pretrained

    def loaded(folder: str, **given: Any) -> Any:
        asked.update(given)
        here = given | {"device_map": None, "quantization_config": None}
        model, info = real(folder, **here)

        def moving(device: Any) -> Any:
            moved.append(device)
            return model

        monkeypatch.setattr(model, "to", moving)
        return model, info

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", loaded)
    load_model(NANO, Loading(quantization=quantization, dtype="bfloat16"))
    device = devices.device()
    assert asked["dtype"] is torch.bfloat16
    if quantization == "none":
        assert (asked["device_map"], moved) == (None, [device])
    else:
        assert (asked["device_map"], moved) == ({"": device}, [])
