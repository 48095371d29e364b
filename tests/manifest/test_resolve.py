from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from brewslm.address import Address
from brewslm.contracts import counting_values
from brewslm.manifest.host import HostFacts
from brewslm.manifest.load import check_manifest, load_manifest
from brewslm.manifest.project import Wanted
from tests.manifest.writing import config, project, write

GPU = HostFacts(has_cuda=True, has_bf16=True, has_bitsandbytes=True, has_flash_attention=True)
CPU = HostFacts()


def plan_of(folder: Path, text: str, host: HostFacts = GPU) -> Wanted:
    write(folder, text)
    return load_manifest(folder, host=host).resources[Address("training_plan")]


def values(wanted: Wanted) -> dict[str, Any]:
    dumped: dict[str, Any] = wanted.spec.model_dump(mode="json")["config"]
    return dumped


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("safe", (1, 8, 1024, True, False, False, 2)),
        ("balanced", (2, 4, 2048, True, True, True, 2)),
        ("max_quality", (4, 4, 2048, True, True, True, 2)),
    ],
)
def test_a_profile_fills_what_is_not_written(
    profile: str, expected: tuple[Any, ...], tmp_path: Path
) -> None:
    names = (
        "batch_size",
        "gradient_accumulation_steps",
        "max_seq_length",
        "gradient_checkpointing",
        "sequence_packing",
        "flash_attention",
        "max_oom_retries",
    )
    wanted = plan_of(tmp_path, project(f"training_plan: {{plan_profile: {profile}}}"))
    assert tuple(values(wanted)[name] for name in names) == expected
    changed = {name for name, origin in wanted.origins.items() if origin == f"profile:{profile}"}
    defaults = (4, 4, 2048, True, True, True, 2)
    assert changed == {
        f"config.{name}"
        for name, value, default in zip(names, expected, defaults, strict=True)
        if value != default
    }


def test_a_written_value_wins_over_the_profile_and_is_told(tmp_path: Path) -> None:
    text = config("batch_size: 8\nmax_seq_length: 512")
    wanted = plan_of(tmp_path, text)
    assert (values(wanted)["batch_size"], values(wanted)["max_seq_length"]) == (8, 512)
    assert wanted.origins["config.batch_size"] == "manifest"
    told = [item for item in check_manifest(tmp_path)[1] if item.code == "PROFILE_OVERRIDDEN"]
    assert [(item.field, item.found, item.expected, str(item.place)) for item in told] == [
        ("spec.training_plan.config.batch_size", "8", "2", "brewslm.yaml:12:7"),
        ("spec.training_plan.config.max_seq_length", "512", "2048", "brewslm.yaml:13:7"),
    ]


def test_a_written_value_equal_to_the_default_is_written(tmp_path: Path) -> None:
    wanted = plan_of(tmp_path, config("batch_size: 4"))
    assert values(wanted)["batch_size"] == 4
    assert wanted.origins["config.batch_size"] == "manifest"


def test_null_is_not_written(tmp_path: Path) -> None:
    wanted = plan_of(tmp_path, config("batch_size: null"))
    assert values(wanted)["batch_size"] == 2
    assert wanted.origins["config.batch_size"] == "profile:balanced"


def test_the_profile_of_the_plan_comes_before_that_of_the_workflow(tmp_path: Path) -> None:
    preferred = "workflow: {training_preferred_plan_profile: safe}\n"
    assert values(plan_of(tmp_path, project(preferred)))["batch_size"] == 1
    both = project(preferred + "training_plan: {plan_profile: max_quality}")
    assert values(plan_of(tmp_path, both))["batch_size"] == 4
    unsaid = project("workflow: {training_preferred_plan_profile: null}")
    assert values(plan_of(tmp_path, unsaid))["batch_size"] == 2


def test_a_mode_stands_between_defaults_and_profile(tmp_path: Path) -> None:
    wanted = plan_of(tmp_path, config("training_mode: cpt\nlora_r: 8"))
    found = {name: wanted.origins.get(f"config.{name}") for name in ("lora_r", "lora_alpha")}
    assert (values(wanted)["lora_r"], values(wanted)["lora_alpha"]) == (8, 128)
    assert found == {"lora_r": "manifest", "lora_alpha": "mode:cpt"}
    assert values(wanted)["learning_rate"] == 1e-4


def test_kto_has_a_floor_under_its_batch(tmp_path: Path) -> None:
    safe = project("training_plan: {training_mode: kto, plan_profile: safe}")
    wanted = plan_of(tmp_path, safe)
    assert values(wanted)["batch_size"] == 2
    assert wanted.origins["config.batch_size"] == "mode:kto"
    best = plan_of(tmp_path, safe.replace("plan_profile: safe", "plan_profile: max_quality"))
    assert values(best)["batch_size"] == 4
    assert "config.batch_size" not in best.origins


def test_what_follows_from_written_values(tmp_path: Path) -> None:
    grouped = values(plan_of(tmp_path, config("group_by_length: true")))
    assert grouped["sequence_packing"] is False
    half = values(plan_of(tmp_path, config("fp16: true")))
    assert (half["bf16"], half["dtype"]) == (False, "float16")
    assert values(plan_of(tmp_path, config("bf16: false")))["dtype"] == "float32"


