"""What an apply writes into the append-only history of runs."""

import uuid
from collections.abc import Callable
from typing import Any

from brewslm.apply.clock import Clock
from brewslm.errors import BrewError
from brewslm.stages.kinds import KINDS
from brewslm.state.records import RunEvent
from brewslm.state.run_events import ANY_STAGE, CODES
from brewslm.state.store import StateSession

_FALLBACKS = {
    stage: (stage, code)
    for stage, code in {
        "ingestion": "ingest_io_error",
        "adapter": "adapter_schema_mismatch",
        "training": "training_runtime_error",
        "eval": "eval_runtime_error",
        "export": "export_run_failed",
        "deployment": "deployment_promote_blocked",
    }.items()
}
"""What a failure is filed under whose own code is none of its stage."""


def _stage(kind: str) -> str:
    """Return the stage of a resource kind; what belongs to none is of the system."""
    return KINDS[kind].ending.stage if kind in KINDS else "system"


class History:
    """Adds run events of one apply."""

    def __init__(
        self,
        session: StateSession,
        run_id: str,
        actor: str,
        clock: Clock,
        redact: Callable[[str], str] = str,
    ) -> None:
        """run_id: the apply's id; actor: user@host; redact: takes the values of secrets out."""
        self._session = session
        self._run_id = run_id
        self._actor = actor
        self._clock = clock
        self._redact = redact

    def add(
        self, kind: str, severity: str, reason_code: str, summary: str, payload: dict[str, Any]
    ) -> None:
        """Add an event of the stage that a resource kind belongs to; `system` for the rest."""
        self._add(_stage(kind), severity, reason_code, summary, payload)

    def add_error(self, kind: str, error: BrewError) -> None:
        """Add the event of a failed action; a code that the stage does not know is kept in the
        payload.
        """
        stage, code = _stage(kind), error.code
        if code not in ANY_STAGE | CODES[stage]:
            stage, code = _FALLBACKS.get(stage, ("system", "system_db_error"))
        payload = {"reason_code": error.code, "remedy": self._redact(error.remedy)}
        self._add(stage, "error", code, error.message, payload)

    def _add(
        self, stage: str, severity: str, reason_code: str, summary: str, payload: dict[str, Any]
    ) -> None:
        self._session.add_run_event(
            RunEvent(
                sequence=0,
                event_id=uuid.uuid4().hex,
                run_id=self._run_id,
                stage=stage,
                severity=severity,
                reason_code=reason_code,
                actor=self._actor,
                summary=self._redact(summary),
                payload=payload,
                at=self._clock.now(),
            )
        )
