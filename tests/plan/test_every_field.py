"""No field of the manifest goes unseen: another value changes the plan by what the field counts as,
and the value from before changes nothing.
"""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from brewslm.contracts import Category
from brewslm.diagnostics import Severity
from brewslm.errors import BrewError, ExitCode
from brewslm.fingerprint import digest_value
from brewslm.manifest.load import FindingsError
from brewslm.plan.action import Action
from brewslm.plan.plan import Plan
from tests.apply.bench import Bench, row
from tests.conftest import copied
from tests.plan.every_field import (
    LEAVES,
    PACK,
    WHOLE,
    Leaf,
    others,
    write_document,
)

SAME = {"spec.training_plan.config.base_model", "spec.training_plan.config.training_mode"}
"""Other places of a value, which have to say what the first place says."""
REFUSED = {
    "spec.workflow.backend.state": "BACKEND_CHANGED",
    "spec.workflow.backend.artifacts": "SECRET_MISSING",
}
"""Stores: another one is no change that a plan could make."""
TOLD = {"spec.export.quantization": "QUANTIZATION_UNUSED"}
"""Fields that no resource here reads, and the finding that says so."""
PROFILES = {
    "spec.workflow.training_preferred_plan_profile",
    "spec.training_plan.plan_profile",
}
"""Names of values: they count through the fields that they fill."""
ENTRIES = {"spec.data_sources": "data", "spec.adapters": "data", "spec.export.formats": "export"}
"""Lists of which every entry is a resource, and what these count as."""
SECTIONS = {name: list(leaves) for name, leaves in groupby(LEAVES, lambda leaf: leaf.section)}
SAMPLE = sorted(
    (leaf for leaf in LEAVES if any(others(leaf)) and leaf.path not in REFUSED),
    key=lambda leaf: digest_value(leaf.path),
)[:12]
"""Some fields of all sections, the same ones each time."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Return a project with an entry in every list whose candidate was promoted."""
    bench = Bench.make(tmp_path_factory.mktemp("whole") / "project")
    bench.write_rows("more", range(200, 230))
    (bench.root / "own.yaml").write_text(PACK)
    cells = [[row(number)["text"], row(number)["label"]] for number in range(40)]
    text = "\n".join("|".join(line) for line in [["text", "label"], *cells])
    (bench.root / "data" / "rows.csv").write_text(text)
    write_document(bench.root, WHOLE)
    assert bench.apply().exit_code is ExitCode.DONE
    return bench


def changed(bench: Bench, leaf: Leaf) -> Plan:
    """Write the first valid manifest with another value of the field, and plan it."""
    refused: list[str] = []
    for document in others(leaf):
        write_document(bench.root, document)
        try:
            return bench.built().plan
        except FindingsError as error:
            refused += [
                f"{item.code} {item.field}: {item.message}"
                for item in error.findings
                if item.severity is Severity.ERROR
            ]
    raise AssertionError(f"no value tried is valid: {refused[:4]}; add one to OTHER")


def shortcomings(leaf: Leaf, before: Plan, plan: Plan) -> Iterator[str]:
    """Yield what the plan leaves unsaid about another value of a field."""
    work = [action for action in plan.actions if action.is_work]
    categories = {str(action.category) for action in work}
    if leaf.path in SAME:
        if plan.to_bytes() != before.to_bytes():
            yield "the same said twice is a change"
    elif leaf.path in TOLD:
        if TOLD[leaf.path] not in {item.code for item in plan.finding_values}:
            yield "no finding says that nothing reads it"
    elif leaf.path in ENTRIES:
        if ENTRIES[leaf.path] not in categories:
            yield f"no resource came or went: {categories}"
    else:
        own = [action for action in work if _names(action, leaf)]
        wanted = leaf.category if leaf.path not in PROFILES else Category.RECIPE
        if not own:
            yield f"no action names it: {[(a.address, a.fields_changed) for a in work]}"
        elif str(wanted) not in {str(action.category) for action in own}:
            yield f"it is {leaf.category}, the plan says {[action.category for action in own]}"
        if wanted is Category.METADATA and categories != {"metadata"}:
            yield f"metadata makes work: {[(a.address, a.reason) for a in work]}"
        if wanted is not Category.METADATA and _is_record_only(own):
            yield "it counts, and the result is taken for the same"


def _names(action: Action, leaf: Leaf) -> bool:
    name = leaf.path.rpartition(".")[2]
    paths = {cause.path for cause in action.causes if cause.kind == "field"}
    steps = {step.partition("[")[0] for path in paths for step in path.split(".")}
    return name in steps


def _is_record_only(actions: list[Action]) -> bool:
    return all(action.reason == "metadata_changed" for action in actions)


def test_fields_that_have_one_value_are_known() -> None:
    alone = {leaf.path for leaf in LEAVES if not any(others(leaf))}
    assert alone == {"api_version", "kind", "spec.training_plan.config.task_type"}


@pytest.mark.case("PLN-13")
@pytest.mark.parametrize("section", SECTIONS)
def test_another_value_is_in_the_plan_and_the_value_before_is_not(
    section: str, whole: Bench
) -> None:
    write_document(whole.root, WHOLE)
    before = whole.built().plan
    assert not before.has_changes
    wrong: dict[str, list[str]] = {}
    for leaf in SECTIONS[section]:
        if not any(others(leaf)):
            continue
        try:
            found = list(shortcomings(leaf, before, changed(whole, leaf)))
        except BrewError as error:
            found = [] if error.code == REFUSED.get(leaf.path) else [f"{error.code}: {error}"]
        if found:
            wrong[leaf.path] = found
    assert wrong == {}
    write_document(whole.root, WHOLE)
    assert whole.built().plan.to_bytes() == before.to_bytes()


@pytest.mark.parametrize("leaf", SAMPLE, ids=[leaf.path for leaf in SAMPLE])
def test_applied_and_taken_back_trains_nothing_again(
    leaf: Leaf, whole: Bench, tmp_path: Path
) -> None:
    write_document(whole.root, WHOLE)
    bench = copied(whole.root, tmp_path / "project")
    before = _without_serial(bench.built().plan)
    if changed(bench, leaf).is_applyable:
        bench.apply()
        if leaf.category is Category.METADATA and leaf.path not in PROFILES:
            assert bench.doors() == []
        assert not bench.built().plan.has_changes
    write_document(bench.root, WHOLE)
    assert bench.apply().exit_code is ExitCode.DONE
    assert [door for door in bench.doors() if door.startswith("train")] == []
    assert _without_serial(bench.built().plan) == before


def _without_serial(plan: Plan) -> dict[str, Any]:
    document = plan.model_dump(mode="json", exclude={"digest"})
    document["project"].pop("serial")
    return document
