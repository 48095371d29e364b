"""What this machine is: operating system, memory, cores and accelerators, read without torch.

Accelerators are asked for through NVML, then `nvidia-smi`, then device files; ROCm through sysfs.
Each source is a field of `Sources`, so that tests can hand in another machine. Nothing here decides
what a plan does with a fact.
"""

import contextlib
import os
import re
import resource
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

DEVICE_KINDS = ("cuda", "mps", "cpu")
DEVICE_VARIABLE = "BREWSLM_DEVICE"
VISIBILITY = (
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
)
"""Variables that decide which devices a process sees."""
_NONE = "-1"
_USABLE_RATIO = 0.95
"""Share of an accelerator's memory that a process can have; the driver's context takes the rest."""
_MPS_RATIO = 2 / 3
"""Share of the memory of a Mac that Metal hands out by default."""
_SMI = (
    "usr/bin/nvidia-smi",
    "usr/local/bin/nvidia-smi",
    "usr/local/nvidia/bin/nvidia-smi",
    "usr/lib/wsl/lib/nvidia-smi",
    "opt/bin/nvidia-smi",
    "run/current-system/sw/bin/nvidia-smi",
)
"""Where the tool is installed; PATH is not searched, it may lead into a repository."""
_SMI_TIMEOUT_S = 5.0
_SMI_FIELDS = ("index", "uuid", "name", "memory.total", "memory.free", "driver_version")
_BF16_COMPUTE = (8, 0)
_BF16_GFX = re.compile(r"gfx(90a|94|95|1[1-9])")
_NO_LIMIT_BYTES = 1 << 60
"""A cgroup v1 without a limit reports nearly 2^63."""
_KIB, _MIB = 1 << 10, 1 << 20


