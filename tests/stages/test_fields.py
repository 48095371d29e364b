from typing import Any

import pytest
from pydantic.fields import FieldInfo

from brewslm.contracts import Category, category_of, tier_of
from brewslm.manifest.annotations import element_in, model_in
from brewslm.manifest.schema import ManifestFile
from brewslm.stages.kinds import KINDS
from tests.stages.fields import FIELDS, REQUIRED, fields_of

ALL = list(fields_of(ManifestFile))
LEAVES = [item for item in ALL if model_in(element_in(item[2].annotation)) is None]


@pytest.mark.parametrize(("section", "name", "info"), ALL, ids=[f"{a}.{b}" for a, b, _ in ALL])
def test_a_field_has_its_category_and_default(section: str, name: str, info: FieldInfo) -> None:
    category, tier = category_of(info), tier_of(info)
    told = " ".join(str(item) for item in (category, tier) if item is not None) or "None"
    default: Any = REQUIRED if info.is_required() else info.default
    expected = FIELDS[section][name]
    assert (told, default) == expected
    assert type(default) is type(expected[1])


def test_the_table_names_no_other_field() -> None:
    told = {(section, name) for section, named in FIELDS.items() for name in named}
    assert told == {(section, name) for section, name, _ in ALL}


def test_every_value_says_what_it_counts_as() -> None:
    assert [(section, name) for section, name, info in LEAVES if category_of(info) is None] == []


def test_gates_say_what_a_change_does_again() -> None:
    for section, name, info in LEAVES:
        assert (category_of(info) is Category.GATES) is (tier_of(info) is not None), (section, name)


def test_every_kind_reads_the_spec_of_its_name() -> None:
    assert list(KINDS) == [
        "project",
        "workflow",
        "blueprint",
        "domain",
        "model",
        "data_source",
        "adapter",
        "dataset",
        "training_plan",
        "eval_pack",
        "export",
        "deployment",
    ]
    for name, kind in KINDS.items():
        assert (kind.name, kind.version >= 1) == (name, True)
        assert (kind.door is None) is (kind.work != "door")
