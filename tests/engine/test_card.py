"""A model card names base, licence, rows and gates as they are, and code that Python can read."""

import ast
from pathlib import Path
from typing import Any

import pytest

from brewslm.engine.card import card
from brewslm.engine.loading_snippet import adapter_snippet, merged_snippet
from brewslm.plan.model_card import stated_licence

_COMMIT = "c0ffee" + "0" * 34
_GATE: dict[str, Any] = {
    "gate_id": "right|<b>",
    "verdict": "PASS",
    "actual": 0.875,
    "operator": "gte",
    "threshold": 0.8,
    "n": 60.0,
    "reason": "ok",
    "chance_wrong": 0.04,
}


def _facts(base: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "project": {"name": "parcels"},
        "base": {"revision": None} | base,
        "training_plan": {"config": {"target_modules": ["q_proj", "v_proj"], "dtype": "float32"}},
        "training_plan_values": {"rows": 178},
        "dataset_values": {"manifest": {"splits": {"train": 180}}},
    } | more


@pytest.mark.parametrize(
    ("base", "said", "is_of_the_hub"),
    [
        ({"name": "org/name", "revision": _COMMIT}, f"`org/name` at commit `{_COMMIT}`", True),
        ({"name": "./base"}, "`./base`, a folder of the project", False),
        ({"name": "builtin:nano"}, "`builtin:nano`, the model that the package", False),
    ],
)
def test_base_is_named_as_people_can_load_it(
    base: dict[str, Any], said: str, is_of_the_hub: bool
) -> None:
    text = card(_facts(base), {}, "")
    assert said in text
    assert ("\nbase_model: org/name\n" in text) is is_of_the_hub
    assert "| rows | 178 of 180 |" in text
    assert "q_proj, v_proj |" in text


@pytest.mark.parametrize(
    ("written", "own", "said", "metadata"),
    [
        ("MIT", "mit", "Licence: MIT\n", "\nlicense: mit\n"),
        ("MIT", "gemma", "the base model's card says gemma", "\nlicense: mit\n"),
        ("", "apache-2.0", "apache-2.0, as the base model's card says", "\nlicense: apache-2.0\n"),
        ("", None, "Licence: not stated\n", "---\nlibrary_name"),
        ("our own\nx: 1", None, "Licence: our own", "---\nlibrary_name"),
    ],
)
def test_licence_is_the_stated_one_or_that_of_the_base(
    written: str, own: str | None, said: str, metadata: str
) -> None:
    facts = _facts({"name": "./base", "license": own}, model={"license": written})
    text = card(facts, {}, "")
    assert said in text
    assert metadata in text


def test_gates_are_those_that_were_decided() -> None:
    evaluation = {"gates": [_GATE], "dataset": "gold_test", "verdict": "PASS"}
    text = card(_facts({"name": "./base"}, evaluation=evaluation), {}, "")
    (row,) = [line for line in text.splitlines() if line.startswith("| PASS |")]
    assert row.count("|") == 8 + row.count(r"\|")
    assert "0.875" in row
    assert "Decided on `gold_test` before this export was written (verdict PASS)" in text
    assert "## Gates" not in card(_facts({"name": "./base"}), {}, "")


def test_adapter_that_was_imported_says_so() -> None:
    facts = _facts({"name": "./base"}, training_plan_values={"is_imported": True})
    text = card(facts, {}, "")
    assert "trained elsewhere and imported" in text
    assert "None" not in text


@pytest.mark.parametrize(
    "base",
    [
        {"name": "org/name", "revision": _COMMIT},
        {"name": './a "b" \\ ü'},
        {"name": "builtin:nano", "revision": None},
    ],
)
def test_snippet_is_python_with_the_names_as_they_are(base: dict[str, Any]) -> None:
    folder = '.brewslm/exports/a "b"'
    text = adapter_snippet(base, folder)
    literals = {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
    assert literals >= {folder, base["name"].removeprefix("builtin:")}
    assert base.get("revision") in (None, *literals)
    assert folder in {
        node.value
        for node in ast.walk(ast.parse(merged_snippet(folder)))
        if isinstance(node, ast.Constant)
    }


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n# A", "apache-2.0"),
        ("---\r\nlanguage: en\r\nlicense: 'mit'\r\n---\r\n", "mit"),
        ("---\nlicense: other\nlicense_name: gemma-terms\n---\n", "gemma-terms"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\nlicense:\n- mit\n---\n", None),
        ("---\nnested:\n  license: mit\n---\n", None),
        ("# A\nlicense: mit\n", None),
        ("---\nlanguage: en\n---\nlicense: mit\n---\n", None),
        ("---\nlicense: [x](y) <b>\n---\n", None),
        ("", None),
    ],
)
def test_licence_of_a_base_is_read_from_its_card(
    tmp_path: Path, text: str, licence: str | None
) -> None:
    assert stated_licence(tmp_path) is None
    (tmp_path / "README.md").write_bytes(text.encode())
    assert stated_licence(tmp_path) == licence
