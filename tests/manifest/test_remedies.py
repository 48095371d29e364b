"""Printed remedies work: the edit that a finding names removes it and adds no error."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brewslm.diagnostics import Finding, Severity
from brewslm.manifest.load import check_manifest
from brewslm.manifest.spelling import FOREIGN_KEYS, UNAVAILABLE_VALUES, VALUE_ALIASES
from tests.manifest.remedies import applied
from tests.plan.every_field import (
    ABSENT,
    LEAVES,
    OTHER,
    PACK,
    WHOLE,
    Document,
    Leaf,
    choices,
    other_values,
    value_in,
    with_values,
    write_document,
)

KNOWN = with_values(WHOLE, {"spec.dataset.task_profile": "classification"})
ODD: tuple[Any, ...] = ("grpo", -1, "secret://NAME")
CONFIG = "spec.training_plan.config."
OF_THE_HUB = {"model_revision", "revision_of_model"}
"""Keys whose value goes with a base model of the Hub."""


def key(finding: Finding) -> tuple[str, str]:
    return str(finding.code), finding.field


class Trial:
    """A folder in which remedies are tried, each only once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "own.yaml").write_text(PACK)
        self.tried: set[tuple[str, str, str]] = set()
        self.worked = 0

    def check(self, document: Document) -> tuple[Finding, ...]:
        write_document(self.folder, document)
        return check_manifest(self.folder)[1]

    def failures(self, document: Document) -> Iterator[str]:
        """Yield the remedies of a manifest that leave their finding, or add an error."""
        found = self.check(document)
        errors = {key(item) for item in found if item.severity is Severity.ERROR}
        for finding in found:
            name = (*key(finding), finding.actionable_fix)
            if finding.severity is Severity.INFO or name in self.tried:
                continue
            self.tried.add(name)
            edited = applied(document, finding)
            if edited is None:
                continue
            after = self.check(edited)
            more = {
                key(item)
                for item in after
                if item.severity is Severity.ERROR
                and (*key(finding), str(item.code)) not in OF_TWO_VALUES
            } - errors
            if more or key(finding) in {key(item) for item in after}:
                yield f"{name}: {sorted(more) or 'it stays'}"
            self.worked += 1


EVERY = pytest.mark.parametrize(
    "stride", [3, pytest.param(1, marks=pytest.mark.slow)], ids=["a third", "whole schema"]
)
"""The whole schema takes a minute, a third of it is tried each time."""
OF_TWO_VALUES = {("UNKNOWN_KEY", f"{CONFIG}bf1", "PRECISION_CONFLICT")}
"""A misspelt key whose value contradicts another one once it is read: that is the next finding."""


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def values(leaf: Leaf) -> list[Any]:
    names = (leaf.path, f"{leaf.path}[]")
    gone = [value for name in names for value in UNAVAILABLE_VALUES.get(name, ())]
    aliases = [value for name in names for value in [*VALUE_ALIASES.get(name, ())][:1]]
    scalars = [*choices(leaf.info.annotation), *gone, *aliases]
    if "tuple[" in str(leaf.info.annotation):
        scalars = [[value] for value in scalars]
    return [*other_values(leaf)[:3], *scalars, *ODD]


@EVERY
def test_the_remedy_of_another_value_works(stride: int, trial: Trial) -> None:
    failed: list[str] = []
    for leaf in LEAVES[::stride]:
        for value in values(leaf):
            failed += trial.failures(with_values(KNOWN, {leaf.path: value}))
        if leaf.path in OTHER and not leaf.path.endswith(".loss_type"):  # several edits by then
            failed += trial.failures(with_values(KNOWN, OTHER[leaf.path]))
    assert failed == []
    assert trial.worked > 40


def test_the_remedy_of_another_tools_key_works(trial: Trial) -> None:
    failed: list[str] = []
    for name in sorted(FOREIGN_KEYS.keys() - OF_THE_HUB):
        for value in (20, "builtin:nano", True):
            failed += trial.failures(with_values(KNOWN, {CONFIG + name: value}))
    assert failed == []
    assert trial.worked > 20


@EVERY
def test_the_remedy_of_a_misspelt_key_works(stride: int, trial: Trial) -> None:
    failed: list[str] = []
    for leaf in LEAVES[::stride]:
        value = value_in(KNOWN, leaf)
        misspelt = leaf.path[:-1]
        if isinstance(value, (str, int, float)) and misspelt.rpartition(".")[2]:
            failed += trial.failures(with_values(KNOWN, {misspelt: value}))
    assert failed == []
    assert trial.worked > 25


@pytest.mark.parametrize(
    ("path", "value", "fix"),
    [
        ("spec.training_plan.training_mode", "grpo", "write training_mode: sft"),
        ("spec.export.formats", ["ggufs"], "write one of adapter, safetensors"),
        ("spec.eval_pack.generation.top_k", 20, "delete it; the closest key is top_p"),
        ("spec.dataset.task_profile", "rag_qaa", "write one of chat_sft, "),
    ],
)
def test_no_match_is_offered_that_is_refused_itself(
    path: str, value: Any, fix: str, trial: Trial
) -> None:
    found = trial.check(with_values(KNOWN, {path: value}))
    own = [item for item in found if item.field.startswith(path) and item.severity == "error"]
    assert own[0].actionable_fix.startswith(fix)


def test_deleting_a_section_without_effect_leaves_no_error(trial: Trial) -> None:
    whole = with_values(KNOWN, {"spec.model.base_model": ABSENT})
    assert list(trial.failures(whole)) == []
    codes = {code for code, _, _ in trial.tried}
    assert "SECTION_WITHOUT_EFFECT" in codes


def test_preference_rows_are_told_which_mode_would_learn_from_them(trial: Trial) -> None:
    found = trial.check(with_values(KNOWN, {"spec.dataset.task_profile": "preference"}))
    (own,) = (item for item in found if item.code == "MODE_TASK_MISMATCH")
    assert (own.found, own.expected) == (
        "mode sft",
        "mode dpo or kto or orpo (not supported yet)",
    )
