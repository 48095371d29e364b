"""Muon in float32.

`torch.optim.Muon` orthogonalises in bfloat16, which took 7.2 s of CPU a step for the matrices of
`builtin:nano` on a processor without bfloat16 arithmetic; float32 took 0.25 s.
"""

import math
from collections.abc import Iterable
from concurrent.futures import Executor
from functools import partial
from typing import Final

import torch

_MOMENTUM: Final = 0.95
_WEIGHT_DECAY: Final = 0.05
_RMS_OF_ADAMW: Final = 0.2
_ITERATIONS: Final = 5
_COEFFICIENTS: Final = (3.4445, -4.7750, 2.0315)
_SMALLEST_NORM: Final = 1e-7


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made nearly orthogonal, for matrices (rows, columns).

    Source: Jordan et al. (2024), Muon; the learning rate is scaled as AdamW's (Liu et al. 2025).
    """

    def __init__(self, matrices: Iterable[torch.Tensor], lr: float, pool: Executor) -> None:
        """pool: runs the matrices beside each other; the result does not depend on it."""
        super().__init__(matrices, {"lr": lr})
        self._pool = pool

    def step(self) -> None:
        """One step of all matrices."""
        for group in self.param_groups:
            update = partial(self._update, learning_rate=group["lr"])
            list(self._pool.map(update, group["params"]))

    @torch.no_grad()
    def _update(self, matrix: torch.Tensor, *, learning_rate: float) -> None:
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
        momentum = state["momentum"].lerp_(matrix.grad, 1 - _MOMENTUM)
        update = orthogonal(matrix.grad.lerp(momentum, _MOMENTUM))
        matrix.mul_(1 - learning_rate * _WEIGHT_DECAY)
        matrix.sub_(update, alpha=learning_rate * _RMS_OF_ADAMW * math.sqrt(max(matrix.shape)))


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """Return a matrix with the same singular vectors and singular values of about 0.7 to 1.2.

    Five Newton-Schulz iterations of the fifth order; singular values near 0 stay small.
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    wide = matrix.T if is_tall else matrix
    wide = wide / wide.norm().clamp(min=_SMALLEST_NORM)
    first, third, fifth = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        gram = wide @ wide.T
        wide = first * wide + (third * gram + fifth * gram @ gram) @ wide
    return wide.T if is_tall else wide
