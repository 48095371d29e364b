"""Fields that were added after a project was applied change nothing until they are written."""

import json
import sqlite3
from typing import Annotated

from brewslm.contracts import Category, Later, Spec, counting_values
from tests.apply.bench import Bench


class _Before(Spec):
    rate: Annotated[float, Category.RECIPE] = 0.1


class _After(_Before):
    mark: Annotated[str | None, Category.RECIPE, Later.FIELD] = None


def test_later_field_counts_once_it_is_written() -> None:
    assert counting_values(_After()) == counting_values(_Before())
    assert counting_values(_After(mark="a")) == counting_values(_Before()) | {"mark": "a"}


def test_records_without_later_fields_are_read_with_their_defaults(applied: Bench) -> None:
    changed = 0
    with sqlite3.connect(applied.home / "state.db") as database:
        for address, text in database.execute("SELECT address, document FROM resources").fetchall():
            record = json.loads(text)
            spec = record["spec"]
            gone = [spec.pop("delimiter", spec), spec.get("backend", {}).pop("link_roots", spec)]
            gone.append(spec.get("gate_policy", {}).pop("promote_ungated", spec))
            changed += sum(item is not spec for item in gone)
            database.execute(
                "UPDATE resources SET document = ? WHERE address = ?", (json.dumps(record), address)
            )
    assert changed >= 3
    plan = applied.built().plan
    assert [item.address for item in plan.actions if item.is_work] == []
