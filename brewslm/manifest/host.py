"""What this host can do, found without loading an accelerator library."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct

from brewslm.platform_facts import Device, Sources, choose, cores, cpu, devices, memory_bytes

_ROCM_LIBRARY = "libbitsandbytes_rocm*"


class HostFacts(Struct, frozen=True):
    """What decides host fixes and whether a run fits; provenance, never identity."""

    has_cuda: bool = False
    """Whether a CUDA device computes, ROCm included."""
    has_mps: bool = False
    """Whether Apple's GPU computes."""
    has_bf16: bool = False
    """Whether bfloat16 is computed natively on the accelerator."""
    has_bitsandbytes: bool = True
    has_flash_attention: bool = False
    memory_bytes: int | None = None
    """Memory of the device that trains, None when unknown."""
    cores: int = 1
    """Processor cores of this host."""
    device: Device = Device("cpu")
    """The one device that a run uses."""
    unused: tuple[Device, ...] = ()
    """Other accelerators that are visible."""
    is_device_missing: bool = False
    """Whether the wanted device is not there; the facts are then those of the processor."""

    @property
    def is_accelerated(self) -> bool:
        """Whether something other than the processor computes."""
        return self.has_cuda or self.has_mps

    @property
    def can_quantize(self) -> bool:
        """Whether bitsandbytes has kernels for the device; its absence is another error."""
        return not self.has_mps and (self.has_bitsandbytes or not self.device.is_rocm)


def observe_host(
    wanted: str = "auto",
    environment: Mapping[str, str] | None = None,
    *,
    may_ask_drivers: bool = True,
    sources: Sources | None = None,
) -> HostFacts:
    """Return the facts of this host with the device that a run would use.

    wanted: auto, cuda, mps or cpu; environment: where visible devices are limited; sources: where
    facts come from, those of this machine by default.
    """
    read = sources or Sources(environment=environment or {})
    found = () if wanted == "cpu" else devices(read, may_ask_drivers=may_ask_drivers)
    chosen = choose(wanted, found, cpu(read))
    device = chosen or cpu(read)
    has_cuda = device.kind == "cuda"
    return HostFacts(
        has_cuda=has_cuda,
        has_mps=device.kind == "mps",
        has_bf16=device.has_bf16,
        has_bitsandbytes=_has_bitsandbytes(device),
        has_flash_attention=has_cuda and not device.is_rocm and find_spec("flash_attn") is not None,
        memory_bytes=device.capacity_bytes if device.kind != "cpu" else memory_bytes(read),
        cores=cores(read),
        device=device,
        unused=tuple(item for item in found if item != device),
        is_device_missing=chosen is None,
    )


def _has_bitsandbytes(device: Device) -> bool:
    """Return whether the installed bitsandbytes was built for a device."""
    spec = find_spec("bitsandbytes")
    if spec is None:
        return False
    if not device.is_rocm or spec.origin is None:
        return True
    return any(Path(spec.origin).parent.glob(_ROCM_LIBRARY))
