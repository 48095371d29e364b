"""How fast the device that trains computes: constants for a host where no run was measured yet.

Measured on two cores of an x86-64 server with float32 weights: LoRA training of a decoder with
256 hidden units and 4 layers at 4,000 to 5,500 tokens a second, of one with 576 and 30 at 220 to
290, greedy answers in batches of 8 at 60 rows a second, starting a worker 8 to 10 s. Nothing was
measured with an accelerator; its constants are assumed, and the band around them is wider.
"""

from msgspec import Struct

WORKER_START_S = 8.0
"""Starting the worker and importing its libraries, once an apply."""
LOAD_S = 0.5
"""Reading a small model and its tokenizer."""

_CORE_FLOPS_A_S = 1.5e11
_CUDA_FLOPS_A_S = 4e13
_NARROW = 768
"""Hidden size at which half of the rate is reached: narrow layers move more than they compute."""
_MAX_CORES = 16
"""More cores than this do not speed up models that train on a host."""
_STEP_S, _CUDA_STEP_S = 8e-3, 2e-3
"""A training step's fixed cost a layer: forward, backward and the optimizer."""
_DECODE_S, _CUDA_DECODE_S = 1.2e-3, 5e-4
"""Fixed cost a layer of one forward pass."""


class Device(Struct, frozen=True):
    """What of a host decides how long work takes."""

    cores: int = 2
    has_cuda: bool = False

    @property
    def spread(self) -> float:
        """The factor by which a prediction from these constants may be wrong either way."""
        return 4.0 if self.has_cuda else 2.0

    def compute_s(self, flops: float, hidden_size: int) -> float:
        """Return the seconds of floating-point operations in layers of a width."""
        rate = _CUDA_FLOPS_A_S if self.has_cuda else _CORE_FLOPS_A_S * min(self.cores, _MAX_CORES)
        return flops / (rate * max(hidden_size, 1) / (hidden_size + _NARROW))

    def step_s(self, layers: int) -> float:
        """Return the fixed seconds of one training step."""
        return (_CUDA_STEP_S if self.has_cuda else _STEP_S) * (layers + 1)

    def pass_s(self, layers: int) -> float:
        """Return the fixed seconds of one forward pass."""
        return (_CUDA_DECODE_S if self.has_cuda else _DECODE_S) * (layers + 1)
