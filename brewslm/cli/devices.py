"""What a plan says about the device that its work is done on."""

from importlib.util import find_spec

from msgspec.structs import replace

from brewslm.address import Address
from brewslm.diagnostics import Finding, FindingCode, Severity
from brewslm.errors import RefusedError
from brewslm.manifest.host import HostFacts
from brewslm.manifest.project import Manifest, Wanted
from brewslm.plan.build import Built
from brewslm.plan.plan import Plan
from brewslm.platform_facts import Sources, has_unusable_device
from brewslm.render import words
from brewslm.stages.training_plan import TrainingPlanSpec

_LOADING = frozenset(("training_plan", "eval_pack", "export"))
"""Kinds whose work loads the base model."""
_REMEDY = "write --device auto, or run on a machine that has the device"


def device_findings(
    wanted: str, host: HostFacts, built: Built, manifest: Manifest
) -> list[Finding]:
    """Return what a person should know about the device before work begins on it."""
    if host.is_device_missing:
        return [_missing(wanted)]
    work = {item.target for item in built.plan.actions if item.is_work and item.reuse is None}
    found = []
    training = manifest.resources.get(Address("training_plan"))
    if work & _LOADING and training is not None:
        found += _unquantizable(training, host)
    if "training_plan" not in work:
        return found
    if host.memory_bytes is None:
        found.append(
            _finding(
                FindingCode.DEVICE_MEMORY_UNKNOWN,
                Severity.WARNING,
                f"the memory of {host.device} is unknown, so whether training fits is not checked",
                'pip install "brewslm[train]" brings nvidia-ml-py, which asks the driver',
                found="no answer from the driver or its tools",
                expected="the total memory of the device",
            )
        )
    elif host.device.is_capacity_assumed:
        found.append(
            _finding(
                FindingCode.DEVICE_MEMORY_ASSUMED,
                Severity.INFO,
                f"{host.device} shares the memory of this machine; it is assumed to get two thirds",
                "nothing; close other programs if memory runs out",
                found=words.size(host.device.total_bytes or 0),
                expected=words.size(host.memory_bytes),
            )
        )
    if host.unused:
        found.append(
            _finding(
                FindingCode.DEVICES_UNUSED,
                Severity.INFO,
                f"training uses one device, {host.device}",
                "nothing; CUDA_VISIBLE_DEVICES names another one",
                found=f"{len(host.unused) + 1} devices",
                expected="one",
            )
        )
    return found


def _unquantizable(training: Wanted, host: HostFacts) -> list[Finding]:
    spec = training.spec
    if not isinstance(spec, TrainingPlanSpec) or spec.config.quantization == "none":
        return []
    held = spec.config.quantization
    if host.can_quantize:
        if host.has_bitsandbytes or find_spec("torch") is None:  # nothing is trained here then
            return []
        told = _finding(
            FindingCode.DEPENDENCY_MISSING,
            Severity.ERROR,
            f"a base held in {held} needs a package that is not installed",
            'pip install "brewslm[train]"',
            found="no bitsandbytes",
            expected="bitsandbytes",
        )
    else:
        told = _finding(
            FindingCode.QUANTIZATION_UNAVAILABLE,
            Severity.ERROR,
            f"a base held in {held} cannot be loaded on {host.device}",
            "write quantization: none, or plan and apply with --device cpu",
            found=held,
            expected="none",
        )
    field = "config.quantization"
    path = f"{training.section}.{field}"
    return [replace(told, address="training_plan", field=path, place=training.place(field))]


def check_device(wanted: str, host: HostFacts, plan: Plan) -> None:
    """Refuse to begin work on a device that is missing, or that others have filled.

    Raises: RefusedError with device_not_found or device_busy.
    """
    if host.is_device_missing:
        told = _missing(wanted)
        raise RefusedError(
            told.message,
            code="device_not_found",
            found=told.found,
            expected=told.expected,
            remedy=_REMEDY,
        )
    lows = [
        item.estimate.memory_bytes.low or 0
        for item in plan.actions
        if item.is_work and item.reuse is None
    ]
    free_bytes = host.device.free_bytes
    needed_bytes = max(lows, default=0)
    if free_bytes is not None and needed_bytes > free_bytes:
        raise RefusedError(
            f"other processes hold the memory of {host.device}",
            code="device_busy",
            found=f"{words.size(free_bytes)} free",
            expected=f"at least {words.size(needed_bytes)}, as priced in the plan",
            remedy="end what runs on the device (nvidia-smi lists it), then: brewslm apply",
        )


def _missing(wanted: str) -> Finding:
    is_built_without = wanted == "cuda" and has_unusable_device(Sources())
    return _finding(
        FindingCode.DEVICE_NOT_FOUND,
        Severity.ERROR,
        f'this machine has no device "{wanted}" that can be used',
        _REMEDY,
        found="a torch that was built without it" if is_built_without else "no such device",
        expected=wanted,
    )


def _finding(
    code: FindingCode, severity: Severity, message: str, fix: str, found: str, expected: str
) -> Finding:
    return Finding(
        code=code,
        severity=severity,
        message=message,
        actionable_fix=fix,
        found=found,
        expected=expected,
    )
