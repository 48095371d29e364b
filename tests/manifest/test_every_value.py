"""No value that is written goes unseen: it changes the effective manifest, or a finding says why
not; and what nothing reads is a finding too.
"""

import re
from pathlib import Path
from typing import Any, get_args

import pytest

import brewslm
from brewslm.contracts import Category
from brewslm.diagnostics import Finding, Severity
from brewslm.manifest.carried_out import NOT_SUPPORTED
from brewslm.manifest.load import check_manifest
from brewslm.manifest.project import Manifest
from brewslm.manifest.spelling import UNAVAILABLE_VALUES, VALUE_ALIASES
from brewslm.rows.mapper import DEFAULT_MAPPER_ID, MAPPERS
from brewslm.stages.adapter import MapperName
from brewslm.tasks.task import TASKS
from tests.plan.every_field import (
    LEAVES,
    PACK,
    WHOLE,
    Document,
    Leaf,
    choices,
    others,
    value_in,
    with_values,
    write_document,
)

RECORDED_ONLY = {
    "spec.workflow.beginner_mode",
    "spec.workflow.pipeline_stage",
    "spec.blueprint.input_modality",
    "spec.blueprint.expected_output_examples",
    "spec.blueprint.safety_compliance_notes",
    "spec.blueprint.success_metrics[].why_it_matters",
    "spec.blueprint.success_metrics",
    "spec.blueprint.glossary[].term",
    "spec.blueprint.glossary[].plain_language",
    "spec.blueprint.glossary[].example",
    "spec.blueprint.glossary",
    "spec.model.registry_id",
    "spec.data_sources[].versions",
    "spec.training_plan.config.observability",
}
"""Informational fields of the reference: recorded and shown."""
SAID_TWICE = {"spec.training_plan.config.training_mode": ["sft"]}
"""Values of a second place of a field, which has to say what the first place says."""
ROOT = Path(brewslm.__path__[0])
DECLARING = ("stages", "manifest/starter.py", "manifest/spelling.py", "manifest/carried_out.py")
_READ = re.compile(r"(?<=[.\"'])\w+")
READ = {
    path.relative_to(ROOT).as_posix(): set(_READ.findall(path.read_text(encoding="utf-8")))
    for path in ROOT.rglob("*.py")
}
"""By source: the words that follow a dot or a quotation mark."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own.yaml").write_text(PACK)
    return tmp_path


def checked(folder: Path, document: Document) -> tuple[Manifest | None, set[Finding]]:
    write_document(folder, document)
    manifest, findings = check_manifest(folder)
    return manifest, set(findings)


def members(leaf: Leaf) -> list[Any]:
    """Return every value of the closed lists of a field, other spellings and gone values too."""
    in_list = f"{leaf.path}[]"
    spellings = (*VALUE_ALIASES.get(leaf.path, ()), *UNAVAILABLE_VALUES.get(leaf.path, ()))
    items = (*VALUE_ALIASES.get(in_list, ()), *UNAVAILABLE_VALUES.get(in_list, ()))
    plain = [item for item in choices(leaf.info.annotation) if item is not None]
    is_list = "tuple[" in str(leaf.info.annotation) and leaf.path != (
        "spec.training_plan.config.target_modules"
    )
    own = [[item] if is_list and item != "none" else item for item in plain]
    return [*own, *spellings, *([item] for item in items)]


CLOSED = [leaf for leaf in LEAVES if members(leaf)]


@pytest.mark.parametrize("leaf", CLOSED, ids=[leaf.path for leaf in CLOSED])
def test_every_member_of_every_closed_list_has_an_effect(leaf: Leaf, folder: Path) -> None:
    before, known = checked(folder, WHOLE)
    assert before is not None
    unseen = []
    for value in members(leaf):
        if value == value_in(WHOLE, leaf):
            continue
        manifest, findings = checked(folder, with_values(WHOLE, {leaf.path: value}))
        loud = {item for item in findings - known if item.severity is not Severity.INFO}
        if manifest is not None and manifest.digest == before.digest and not loud:
            unseen.append(value)
    assert unseen == SAID_TWICE.get(leaf.path, [])


@pytest.mark.parametrize(
    ("path", "value"),
    [(path, value) for path, values in UNAVAILABLE_VALUES.items() for value in values]
    + [(path, value) for path, values in NOT_SUPPORTED.items() for value in values],
)
def test_what_is_not_supported_is_an_error_at_its_place(
    path: str, value: str, folder: Path
) -> None:
    is_item = path.endswith("[]")
    document = with_values(WHOLE, {path.removesuffix("[]"): [value] if is_item else value})
    _, findings = checked(folder, document)
    own = [item for item in findings if item.code == "VALUE_UNAVAILABLE"]
    name = path.removesuffix("[]").rpartition(".")[2]
    assert [item.severity for item in own] == [Severity.ERROR]
    assert own[0].field.rpartition(".")[2].startswith(name)
    assert own[0].place.line > 1


def test_lists_of_what_is_supported_are_those_of_the_rooms() -> None:
    profiles = {"classification", "structured_extraction", "qa", "instruction_sft", "chat_sft"}
    assert profiles == set(TASKS.names())
    mappers = [name for name in get_args(MapperName) if name != DEFAULT_MAPPER_ID]
    gone = {name for name in mappers if not {*MAPPERS.load(name).profiles} & profiles}
    assert gone == set(NOT_SUPPORTED["spec.adapters[].base_adapter_id"])
    assert gone == {"preference_pair", "rag_passthrough", "text_only"}


def readers(leaf: Leaf) -> list[str]:
    section, _, name = leaf.path.rpartition(".")
    if section.endswith(".lr_scheduler_kwargs"):
        name = "lr_scheduler_kwargs"  # handed over as a whole
    return [
        path for path, words in READ.items() if not path.startswith(DECLARING) and name in words
    ]


UNREAD = [leaf for leaf in LEAVES if not readers(leaf)]


@pytest.mark.parametrize("leaf", UNREAD, ids=[leaf.path for leaf in UNREAD])
def test_what_no_code_reads_is_recorded_only_or_a_finding(leaf: Leaf, folder: Path) -> None:
    if leaf.path in RECORDED_ONLY:
        assert leaf.category is Category.METADATA
        return
    name = leaf.path.rpartition(".")[2]
    told = {
        item.code
        for document in others(leaf)
        for item in checked(folder, document)[1]
        if item.field.rpartition(".")[2].startswith(name)
    }
    assert told & {"VALUE_UNAVAILABLE", "FIELD_UNUSED", "OPEN_KEY_UNREAD"}
