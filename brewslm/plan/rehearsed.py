"""What a rehearsal found of the rows of a set, and how many steps a run over them has."""

import math
from importlib import import_module

from msgspec import Struct, field

from brewslm.stages.training_config import TrainingConfig


class Fault(Struct, frozen=True):
    """A row that is left out."""

    row_id: str
    detail: str


class SetRehearsal(Struct):
    """What becomes of the rows of a set."""

    is_whole: bool = True
    """Whether every row was rehearsed."""
    lengths: list[tuple[int, str]] = field(default_factory=list)
    """Tokens and row_id of what an epoch sees, each row as often as its weight says."""
    left_out: dict[str, list[Fault]] = field(default_factory=dict)
    effective_left_out: dict[str, int] = field(default_factory=dict)
    """Code to rows that an epoch would have seen."""
    hidden_reasoning: int = 0
    """Rows whose reasoning the template does not show."""

    def steps(self, config: TrainingConfig) -> int:
        """Return the optimizer steps of a run that trains on what an epoch sees."""
        if config.max_steps > 0:
            return config.max_steps
        sequences = len(self.lengths)
        if config.sequence_packing:
            packing = import_module("brewslm.rows.packing")  # only a run that is counted needs it
            sequences = len(packing.packed_rows(self.lengths, config.max_seq_length))
        if config.dataloader_drop_last:
            sequences -= sequences % config.batch_size
        rows_per_step = config.batch_size * config.gradient_accumulation_steps
        return math.ceil(-(-sequences // rows_per_step) * config.num_epochs)
