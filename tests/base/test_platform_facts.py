"""Facts of machines that the tests do not run on: folders, drivers and tools stand for them."""
# ruff: noqa: N802  the methods of a stand-in are named as those of the driver's library

import os
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from brewslm import platform_facts
from brewslm.platform_facts import (
    Device,
    Sources,
    choose,
    cores,
    cpu,
    devices,
    has_unusable_device,
    memory_bytes,
    peak_memory_bytes,
    platform_kind,
)

GIB, MIB = 1 << 30, 1 << 20
CPU = Device("cpu")


class NvmlError(Exception):
    pass


@dataclass
class Gpu:
    """A GPU as the driver's library describes it; None is a question that it refuses."""

    name: str = "NVIDIA A10"
    uuid: str = "GPU-1"
    total: int | None = 24 * GIB
    compute: tuple[int, int] | None = (8, 6)
    instances: "list[Gpu]" = field(default_factory=list)


class Nvml:
    """The bindings of a driver with some GPUs."""

    NVMLError = NvmlError

    def __init__(self, gpus: Sequence[Gpu], *, as_bytes: bool = False, fails: str = "") -> None:
        self._gpus = gpus
        self._as_bytes = as_bytes
        self._fails = fails
        self.is_open = False

    def _text(self, text: str) -> Any:
        return text.encode() if self._as_bytes else text

    def _may(self, name: str) -> None:
        if name == self._fails:
            raise NvmlError(name)

    def nvmlInit(self) -> None:
        self._may("init")
        self.is_open = True

    def nvmlShutdown(self) -> None:
        self.is_open = False

    def nvmlSystemGetDriverVersion(self) -> Any:
        return self._text("570.86.10")

    def nvmlDeviceGetCount(self) -> int:
        self._may("count")
        return len(self._gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Gpu:
        if self._fails == f"handle {index}":
            raise NvmlError
        return self._gpus[index]

    def nvmlDeviceGetName(self, gpu: Gpu) -> Any:
        return self._text(gpu.name)

    def nvmlDeviceGetUUID(self, gpu: Gpu) -> Any:
        return self._text(gpu.uuid)

    def nvmlDeviceGetMemoryInfo(self, gpu: Gpu) -> Any:
        if gpu.total is None:
            raise NvmlError
        return SimpleNamespace(total=gpu.total, free=gpu.total // 2)

    def nvmlDeviceGetCudaComputeCapability(self, gpu: Gpu) -> Any:
        if gpu.compute is None:
            raise NvmlError
        return gpu.compute

    def nvmlDeviceGetMigMode(self, gpu: Gpu) -> Any:
        if not gpu.instances:
            raise NvmlError
        return 1, 1

    def nvmlDeviceGetMaxMigDeviceCount(self, _gpu: Gpu) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu: Gpu, index: int) -> Gpu:
        if index >= len(gpu.instances):
            raise NvmlError
        return gpu.instances[index]


def machine(
    root: Path,
    files: Mapping[str, str] | None = None,
    nvml: Any = None,
    **changes: Any,
) -> Sources:
    """Return a Linux machine with these files and no torch."""
    for path, text in (files or {}).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    plain = Sources(
        root=root,
        system="linux",
        machine="x86_64",
        load_nvml=lambda: nvml,
        run=lambda _command: None,
        torch_build=lambda: "",
    )
    return replace(plain, **changes)


FILES = {"dev/nvidia0": "", "dev/nvidiactl": ""}


def test_a_machine_without_a_driver_asks_nothing(tmp_path: Path) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("asked")

    sources = machine(tmp_path, {"dev/null": ""}, load_nvml=refuse, run=refuse, torch_build=refuse)
    assert devices(sources) == ()
    assert choose("auto", (), CPU) == CPU
    assert choose("cuda", (), CPU) is None
    assert choose("cpu", (), CPU) == CPU


def test_nvml_describes_a_gpu(tmp_path: Path) -> None:
    for as_bytes in (False, True):
        nvml = Nvml([Gpu()], as_bytes=as_bytes)
        (found,) = devices(machine(tmp_path, FILES, nvml))
        assert found == Device(
            "cuda",
            0,
            name="NVIDIA A10",
            uuid="GPU-1",
            total_bytes=24 * GIB,
            free_bytes=12 * GIB,
            capacity_bytes=int(24 * GIB * 0.95),
            driver="570.86.10",
            compute=(8, 6),
            has_bf16=True,
        )
        assert not nvml.is_open


@pytest.mark.parametrize(
    ("compute", "has_bf16"),
    [((7, 0), False), ((7, 5), False), ((8, 0), True), ((9, 0), True), ((12, 1), True)],
)
def test_bfloat16_begins_at_compute_8(
    compute: tuple[int, int], has_bf16: bool, tmp_path: Path
) -> None:
    (found,) = devices(machine(tmp_path, FILES, Nvml([Gpu(compute=compute)])))
    assert found.has_bf16 is has_bf16


def test_of_four_the_one_with_the_most_memory_is_chosen_then_the_first(tmp_path: Path) -> None:
    sizes = (8, 24, 24, 12)
    gpus = [Gpu(uuid=f"GPU-{at}", total=size * GIB) for at, size in enumerate(sizes)]
    found = devices(machine(tmp_path, FILES, Nvml(gpus)))
    assert [item.uuid for item in found] == ["GPU-0", "GPU-1", "GPU-2", "GPU-3"]
    chosen = choose("auto", found, CPU)
    assert chosen is not None
    assert chosen.uuid == "GPU-1"
    assert choose("cuda", found, CPU) == chosen
    assert choose("mps", found, CPU) is None


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("1", [1]),
        ("2,0", [2, 0]),
        ("GPU-3", [3]),
        ("1,7,2", [1]),
        ("1,1,2", [1]),
        ("1, 2", [1, 2]),
        ("", []),
        ("-1", []),
        ("none", []),
        ("GPU-9", []),
    ],
)
def test_visible_devices_are_limited_as_cuda_does(
    value: str, seen: list[int], tmp_path: Path
) -> None:
    nvml = Nvml([Gpu(uuid=f"GPU-{at}") for at in range(4)])
    environment = {"CUDA_VISIBLE_DEVICES": value}
    found = devices(machine(tmp_path, FILES, nvml, environment=environment))
    assert [item.index for item in found] == seen


