"""The device that this process computes on: the only place in the engine that asks torch for one.

The parent chooses it (`BREWSLM_DEVICE`, with exactly one accelerator visible); a process without
that choice takes what torch finds. ROCm is torch's `cuda`.
"""

import contextlib
import ctypes
import gc
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from brewslm.errors import WorkerError
from brewslm.platform_facts import DEVICE_KINDS, DEVICE_VARIABLE, Sources
from brewslm.platform_facts import memory_bytes as host_memory_bytes
from brewslm.platform_facts import peak_memory_bytes as host_peak_bytes

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
RANDOM_STATE = "device_random.safetensors"
"""State of the device's random numbers beside a checkpoint, for devices that Trainer leaves out."""
_BF16_COMPUTE = (8, 0)
_peak = {"mps": 0}


@dataclass(frozen=True)
class DeviceFacts:
    """What a run says about the device that it was made on."""

    kind: str
    name: str
    memory_bytes: int | None
    has_bf16: bool
    driver: str


def kind() -> str:
    """Return cuda, mps or cpu.

    Raises: WorkerError with device_not_found when torch cannot use the device that was chosen.
    """
    chosen = os.environ.get(DEVICE_VARIABLE, "auto")
    if chosen not in DEVICE_KINDS:
        return next((name for name in DEVICE_KINDS if _is_usable(name)), "cpu")
    if not _is_usable(chosen):
        raise WorkerError(
            f"torch {torch.__version__} cannot use the device {chosen}",
            code="device_not_found",
            found="no such device, or a torch that was built without it",
            expected=f"a build of torch for {chosen}",
            remedy="brewslm apply --device cpu, or install torch as https://pytorch.org/get-started"
            " says for this machine",
        )
    return chosen


def device() -> torch.device:
    """Return the device that models of this process are on."""
    chosen = kind()
    return torch.device(chosen, 0) if chosen == "cuda" else torch.device(chosen)


def facts() -> DeviceFacts:
    """Return the name, memory and abilities of the device."""
    match kind():
        case "cuda":
            properties = torch.cuda.get_device_properties(0)
            return DeviceFacts(
                "cuda",
                torch.cuda.get_device_name(0),
                int(properties.total_memory),
                has_bf16(),
                f"ROCm {torch.version.hip}" if torch.version.hip else f"CUDA {torch.version.cuda}",
            )
        case "mps":
            most = int(torch.mps.recommended_max_memory())
            return DeviceFacts("mps", "Apple GPU", most, has_bf16(), "Metal")
        case _:
            return DeviceFacts("cpu", "cpu", host_memory_bytes(Sources()), False, "")


def has_bf16() -> bool:
    """Return whether the device computes in bfloat16 natively."""
    match kind():
        case "cuda":
            if torch.version.hip:
                return torch.cuda.is_bf16_supported()
            return torch.cuda.get_device_capability(0) >= _BF16_COMPUTE
        case "mps":
            return torch.backends.mps.is_macos_or_newer(14, 0)
        case _:
            return False


def dtype_of(name: str) -> torch.dtype:
    """Return a written dtype; float32 for auto and names that are no dtype of weights."""
    return DTYPES.get(name, torch.float32)


def scales_gradients(dtype: str) -> bool:
    """Return whether training in that dtype needs a gradient scaler: float16 on an accelerator."""
    return dtype == "float16" and kind() != "cpu"


def pins_memory() -> bool:
    """Return whether page-locked batches speed up their way to the device."""
    return kind() == "cuda"


@contextlib.contextmanager
def autocast(dtype: torch.dtype) -> Iterator[None]:
    """Compute in `dtype` where that is exact enough; float32 needs nothing."""
    if dtype is torch.float32:
        yield
        return
    with torch.autocast(kind(), dtype=dtype):
        yield


def save_random_state(folder: Path) -> None:
    """Write the state of the device's random numbers; Trainer saves those of CUDA and the CPU."""
    if kind() == "mps":
        save_file({"mps": torch.mps.get_rng_state()}, str(folder / RANDOM_STATE))


def restore_random_state(folder: Path) -> None:
    """Take over what `save_random_state` wrote, if a checkpoint holds it and the device is such."""
    path = folder / RANDOM_STATE
    if kind() == "mps" and path.exists():
        torch.mps.set_rng_state(load_file(str(path))["mps"])


def memory_peak_bytes() -> int:
    """Return the largest memory use so far, of the accelerator where there is one.

    Metal keeps no peak: it is the largest of the sizes seen when this was asked.
    """
    match kind():
        case "cuda":
            return int(torch.cuda.max_memory_allocated())
        case "mps":
            _peak["mps"] = max(_peak["mps"], int(torch.mps.driver_allocated_memory()))
            return _peak["mps"]
        case _:
            return host_peak_bytes()


def release_memory() -> None:
    """Give back what nothing refers to any more: to the accelerator, and to the system."""
    gc.collect()
    match kind():
        case "cuda":
            torch.cuda.empty_cache()
        case "mps":
            torch.mps.empty_cache()
    with contextlib.suppress(OSError, AttributeError):  # a C library other than glibc
        ctypes.CDLL(None).malloc_trim(0)


def threads() -> int:
    """Return the number of threads that computations use."""
    return torch.get_num_threads() or os.cpu_count() or 1


def exact_sum(values: torch.Tensor) -> float:
    """Return the sum in float64, taken on the CPU: Metal has no such type."""
    return float(values.detach().cpu().double().sum())


def check_single(arguments: Any) -> None:
    """Refuse trainer arguments under which several devices would share a step.

    Raises: WorkerError with training_dispatch_error.
    """
    if arguments.n_gpu > 1 or arguments.world_size > 1:
        raise WorkerError(
            "several devices are visible to the trainer",
            code="training_dispatch_error",
            found=f"{arguments.n_gpu} devices, {arguments.world_size} processes",
            expected="one device and one process",
            remedy="brewslm apply, which shows its worker one device",
        )


def _is_usable(name: str) -> bool:
    match name:
        case "cuda":
            return torch.cuda.is_available()
        case "mps":
            return torch.backends.mps.is_available()
        case _:
            return name == "cpu"
