"""Unwritten values of a recipe follow from the model and the rows; written ones are only judged."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewslm.address import Address
from brewslm.manifest.project import Wanted
from brewslm.plan.base_model import BaseModel
from brewslm.plan.content_fixes import fixed_training
from brewslm.plan.tokenizer_facts import TokenizerFacts
from brewslm.stages.training_config import TrainingConfig
from brewslm.stages.training_plan import TrainingPlanSpec

_CHATML = TokenizerFacts(9, ("<|im_start|>", "<|im_end|>"), has_end=False, has_template=False)
_HALF = TokenizerFacts(9, ("<|im_start|>",), has_end=False, has_template=False)
_PLAIN = TokenizerFacts(9, (), has_end=True, has_template=False)
_NOTHING = TokenizerFacts(9, (), has_end=False, has_template=False)
_TEMPLATED = TokenizerFacts(9, (), has_end=False, has_template=True)
_FORMER = ("q_proj", "v_proj")


def _base(**facts: Any) -> BaseModel:
    known: dict[str, Any] = {
        "folder": None,
        "digest": "sha256:0",
        "size_bytes": 1,
        "files": {},
        "parameters": 1,
        "weight_bytes": 1,
        "dtype": "float32",
        "hidden_size": 8,
        "layers": 1,
        "intermediate_size": 8,
        "vocab_size": 9,
        "context_tokens": 4096,
        "modules": {"q_proj": (8, 8), "v_proj": (8, 8), "lm_head": (9, 8)},
        "module_count": {"q_proj": 1, "v_proj": 1, "lm_head": 1},
        "template_digest": None,
    }
    return BaseModel(**known | facts)


def _prepared(train: int = 1600, validation: int = 50, **more: Any) -> dict[str, Any]:
    return {"splits": {"train": train, "validation": validation}, **more}


def _fixed(
    config: dict[str, Any],
    base: BaseModel | None = None,
    prepared: dict[str, Any] | None = None,
    written: set[str] | None = None,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what changed of a config and the severity of each finding by code.

    written: fields that the manifest writes; all of `config` unless told otherwise.
    """
    spec = TrainingPlanSpec(config=TrainingConfig.model_validate(config))
    names = frozenset(f"config.{name}" for name in (config if written is None else written))
    wanted = Wanted(Address("training_plan"), spec, written=names)
    fixed = fixed_training(spec, wanted, base or _base(), prepared or _prepared())
    before, after = spec.config.model_dump(), fixed.spec.config.model_dump()
    changed = {name: value for name, value in after.items() if value != before[name]}
    assert all(f"config.{name}" in fixed.origins for name in changed.keys() - {"num_epochs"})
    assert not changed.keys() & (config if written is None else written)
    return changed, {str(item.code): item.severity.value for item in fixed.findings}