def test_mig_instances_stand_for_their_gpu(tmp_path: Path) -> None:
    parts = [Gpu("A100 MIG 1g.5gb", f"MIG-{at}", 5 * GIB, None) for at in range(2)]
    nvml = Nvml([Gpu(total=40 * GIB, compute=(8, 0), instances=parts), Gpu(uuid="GPU-2")])
    found = devices(machine(tmp_path, FILES, nvml))
    assert [(item.uuid, item.total_bytes, item.has_bf16) for item in found] == [
        ("MIG-0", 5 * GIB, True),
        ("MIG-1", 5 * GIB, True),
        ("GPU-2", 24 * GIB, True),
    ]


def test_a_shared_memory_that_the_driver_does_not_report_is_unknown(tmp_path: Path) -> None:
    (found,) = devices(machine(tmp_path, FILES, Nvml([Gpu("NVIDIA GB10", total=None)])))
    assert (found.name, found.capacity_bytes, found.has_bf16) == ("NVIDIA GB10", None, True)


@pytest.mark.parametrize("fails", ["init", "count", "handle 0"])
def test_a_driver_that_fails_leaves_device_files(fails: str, tmp_path: Path) -> None:
    (found,) = devices(machine(tmp_path, FILES, Nvml([Gpu()], fails=fails)))
    assert found == Device("cuda", 0)
    assert found.capacity_bytes is None


