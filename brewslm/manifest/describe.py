"""The manifest that trains what a LoRA adapter says of itself, made from the one that is there."""

from collections.abc import Mapping
from typing import Any

from brewslm.manifest.revise import revised
from brewslm.manifest.yaml_file import Path, read_yaml

_MODEL = ("base_model", "revision")


def described(data: bytes, file: str, recipe: Mapping[str, Any]) -> bytes:
    """Return a manifest with the values of a recipe; what it does not name stays.

    recipe: fields of `training_plan.config`, and with them `base_model` and `revision` of the model
    where they are known. Raises: ManifestError.
    """
    changes: dict[Path, Any] = {
        ("spec", "training_plan", "config", name): _whole(value)
        for name, value in recipe.items()
        if name not in _MODEL
    }
    base = recipe.get("base_model")
    if base is not None and base != _base_model(data, file):
        changes |= {("spec", "model", name): recipe.get(name) for name in _MODEL}
    return revised(data, file, changes)


def _base_model(data: bytes, file: str) -> Any:
    value = read_yaml(data, file).value
    for name in ("spec", "model", "base_model"):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _whole(value: Any) -> Any:
    """Return a number without a fraction as an integer, as JSON of others may not write it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
