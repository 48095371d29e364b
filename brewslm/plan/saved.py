"""Saved plans: read one back, and refuse it when the project is no longer the one it was made for.

The order of the checks is fixed, and the first mismatch is the one that is told. A stale plan is
never planned again in silence.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from brewslm.diagnostics import Severity
from brewslm.errors import PlanError, RefusedError, StalePlanError
from brewslm.files import PathError, read_named
from brewslm.fingerprint import digest_value
from brewslm.plan.diff import changed_paths
from brewslm.plan.plan import FORMAT_VERSION, Plan
from brewslm.state.records import RevisionRecord
from brewslm.state.store import StateReader
from brewslm.strict_json import StrictJsonError, parse_strict

_MAX_BYTES = 64 << 20
_MAX_DEPTH = 64
_REMEDY = "brewslm plan --out NAME.plan.json"


def read_saved(path: Path, expect_digest: str | None = None) -> Plan:
    """Return the plan that a file holds.

    expect_digest: the digest that was reviewed. Raises: PlanError with plan_unreadable,
    StalePlanError with plan_digest_mismatch.
    """
    data = _read(path)
    document = _document(path, data)
    _check_format(path, document)
    try:
        plan = Plan.model_validate_json(data, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise unreadable(path, f"{where}: {first['msg']}") from error
    own = digest_value({name: value for name, value in document.items() if name != "digest"})
    if own != plan.digest:
        raise StalePlanError(
            "the plan is not the one that was written",
            code="plan_digest_mismatch",
            found=own,
            expected=plan.digest,
            remedy=_REMEDY,
        )
    if expect_digest is not None and expect_digest != plan.digest:
        raise StalePlanError(
            "the plan is not the approved one",
            code="plan_digest_mismatch",
            found=plan.digest,
            expected=expect_digest,
            remedy=_REMEDY,
        )
    return plan


def check_whole(plan: Plan, path: Path) -> None:
    """Refuse a plan that says two things at once, as one put together by hand may.

    Raises: PlanError with plan_unreadable.
    """
    try:
        severities = {finding.severity for finding in plan.finding_values}
        addresses = [str(action.parsed_address) for action in plan.actions]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise unreadable(path, f"values of other types ({type(error).__name__})") from error
    if plan.sealed().summary != plan.summary:
        raise unreadable(path, "a summary that does not count its actions")
    if len(set(addresses)) != len(addresses):
        raise unreadable(path, "two actions on one resource")
    if plan.is_applyable and Severity.ERROR in severities:
        raise unreadable(path, "errors, and that it can be applied")


def check_current(saved: Plan, state: StateReader, fresh: Plan) -> None:
    """Refuse a saved plan that does not fit the project as it is.

    fresh: what a plan would say now. Raises: StalePlanError with plan_lineage_mismatch, plan_stale
    or input_changed; RefusedError with plan_incomplete.
    """
    _check_state(saved, state)
    _check_meaning(saved, fresh)
    _check_inputs(saved, fresh)
    _check_errors(saved)
    _check_actions(saved, fresh)
    _check_errors(fresh)


def _check_state(saved: Plan, state: StateReader) -> None:
    meta = state.meta()
    if saved.project.lineage != meta.lineage:
        raise StalePlanError(
            "the plan belongs to another project",
            code="plan_lineage_mismatch",
            found=f"lineage {meta.lineage or 'none yet'}",
            expected=f"lineage {saved.project.lineage or 'none yet'}",
            remedy=_REMEDY,
        )
    revisions = state.revisions()
    applied = next((item for item in revisions if item.plan_digest == saved.digest), None)
    if applied is not None:
        raise _stale(f"the plan was applied already (revision {applied.revision})")
    if saved.project.serial != meta.serial:
        raise _stale(
            "the state moved on since this plan",
            f"serial {meta.serial}{_newest(revisions)}",
            f"serial {saved.project.serial}",
        )


def _newest(revisions: Sequence[RevisionRecord]) -> str:
    if not revisions:
        return ""
    names = ", ".join(str(item["address"]) for item in revisions[0].actions[:3])
    return f" (revision {revisions[0].revision} by {revisions[0].actor}: {names})"


def _check_meaning(saved: Plan, fresh: Plan) -> None:
    for name in sorted(fresh.stage_versions):
        here, there = fresh.stage_versions[name], saved.stage_versions.get(name)
        if here != there:
            raise _stale(f"{name} is version {here} here", f"version {here}", f"version {there}")
    if saved.manifest_digest != fresh.manifest_digest:
        paths = changed_paths(saved.effective_manifest, fresh.effective_manifest)
        shown = ", ".join(paths[:3]) + (" …" if len(paths) > 3 else "")
        raise _stale(f"the manifest means something else now ({shown})")
    here_policy, there_policy = (plan.policy or {} for plan in (fresh, saved))
    if here_policy.get("digest") != there_policy.get("digest"):
        raise _stale("the policy changed", *map(_shown_policy, (here_policy, there_policy)))
    here_gates, there_gates = ((plan.against or {}).get("gate_changes") for plan in (fresh, saved))
    if here_gates != there_gates:
        ref = (saved.against or {}).get("ref", "")
        commits = [str((plan.against or {}).get("commit", "")) for plan in (fresh, saved)]
        raise _stale(f"the gates at {ref} changed since this plan", *commits)


def _shown_policy(policy: Mapping[str, Any]) -> str:
    return f"{policy['digest']} at {policy.get('ref')}" if policy.get("digest") else "no policy"


def _check_inputs(saved: Plan, fresh: Plan) -> None:
    here = {(item.address, item.path): item for item in fresh.inputs}
    for item in saved.inputs:
        found = here.get((item.address, item.path))
        if found is None or found.digest != item.digest:
            raise StalePlanError(
                f"{item.path} changed since this plan",
                code="input_changed",
                found=f"{found.digest[:19]}…, {found.size_bytes:,} bytes" if found else "no file",
                expected=f"{item.digest[:19]}…, {item.size_bytes:,} bytes",
                remedy=_REMEDY,
            )


def _check_errors(saved: Plan) -> None:
    if saved.is_applyable:
        return
    errors = [item for item in saved.findings if item.get("severity") == "error"]
    told = [f"{item.get('code', '')}: {item.get('message', '')}" for item in errors]
    raise RefusedError(
        "the plan carries an error" if told else "the plan was made without a state",
        code="plan_incomplete",
        found=told[0] if told else "what changes, and not what there is to do",
        expected="a plan without errors" if told else "a plan of this project's state",
        remedy=_REMEDY,
    )


def _check_actions(saved: Plan, fresh: Plan) -> None:
    here = {item.address: item for item in fresh.actions}
    for action in saved.actions:
        now = here.get(action.address)
        same = now is not None and (now.operation, now.fingerprint) == (
            action.operation,
            action.fingerprint,
        )
        if not same:
            raise _stale(
                f"{action.address} would be another action now",
                str(now.operation) if now else "no such resource",
                str(action.operation),
            )


def _read(path: Path) -> bytes:
    try:
        return read_named(path, _MAX_BYTES)
    except PathError as error:
        is_large = error.code == "FILE_TOO_LARGE"
        raise unreadable(path, "more than 64 MiB" if is_large else error.found) from error


def _document(path: Path, data: bytes) -> dict[str, Any]:
    try:
        return dict(parse_strict(data, require_object=True, max_depth=_MAX_DEPTH))
    except StrictJsonError as error:
        raise unreadable(path, error.message) from error


def _check_format(path: Path, document: Mapping[str, Any]) -> None:
    version = str(document.get("format_version", "none"))
    if version.partition(".")[0] != FORMAT_VERSION.partition(".")[0]:
        raise unreadable(path, f"format {version}")


def unreadable(path: Path, found: str) -> PlanError:
    """Return the error of a file that holds no plan which this program could have written."""
    return PlanError(
        f"{path}:1:1 is not a plan of format {FORMAT_VERSION.partition('.')[0]}",
        code="plan_unreadable",
        found=found,
        expected="a file that brewslm plan --out wrote",
        remedy=_REMEDY,
    )


def _stale(message: str, found: str = "", expected: str = "") -> StalePlanError:
    return StalePlanError(
        message, code="plan_stale", found=found, expected=expected, remedy=_REMEDY
    )
