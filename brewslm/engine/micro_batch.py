"""How the rows of an optimizer step are held in memory, and what is tried when memory runs out.

Micro-batch times accumulation never changes, so neither does the mathematics of a run: the loss is
a sum over the rows of a step, whatever its parts. Sequence length and quantisation are not touched;
those change the model.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from brewslm.stages.training_config import TrainingConfig


@dataclass(frozen=True)
class MicroBatch:
    """One way to hold the rows of an optimizer step."""

    batch_size: int
    """Rows of one forward pass."""
    gradient_accumulation_steps: int
    eval_batch_size: int
    gradient_checkpointing: bool

    @classmethod
    def of(cls, config: TrainingConfig) -> "MicroBatch":
        """Return what a config asks for."""
        return cls(
            config.batch_size,
            config.gradient_accumulation_steps,
            config.eval_batch_size or config.batch_size,
            config.gradient_checkpointing,
        )

    @property
    def rows_a_step(self) -> int:
        """Rows of one optimizer step."""
        return self.batch_size * self.gradient_accumulation_steps

    def smaller(self) -> "MicroBatch | None":
        """Return the next that needs less memory: half the rows, then recomputed activations.

        A micro-batch that two does not divide is divided by its smallest factor, so that the
        product stays exact. None at the end of the ladder.
        """
        if self.batch_size > 1:
            factor = _smallest_factor(self.batch_size)
            return replace(
                self,
                batch_size=self.batch_size // factor,
                gradient_accumulation_steps=self.gradient_accumulation_steps * factor,
                eval_batch_size=max(1, self.eval_batch_size // factor),
            )
        if not self.gradient_checkpointing:
            return replace(self, eval_batch_size=1, gradient_checkpointing=True)
        return None

    def resumed(self, document: Mapping[str, Any]) -> "MicroBatch":
        """Return what a checkpoint was made with, where its step has the rows that are asked for
        now; what is asked for otherwise.
        """
        if not document:
            return self
        held = MicroBatch(**document)
        if held.rows_a_step != self.rows_a_step or held.batch_size > self.batch_size:
            return self
        return replace(
            held,
            eval_batch_size=min(held.eval_batch_size, self.eval_batch_size),
            gradient_checkpointing=held.gradient_checkpointing or self.gradient_checkpointing,
        )

    def applied_to(self, config: TrainingConfig) -> TrainingConfig:
        """Return the config with these values in place of its own."""
        return config.model_copy(update=asdict(self))

    def __str__(self) -> str:
        """Return the values in words of the manifest."""
        recomputed = ", gradient_checkpointing true" if self.gradient_checkpointing else ""
        return (
            f"batch_size {self.batch_size}, "
            f"gradient_accumulation_steps {self.gradient_accumulation_steps}{recomputed}"
        )


def _smallest_factor(number: int) -> int:
    return next(factor for factor in range(2, number + 1) if number % factor == 0)
