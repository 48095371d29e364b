"""Losses of tokens, taken at trained positions only.

TRL's fused head would score every position where Triton is missing, so logits are computed here,
for the positions that count.
"""

from collections.abc import Mapping
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from brewslm.engine.devices import autocast
from brewslm.rows.masks import IGNORED

_SCALED_HEADS = ("final_logit_softcapping", "logits_scaling", "logit_scale")
"""Config fields of models whose logits are more than hidden states times the head."""


def token_losses(
    model: Any, inputs: Mapping[str, torch.Tensor], compute_dtype: torch.dtype
) -> torch.Tensor:
    """Return the negative log-likelihood, in nats, of every trained token of a batch.

    Shape (trained tokens,), in row order; logits are computed at those positions alone.
    """
    labels = inputs["labels"][:, 1:]
    is_trained = labels != IGNORED
    passed = {name: value for name, value in inputs.items() if name != "labels"}
    inner: PreTrainedModel = model.get_base_model() if isinstance(model, PeftModel) else model
    with autocast(compute_dtype):
        if any(getattr(inner.config, name, None) for name in _SCALED_HEADS):
            logits = model(**passed, use_cache=False).logits[:, :-1][is_trained]
        else:
            hidden = inner.get_decoder()(**passed, use_cache=False).last_hidden_state
            logits = inner.get_output_embeddings()(hidden[:, :-1][is_trained])
    return torch.nn.functional.cross_entropy(logits.float(), labels[is_trained], reduction="none")
