"""Which troubles pass by themselves, and which are the commit's."""

import pytest

from brewslm.cli.sync_reasons import Heard, is_passing, of_error
from brewslm.errors import (
    ApplyError,
    BrewError,
    GateError,
    LeaseLostError,
    ManifestError,
    PlanError,
    RefusedError,
    StalePlanError,
    StateError,
    StateLockedError,
    UnreachableError,
)
from brewslm.events import ActionErrorEvent


def _error(kind: type[BrewError], code: str) -> BrewError:
    return kind("something is wrong", code=code, remedy="mend it", found="this")


@pytest.mark.parametrize(
    ("kind", "code", "passes"),
    [
        (StateLockedError, "state_locked", True),
        (StalePlanError, "plan_stale", True),
        (LeaseLostError, "lease_lost", True),
        (UnreachableError, "fetch_failed", True),
        (StateError, "state_write_failed", True),
        (StateError, "disk_full", True),
        (PlanError, "ref_missing", True),
        (StateError, "state_corrupt", False),
        (RefusedError, "tree_dirty", False),
        (RefusedError, "errored_state_present", False),
        (ManifestError, "manifest_invalid", False),
        (GateError, "gate_not_passed", False),
        (ApplyError, "training_oom", False),
    ],
)
def test_errors_that_say_nothing_about_the_commit_pass(
    kind: type[BrewError], code: str, passes: bool
) -> None:
    error = _error(kind, code)
    condition = of_error(error)
    assert (is_passing(error), condition.needs_person) == (passes, not passes)
    assert condition.message == "something is wrong: this"
    assert condition.remedy == "mend it"


@pytest.mark.parametrize(
    ("failed", "passes"),
    [
        ([], False),
        (["store_unreachable"], True),
        (["store_unreachable", "training_oom"], False),
        (["disk_full"], False),
    ],
)
def test_apply_is_tried_again_only_when_nothing_but_a_store_was_in_the_way(
    failed: list[str], passes: bool
) -> None:
    heard = Heard()
    for code in failed:
        heard(
            ActionErrorEvent(
                address="training_plan", message="no", reason_code=code, remedy="", elapsed_s=1.0
            )
        )
    assert heard.is_passing is passes
    assert [item.code for item in heard.conditions] == failed
