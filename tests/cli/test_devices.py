"""Which device a plan is made for and a worker sees, by flag, environment and machine."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from brewslm.cli.devices import device_findings
from brewslm.diagnostics import exit_code_of
from brewslm.errors import ExitCode
from brewslm.manifest import host
from brewslm.manifest.host import HostFacts
from brewslm.manifest.load import load_manifest
from brewslm.platform_facts import Sources
from tests.apply.bench import Bench
from tests.base.test_platform_facts import FILES, GIB, Gpu, Nvml, machine
from tests.cli.conftest import Answer, Doubles, Run

Machine = Callable[..., None]


@pytest.fixture
def on_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return what makes this machine another one; changes: to its sources."""
    monkeypatch.delenv("BREWSLM_DEVICE", raising=False)

    def use(nvml: Any = None, files: Any = FILES, **changes: Any) -> None:
        base = machine(tmp_path / "machine", files, nvml, **changes)

        def sources(environment: Any = None) -> Sources:
            return replace(base, environment=environment or {})

        monkeypatch.setattr(host, "Sources", sources)

    return use


def codes(answer: Answer) -> dict[str, dict[str, Any]]:
    return {item["code"]: item for item in answer.document["findings"]}


def test_the_first_plan_on_a_gpu_refuses_what_cannot_fit(
    bench: Bench, run: Run, on_machine: Machine
) -> None:
    on_machine(Nvml([Gpu(total=GIB // 4)]))
    answer = run("plan", "--json")
    assert answer.code == 6
    assert codes(answer)["DOES_NOT_FIT"]["expected"] == "at most 243 MiB"
    on_machine(Nvml([Gpu(total=24 * GIB)]))
    roomy = run("plan", "--json")
    assert (roomy.code, "DOES_NOT_FIT" in codes(roomy)) == (0, False)
    assert bench.promoted() is None


def test_free_memory_is_no_part_of_a_plan(bench: Bench, run: Run, on_machine: Machine) -> None:
    class Busy(Nvml):
        def nvmlDeviceGetMemoryInfo(self, gpu: Gpu) -> Any:  # noqa: N802  the library's name
            memory = super().nvmlDeviceGetMemoryInfo(gpu)
            memory.free = 1 << 20
            return memory

    on_machine(Nvml([Gpu()]))
    free = run("plan", "--json")
    on_machine(Busy([Gpu()]))
    busy = run("plan", "--json")
    assert free.out == busy.out
    refused = run("apply", "--auto-approve")
    refused.says(6, "error[device_busy]", "1.0 MiB free")
    assert bench.promoted() is None


@pytest.mark.parametrize("files", [{"dev/nvidia3": ""}, {"dev/dxg": ""}, {"dev/kfd": ""}])
def test_an_unknown_memory_is_said(
    files: dict[str, str], bench: Bench, run: Run, on_machine: Machine
) -> None:
    on_machine(files=files)
    answer = run("plan", "--json")
    found = codes(answer)["DEVICE_MEMORY_UNKNOWN"]
    assert (answer.code, found["severity"]) == (0, "warning")
    assert answer.document["is_applyable"] is True
    assert bench.promoted() is None


def test_shared_memory_is_assumed(bench: Bench, run: Run, on_machine: Machine) -> None:
    on_machine(files={}, system="darwin", machine="arm64", mac_release=lambda: "15.0")
    found = codes(run("plan", "--json"))
    assert found["DEVICE_MEMORY_ASSUMED"]["severity"] == "info"
    bench.edit("dtype: float32", "dtype: float32\n      quantization: nf4")
    refused = run("plan", "--json")
    told = codes(refused)["QUANTIZATION_UNAVAILABLE"]
    assert (refused.code, told["severity"]) == (6, "error")
    assert (told["file"], told["line"]) == ("brewslm.yaml", 16)
    helped = run("plan", "--json", "--device", "cpu")
    assert (helped.code, "QUANTIZATION_UNAVAILABLE" in codes(helped)) == (0, False)


def test_a_package_that_the_recipe_needs_and_that_is_missing_is_refused(bench: Bench) -> None:
    bench.edit("dtype: float32", "dtype: float32\n      quantization: nf4")
    manifest, built = load_manifest(bench.root), bench.built()
    bare, whole = HostFacts(has_bitsandbytes=False), HostFacts(has_bitsandbytes=True)
    told = {item.code: item for item in device_findings("auto", bare, built, manifest)}
    assert told["DEPENDENCY_MISSING"].place.line == 16
    assert exit_code_of(told.values()) is ExitCode.REFUSED
    others = {item.code for item in device_findings("auto", whole, built, manifest)}
    assert "DEPENDENCY_MISSING" not in others


def test_other_devices_are_said_to_be_unused(bench: Bench, run: Run, on_machine: Machine) -> None:
    on_machine(Nvml([Gpu(uuid="GPU-a"), Gpu(uuid="GPU-b", total=80 * GIB)]))
    found = codes(run("plan", "--json"))["DEVICES_UNUSED"]
    assert (found["severity"], found["found"]) == ("info", "2 devices")
    assert "cuda:1" in found["message"]
    assert bench.promoted() is None


def test_nothing_is_said_of_a_device_where_nothing_is_trained(
    applied: Bench, run: Run, on_machine: Machine
) -> None:
    on_machine(files={"dev/nvidia3": ""})
    answer = run("plan", "--json", "--detailed-exitcode")
    assert answer.code == 0
    assert {code for code in codes(answer) if code.startswith("DEVICE")} == set()
    assert applied.promoted() is not None


@pytest.mark.parametrize("wanted", ["cuda", "mps"])
def test_a_wanted_device_that_is_absent_is_refused(
    wanted: str, bench: Bench, run: Run, on_machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_machine(files={})
    for arguments in (("plan", "--json", "--device", wanted), ("apply", "--device", wanted)):
        assert run(*arguments).code == 6
    monkeypatch.setenv("BREWSLM_DEVICE", wanted)
    answer = run("plan", "--json")
    found = codes(answer)["DEVICE_NOT_FOUND"]
    assert (answer.code, found["severity"], found["expected"]) == (6, "error", wanted)
    assert run("plan", "--json", "--device", "auto").code == 0
    assert bench.promoted() is None


def test_a_device_that_torch_was_not_built_for_is_absent(
    bench: Bench, run: Run, on_machine: Machine
) -> None:
    on_machine(Nvml([Gpu()]), torch_build=lambda: "cpu")
    assert run("plan", "--json", "--device", "cuda").code == 6
    assert run("plan", "--json").code == 0
    assert bench.promoted() is None


def test_an_unknown_device_is_a_mistake_of_the_command_line(
    bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("plan", "--device", "gpu").says(1, "cuda")
    monkeypatch.setenv("BREWSLM_DEVICE", "gpu")
    run("plan").says(1, "invalid BREWSLM_DEVICE", "auto, cuda, mps, cpu")
    assert bench.promoted() is None


def test_a_stranger_s_plan_asks_no_driver_and_no_environment(
    bench: Bench, run: Run, on_machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("asked")

    from tests.cli.repository import begin  # noqa: PLC0415  git is needed here alone

    begin(bench.root)
    on_machine(load_nvml=refuse, run=refuse, torch_build=refuse)
    monkeypatch.setenv("BREWSLM_DEVICE", "cuda")
    answer = run("plan", "--json", "--untrusted")
    assert answer.code == 0, answer.err
    assert {code for code in codes(answer) if code.startswith("DEVICE")} == set()


def test_the_identity_does_not_know_the_device(bench: Bench, run: Run, on_machine: Machine) -> None:
    def fingerprints(*arguments: str) -> list[str]:
        actions = run("plan", "--json", *arguments).document["actions"]
        return [str(action["fingerprint"]) for action in actions]

    on_machine(Nvml([Gpu()]))
    on_gpu = fingerprints()
    assert fingerprints("--device", "cpu") == on_gpu
    on_machine(files={})
    assert fingerprints() == on_gpu
    assert bench.promoted() is None


def test_a_saved_plan_keeps_its_device(
    bench: Bench, run: Run, on_machine: Machine, doubles: Doubles, tmp_path: Path
) -> None:
    on_machine(Nvml([Gpu()]))
    saved = tmp_path / "a.plan.json"
    assert run("plan", "--out", saved, "--device", "cpu").code == 0
    assert json.loads(saved.read_bytes())["options"]["device"] == "cpu"
    refused = run("apply", saved, "--device", "cuda")
    refused.says(1, "--device with a plan's file")
    assert run("apply", saved).code == 0
    (environment,) = doubles.environments
    assert environment["CUDA_VISIBLE_DEVICES"] == "-1"
    assert bench.promoted() is not None


def test_a_worker_sees_the_chosen_device_and_no_other(
    bench: Bench,
    run: Run,
    on_machine: Machine,
    doubles: Doubles,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "0,1")
    on_machine(Nvml([Gpu(uuid=f"GPU-{at}", total=(at + 1) * GIB) for at in range(4)]))
    assert run("apply", "--auto-approve").code == 0
    again = ("apply", "--auto-approve", "--replace", "training_plan", "--device")
    assert run(*again, "cpu").code == 0
    names = ("BREWSLM_DEVICE", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "HIP_VISIBLE_DEVICES")
    assert [tuple(item.get(name) for name in names) for item in doubles.environments] == [
        ("cuda", "GPU-2", "PCI_BUS_ID", None),
        ("cpu", "-1", None, "-1"),
    ]
    assert bench.promoted() is not None
