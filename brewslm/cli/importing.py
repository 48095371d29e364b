"""`brewslm state import`: adopt a LoRA adapter that was trained elsewhere."""

import os
from contextlib import ExitStack
from pathlib import Path

import click
from msgspec.structs import replace

from brewslm.address import Address
from brewslm.apply.clock import SystemClock
from brewslm.apply.importing import adopt, check_digest, note_adopted
from brewslm.apply.interruption import Stop
from brewslm.cli.approval import standing
from brewslm.cli.leasing import hold_lease, seconds, unheard
from brewslm.cli.paths import NamedPath, as_named
from brewslm.cli.planning import PlanWishes, make_plan, write_output
from brewslm.cli.session import Session
from brewslm.cli.usage import UsageError
from brewslm.diagnostics import exit_code_of
from brewslm.errors import ExitCode, PlanError
from brewslm.manifest.describe import described
from brewslm.manifest.load import check_manifest, read_manifest
from brewslm.plan.lora_adapter import check_lora_adapter, recipe_of
from brewslm.render import words
from brewslm.render.errors import render_findings
from brewslm.render.text import TextStyle, render_plan
from brewslm.stages.model import ModelSpec
from brewslm.stages.training_plan import TrainingPlanSpec

_TRAINING = "training_plan"
_MANIFEST_MODE = 0o644


@click.command("import")
@click.argument("address")
@click.argument("folder", type=NamedPath())
@click.option("--digest", required=True, help="SHA-256 of the folder, as sha256:HEX.")
@click.option(
    "--write-manifest",
    "described_in",
    metavar="FILE",
    type=NamedPath(),
    help="Write a new manifest that trains what the folder holds, and import by that.",
)
@click.option("--lock-timeout", default="0s", show_default=True, help="How long to wait, as 10m.")
@click.pass_obj
def command(
    session: Session,
    address: str,
    folder: Path,
    digest: str,
    described_in: Path | None,
    lock_timeout: str,
) -> int:
    """Adopt the LoRA adapter in FOLDER as what ADDRESS, the training_plan, yields."""
    wait_s = seconds(lock_timeout)
    if address != _TRAINING:
        raise UsageError(
            "only a LoRA adapter can be imported",
            code="usage_error",
            found=address,
            expected=_TRAINING,
            remedy="name the rows in the manifest, data_sources: every plan reads, checks and "
            "prepares them itself and believes no prepared folder",
        )
    if described_in is None:
        return _import(session, folder, digest, wait_s, ExitStack())
    name = _new_name(session, described_in)
    check_digest(folder, digest)
    recipe = recipe_of(folder)
    before = read_manifest(session.root, session.manifest)
    manifest = described(before, session.manifest, recipe)
    write_output(described_in, manifest, _MANIFEST_MODE)
    with ExitStack() as undo:
        undo.callback(described_in.unlink, missing_ok=True)
        code = _import(replace(session, manifest=name), folder, digest, wait_s, undo)
    if code is not ExitCode.DONE:
        return code
    session.put(
        f"{words.visible(name)} describes it. To go on by it: brewslm --manifest "
        f"{words.visible(name)} plan, or put it in the place of {session.manifest}.\n"
    )
    if "base_model" not in recipe:
        session.put("model.base_model is as it was: the adapter names no model of the Hub.\n")
    return code


def _new_name(session: Session, path: Path) -> str:
    """Return the manifest's path relative to the project folder.

    Raises: UsageError for a file that is there, or that would be outside.
    """
    root, folder = session.root.resolve(), path.absolute().parent.resolve()
    is_there = os.path.lexists(path)
    if is_there or not folder.is_relative_to(root):
        raise UsageError(
            "the manifest has to be a new file in the project folder",
            code="usage_error",
            found=f"{as_named(session, path)}{' exists' if is_there else ''}",
            expected="a name that is free, below the project folder",
            remedy="write --write-manifest imported.yaml, or another name",
        )
    return (folder / path.name).relative_to(root).as_posix()


def _import(
    session: Session, folder: Path, digest: str, wait_s: float, undo: ExitStack
) -> ExitCode:
    """Adopt an adapter that is of the form that the manifest trains.

    undo: what is taken back unless the import is recorded; it is dropped then.
    """
    manifest, findings = check_manifest(session.root, session.manifest)
    if manifest is None:
        session.put(render_findings(findings))
        return exit_code_of(findings)
    planned = make_plan(session, PlanWishes())
    code = exit_code_of(planned.plan.finding_values)
    if code is not ExitCode.DONE:
        session.put(render_plan(planned.plan, TextStyle(session.has_color), saved_as=None))
        return code
    spec = planned.specs.get(Address(_TRAINING))
    action = next((item for item in planned.plan.actions if item.address == _TRAINING), None)
    model = planned.specs.get(Address("model"))
    if (
        action is None
        or action.fingerprint is None
        or not isinstance(spec, TrainingPlanSpec)
        or not isinstance(model, ModelSpec)
        or planned.base_folder is None
    ):
        raise PlanError(
            "the manifest trains nothing that could be replaced",
            code="usage_error",
            found=f"no {_TRAINING}",
            expected=f"a {_TRAINING} whose data and base model are known",
            remedy="brewslm plan",
        )
    check_lora_adapter(folder, spec, model, planned.base_folder)
    check_digest(folder, digest)
    facts, artifacts = standing(session), session.artifacts()
    with hold_lease(session, facts, unheard, Stop(), wait_s, "state import") as held:
        kept = adopt(action, folder, digest, artifacts, held)
        undo.pop_all()
        note_adopted(action, kept, held, facts, SystemClock())
    session.put(
        f"{digest[:19]} is kept as what {_TRAINING} yields. "
        "The next apply takes it over without training, and the gates decide.\n"
    )
    return ExitCode.DONE
