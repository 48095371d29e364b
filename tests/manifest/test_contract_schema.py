import json
from pathlib import Path
from typing import Any

import pytest

from brewslm.manifest.load import load_manifest
from tests.manifest.writing import assert_found, errors, findings_of, project, write

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}}


def contract(text: str) -> str:
    return project(f"dataset: {{contract: {{{text}}}}}")


INLINE = [
    "json_schema: {§type: objekt}",
    "json_schema: {properties: {a: {§minimum: high}}}",
    "§json_schema: {$ref: 'https://example.org/schema.json'}",
    "§json_schema: {$ref: '#/$defs/none'}",
    "json_schema: {§$schema: 'http://json-schema.org/draft-07/schema#'}",
]


@pytest.mark.parametrize("text", INLINE)
def test_a_schema_that_cannot_be_used_is_named_at_its_keyword(text: str, tmp_path: Path) -> None:
    assert_found(tmp_path, "JSON_SCHEMA_INVALID", "error", contract(text))


def test_a_schema_may_be_a_file_and_counts_by_its_content(tmp_path: Path) -> None:
    write(tmp_path, contract(f"json_schema: {json.dumps(SCHEMA)}"))
    inline = load_manifest(tmp_path)
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas/answer.json").write_text(json.dumps(SCHEMA, indent=2), encoding="utf-8")
    write(tmp_path, contract("json_schema: schemas/answer.json"))
    by_path = load_manifest(tmp_path)
    assert by_path.effective["dataset"]["contract"]["json_schema"] == SCHEMA
    assert by_path.digest == inline.digest
    (tmp_path / "schemas/answer.json").write_text("{}", encoding="utf-8")
    assert load_manifest(tmp_path).digest != inline.digest


def test_an_adapter_has_schema_files_too(tmp_path: Path) -> None:
    (tmp_path / "answer.json").write_text(json.dumps(SCHEMA), encoding="utf-8")
    write(tmp_path, project("adapters: [{name: a, output_contract: {json_schema: answer.json}}]"))
    adapter = load_manifest(tmp_path).effective["adapter.a"]
    assert adapter["output_contract"]["json_schema"] == SCHEMA


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "SOURCE_NOT_FOUND"),
        ("[]", "JSON_SCHEMA_INVALID"),
        ("{", "JSON_SCHEMA_INVALID"),
        ('{"type": "objekt"}', "JSON_SCHEMA_INVALID"),
        ('{"a": 1, "a": 2}', "JSON_SCHEMA_INVALID"),
        ('{"description": "' + "x" * (1 << 20) + '"}', "FILE_TOO_LARGE"),
    ],
)
def test_a_schema_file_that_cannot_be_used_is_named_where_it_is_written(
    content: str | None, code: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "answer.json").write_text(content, encoding="utf-8")
    assert_found(tmp_path, code, "error", contract("§json_schema: answer.json"))


@pytest.mark.parametrize("path", ["../answer.json", "/etc/passwd", "~/a.json"])
def test_a_schema_file_outside_the_project_is_refused(path: str, tmp_path: Path) -> None:
    text = contract(f"§json_schema: {path}")
    assert_found(tmp_path, "PATH_OUTSIDE_PROJECT", "error", text)
    assert errors(findings_of(tmp_path, text.replace("§", ""))) == ["PATH_OUTSIDE_PROJECT"]


def test_a_schema_link_out_of_the_project_is_refused(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "answer.json").write_text("{}", encoding="utf-8")
    (inner / "answer.json").symlink_to("../answer.json")
    assert_found(inner, "PATH_OUTSIDE_PROJECT", "error", contract("§json_schema: answer.json"))


def test_a_folder_is_no_schema(tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    assert_found(tmp_path, "PATH_NOT_REGULAR_FILE", "error", contract("§json_schema: schemas"))
