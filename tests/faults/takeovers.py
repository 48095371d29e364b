"""A holder that is stopped, taken over by another apply and woken, and what that left behind."""

import signal
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from brewslm.state.documents import to_document
from brewslm.state.records import LeaseRecord
from tests.apply.bench import Bench
from tests.faults.calls import Call, Ending, Launcher
from tests.faults.invariants import final, violations

LIFETIME_S = 0.5
_DEADLINE_S = 30.0
_IDLE = ("runs/", "models/")
"""Where a woken process may leave what nothing names; the next run or gc takes it away."""
_LOST = ((1, True, False), (4, False, True))
"""How a woken process ends: exit code, and whether it says lease_lost or plan_stale."""

_TOLD = ("taken over by ", "free by now, fence ", "the lease of this run, apply ", "brewslm plan")
"""What a person is told of a lease that was lost to a run that ended meanwhile."""


def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    begun_s = time.monotonic()
    while not condition():
        assert time.monotonic() - begun_s < _DEADLINE_S
        time.sleep(0.01)


def lease_of(bench: Bench) -> LeaseRecord | None:
    """Return the lease on a project's state."""
    if not bench.store().exists():
        return None
    with closing(bench.store().read()) as state:
        return state.lease()


@dataclass(frozen=True)
class Went:
    """How a takeover went: `taken over` or `kept out`, and what was wrong with it."""

    kind: str
    wrong: list[str]
    woken: Ending


@dataclass(frozen=True)
class Takeover:
    """Two applies that share a state, one of which is stopped by its trouble and woken later."""

    first: Path
    """The project whose apply is stopped."""
    second: Path
    """The project that takes over; may be the same folder."""
    trouble: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=dict)
    stopped_s: float = LIFETIME_S
    """How long the first is stopped before the second tries."""

    def tried(self, launcher: Launcher) -> Went:
        """Stop the holder, take over, wake it."""
        wanted: dict[str, Any] = {"lifetime_s": LIFETIME_S, "environment": self.environment}
        arguments = ("apply", "--auto-approve")
        first = launcher.begin(self.first, *arguments, trouble=self.trouble, **wanted)
        until(partial(_is_stopped, first))
        time.sleep(self.stopped_s)
        bench = Bench(self.second)
        bench.edit("2.0e-3", "1.0e-3")
        second = launcher.apply(self.second, **wanted)
        if second.code != 0:
            first.signal(signal.SIGCONT)
            woken = first.ended()
            return Went("kept out", self._wrong_of_kept_out(second, woken), woken)
        before = everything(bench)
        first.signal(signal.SIGCONT)
        woken = first.ended()
        after = everything(bench)
        wrong = _wrong_of_woken(woken)
        wrong += [f"{name} changed" for name in before if before[name] != after[name]]
        return Went("taken over", wrong + violations(self.second), woken)

    def _wrong_of_kept_out(self, second: Ending, woken: Ending) -> list[str]:
        wrong = violations(self.first)
        if "[state_write_failed]" not in second.err or woken.code != 0:
            wrong.append(f"kept out: {second.said[-300:]}; woken: {woken.said[-300:]}")
        return wrong


def everything(bench: Bench) -> dict[str, Any]:
    """Return what a project came to and all that its state holds."""
    with closing(bench.store().read()) as state:
        whole = {
            "meta": state.meta(),
            "operations": [to_document(item) for item in state.operations()],
            "events": [to_document(item) for item in state.run_events()],
            "deployments": [to_document(item) for item in state.deployments()],
        }
    come_to = final(bench.root)
    counting = [name for name in come_to["files"] if not name.startswith(_IDLE)]
    return {**come_to, "files": counting, **whole}


def _wrong_of_woken(woken: Ending) -> list[str]:
    told = ("[lease_lost]" in woken.err, "[plan_stale]" in woken.err)
    missing = [text for text in _TOLD if told[0] and text not in woken.err]
    if (woken.code, *told) in _LOST and woken.is_clean() and not missing:
        return []
    return [f"woken: {woken.code} {woken.said[-600:]}"]


def _is_stopped(call: Call) -> bool:
    text = Path(f"/proc/{call.pid}/stat").read_text()
    return text.rpartition(")")[2].split()[0] in "TZ"
