"""An apply on a terminal or in a log: one line a fact, and a bar for work that takes a while."""

from collections.abc import Mapping
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from brewslm.events import (
    ActionCheckpointEvent,
    ActionCompleteEvent,
    ActionErrorEvent,
    ActionLogEvent,
    ActionProgressEvent,
    ActionSkipEvent,
    ActionStartEvent,
    Event,
    GateEvent,
    InterruptEvent,
    LeaseLostEvent,
    LeaseWaitEvent,
    PromotionEvent,
    RecoveryEvent,
    SummaryEvent,
)
from brewslm.render import words

_QUIET_S = 10.0


class ProgressTalk:
    """A listener that tells an apply to a person.

    On a terminal, work that reports progress has a bar with loss and time left; elsewhere a line
    every ten seconds.
    """

    def __init__(self, err: TextIO, *, is_terminal: bool, is_debug: bool, has_color: bool) -> None:
        """err: where talk goes; is_debug: also the worker's log lines."""
        self._is_debug = is_debug
        self._is_terminal = is_terminal
        self._console = Console(
            file=err, force_terminal=is_terminal, no_color=not has_color, highlight=False
        )
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._phase = ""
        self._last_line_s = 0.0

    def __call__(self, event: Event) -> None:
        """Tell one event."""
        match event:
            case ActionProgressEvent():
                self._progress(event)
            case ActionStartEvent():
                self._end_bar()
                self._line(f"[{event.index}/{event.total}] {event.address}: {event.operation}")
            case ActionCompleteEvent():
                self._end_bar()
                self._line(_completed(event))
            case ActionErrorEvent():
                self._end_bar()
                self._line(f"  error[{event.reason_code}]: {event.message}")
                self._line(f"  do: {event.remedy}")
            case ActionSkipEvent():
                upstream = f" ({event.upstream})" if event.upstream else ""
                self._line(f"  {event.address} skipped: {event.because}{upstream}")
            case ActionCheckpointEvent():
                if self._is_debug:
                    self._line(f"  checkpoint at step {event.step}")
            case ActionLogEvent() if event.level == "warning":
                self._end_bar()
                self._line(f"  warning: {event.message}")
            case ActionLogEvent():
                if self._is_debug:
                    self._line(f"  worker: {event.text}")
            case GateEvent() | SummaryEvent():
                pass
            case (
                PromotionEvent()
                | RecoveryEvent()
                | InterruptEvent()
                | LeaseWaitEvent()
                | LeaseLostEvent()
            ):
                self._end_bar()
                self._line("  " + (event.message or _default_words(event)))
            case _:
                pass

    def close(self) -> None:
        """Take the bar away, whatever happened."""
        self._end_bar()

    def _progress(self, event: ActionProgressEvent) -> None:
        text = _metrics(event.metrics)
        left = f"{words.duration(event.eta_s)} left" if event.eta_s is not None else ""
        if not self._is_terminal:
            if event.elapsed_s - self._last_line_s >= _QUIET_S or event.done == event.total:
                self._last_line_s = event.elapsed_s
                of = f"/{event.total}" if event.total else ""
                parts = [f"{event.phase} {event.done}{of} {event.unit}".strip(), text, left]
                self._line("  " + " · ".join(part for part in parts if part))
            return
        if self._bar is None or self._phase != event.phase:
            self._end_bar()
            self._bar = Progress(
                TextColumn("  {task.description}", markup=False),
                BarColumn(bar_width=30),
                TextColumn("{task.completed}/{task.total}", markup=False),
                TextColumn("{task.fields[metrics]}", markup=False),
                TextColumn("{task.fields[left]}", markup=False),
                console=self._console,
                transient=True,
            )
            self._phase = event.phase
            self._task = self._bar.add_task(
                words.visible(event.phase or event.unit), total=event.total, metrics="", left=""
            )
            self._bar.start()
        if self._task is not None:
            self._bar.update(
                self._task, completed=event.done, total=event.total, metrics=text, left=left
            )

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
            self._task = None
        self._last_line_s = 0.0

    def _line(self, text: str) -> None:
        self._console.print(Text(words.visible(text)), soft_wrap=True)


def _completed(event: ActionCompleteEvent) -> str:
    how = "reused" if event.is_reused else "done"
    figures = _metrics({key: value for key, value in event.values.items() if key in _SHOWN})
    after = f" in {words.duration(event.elapsed_s)}" if event.elapsed_s >= 1 else ""
    return f"  {event.address} {how}{after}" + (f" · {figures}" if figures else "")


_SHOWN = ("train_loss", "eval_loss", "steps", "tokens_per_s", "mean_kl", "top1")


def _metrics(metrics: Mapping[str, object]) -> str:
    shown = {
        name: value
        for name, value in metrics.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    return " · ".join(f"{name} {value:.4g}" for name, value in shown.items())


def _default_words(event: Event) -> str:
    match event:
        case PromotionEvent(decision="moved"):
            return f"promoted {words.short_digest(event.after)}"
        case PromotionEvent():
            kept = words.short_digest(event.before) if event.before else "nothing"
            return f"promoted stays {kept}: {event.reason_code}"
        case InterruptEvent():
            return f"{event.signal} received: checkpointed, recorded, released"
        case LeaseWaitEvent():
            return f"waiting for the lease of {event.holder}, {event.waited_s:.0f} s so far"
        case _:
            return event.type
