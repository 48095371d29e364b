"""The loss is what the formula says, whatever batch, padding and accumulation."""

import math

import pytest
import torch

from brewslm.engine.base import Loading, load_model
from brewslm.engine.batches import Flattening, RightPadding
from brewslm.engine.losses import token_losses
from brewslm.engine.sequences import packed
from brewslm.engine.token_row import TokenRow
from brewslm.engine.tokens import Renderer
from tests.engine.loaded.conftest import NANO, prepared_row


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    """Return the base model in float32."""
    return load_model(NANO, Loading())


@pytest.fixture(scope="module")
def rows(renderer: Renderer) -> list[TokenRow]:
    """Return rows of different lengths."""
    return [renderer.completion(prepared_row(number)) for number in range(6)]


def _by_hand(model: torch.nn.Module, row: TokenRow) -> list[float]:
    """Return the losses of one row, position by position, in float64."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([row.input_ids])).logits[0].double()
    found = []
    for at, label in enumerate(row.labels[1:]):
        if label != -100:
            scores = [float(score) for score in logits[at]]
            most = max(scores)
            log_sum = most + math.log(sum(math.exp(score - most) for score in scores))
            found.append(log_sum - scores[label])
    return found


def _batch(rows: list[TokenRow]) -> dict[str, torch.Tensor]:
    return RightPadding(3)([{"input_ids": row.input_ids, "labels": row.labels} for row in rows])


def test_losses_of_a_padded_batch_are_those_of_each_row(
    model: torch.nn.Module, rows: list[TokenRow]
) -> None:
    with torch.no_grad():
        losses = token_losses(model, _batch(rows), torch.float32)
    expected = [loss for row in rows for loss in _by_hand(model, row)]
    assert losses.tolist() == pytest.approx(expected, abs=2e-4)


def test_packed_rows_do_not_see_each_other(model: torch.nn.Module, rows: list[TokenRow]) -> None:
    batch = Flattening(RightPadding(3))(packed(rows, 64))
    with torch.no_grad():
        losses = token_losses(model, batch, torch.float32)
    expected = [loss for row in rows for loss in _by_hand(model, row)]
    assert sorted(losses.tolist()) == pytest.approx(sorted(expected), abs=2e-4)


def test_row_without_trained_tokens_adds_nothing(
    model: torch.nn.Module, rows: list[TokenRow]
) -> None:
    masked = TokenRow("m", rows[0].input_ids, [-100] * len(rows[0].input_ids))
    with torch.no_grad():
        alone = token_losses(model, _batch(rows[1:2]), torch.float32)
        beside = token_losses(model, _batch([masked, rows[1]]), torch.float32)
        nothing = token_losses(model, _batch([masked]), torch.float32)
    assert beside.tolist() == pytest.approx(alone.tolist(), abs=2e-5)
    assert nothing.numel() == 0
