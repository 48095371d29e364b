"""What drifted, put back as it is recorded: found files are set aside, kept bytes are laid out
again.

Whatever is set aside keeps its name with `.found` behind it; nobody's edit is thrown away.
"""

from brewslm.apply import promotion
from brewslm.apply.desk import Desk, Done
from brewslm.apply.laid_out import Holding, lay_out_export, lay_out_model
from brewslm.artifacts.store import ArtifactStore
from brewslm.contracts import Output
from brewslm.errors import ArtifactError
from brewslm.plan.action import Action
from brewslm.state.records import ResourceRecord
from brewslm.state.store import StateSession


def put_back(desk: Desk, action: Action, record: ResourceRecord, session: StateSession) -> Done:
    """Lay out an export or a promoted model again and return what its record says.

    Raises: ArtifactError when the kept bytes are gone or damaged, LeaseLostError.
    """
    if record.kind == "export":
        files = record.outputs["files"]
        lay_out_export(desk.home, desk.artifacts, action.name, files, session.holding)
    else:
        promoted = record.outputs["promoted"]
        lay_out_model(desk.home, desk.artifacts, promoted, session.holding)
        with promotion.moving_links(desk.home, session):
            promotion.point(desk.home, str(record.values["alias"]), promoted.digest)
    return Done(
        outputs=dict(record.outputs),
        values=dict(record.values),
        parts=dict(record.parts),
        status=record.status,
        reason=record.reason,
        is_reused=True,
    )


def set_aside_damage(artifacts: ArtifactStore, output: Output, holding: Holding) -> None:
    """Move every kept object of an output that is not what its digest says out of the way.

    Raises: LeaseLostError.
    """
    items = [output]
    if output.is_folder:
        try:
            items = list(artifacts.listing(output.digest).values())
        except ArtifactError as error:
            _set_aside(artifacts, error, output, holding)
            return
    for item in items:
        try:
            artifacts.verify(item)
        except ArtifactError as error:
            _set_aside(artifacts, error, item, holding)


def _set_aside(
    artifacts: ArtifactStore, error: ArtifactError, output: Output, holding: Holding
) -> None:
    if error.code == "artifact_corrupt":
        with holding():
            artifacts.set_aside(output.digest)