@pytest.mark.parametrize(
    ("files", "count"),
    [
        (["dev/nvidia3"], 1),
        (["dev/nvidia0", "dev/nvidia1", "dev/nvidia-uvm", "dev/nvidiactl"], 2),
        (["dev/dxg"], 1),
        (["dev/nvidiactl"], 0),
        (["dev/null"], 0),
    ],
)
def test_device_files_are_enough_to_see_devices(
    files: list[str], count: int, tmp_path: Path
) -> None:
    found = devices(machine(tmp_path, dict.fromkeys(files, "")))
    assert [item.index for item in found] == list(range(count))
    assert {item.kind for item in found} <= {"cuda"}


def test_who_may_not_ask_sees_device_files_only(tmp_path: Path) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("asked")

    sources = machine(tmp_path, FILES, load_nvml=refuse, run=refuse, torch_build=refuse)
    assert devices(sources, may_ask_drivers=False) == (Device("cuda", 0),)


SMI = (
    "0, GPU-a, NVIDIA A10, 23028, 22500, 550.54.15, 8.6\n"
    "1, GPU-b, Tesla T4, 15360, 100, 550.54.15, 7.5\n"
)


def _smi(answers: Mapping[str, str | None]) -> Callable[[Sequence[str]], str | None]:
    def run(command: Sequence[str]) -> str | None:
        listing = command[1] == "-L"
        key = "-L" if listing else "compute" if "compute_cap" in command[1] else "plain"
        return answers.get(key)

    return run


def _with_smi(root: Path, answers: Mapping[str, str | None]) -> Sources:
    return machine(root, FILES | {"usr/bin/nvidia-smi": ""}, run=_smi(answers))


def test_nvidia_smi_describes_gpus_where_the_bindings_are_missing(tmp_path: Path) -> None:
    first, second = devices(_with_smi(tmp_path, {"compute": SMI}))
    assert (first.name, first.uuid, first.compute, first.has_bf16) == (
        *("NVIDIA A10", "GPU-a"),
        (8, 6),
        True,
    )
    assert (first.total_bytes, first.free_bytes) == (23028 * MIB, 22500 * MIB)
    assert (second.index, second.name, second.has_bf16) == (1, "Tesla T4", False)
    assert second.driver == "550.54.15"


def test_an_old_nvidia_smi_knows_no_compute_capability(tmp_path: Path) -> None:
    plain = "0, GPU-a, Tesla K80, 11441, 11000, 470.82.01\n"
    (found,) = devices(_with_smi(tmp_path, {"compute": None, "plain": plain}))
    assert (found.name, found.compute, found.has_bf16) == ("Tesla K80", None, False)


@pytest.mark.parametrize(
    "garbage",
    [
        None,
        "",
        "\n\n",
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n",
        "Failed to initialize NVML: Driver/library version mismatch\n",
        "0, GPU-a\n",
        "x, GPU-a, NVIDIA A10, 23028, 22500, 550.54.15, 8.6\n",
        "0, none, NVIDIA A10, 23028, 22500, 550.54.15, 8.6\n",
        "0, GPU-a, NVIDIA A10, 23028, 22500, [Unknown Error], 8.6\n",
        "\x00\ufffd" * 1000,
    ],
)
def test_garbage_of_nvidia_smi_is_no_device(garbage: str | None, tmp_path: Path) -> None:
    found = devices(_with_smi(tmp_path, {"compute": garbage, "plain": garbage}))
    assert found == (Device("cuda", 0),)


def test_values_that_nvidia_smi_does_not_know_are_unknown(tmp_path: Path) -> None:
    line = "0, GPU-a, NVIDIA GB10, Rev, [N/A], [N/A], 580.95.05, [N/A]\n"
    (found,) = devices(_with_smi(tmp_path, {"compute": line}))
    assert (found.name, found.total_bytes, found.compute) == ("NVIDIA GB10, Rev", None, None)