def test_a_host_swaps_values_and_the_identity_keeps_its_own(tmp_path: Path) -> None:
    text = project("training_plan: {plan_profile: max_quality}")
    here, there = plan_of(tmp_path, text, CPU), plan_of(tmp_path, text, GPU)
    assert counting_values(here.spec) == counting_values(there.spec)
    assert there.host == {}
    assert here.host == {
        "optimizer": "adamw_torch",
        "dtype": "float32",
        "flash_attention": False,
        "sequence_packing": False,
        "batch_size": 2,
        "gradient_accumulation_steps": 8,
        "gradient_checkpointing": False,
    }
    assert here.origins["host.batch_size"] == "auto-fix:AUTOFIX_BATCH_NO_CUDA"
    assert here.origins["host.optimizer"] == "auto-fix:AUTOFIX_OPTIMIZER"


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("optimizer: paged_adamw_8bit", "AUTOFIX_OPTIMIZER"),
        ("dtype: bfloat16", "AUTOFIX_PRECISION"),
        ("attn_implementation: flash_attention_2", "AUTOFIX_ATTENTION"),
        ("sequence_packing: true", "AUTOFIX_PACKING"),
        ("padding_free: true", "AUTOFIX_PADDING_FREE"),
    ],
)
def test_a_swap_of_a_written_value_is_a_warning(written: str, code: str, tmp_path: Path) -> None:
    write(tmp_path, config(written))
    findings = check_manifest(tmp_path, host=CPU)[1]
    told = {item.code: item for item in findings if item.code.startswith("AUTOFIX")}
    assert (told[code].severity, told[code].place.line) == ("warning", 12)
    assert told[code].actionable_fix
    others = {str(item.severity) for name, item in told.items() if name != code}
    assert others <= {"info"}


@pytest.mark.parametrize(
    ("host", "swapped"),
    [
        (GPU, {"fp16": False}),
        (HostFacts(has_cuda=True, has_flash_attention=True), {"bf16": False, "dtype": "float16"}),
    ],
)
def test_of_two_precisions_the_better_one_is_used(
    host: HostFacts, swapped: dict[str, Any], tmp_path: Path
) -> None:
    text = config("bf16: true\nfp16: true\noptimizer: adamw_torch")
    assert plan_of(tmp_path, text, host).host == swapped
    codes = {item.code for item in check_manifest(tmp_path, host=host)[1]}
    assert "AUTOFIX_TWO_PRECISIONS" in codes


MPS = HostFacts(has_mps=True, has_bf16=True)
OLD_MPS = HostFacts(has_mps=True)
TURING = HostFacts(has_cuda=True)


@pytest.mark.parametrize(
    ("host", "written", "dtype"),
    [
        (GPU, "", "bfloat16"),
        (GPU, "fp16: true", "float16"),
        (TURING, "", "float16"),
        (TURING, "dtype: bfloat16", "float16"),
        (TURING, "fp16: true", "float16"),
        (MPS, "", "bfloat16"),
        (MPS, "dtype: float16", "float16"),
        (OLD_MPS, "", "float32"),
        (OLD_MPS, "fp16: true", "float16"),
        (CPU, "", "float32"),
        (CPU, "fp16: true", "float32"),
        *((host, "dtype: float32", "float32") for host in (GPU, TURING, MPS, CPU)),
    ],
)
def test_each_device_has_its_dtype(
    host: HostFacts, written: str, dtype: str, tmp_path: Path
) -> None:
    wanted = plan_of(tmp_path, config(written or "lora_r: 8"), host)
    assert wanted.host.get("dtype", values(wanted)["dtype"]) == dtype


@pytest.mark.parametrize(
    ("host", "optimizer", "checkpointing"),
    [
        (GPU, "paged_adamw_8bit", True),
        (replace(GPU, has_bitsandbytes=False), "adamw_torch", True),
        (MPS, "adamw_torch", True),
        (CPU, "adamw_torch", False),
    ],
)
def test_each_device_has_its_optimizer_and_saves_memory_its_way(
    host: HostFacts, optimizer: str, checkpointing: bool, tmp_path: Path
) -> None:
    wanted = plan_of(tmp_path, config("optimizer: paged_adamw_8bit"), host)
    held = values(wanted) | wanted.host
    assert (held["optimizer"], held["gradient_checkpointing"]) == (optimizer, checkpointing)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("host", [CPU, GPU, MPS])
def test_a_written_attention_is_kept(attention: str, host: HostFacts, tmp_path: Path) -> None:
    text = config(f"attn_implementation: {attention}")
    wanted = plan_of(tmp_path, text, host)
    assert "attn_implementation" not in wanted.host
    assert values(wanted)["attn_implementation"] == attention
    codes = {item.code for item in check_manifest(tmp_path, host=host)[1]}
    assert "AUTOFIX_ATTENTION" not in codes


def test_flash_attention_that_is_not_here_leaves_the_choice_to_the_worker(tmp_path: Path) -> None:
    written = plan_of(tmp_path, config("attn_implementation: flash_attention_2"), CPU)
    assert written.host["attn_implementation"] == "auto"
    assert "attn_implementation" not in plan_of(tmp_path, config("lora_r: 8"), CPU).host


def test_a_written_batch_is_kept_without_cuda(tmp_path: Path) -> None:
    text = config("batch_size: 8").replace("config:", "plan_profile: max_quality\n    config:", 1)
    assert "batch_size" not in plan_of(tmp_path, text, CPU).host