class Device(Struct, frozen=True):
    """A device that computes."""

    kind: str
    """cuda (ROCm included), mps or cpu."""
    index: int = 0
    """Position among the devices of its driver, in the order of the PCI bus."""
    name: str = ""
    uuid: str = ""
    total_bytes: int | None = None
    free_bytes: int | None = None
    """At the time of asking; never part of a plan."""
    capacity_bytes: int | None = None
    """How much of its memory one process can have; None when unknown."""
    driver: str = ""
    compute: tuple[int, int] | None = None
    """CUDA compute capability."""
    is_rocm: bool = False
    has_bf16: bool = False
    """Whether it computes in bfloat16 natively."""
    is_capacity_assumed: bool = False

    def __str__(self) -> str:
        """Return the words that a person recognises the device by."""
        place = f"{self.kind}:{self.index}" if self.kind == "cuda" else self.kind
        return f"{place} ({self.name})" if self.name else place

    def shown_alone(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return the variables under which a process sees this device and no other one."""
        kept = "ROCR_VISIBLE_DEVICES" if self.is_rocm else ""  # indices count within its list
        others = {
            name: value
            for name, value in environment.items()
            if name not in VISIBILITY or name == kept
        }
        return others | self._visibility

    @property
    def _visibility(self) -> dict[str, str]:
        hidden = {"CUDA_VISIBLE_DEVICES": _NONE, "HIP_VISIBLE_DEVICES": _NONE}
        chosen = {DEVICE_VARIABLE: self.kind}
        if self.kind == "mps":
            return chosen | {"PYTORCH_ENABLE_MPS_FALLBACK": "1"}
        if self.kind != "cuda":
            return chosen | hidden
        if self.is_rocm:
            return chosen | {"HIP_VISIBLE_DEVICES": str(self.index)}
        visible = self.uuid or str(self.index)
        return chosen | {"CUDA_VISIBLE_DEVICES": visible, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def _load_nvml() -> Any:
    """Return the NVML bindings, None where they are not installed."""
    try:
        import pynvml  # noqa: PLC0415  30 ms, and only for machines with an NVIDIA driver
    except ImportError:
        return None
    return pynvml


def _run(command: Sequence[str]) -> str | None:
    """Return what a command prints, None where it fails or says nothing in time."""
    import subprocess  # noqa: PLC0415  start-up time, and only machines with a driver ask

    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError:
        return None
    try:
        output, _ = process.communicate(timeout=_SMI_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # a driver that hangs holds it
            process.communicate(timeout=1)
        return None
    return output.decode("utf-8", "replace") if process.returncode == 0 else None


def _torch_build() -> str:
    """Return cuda, rocm or cpu: what the installed torch was built for; empty when unknown."""
    try:
        spec = find_spec("torch")
        if spec is None or spec.origin is None:
            return ""
        text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    except (OSError, ValueError, ImportError):
        return ""
    values = dict(re.findall(r"^(cuda|hip)\b[^=\n]*=\s*(\S+)", text, re.MULTILINE))
    if not values:
        return ""
    built = [name for name, value in values.items() if value != "None"]
    return {"hip": "rocm", "cuda": "cuda"}[built[-1]] if built else "cpu"


def _mac_release() -> str:
    import platform  # noqa: PLC0415  start-up time, and only macOS asks

    return platform.mac_ver()[0]


class Sources(Struct, frozen=True):
    """Where the facts of a machine come from."""

    root: Path = Path("/")
    system: str = field(default_factory=lambda: sys.platform)
    machine: str = field(default_factory=lambda: os.uname().machine)
    mac_release: Callable[[], str] = _mac_release
    environment: Mapping[str, str] = field(default_factory=dict)
    load_nvml: Callable[[], Any] = _load_nvml
    run: Callable[[Sequence[str]], str | None] = _run
    torch_build: Callable[[], str] = _torch_build

    def text(self, path: str) -> str:
        """Return the text of a file of the system, empty where it cannot be read."""
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def number(self, path: str) -> int | None:
        """Return the whole number in a file of the system."""
        text = self.text(path).strip()
        return int(text) if text.isdecimal() else None


def platform_kind(sources: Sources) -> str:
    """Return macos, wsl2, container, linux, or the name that Python gives another system."""
    if sources.system == "darwin":
        return "macos"
    if not sources.system.startswith("linux"):
        return sources.system
    if "microsoft" in sources.text("proc/sys/kernel/osrelease").lower():
        return "wsl2"
    marks = (".dockerenv", "run/.containerenv")
    words = ("docker", "containerd", "kubepods", "lxc")
    is_container = any((sources.root / mark).exists() for mark in marks) or any(
        word in sources.text("proc/1/cgroup") for word in words
    )
    return "container" if is_container else "linux"


def memory_bytes(sources: Sources) -> int | None:
    """Return the memory that processes here can have: what is built in, or less by a cgroup."""
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        physical = 0
    return min([*([physical] if physical > 0 else []), *_cgroup_limits(sources)], default=None)


def cores(sources: Sources) -> int:
    """Return the processor cores of this machine, or fewer by a cgroup's quota; at least 1.

    The affinity of one process does not count: a plan is the same wherever it is started.
    """
    allowed = os.cpu_count() or 1
    for folder in _cgroup_folders(sources, ""):
        quota, _, period = sources.text(f"{folder}/cpu.max").strip().partition(" ")
        if quota.isdecimal() and period.isdecimal() and int(period):
            allowed = min(allowed, -(-int(quota) // int(period)))
    return max(1, allowed)


def peak_memory_bytes(sources: Sources | None = None) -> int:
    """Return the largest resident size that this process had."""
    chosen = sources or Sources()
    held = re.search(r"^VmHWM:\s*(\d+) kB", chosen.text("proc/self/status"), re.MULTILINE)
    if held:
        return int(held.group(1)) * _KIB
    unit = 1 if chosen.system == "darwin" else _KIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def devices(sources: Sources, *, may_ask_drivers: bool = True) -> tuple[Device, ...]:
    """Return the accelerators that a process with this environment sees, in their drivers' order.

    may_ask_drivers: otherwise only device files are looked at, and no library or tool is used.
    """
    if sources.system == "darwin":
        return tuple(_metal(sources))
    if not sources.system.startswith("linux"):
        return ()
    nvidia = _nvidia(sources, may_ask_drivers)
    amd = _rocm(sources)
    if not nvidia and not amd:
        return ()
    build = sources.torch_build() if may_ask_drivers else ""
    seen = _visible(nvidia, sources, "CUDA_VISIBLE_DEVICES")
    return tuple({"cuda": seen, "rocm": amd, "cpu": []}.get(build, seen or amd))


def has_unusable_device(sources: Sources) -> bool:
    """Return whether accelerators are there that the installed torch was not built for."""
    return sources.torch_build() == "cpu" and bool(
        devices(replace(sources, torch_build=lambda: ""))
    )


def cpu(sources: Sources) -> Device:
    """Return the processor as the device that computes."""
    held = memory_bytes(sources)
    return Device("cpu", total_bytes=held, capacity_bytes=held)


def choose(wanted: str, found: Sequence[Device], processor: Device) -> Device | None:
    """Return the one device of a run, None where the wanted kind is not there.

    wanted: auto, cuda, mps or cpu. Of several the one with the most memory wins, then the first.
    """
    if wanted == "cpu":
        return processor
    fitting = [item for item in found if wanted in ("auto", item.kind)]
    if fitting:
        return max(fitting, key=lambda item: (item.total_bytes or 0, -item.index))
    return processor if wanted == "auto" else None


def _cgroup_folders(sources: Sources, controller: str) -> Iterator[str]:
    """Yield the folders of this process' cgroup and of those above it.

    Source: cgroups(7); version 2 has one line with an empty controller.
    """
    for line in sources.text("proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if controller not in names.split(","):
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        mounted = "sys/fs/cgroup" + (f"/{controller}" if controller else "")
        for end in range(len(parts), -1, -1):
            yield "/".join([mounted, *parts[:end]])


def _cgroup_limits(sources: Sources) -> Iterator[int]:
    for controller, name in (("", "memory.max"), ("memory", "memory.limit_in_bytes")):
        for folder in _cgroup_folders(sources, controller):
            limit = sources.number(f"{folder}/{name}")
            if limit is not None and limit < _NO_LIMIT_BYTES:
                yield limit


def _metal(sources: Sources) -> Iterator[Device]:
    if sources.machine != "arm64":
        return
    total = memory_bytes(sources)
    release = sources.mac_release().partition(".")[0]
    yield Device(
        "mps",
        name="Apple GPU",
        total_bytes=total,
        capacity_bytes=int(total * _MPS_RATIO) if total else None,
        has_bf16=release.isdecimal() and int(release) >= 14,
        is_capacity_assumed=True,
    )


def _nvidia(sources: Sources, may_ask: bool) -> list[Device]:
    folder = sources.root / "dev"
    files = sorted(folder.glob("nvidia[0-9]*"))
    is_wsl = (folder / "dxg").exists()
    if not (files or is_wsl or (folder / "nvidiactl").exists()):
        return []
    if may_ask:
        found = _from_nvml(sources.load_nvml()) or _from_smi(sources)
        if found:
            return found
    return [Device("cuda", index) for index in range(len(files) or int(is_wsl))]


def _from_nvml(nvml: Any) -> list[Device]:
    """Return what the driver's library lists; nothing where it is missing or refuses."""
    if nvml is None:
        return []
    try:
        nvml.nvmlInit()
    except (nvml.NVMLError, OSError):
        return []
    try:
        driver = _words(nvml.nvmlSystemGetDriverVersion())
        found: list[Device] = []
        for index in range(nvml.nvmlDeviceGetCount()):
            found += _gpu(nvml, index, driver)
        return found
    except (nvml.NVMLError, OSError):
        return []
    finally:
        with contextlib.suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def _gpu(nvml: Any, index: int, driver: str) -> list[Device]:
    """Return a GPU, or its instances where it is cut into such."""

    def answer(name: str, *arguments: Any) -> Any:
        try:
            return getattr(nvml, name)(*arguments)
        except (nvml.NVMLError, AttributeError):
            return None

    gpu = answer("nvmlDeviceGetHandleByIndex", index)
    if gpu is None:
        return []
    handles = [gpu]
    mode = answer("nvmlDeviceGetMigMode", gpu)
    if mode and mode[0]:
        most = answer("nvmlDeviceGetMaxMigDeviceCount", gpu) or 0
        asked = (answer("nvmlDeviceGetMigDeviceHandleByIndex", gpu, at) for at in range(most))
        handles = [handle for handle in asked if handle is not None]
    compute = answer("nvmlDeviceGetCudaComputeCapability", gpu)
    found = []
    for handle in handles:
        memory = answer("nvmlDeviceGetMemoryInfo", handle)
        name = _words(answer("nvmlDeviceGetName", handle) or answer("nvmlDeviceGetName", gpu))
        uuid = _words(answer("nvmlDeviceGetUUID", handle))
        total, free = (int(memory.total), int(memory.free)) if memory else (None, None)
        found.append(_cuda(index, name, uuid, total, free, driver, compute))
    return found


def _cuda(
    index: int,
    name: str,
    uuid: str,
    total: int | None,
    free: int | None,
    driver: str,
    compute: Sequence[int] | None,
) -> Device:
    pair = (int(compute[0]), int(compute[1])) if compute else None
    return Device(
        "cuda",
        index,
        name=name,
        uuid=uuid,
        total_bytes=total,
        free_bytes=free,
        capacity_bytes=int(total * _USABLE_RATIO) if total else None,
        driver=driver,
        compute=pair,
        has_bf16=pair is not None and pair >= _BF16_COMPUTE,
    )


def _from_smi(sources: Sources) -> list[Device]:
    """Return what `nvidia-smi` lists; lines of another form are left out."""
    tool = next((sources.root / path for path in _SMI if (sources.root / path).is_file()), None)
    if tool is None:
        return []
    for names in ((*_SMI_FIELDS, "compute_cap"), _SMI_FIELDS):  # old drivers lack the last one
        query = f"--query-gpu={','.join(names)}"
        listed = sources.run([str(tool), query, "--format=csv,noheader,nounits"])
        if listed is None:
            continue
        found = list(filter(None, (_smi_line(line, len(names)) for line in listed.splitlines())))
        if found:
            return _cut_into_instances(found, sources.run([str(tool), "-L"]) or "")
    return []


def _smi_line(line: str, width: int) -> Device | None:
    parts = [part.strip() for part in line.split(",")]
    tail = width - 3
    if len(parts) < width or not parts[0].isdecimal() or not parts[1].startswith("GPU-"):
        return None
    total, free, driver, *compute = parts[-tail:]
    if not re.fullmatch(r"\d{3,}\.[\d.]+", driver):
        return None
    capability = re.fullmatch(r"(\d+)\.(\d+)", compute[0]) if compute else None
    return _cuda(
        int(parts[0]),
        ", ".join(parts[2:-tail]),
        parts[1],
        int(total) * _MIB if total.isdecimal() else None,
        int(free) * _MIB if free.isdecimal() else None,
        driver,
        [int(part) for part in capability.groups()] if capability else None,
    )


def _cut_into_instances(found: Sequence[Device], listing: str) -> list[Device]:
    """Return the devices with MIG instances in place of the GPUs that are cut into them.

    listing: of `nvidia-smi -L`, which says nothing about an instance's memory.
    """
    instances: dict[str, list[str]] = {}
    uuid = ""
    for line in listing.splitlines():
        named = re.search(r"UUID: ((GPU|MIG)-[^)\s]+)\)", line)
        if named and named.group(2) == "GPU":
            uuid = named.group(1)
        elif named:
            instances.setdefault(uuid, []).append(named.group(1))
    made: list[Device] = []
    for device in found:
        parts = instances.get(device.uuid)
        made += [
            replace(device, uuid=part, total_bytes=None, free_bytes=None, capacity_bytes=None)
            for part in parts or ()
        ]
        made += [] if parts else [device]
    return made


def _rocm(sources: Sources) -> list[Device]:
    """Return the GPUs of AMD's kernel driver.

    Source: the kernel's amdkfd topology in sysfs; processors are nodes without SIMD units.
    """
    if not (sources.root / "dev" / "kfd").exists():
        return []
    nodes = "sys/class/kfd/kfd/topology/nodes"
    folders = [item for item in (sources.root / nodes).glob("*") if item.name.isdecimal()]
    found: list[Device] = []
    for folder in sorted(folders, key=lambda item: int(item.name)):
        text = sources.text(f"{nodes}/{folder.name}/properties")
        values = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
        if values.get("simd_count", "0").strip() in ("", "0"):
            continue
        minor = values.get("drm_render_minor", "").strip()
        total = sources.number(f"sys/class/drm/renderD{minor}/device/mem_info_vram_total")
        gfx = _gfx(values.get("gfx_target_version", "").strip())
        found.append(
            Device(
                "cuda",
                len(found),
                name=f"AMD {gfx}",
                total_bytes=total,
                capacity_bytes=int(total * _USABLE_RATIO) if total else None,
                is_rocm=True,
                has_bf16=_BF16_GFX.match(gfx) is not None,
            )
        )
    if not found:
        found = [Device("cuda", name="AMD GPU", is_rocm=True)]
    seen = _visible(found, sources, "ROCR_VISIBLE_DEVICES")
    renumbered = [replace(item, index=index) for index, item in enumerate(seen)]
    name = "HIP_VISIBLE_DEVICES"
    return _visible(
        renumbered, sources, name if name in sources.environment else "CUDA_VISIBLE_DEVICES"
    )


def _gfx(version: str) -> str:
    """Return a target's name: 90010 is gfx90a, 110000 is gfx1100."""
    if not version.isdecimal():
        return "GPU"
    number = int(version)
    return f"gfx{number // 10000}{number // 100 % 100:x}{number % 100:x}"


def _visible(found: Sequence[Device], sources: Sources, variable: str) -> list[Device]:
    """Return the devices that a variable names, in its order; all of them where it is not set.

    Source: CUDA's rule: the first entry that names no device ends the list.
    """
    value = sources.environment.get(variable)
    if value is None:
        return list(found)
    kept: list[Device] = []
    for entry in (part.strip() for part in value.split(",")):
        if entry.isdecimal():
            fitting = list(found)[int(entry) : int(entry) + 1]
        elif found and not any(item.uuid for item in found):
            fitting = [replace(found[0], uuid=entry)] if entry.startswith(("GPU-", "MIG-")) else []
        else:
            fitting = [item for item in found if entry and item.uuid.startswith(entry)][:1]
        if not fitting or fitting[0] in kept:
            break
        kept += fitting
    return kept


def _words(value: object) -> str:
    """Return text that some versions of the bindings give as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
