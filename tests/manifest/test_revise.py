"""Changed values mean what was asked for and nothing else, or are refused."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brewslm.errors import ManifestError
from brewslm.manifest.revise import revised
from brewslm.manifest.yaml_file import read_yaml

_EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/brewslm.yaml"))
_CONFIG = ("spec", "training_plan", "config")
_TEXT = b"""\
kind: Project
metadata: {name: "parcels", description: 'sorts: complaints'}
spec:
  training_plan:
    config: {learning_rate: 2.0e-3, lora_r: 4}  # measured
"""
_VALUES = st.one_of(
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=30),
    st.lists(st.sampled_from(["q_proj", "no", "1e3", "2026-01-31", "#", ": "]), max_size=4),
)


@given(values=st.dictionaries(st.sampled_from(["lora_r", "lora_bias", "x"]), _VALUES, min_size=1))
@settings(max_examples=60, deadline=None)
def test_only_what_was_asked_for_changes(values: dict[str, Any]) -> None:
    changes: dict[Any, Any] = {(*_CONFIG, name): value for name, value in values.items()}
    after = read_yaml(revised(_TEXT, "brewslm.yaml", changes), "brewslm.yaml")
    wanted = deepcopy(read_yaml(_TEXT, "brewslm.yaml").value)
    wanted["spec"]["training_plan"]["config"] |= values
    assert after.value == wanted
    assert after.findings == []


@pytest.mark.parametrize("path", _EXAMPLES, ids=lambda path: path.parent.name)
def test_comments_stay(path: Path) -> None:
    data = path.read_bytes()
    after = revised(data, "brewslm.yaml", {(*_CONFIG, "lora_r"): 8}).decode()
    comments = [line.strip() for line in data.decode().splitlines() if line.strip().startswith("#")]
    assert [comment for comment in comments if comment not in after] == []


def test_mappings_on_the_way_are_made() -> None:
    data = b"kind: Project  # mine\n"
    assert revised(data, "brewslm.yaml", {(*_CONFIG, "lora_r"): 8}).decode() == (
        "kind: Project  # mine\nspec:\n  training_plan:\n    config:\n      lora_r: 8\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "kept: &c {lora_r: 4}\nspec:\n  training_plan:\n    config: *c\n",
        "spec: []\n",
        "spec:\n  training_plan: text\n",
        "spec: {a: 1, a: 2}\n",
        "spec: {\n",
    ],
)
def test_change_that_would_mean_more_is_refused(text: str) -> None:
    with pytest.raises(ManifestError) as caught:
        revised(text.encode(), "brewslm.yaml", {(*_CONFIG, "lora_r"): 8})
    assert caught.value.remedy
