"""`validate` and `plan` report the same about the manifest, whatever is wrong with it."""

import copy
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import brewslm
from brewslm.diagnostics import Finding
from brewslm.errors import BrewError
from brewslm.manifest.load import FindingsError, check_manifest
from brewslm.manifest.spelling import UNAVAILABLE_VALUES, VALUE_ALIASES
from tests.apply.bench import Bench
from tests.plan.every_field import LEAVES, PACK, WHOLE, Document, choices, other_values, with_values
from tests.plan.every_field import write_document as write

MUTATIONS = 200
KNOWN = with_values(WHOLE, {"spec.dataset.task_profile": "classification"})
"""A manifest whose task is known without rows, so that gates are checked without rows."""
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1e6, "", "other", "../x", "secret://NAME", "hf:...", [], ["other"], {"a": 1},
)  # fmt: skip
ROOM = Path(brewslm.__path__[0]) / "manifest"
OF_THE_MANIFEST = {
    code
    for path in ROOM.glob("*.py")
    for code in re.findall(r"FindingCode\.([A-Z_]+)", path.read_text(encoding="utf-8"))
    if not code.startswith("AUTOFIX_")
}
"""Codes of what a manifest alone shows; a plan finds nothing more of them."""
OF_FILES_TOO = {"BASE_MODEL_FORM", "SOURCE_NOT_FOUND", "TASK_PROFILE_CONFLICT", "UNREADABLE"}
"""Codes that also say what is wrong with a folder of weights, with files or with rows."""


def mutations(count: int) -> Iterator[tuple[str, Document]]:
    """Return manifests with one or two values that differ, at random places, the same each time."""
    chance = random.Random(7)  # noqa: S311  no secret depends on it
    for _ in range(count):
        document, names = copy.deepcopy(KNOWN), []
        for leaf in chance.choices(LEAVES, k=chance.choice((1, 1, 2))):
            known = (*choices(leaf.info.annotation), *VALUE_ALIASES.get(leaf.path, ()))
            unavailable = tuple(UNAVAILABLE_VALUES.get(leaf.path, ()))
            likely = [*other_values(leaf), *known, *unavailable] or [None]
            value = chance.choice(likely if chance.random() < 0.8 else ODD)
            path = leaf.path if chance.random() > 0.1 else f"{leaf.path}s"
            try:
                document = with_values(document, {path: value})
            except (TypeError, KeyError, IndexError, AttributeError):
                continue
            names.append(f"{path}={value!r}")
        yield ", ".join(names), document


def told(findings: tuple[Finding, ...]) -> set[tuple[str, ...]]:
    return {
        (str(item.code), str(item.severity), item.field, str(item.place), item.message)
        for item in findings
    }


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench = Bench.make(tmp_path_factory.mktemp("agrees") / "project")
    (bench.root / "own.yaml").write_text(PACK)
    return bench


def planned(bench: Bench) -> set[tuple[str, ...]]:
    try:
        return told(tuple(bench.built().plan.finding_values))
    except FindingsError as error:
        return told(error.findings)


def disagreements(bench: Bench, root: Path) -> list[str]:
    try:
        validated = told(check_manifest(root)[1])
    except BrewError as error:
        validated = {(error.code,)}
    try:
        of_plan = planned(bench)
    except BrewError as error:
        of_plan = {(error.code,)}
        return [] if error.code in ("backend_changed", "secret_missing") else [f"error {error}"]
    beyond = {item for item in of_plan - validated if item[0] in OF_THE_MANIFEST - OF_FILES_TOO}
    return [f"validate only: {item}" for item in sorted(validated - of_plan)] + [
        f"plan only: {item}" for item in sorted(beyond)
    ]


def test_mutated_manifests_are_told_the_same_by_both(bench: Bench) -> None:
    wrong: dict[str, list[str]] = {}
    for name, document in mutations(MUTATIONS):
        write(bench.root, document)
        if found := disagreements(bench, bench.root):
            wrong[name] = found
    assert wrong == {}
