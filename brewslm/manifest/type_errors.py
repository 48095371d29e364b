"""What a typed model refuses, in our words: code, what was found and expected, what to do."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from brewslm.diagnostics import FindingCode
from brewslm.manifest.carried_out import supported
from brewslm.manifest.yaml_file import Path, dotted
from brewslm.registry import closest
from brewslm.stages.recipe.optimizer import FULL_MATRIX_OPTIMIZERS

_OPTIMIZER = "spec.training_plan.config.optimizer"
_BOUNDS = {
    "gt": "above",
    "ge": "at least",
    "lt": "below",
    "le": "at most",
    "min_length": "at least (characters)",
    "max_length": "at most (characters or items)",
}
_RANGES = frozenset(
    {
        "greater_than",
        "greater_than_equal",
        "less_than",
        "less_than_equal",
        "string_too_long",
        "string_too_short",
        "too_long",
        "too_short",
    }
)
_TYPES = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_SPECIAL = {
    ("api_version", "literal_error"): FindingCode.UNSUPPORTED_API_VERSION,
    ("kind", "literal_error"): FindingCode.UNSUPPORTED_KIND,
    ("spec.data_sources[].type", "literal_error"): FindingCode.UNKNOWN_DATASET_TYPE,
    ("spec.adapters[].base_adapter_id", "literal_error"): FindingCode.UNKNOWN_MAPPER,
    ("spec.workflow.pipeline_stage", "literal_error"): FindingCode.UNKNOWN_PIPELINE_STAGE,
    ("spec.workflow.target_profile_id", "literal_error"): FindingCode.UNKNOWN_TARGET_PROFILE,
    ("spec.deployment.target_profile_id", "literal_error"): FindingCode.UNKNOWN_TARGET_PROFILE,
}


class TypeRefusal(Struct, frozen=True):
    """A value that does not fit its field."""

    code: FindingCode
    message: str
    fix: str
    found: str
    expected: str


def type_refusal(error: Mapping[str, Any], path: Path, written: str | None) -> TypeRefusal:
    """Return what an error of the model means; written: the scalar as it stands in the file."""
    kind = error["type"]
    if kind == "missing":
        refusal = TypeRefusal(
            FindingCode.MISSING_FIELD,
            "a required field is missing",
            f"add {path[-1]}: ...",
            "nothing",
            f"a value for {path[-1]}",
        )
    elif kind in ("literal_error", "enum"):
        refusal = _no_choice(error, path)
    elif kind in _RANGES:
        refusal = _out_of_range(error)
    elif kind == "string_pattern_mismatch":
        found = shown(error.get("input"))
        refusal = TypeRefusal(
            FindingCode.INVALID_VALUE,
            f"{found} has another form",
            "write it in that form",
            found,
            f"a text of the form {error['ctx']['pattern']}",
        )
    else:
        refusal = _wrong_type(error, written)
    special = _SPECIAL.get((pattern_of(path), kind))
    return refusal if special is None else replace(refusal, code=special)


def _no_choice(error: Mapping[str, Any], path: Path) -> TypeRefusal:
    value, expected = error.get("input"), str(error["ctx"]["expected"])
    found = shown(value)
    if dotted(path) == _OPTIMIZER and found.startswith(FULL_MATRIX_OPTIMIZERS):
        return TypeRefusal(
            FindingCode.OPTIMIZER_NOT_FOR_LORA,
            f"{found} works on full weight matrices, which LoRA does not train",
            "write optimizer: adamw_torch",
            found,
            expected,
        )
    names = [name.strip(" '") for name in expected.replace(" or ", ", ").split(",")]
    names = supported(pattern_of(path), names)
    is_text = isinstance(value, str)
    near = closest(str(value), names) if is_text else ()
    key = f"{path[-1]}: " if path and isinstance(path[-1], str) else ""
    choices = ", ".join(names)
    if near or len(names) == 1:
        fix = f"write {key}{near[0] if near else names[0]}"
    else:
        fix = f"write one of {choices}"
    return TypeRefusal(
        FindingCode.INVALID_VALUE if is_text else FindingCode.WRONG_TYPE,
        f"unknown value {found}" if is_text else f"{found} has the wrong type",
        fix,
        found,
        choices,
    )


def _out_of_range(error: Mapping[str, Any]) -> TypeRefusal:
    found, context = shown(error.get("input")), error["ctx"]
    if error["type"] == "string_too_short":
        return TypeRefusal(
            FindingCode.MISSING_FIELD, "a text is needed here", "write a text", found, "a text"
        )
    bounds = " and ".join(f"{_BOUNDS[key]} {context[key]}" for key in _BOUNDS if key in context)
    return TypeRefusal(
        FindingCode.OUT_OF_RANGE,
        f"{found} is outside the range",
        f"write a value that is {bounds}",
        found,
        bounds,
    )


def _wrong_type(error: Mapping[str, Any], written: str | None) -> TypeRefusal:
    found = shown(error.get("input"))
    expected = _TYPES.get(error["type"], error["msg"])
    is_text_wanted = error["type"] == "string_type"
    return TypeRefusal(
        FindingCode.WRONG_TYPE,
        f"{found} has the wrong type",
        f'quote it: "{written or found}"' if is_text_wanted else f"write {expected}",
        found,
        expected,
    )


def pattern_of(path: Path) -> str:
    """Return a path with every index left empty: spec.data_sources[].name."""
    return (
        dotted(path)
        if not any(isinstance(step, int) for step in path)
        else "".join(
            "[]" if isinstance(step, int) else f".{step}" if index else step
            for index, step in enumerate(path)
        )
    )


def shown(value: Any) -> str:
    """Return a value as a finding shows it."""
    if isinstance(value, (dict, list)) or value is None:
        return "null" if value is None else "a list" if isinstance(value, list) else "a mapping"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)[:80]