def test_nvidia_smi_lists_mig_instances(tmp_path: Path) -> None:
    listing = (
        "GPU 0: NVIDIA A10 (UUID: GPU-a)\n"
        "  MIG 1g.5gb     Device  0: (UUID: MIG-x)\n"
        "  MIG 1g.5gb     Device  1: (UUID: MIG-y)\n"
        "GPU 1: Tesla T4 (UUID: GPU-b)\n"
    )
    found = devices(_with_smi(tmp_path, {"compute": SMI, "-L": listing}))
    assert [(item.uuid, item.capacity_bytes is None) for item in found] == [
        ("MIG-x", True),
        ("MIG-y", True),
        ("GPU-b", False),
    ]


def _tool(root: Path, text: str) -> None:
    tool = root / "usr" / "bin" / "nvidia-smi"
    tool.parent.mkdir(parents=True)
    tool.write_text(f"#!{sys.executable}\n{text}\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)


def test_a_tool_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform_facts, "_SMI_TIMEOUT_S", 0.5)
    _tool(tmp_path, "import time; time.sleep(600)")
    sources = machine(tmp_path, FILES, run=platform_facts._run)
    assert devices(sources) == (Device("cuda", 0),)


@pytest.mark.parametrize("text", ["raise SystemExit(9)", "print('\\xff' * 9999)"])
def test_a_tool_that_fails_or_babbles_is_no_device(text: str, tmp_path: Path) -> None:
    _tool(tmp_path, text)
    assert devices(machine(tmp_path, FILES, run=platform_facts._run)) == (Device("cuda", 0),)


def test_a_real_tool_is_read(tmp_path: Path) -> None:
    _tool(tmp_path, f"import sys; sys.argv[1] == '-L' or print({SMI!r})")
    found = devices(machine(tmp_path, FILES, run=platform_facts._run))
    assert [item.uuid for item in found] == ["GPU-a", "GPU-b"]


def _amd(node: int, minor: int, gfx: int, simd: int = 64) -> dict[str, str]:
    return {
        "dev/kfd": "",
        f"sys/class/kfd/kfd/topology/nodes/{node}/properties": f"simd_count {simd}\n"
        f"drm_render_minor {minor}\ngfx_target_version {gfx}\n",
        f"sys/class/drm/renderD{minor}/device/mem_info_vram_total": f"{16 * GIB}\n",
    }


@pytest.mark.parametrize(
    ("version", "name", "has_bf16"),
    [
        (90010, "gfx90a", True),
        (90402, "gfx942", True),
        (110000, "gfx1100", True),
        (100300, "gfx1030", False),
        (90006, "gfx906", False),
    ],
)
def test_rocm_is_read_from_the_kernel(
    version: int, name: str, has_bf16: bool, tmp_path: Path
) -> None:
    files = _amd(0, 0, 0, simd=0) | _amd(1, 128, version)
    (found,) = devices(machine(tmp_path, files))
    assert (found.kind, found.name, found.is_rocm) == ("cuda", f"AMD {name}", True)
    assert (found.total_bytes, found.has_bf16) == (16 * GIB, has_bf16)
    assert found.shown_alone({"CUDA_VISIBLE_DEVICES": "0", "HOME": "/h"}) == {
        "HOME": "/h",
        "HIP_VISIBLE_DEVICES": "0",
        "BREWSLM_DEVICE": "cuda",
    }


def test_rocm_indices_count_within_what_the_runtime_shows(tmp_path: Path) -> None:
    files = _amd(1, 128, 90010) | _amd(2, 129, 110000) | _amd(10, 130, 90402)
    environment = {"ROCR_VISIBLE_DEVICES": "1,2", "HIP_VISIBLE_DEVICES": "1"}
    (found,) = devices(machine(tmp_path, files, environment=environment))
    assert (found.name, found.index) == ("AMD gfx942", 1)
    shown = found.shown_alone(environment)
    assert (shown["ROCR_VISIBLE_DEVICES"], shown["HIP_VISIBLE_DEVICES"]) == ("1,2", "1")


