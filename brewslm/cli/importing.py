"""`brewslm state import`: adopt a LoRA adapter that was trained elsewhere."""

from pathlib import Path

import click

from brewslm.address import Address
from brewslm.apply.clock import SystemClock
from brewslm.apply.importing import adopt, check_digest
from brewslm.apply.interruption import Stop
from brewslm.cli.approval import standing
from brewslm.cli.leasing import hold_lease, seconds, unheard
from brewslm.cli.paths import NamedPath
from brewslm.cli.planning import PlanWishes, make_plan
from brewslm.cli.session import Session
from brewslm.cli.usage import UsageError
from brewslm.diagnostics import exit_code_of
from brewslm.errors import ExitCode, PlanError
from brewslm.plan.hub_cache import commit_of
from brewslm.plan.lora_adapter import check_lora_adapter
from brewslm.render.text import TextStyle, render_plan
from brewslm.stages.model import ModelSpec
from brewslm.stages.training_plan import TrainingPlanSpec

_TRAINING = "training_plan"


@click.command("import")
@click.argument("address")
@click.argument("folder", type=NamedPath())
@click.option("--digest", required=True, help="SHA-256 of the folder, as sha256:HEX.")
@click.option("--lock-timeout", default="0s", show_default=True, help="How long to wait, as 10m.")
@click.pass_obj
def command(session: Session, address: str, folder: Path, digest: str, lock_timeout: str) -> int:
    """Adopt the LoRA adapter in FOLDER as what ADDRESS, the training_plan, yields."""
    wait_s = seconds(lock_timeout)
    if address != _TRAINING:
        raise UsageError(
            "only a LoRA adapter can be imported",
            code="usage_error",
            found=address,
            expected=_TRAINING,
            remedy="name a dataset in the manifest: data_sources",
        )
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
    ):
        raise PlanError(
            "the manifest trains nothing that could be replaced",
            code="usage_error",
            found=f"no {_TRAINING}",
            expected=f"a {_TRAINING} whose data and base model are known",
            remedy="brewslm plan",
        )
    check_lora_adapter(folder, spec, model, commit_of(planned.base_folder))
    check_digest(folder, digest)
    facts, artifacts = standing(session), session.artifacts()
    with hold_lease(session, facts, unheard, Stop(), wait_s, "state import") as held:
        adopt(action, folder, digest, artifacts, held, facts, SystemClock())
    session.put(
        f"{digest[:19]} is kept as what {_TRAINING} yields. "
        "The next apply takes it over without training, and the gates decide.\n"
    )
    return ExitCode.DONE
