"""Carry out one action: give it to whoever does the work of its kind, or reuse what was made."""

from brewslm.apply import evaluation, observed, promotion, training
from brewslm.apply.desk import Desk, Done, Running
from brewslm.apply.journal import Begun
from brewslm.artifacts.store import Produced
from brewslm.contracts import Kind, Work
from brewslm.plan.action import Action
from brewslm.stages.kinds import KINDS


def carry_out(desk: Desk, action: Action, begun: Begun, looks: int) -> Done:
    """Do the work of an action that has begun.

    looks: how many candidates were judged, this one included. Raises: WorkerError, ArtifactError,
    ApplyError, RefusedError.
    """
    kind, running = KINDS[action.target], begun.running
    reused = None if action.replaces else _reused(desk, kind, running)
    if reused is not None:
        return reused
    match kind.work:
        case Work.RECORD:
            return Done()
        case Work.OBSERVED:
            return observed.publish(desk, action, kind, running)
        case Work.POINTER:
            return promotion.promote(desk, action, running.fingerprint)
        case Work.DOOR if kind.name == "training_plan":
            resume_from = str(begun.checkpoint.path) if begun.checkpoint else ""
            return training.train(desk, action, kind, running, resume_from)
        case Work.DOOR if kind.name == "export":
            return training.export(desk, action, kind, running)
        case Work.DOOR:
            return evaluation.evaluate(desk, action, kind, running, looks)


def _reused(desk: Desk, kind: Kind, running: Running) -> Done | None:
    """Return what the fingerprint yielded before, every byte verified; None when it has to be
    made.

    Raises: ArtifactError when what the plan meant to reuse is damaged.
    """
    if kind.work is not Work.DOOR:
        return None
    produced = desk.artifacts.find_produced(running.fingerprint)
    if produced is None or not all(map(desk.artifacts.is_present, produced.outputs.values())):
        return None
    for output in produced.outputs.values():
        desk.artifacts.verify(output)
    return _reused_done(desk, kind, produced)


def _reused_done(desk: Desk, kind: Kind, produced: Produced) -> Done:
    if kind.name == "eval_pack":
        return evaluation.reused(produced, desk)
    return Done(outputs=produced.outputs, values=produced.values, is_reused=True)