def test_kfd_without_topology_is_a_device_of_unknown_memory(tmp_path: Path) -> None:
    (found,) = devices(machine(tmp_path, {"dev/kfd": ""}))
    assert (found.kind, found.is_rocm, found.capacity_bytes) == ("cuda", True, None)


def _mac(root: Path, release: str, arm: str = "arm64") -> Sources:
    return machine(root, system="darwin", machine=arm, mac_release=lambda: release)


def test_apple_s_gpu_shares_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"SC_PAGE_SIZE": 16384, "SC_PHYS_PAGES": (24 * GIB) // 16384}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    (found,) = devices(_mac(tmp_path, "15.1"))
    assert (found.kind, found.total_bytes, found.has_bf16) == ("mps", 24 * GIB, True)
    assert (found.capacity_bytes, found.is_capacity_assumed) == (16 * GIB, True)
    shown = found.shown_alone({})
    assert shown == {"BREWSLM_DEVICE": "mps", "PYTORCH_ENABLE_MPS_FALLBACK": "1"}
    assert [item.has_bf16 for item in devices(_mac(tmp_path, "13.6"))] == [False]
    assert devices(_mac(tmp_path, "15.1", "x86_64")) == ()
    assert choose("auto", (found,), CPU) == found
    assert choose("cuda", (found,), CPU) is None


def test_a_run_sees_one_device_by_its_uuid(tmp_path: Path) -> None:
    nvml = Nvml([Gpu(uuid=f"GPU-{at}", total=(at + 1) * GIB) for at in range(4)])
    environment = {"CUDA_VISIBLE_DEVICES": "0,2", "CUDA_DEVICE_ORDER": "FASTEST_FIRST", "PATH": "/"}
    chosen = choose("auto", devices(machine(tmp_path, FILES, nvml, environment=environment)), CPU)
    assert chosen is not None
    assert chosen.shown_alone(environment) == {
        "PATH": "/",
        "BREWSLM_DEVICE": "cuda",
        "CUDA_VISIBLE_DEVICES": "GPU-2",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }
    hidden = CPU.shown_alone(environment)
    assert (hidden["CUDA_VISIBLE_DEVICES"], hidden["HIP_VISIBLE_DEVICES"]) == ("-1", "-1")


def test_a_uuid_is_believed_where_only_device_files_are_seen(tmp_path: Path) -> None:
    environment = {"CUDA_VISIBLE_DEVICES": "MIG-x"}
    (found,) = devices(machine(tmp_path, FILES, environment=environment))
    assert found.shown_alone(environment)["CUDA_VISIBLE_DEVICES"] == "MIG-x"


_VERSIONS = {
    "cuda": "cuda: Optional[str] = '12.8'\nhip: Optional[str] = None\nxpu: Optional[str] = None",
    "rocm": "cuda: Optional[str] = None\nhip: Optional[str] = '6.4.43482'\nrocm = '6.4'",
    "cpu": "cuda = None\ngit_version = 'abc'\nhip = None",
    "": "cuda_version = '12.8'",
}
"""What version.py of torch says of its build."""


