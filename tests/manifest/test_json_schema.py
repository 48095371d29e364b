import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from brewslm.manifest.json_schema import SCHEMA_ID, manifest_schema
from brewslm.manifest.load import load_manifest
from brewslm.manifest.schema import Sections
from tests.manifest.writing import write

SAMPLES = Path(__file__).parent / "samples"
VALIDATOR = Draft202012Validator(manifest_schema())


def parsed(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


@pytest.mark.parametrize("name", sorted(path.stem for path in SAMPLES.glob("*.yaml")))
def test_what_loads_fits_the_schema(name: str, tmp_path: Path) -> None:
    text = (SAMPLES / f"{name}.yaml").read_text(encoding="utf-8")
    write(tmp_path, text)
    assert load_manifest(tmp_path).name == parsed(text)["metadata"]["name"]
    assert [error.message for error in VALIDATOR.iter_errors(parsed(text))] == []


def test_it_is_a_schema_of_the_named_dialect() -> None:
    schema = manifest_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == SCHEMA_ID
    assert schema["required"] == ["metadata"]


def test_it_is_the_same_every_time() -> None:
    assert json.dumps(manifest_schema()) == json.dumps(manifest_schema())


@pytest.mark.parametrize(
    ("where", "key"),
    [
        ((), "metdata"),
        (("metadata",), "owner"),
        (("spec",), "trainer"),
        (("spec", "training_plan", "config"), "lora_rnk"),
        (("spec", "training_plan", "config"), "observability"),
        (("spec", "eval_pack", "gates", 0), "threshhold"),
        (("spec", "dataset", "split"), "dev"),
    ],
)
def test_an_unknown_key_does_not_fit(where: tuple[str | int, ...], key: str) -> None:
    document = parsed((SAMPLES / "parcel_desk.yaml").read_text(encoding="utf-8"))
    inner = document
    for step in where:
        inner = inner[step]
    inner[key] = 1
    assert not VALIDATOR.is_valid(document)


@pytest.mark.parametrize(
    ("spec", "is_valid"),
    [
        ({"training_plan": {"config": {"learning_rate": 0}}}, False),
        ({"training_plan": {"config": {"learning_rate": "2e-4"}}}, False),
        ({"training_plan": {"training_mode": "rlhf"}}, False),
        ({"training_plan": {"training_mode": "DPO"}}, True),
        ({"workflow": None}, True),
        ({"workflow": {"protect": None}}, False),
        ({"export": {"quantization": "q4_k_m"}}, True),
        ({"export": {"quantization": "q3"}}, False),
        ({"data_sources": [{"name": "a", "type": "jsonl"}]}, True),
        ({"data_sources": [{"name": "a"}]}, False),
    ],
)
def test_ranges_types_and_spellings(spec: dict[str, Any], is_valid: bool) -> None:
    document = {"metadata": {"name": "n"}, "spec": spec}
    assert VALIDATOR.is_valid(document) is is_valid


def test_every_field_is_described() -> None:
    for definition in manifest_schema()["$defs"].values():
        fields = definition.get("properties", {})
        assert [name for name, field in fields.items() if not field.get("description")] == []


@settings(deadline=None)
@given(st.sets(st.sampled_from(sorted(Sections.model_fields))))
def test_any_section_may_be_left_out_or_empty(names: set[str]) -> None:
    document = {"metadata": {"name": "n"}, "spec": dict.fromkeys(names)}
    assert VALIDATOR.is_valid(document)