_LONG = {"lengths": {"provenance": "measured", "splits": {"train": {"tokens": {
    "p50": 300, "p95": 900, "max": 999, "histogram": [0, 0, 4, 6]}}}}}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "base", "prepared", "changed", "told"),
    [
        ({}, {}, {}, {}, {}),
        ({"max_seq_length": 4096}, {}, {}, {}, {}),
        ({"max_seq_length": 4097}, {}, {}, {}, {"SEQ_LENGTH_EXCEEDS_MODEL": "error"}),
        ({}, {"context_tokens": 512}, {}, {"max_seq_length": 512}, {"AUTOFIX_SEQ_LENGTH": "info"}),
        ({}, {"context_tokens": 0}, {}, {}, {}),
        ({"target_modules": ("q_proj",)}, {}, {}, {}, {}),
        ({"target_modules": ("q_proj", "wq")}, {}, {}, {}, {"TARGET_MODULE_NOT_FOUND": "error"}),
        (
            {"target_modules": "attn_mlp"},
            {"modules": {"c_attn": (8, 8)}},
            {},
            {},
            {"TARGET_MODULE_NOT_FOUND": "error"},
        ),
        ({"quantization": "nf4"}, {"quantization": "nf4"}, {}, {}, {}),
        ({"quantization": "nf4"}, {}, {}, {}, {}),
        (
            {"quantization": "none"},
            {"quantization": "nf4"},
            {},
            {},
            {"MODEL_QUANTIZED": "error"},
        ),
        ({}, {"quantization": "nf4"}, {}, {}, {"MODEL_QUANTIZED": "error"}),
        ({"chat_template": "llama3"}, {"tokenizer": _TEMPLATED}, {}, {}, {}),
        (
            {"chat_template": "llama3", "use_tokenizer_chat_template": False},
            {"tokenizer": _TEMPLATED},
            {},
            {},
            {"TEMPLATE_TOKENS_MISSING": "error"},
        ),
        (
            {"chat_template": "llama3"},
            {"tokenizer": _CHATML},
            {},
            {},
            {"TEMPLATE_TOKENS_MISSING": "error"},
        ),
        ({"chat_template": "chatml"}, {"tokenizer": _CHATML}, {}, {}, {}),
        (
            {"chat_template": "chatml"},
            {"tokenizer": _HALF},
            {},
            {},
            {"TEMPLATE_TOKENS_MISSING": "error"},
        ),
        ({"chat_template": "zephyr"}, {"tokenizer": _PLAIN}, {}, {}, {}),
        (
            {"chat_template": "zephyr"},
            {"tokenizer": _NOTHING},
            {},
            {},
            {"TEMPLATE_TOKENS_MISSING": "error"},
        ),
        (
            {},
            {},
            {"validation": 0},
            {"eval_strategy": "no", "early_stopping_patience": 0},
            {"AUTOFIX_NO_VALIDATION": "info"},
        ),
        ({"eval_steps": 5}, {}, {"validation": 0}, {}, {"EVAL_WITHOUT_ROWS": "error"}),
        (
            {"eval_strategy": "epoch", "save_strategy": "epoch"},
            {},
            {"validation": 0},
            {},
            {"EVAL_WITHOUT_ROWS": "error"},
        ),
        ({"eval_strategy": "no"}, {}, {"validation": 0}, {}, {}),
        (
            {"lr_scheduler": "reduce_lr_on_plateau", "eval_strategy": "no"},
            {},
            {},
            {},
            {"EVAL_WITHOUT_ROWS": "error"},
        ),
        ({"max_steps": 100}, {}, {}, {}, {}),
        (
            {"max_steps": 99},
            {},
            {},
            {"eval_strategy": "epoch", "save_strategy": "epoch"},
            {"AUTOFIX_EVAL_STEPS": "info", "AUTOFIX_SAVE_STEPS": "info"},
        ),
        ({"max_steps": 99, "eval_steps": 100}, {}, {}, {}, {"AUTOFIX_EVAL_STEPS": "info"}),
        (
            {"eval_strategy": "epoch"},
            {},
            {},
            {"save_strategy": "epoch"},
            {"AUTOFIX_SAVE_STEPS": "info"},
        ),
        ({"eval_strategy": "epoch", "load_best_model_at_end": False}, {}, {}, {}, {}),
        ({"eval_strategy": "epoch", "save_strategy": "best"}, {}, {}, {}, {}),
        ({"eval_strategy": "epoch", "save_strategy": "no"}, {}, {}, {}, {}),
        ({"eval_steps": 30, "save_steps": 100}, {}, {}, {}, {}),
        ({}, {}, {**_LONG, "validation": 50}, {}, {}),
        ({"max_seq_length": 999}, {}, {**_LONG, "validation": 50}, {}, {}),
        ({"max_seq_length": 998}, {}, _LONG, {}, {"ROWS_TOO_LONG": "warning"}),
        ({"max_seq_length": 500}, {}, _LONG, {}, {"ROWS_TOO_LONG": "warning"}),
        ({"max_seq_length": 499}, {}, _LONG, {}, {"ROWS_TOO_LONG": "error"}),
    ],
)
def test_what_is_written_stays_and_what_is_not_fits(
    config: dict[str, Any],
    base: dict[str, Any],
    prepared: dict[str, Any],
    changed: dict[str, Any],
    told: dict[str, str],
) -> None:
    assert _fixed(config, _base(**base), _prepared(**prepared)) == (changed, told)


@pytest.mark.parametrize(
    ("tokenizer", "template"),
    [(_CHATML, "chatml"), (_PLAIN, "zephyr")],
)
def test_a_template_that_nobody_wrote_is_one_that_the_tokenizer_has(
    tokenizer: TokenizerFacts, template: str
) -> None:
    changed, told = _fixed({"chat_template": "llama3"}, _base(tokenizer=tokenizer), written=set())
    assert changed == {"chat_template": template}
    assert told == {"CHAT_TEMPLATE_CHOSEN": "info"}


