"""`validate` and `plan` report the same about the manifest, whatever is wrong with it."""

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brewslm.diagnostics import Finding
from brewslm.errors import BrewError
from brewslm.manifest.load import FindingsError, check_manifest
from brewslm.manifest.spelling import UNAVAILABLE_VALUES, VALUE_ALIASES
from tests.apply.bench import Bench
from tests.plan.every_field import LEAVES, PACK, WHOLE, Document, choices, other_values, with_values
from tests.plan.every_field import write_document as write

MUTATIONS = 240
KNOWN = with_values(WHOLE, {"spec.dataset.task_profile": "classification"})
"""A manifest whose task is known without rows, so that gates are checked without rows."""
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1e6, "", "other", "../x", "secret://NAME", "hf:...", [], ["other"], {"a": 1},
)  # fmt: skip
OF_ROWS_MODEL_STATE_OR_HOST = {
    "AUTOFIX_ATTENTION", "AUTOFIX_BATCH_NO_CUDA", "AUTOFIX_EVAL_DATASETS", "AUTOFIX_EVAL_STEPS",
    "AUTOFIX_NO_VALIDATION", "AUTOFIX_OPTIMIZER", "AUTOFIX_PACKING", "AUTOFIX_PADDING_FREE",
    "AUTOFIX_PRECISION", "AUTOFIX_SAVE_STEPS", "AUTOFIX_SEQ_LENGTH", "AUTOFIX_TARGET_MODULES",
    "AUTOFIX_TWO_PRECISIONS", "AUTOFIX_WARMUP", "BASE_MODEL_FORM", "COLUMN_NOT_FOUND",
    "DELETE_BUDGET_EXCEEDED",
    "EVAL_WITHOUT_ROWS", "FINGERPRINT_MISMATCH", "GATE_UNDERPOWERED", "GATE_WEAKENED",
    "LABELS_WITHOUT_GOLD", "LABEL_COLLISION", "LABEL_CONFLICT", "LABEL_MISSING_IN_SPLIT",
    "LEAK_FOUND", "MAPPING_LOW_CONFIDENCE", "MIN_ROWS_UNMET", "MODEL_NOT_CACHED",
    "MODEL_NOT_SAFETENSORS", "NO_TRAIN_ROWS", "NO_TRAINING_TARGET", "PII_FOUND", "PROTECTED",
    "RECORD_COUNT_MISMATCH", "REJECT_RATE_EXCEEDED", "ROWS_TOO_LONG", "SEQ_LENGTH_EXCEEDS_MODEL",
    "SMALL_GOLD_SET", "SOURCE_DIGEST_MISMATCH", "SOURCE_NOT_FOUND", "SPLIT_EMPTY",
    "TARGET_MODULE_NOT_FOUND", "TASK_PROFILE_CONFLICT", "UNREADABLE",
}  # fmt: skip
"""Upper-case codes that a plan may add; codes of rejected rows are lower-case."""


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
    more = {item for item in of_plan - validated if item[0].isupper()}
    beyond = {item for item in more if item[0] not in OF_ROWS_MODEL_STATE_OR_HOST}
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
