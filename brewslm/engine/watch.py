"""What happens beside the steps of a training run: log, progress, stopping, the best adapter.

The state of it all travels in each checkpoint, so that a resumed run stops where it would have
stopped.
"""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from brewslm.contracts import Reporter
from brewslm.engine.devices import memory_peak_bytes, save_random_state
from brewslm.engine.lora import trained_state
from brewslm.engine.stopping import WatchState, reason_to_stop, take_validation
from brewslm.engine.train_log import LogLine, TrainLog
from brewslm.errors import WorkerError
from brewslm.stages.training_config import TrainingConfig

STATE = "watch.json"
BEST = "best.safetensors"
_QUIET_S = 60.0
"""Without word from a step for so long, its micro-batches tell that the work goes on."""


class Watch(TrainerCallback):
    """Follows one run."""

    def __init__(
        self,
        config: TrainingConfig,
        report: Reporter,
        log: TrainLog,
        model: PeftModel,
        held: Mapping[str, Any],
    ) -> None:
        """log: where points are written; held: the micro-batch, for whoever resumes."""
        self._config = config
        self._report = report
        self._log = log
        self._model = model
        self.state = WatchState(held=dict(held))
        self.best: dict[str, torch.Tensor] = {}
        self.trainer: Any = None
        self.is_interrupted = False
        self.is_counting = True
        """Whether every row since the first step was counted."""
        self._begun_s = time.monotonic()
        self._told_s = self._begun_s
        self._window: list[float] = []
        self._eval_begun_s = 0.0

    @property
    def elapsed_s(self) -> float:
        """Seconds of training, those before an interruption included."""
        return self.state.elapsed_s + time.monotonic() - self._begun_s

    def begin(self) -> None:
        """Start the clock of this process."""
        self._begun_s = time.monotonic()

    def save(self, folder: Path) -> None:
        """Write the state into a checkpoint folder."""
        document = asdict(self.state) | {"elapsed_s": self.elapsed_s}
        (folder / STATE).write_text(json.dumps(document))
        if self.best:
            save_file(self.best, str(folder / BEST))
        save_random_state(folder)

    def restore(self, folder: Path) -> None:
        """Take over the state of a checkpoint folder, all but the micro-batch."""
        self.state = replace(_state_in(folder), held=self.state.held)
        self.best = load_file(str(folder / BEST)) if (folder / BEST).exists() else {}
        self.trainer.trained_tokens = self.state.trained_tokens
        self.trainer.seen_tokens = self.state.seen_tokens
        self.is_counting = self.state.seen_rows is not None
        self.trainer.seen_rows.update(
            {int(number): rows for number, rows in (self.state.seen_rows or {}).items()}
        )

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
        """Take up the loss of an optimizer step; a loss that is no number ends the run."""
        if not logs or "loss" not in logs:
            return
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise WorkerError(
                f"the training loss is {loss} at step {state.global_step}",
                code="training_nonfinite_loss",
                expected="a finite number",
                remedy="lower learning_rate, raise warmup_ratio, or write dtype: float32",
            )
        watched = self.state
        watched.losses.append(loss)
        self._window.append(loss)
        watched.trained_tokens = self.trainer.trained_tokens
        watched.seen_tokens = self.trainer.seen_tokens
        if self.is_counting:
            watched.seen_rows = {str(key): rows for key, rows in self.trainer.seen_rows.items()}
        step = state.global_step
        if step % self._config.logging_steps == 0 or step == state.max_steps or step == 1:
            self._log.add(self._line(state, logs, sum(self._window) / len(self._window)))
            self._window.clear()
        self._tell(state)

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Show now and then that a long step goes on."""
        self._tell_if_quiet(state)

    def on_prediction_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Show now and then that a long validation goes on."""
        self._tell_if_quiet(state)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Stop when asked to, when the time is over, or when the loss stays where it is."""
        if self._report.is_stop_requested():
            self.is_interrupted = True
            control.should_save = True
            control.should_training_stop = True
            return
        reason = reason_to_stop(self.state, state.global_step, self.elapsed_s, self._config)
        if reason:
            self._stop(control, reason)

    def on_evaluate(
        self,
        args: Any,  # noqa: ARG002  the library's signature
        state: Any,
        control: Any,
        metrics: Any = None,
        **_: Any,
    ) -> None:
        """Keep the best adapter; stop after too many evaluations without gain."""
        loss = float(metrics["eval_loss"])
        self._log.add(self._line(state, {"eval_loss": loss}, None))

        def keep() -> None:
            self.best = trained_state(self._model)
            control.should_save = control.should_save or self._config.save_strategy == "best"

        reason = take_validation(self.state, loss, state.global_step, self._config, keep)
        if reason:
            self._stop(control, reason)

    def _tell_if_quiet(self, state: Any) -> None:
        if time.monotonic() - self._told_s > _QUIET_S:
            self._tell(state)

    def _tell(self, state: Any) -> None:
        self._told_s = time.monotonic()
        losses = self.state.losses
        metrics = {"loss": losses[-1] if losses else None, "eval_loss": self.state.last_eval_loss}
        self._report.progress("steps", state.global_step, state.max_steps or None, metrics)

    def _stop(self, control: Any, reason: str) -> None:
        self.state.stop_reason = self.state.stop_reason or reason
        control.should_training_stop = True

    def _line(self, state: Any, logs: dict[str, Any], loss: float | None) -> LogLine:
        elapsed_s = self.elapsed_s
        return LogLine(
            step=state.global_step,
            epoch=round(float(state.epoch or 0), 4),
            loss=loss,
            eval_loss=logs.get("eval_loss"),
            learning_rate=logs.get("learning_rate"),
            grad_norm=logs.get("grad_norm"),
            tokens=self.state.seen_tokens,
            tokens_per_s=round(self.state.seen_tokens / elapsed_s, 1) if elapsed_s else None,
            peak_bytes=memory_peak_bytes(),
            elapsed_s=round(elapsed_s, 3),
        )


def held_in(checkpoint: Path) -> dict[str, Any]:
    """Return the micro-batch that a checkpoint was made with, as it was given to its watch."""
    return _state_in(checkpoint).held


def _state_in(folder: Path) -> WatchState:
    return WatchState(**json.loads((folder / STATE).read_text()))