def test_former_default_targets_give_way_to_the_modules_of_the_model() -> None:
    base = _base(modules={"c_attn": (8, 8)}, module_count={"c_attn": 1})
    config = {"target_modules": _FORMER}
    changed, told = _fixed(config, base, written=set())
    assert (changed, told) == ({"target_modules": "auto"}, {"AUTOFIX_TARGET_MODULES": "info"})
    assert _fixed(config, base) == ({}, {"TARGET_MODULE_NOT_FOUND": "error"})
    other = {"target_modules": ("wq",)}
    assert _fixed(other, base, written=set()) == ({}, {"TARGET_MODULE_NOT_FOUND": "error"})


def test_one_step_has_no_warm_up_of_either_kind() -> None:
    config = {"max_steps": 1, "warmup_steps": 5, "eval_strategy": "no"}
    changed, _ = _fixed(config, written={"max_steps", "eval_strategy"})
    assert changed == {"warmup_steps": 0, "warmup_ratio": 0.0}


def test_best_checkpoints_are_saved_as_they_come() -> None:
    config = {"eval_strategy": "epoch", "save_strategy": "best"}
    assert _fixed(config, written={"eval_strategy"}) == ({}, {})


@pytest.mark.parametrize(
    ("config", "base", "prepared", "code"),
    [
        ({"max_seq_length": 4097}, {}, {}, "SEQ_LENGTH_EXCEEDS_MODEL"),
        ({"max_seq_length": 600}, {}, _LONG, "ROWS_TOO_LONG"),
        ({"max_steps": 20, "eval_steps": 100}, {}, {}, "AUTOFIX_EVAL_STEPS"),
        ({"quantization": "none"}, {"quantization": "nf4"}, {}, "MODEL_QUANTIZED"),
        ({"chat_template": "llama3"}, {"tokenizer": _CHATML}, {}, "TEMPLATE_TOKENS_MISSING"),
    ],
)
def test_written_value_that_is_corrected_as_told_is_taken(
    config: dict[str, Any], base: dict[str, Any], prepared: dict[str, Any], code: str
) -> None:
    def told(config: dict[str, Any]) -> dict[str, str]:
        spec = TrainingPlanSpec(config=TrainingConfig.model_validate(config))
        names = frozenset(f"config.{name}" for name in config)
        wanted = Wanted(Address("training_plan"), spec, written=names)
        fixed = fixed_training(spec, wanted, _base(**base), _prepared(**prepared))
        return {str(item.code): item.actionable_fix for item in fixed.findings}

    found = re.match(r"write (\w+): (\w+)", told(config)[code])
    assert found is not None
    name, value = found.groups()
    corrected = {**config, name: int(value) if value.isdigit() else value}
    assert code not in told(corrected)


@pytest.mark.parametrize(
    ("rows", "effective", "epochs"),
    [(499, None, 5.0), (500, None, 3.0), (4999, None, 3.0), (5000, None, 2.0), (9000, 499, 5.0)],
)
def test_automatic_epochs_follow_the_rows_that_are_trained_on(
    rows: int, effective: int | None, epochs: float
) -> None:
    prepared = _prepared(rows, train_rows_effective=effective)
    config = {"auto_epochs": True, "num_epochs": 1.0, "eval_strategy": "no"}
    changed, _ = _fixed(config, prepared=prepared, written={"auto_epochs"})
    assert changed["num_epochs"] == epochs
    assert "num_epochs" not in _fixed(config, prepared=prepared)[0]
    assert "num_epochs" not in _fixed({**config, "auto_epochs": False}, written=set())[0]


@given(st.integers(1, 60), st.integers(1, 60))
def test_the_best_model_is_saved_at_the_next_validation(eval_steps: int, save_steps: int) -> None:
    config = {"eval_steps": eval_steps, "save_steps": save_steps}
    changed, told = _fixed(config, written={"eval_steps"})
    fit = next(step for step in range(save_steps, 9999) if step % eval_steps == 0)
    assert changed == ({} if fit == save_steps else {"save_steps": fit})
    assert set(told) == ({"AUTOFIX_SAVE_STEPS"} if changed else set())
