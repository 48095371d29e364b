"""Specs: which fields count, and under which category."""

from typing import Annotated

import pytest
from pydantic import Field, ValidationError

from brewslm.contracts import (
    Category,
    Spec,
    categories_by_path,
    counting_values,
    spec_values,
)
from brewslm.field_docs import with_field_docs


class Inner(Spec):
    rate: Annotated[float, Field(gt=0), Category.RECIPE] = 0.1
    """Counts."""
    note: Annotated[str, Category.METADATA] = ""
    """Does not."""


class Outer(Spec):
    inner: Inner = Inner()
    """Nested."""
    items: tuple[Inner, ...] = ()
    """A list of specs."""
    size: int = 1
    """Unmarked: counts under the kind's category."""


def test_metadata_fields_do_not_count_at_any_depth() -> None:
    spec = Outer(inner=Inner(note="a"), items=(Inner(note="b"),))
    assert counting_values(spec) == {"inner": {"rate": 0.1}, "items": [{"rate": 0.1}], "size": 1}
    assert spec_values(spec)["inner"]["note"] == "a"


def test_every_leaf_has_a_category() -> None:
    assert categories_by_path(Outer(items=(Inner(),)), Category.DATA) == {
        "inner.rate": Category.RECIPE,
        "inner.note": Category.METADATA,
        "items[0].rate": Category.RECIPE,
        "items[0].note": Category.METADATA,
        "size": Category.DATA,
    }


def test_specs_are_frozen_strict_and_closed() -> None:
    with pytest.raises(ValidationError):
        Outer.model_validate({"size": "1"})
    with pytest.raises(ValidationError):
        Outer.model_validate({"sise": 1})
    with pytest.raises(ValidationError):
        Outer().size = 2  # type: ignore[misc]  # that is the point
    with pytest.raises(ValidationError):
        Inner(rate=float("inf"))


def test_docstrings_become_descriptions() -> None:
    schema = with_field_docs(Outer.model_json_schema(), [Outer])
    assert schema["properties"]["size"]["description"].startswith("Unmarked")


def test_categories_are_ordered_from_heavy_to_light() -> None:
    assert Category.BASE.weight > Category.DATA.weight > Category.METADATA.weight == 0
