"""Carry out actions whose outputs the plan has already read off files: check that they still hold,
and publish them.

The plan knows the outputs exactly. If the files say something else by now, the action fails;
nothing is recorded that the plan did not show.
"""

from brewslm.apply.desk import Desk, Done, Running
from brewslm.contracts import Kind, Output
from brewslm.errors import ApplyError
from brewslm.plan.action import Action


def publish(desk: Desk, action: Action, kind: Kind, running: Running) -> Done:
    """Record the outputs that the plan shows; the prepared dataset also enters the artifact store.

    Raises: ApplyError with code input_changed when the files yield other outputs than the plan
    says.
    """
    after = action.after or {}
    known = {name: Output.from_json(output) for name, output in after["outputs"].items()}
    values = dict(after.get("values") or {})
    if kind.name == "dataset":
        kept = _keep_prepared(desk, known)
        desk.remember(running, kind.name, kept, values)
        return Done(outputs=kept, values=values, actual=_disk(kept))
    return Done(outputs=known, values=values)


def _keep_prepared(desk: Desk, known: dict[str, Output]) -> dict[str, Output]:
    folder = desk.prepare()
    prepared = desk.artifacts.put_folder(folder)
    if prepared.digest != known["prepared"].digest:
        raise ApplyError(
            "the data changed since this plan was made",
            code="input_changed",
            found=prepared.digest,
            expected=known["prepared"].digest,
            remedy="brewslm plan",
        )
    return known | {"prepared": prepared}


def _disk(outputs: dict[str, Output]) -> dict[str, object]:
    return {"disk_bytes": outputs["prepared"].size_bytes}
