"""Supervised fine-tuning: the negative log-likelihood of every trained token."""

from collections.abc import Iterable
from typing import Any

from brewslm.engine.losses import token_losses
from brewslm.engine.mode_work import ModeWork, Sequences
from brewslm.engine.sequences import packed, unpacked
from brewslm.engine.token_row import Tokenized, TokenRow
from brewslm.engine.tokens import Renderer
from brewslm.rows.masks import loss_of
from brewslm.stages.training_config import TrainingConfig


def _tokenize(
    renderer: Renderer, lines: Iterable[dict[str, Any]], config: TrainingConfig
) -> Tokenized:
    """Return rows with the loss that the recipe asks for instead of the task's own."""

    def with_loss(line: dict[str, Any]) -> dict[str, Any]:
        loss = loss_of(line, config.completion_only_loss, config.assistant_only_loss)
        return {**line, "loss": loss}

    return renderer.tokenize(map(with_loss, lines), config.max_seq_length)


def _sequence(rows: list[TokenRow], config: TrainingConfig) -> Sequences:
    return packed(rows, config.max_seq_length) if config.sequence_packing else unpacked(rows)


WORK = ModeWork(_tokenize, _sequence, token_losses)