@pytest.mark.parametrize("build", [*_VERSIONS, None])
def test_the_build_of_torch_is_read_and_torch_is_not_loaded(
    build: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "torch"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit")
    if build is not None:
        (package / "version.py").write_text(f"debug = False\n{_VERSIONS[build]}\n")
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    files = {**FILES, **_amd(1, 128, 110000)}
    sources = replace(machine(tmp_path, files, Nvml([Gpu()])), torch_build=Sources().torch_build)
    kinds = {"rocm": [True], "cpu": []}.get(build or "", [False])
    assert [item.is_rocm for item in devices(sources)] == kinds
    assert has_unusable_device(sources) is (build == "cpu")


def test_a_system_without_known_drivers_has_its_processor_only(tmp_path: Path) -> None:
    """Whatever its folders look like."""
    assert devices(machine(tmp_path, FILES, Nvml([Gpu()]), system="freebsd14")) == ()


def test_an_amd_gpu_that_the_kernel_names_otherwise_is_one(tmp_path: Path) -> None:
    files = _amd(1, 128, 110000)
    name = "sys/class/kfd/kfd/topology/nodes/1/properties"
    files[name] = files[name].replace("110000", "new")
    (found,) = devices(machine(tmp_path, files))
    assert (found.name, found.is_rocm, found.has_bf16) == ("AMD GPU", True, False)


@pytest.mark.parametrize(("build", "seen"), [("", 1), ("cuda", 1), ("cpu", 0), ("rocm", 0)])
def test_a_device_that_torch_was_not_built_for_is_not_used(
    build: str, seen: int, tmp_path: Path
) -> None:
    sources = machine(tmp_path, FILES, Nvml([Gpu()]), torch_build=lambda: build)
    assert len(devices(sources)) == seen
    assert has_unusable_device(sources) is (build == "cpu")


@pytest.mark.parametrize(
    ("files", "changes", "kind"),
    [
        ({}, {}, "linux"),
        ({"proc/1/cgroup": "0::/init.scope\n"}, {}, "linux"),
        ({".dockerenv": ""}, {}, "container"),
        ({"run/.containerenv": ""}, {}, "container"),
        ({"proc/1/cgroup": "12:memory:/kubepods/pod1\n"}, {}, "container"),
        ({"proc/sys/kernel/osrelease": "5.15.153.1-microsoft-standard-WSL2\n"}, {}, "wsl2"),
        ({}, {"system": "darwin"}, "macos"),
        ({}, {"system": "freebsd14"}, "freebsd14"),
    ],
)
def test_a_platform_has_a_name(
    files: dict[str, str], changes: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    assert platform_kind(machine(tmp_path, files, **changes)) == kind


@pytest.mark.parametrize(
    ("files", "gib"),
    [
        ({}, 64),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": f"{8 * GIB}\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 64),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/memory.max": "max\n",
                "sys/fs/cgroup/a/memory.max": f"{4 * GIB}\n",
            },
            4,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/docker/x\n",
                "sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes": f"{2 * GIB}\n",
            },
            2,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,memory:/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            64,
        ),
        ({"proc/self/cgroup": "garbage\n"}, 64),
        ({"proc/self/cgroup": "0::/../../x\n", "sys/fs/cgroup/memory.max": f"{GIB}\n"}, 1),
    ],
)
def test_a_cgroup_limits_the_memory(
    files: dict[str, str], gib: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 64 * GIB // 4096}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    sources = machine(tmp_path, files)
    assert memory_bytes(sources) == gib * GIB
    assert cpu(sources).capacity_bytes == gib * GIB


def test_a_system_that_knows_no_memory_has_unknown_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> int:
        raise ValueError(name)

    monkeypatch.setattr(os, "sysconf", refuse)
    assert memory_bytes(machine(tmp_path)) is None
    assert cpu(machine(tmp_path)).capacity_bytes is None


@pytest.mark.parametrize(("quota", "most"), [("max 100000", 64), ("150000 100000", 2), ("1 9", 1)])
def test_a_cgroup_limits_the_cores(
    quota: str, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": f"{quota}\n"}
    assert cores(machine(tmp_path, files)) == most


def test_peak_memory_has_the_unit_of_its_system(tmp_path: Path) -> None:
    """getrusage counts bytes on macOS and KiB elsewhere; Linux also says it in /proc."""
    status = {"proc/self/status": "Name:\tx\nVmHWM:\t  2048 kB\n"}
    assert peak_memory_bytes(machine(tmp_path, status)) == 2 * MIB
    bare = tmp_path / "bare"
    as_linux = peak_memory_bytes(machine(bare))
    as_mac = peak_memory_bytes(machine(bare, system="darwin"))
    assert as_linux == 1024 * as_mac
    assert 4 * MIB < as_linux < 64 * GIB
    assert abs(as_linux - peak_memory_bytes()) < 512 * MIB
