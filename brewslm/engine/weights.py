"""Whether a loaded model or adapter got all of its weights from its files.

Libraries fill in random numbers for a tensor that the files lack, and pass over one that the model
lacks; both only warn. Nothing is trained on, evaluated or exported from such a model.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import safe_open
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from brewslm.errors import WorkerError

_WEIGHTS = "adapter_model.safetensors"
_OTHER_SHAPE = "size mismatch"
"""What torch says of a tensor of another shape."""
_MOST_NAMES = 4


def check_loaded(model: PreTrainedModel, loading_info: Mapping[str, Any], name: str) -> None:
    """Refuse a model whose files lack a tensor, hold one too many, or one of another shape.

    loading_info: as `from_pretrained(output_loading_info=True)` returns it. The library has already
    taken out what a class declares as recomputed or tied: `rotary_emb.inv_freq`, the head of tied
    embeddings, heads for several tokens. Raises: WorkerError with base_weights_missing.
    """
    mismatched = [
        f"{key} {list(found)} instead of {list(wanted)}"
        for key, found, wanted in {*loading_info["mismatched_keys"], *_misshapen(model)}
    ]
    found = _listed(
        missing=loading_info["missing_keys"],
        unexpected=loading_info["unexpected_keys"],
        **{"of another shape": mismatched},
    )
    if found:
        raise _incomplete(
            "the weights of the base model are not those of its config", f"{name}: {found}"
        )


def adapter_attached(model: PreTrainedModel, folder: Path) -> PeftModel:
    """Return the base model with an adapter whose every tensor was taken from its file.

    Raises: WorkerError with base_weights_missing when the adapter's tensors are not those that its
    config asks for on this model.
    """
    try:
        attached = PeftModel.from_pretrained(model, str(folder), is_trainable=False)
        loaded = attached.load_adapter(str(folder), "default", is_trainable=False)
    except KeyError as error:  # of a module that was saved whole
        raise _adapter_incomplete(_listed(missing=list(map(str, error.args)))) from error
    except RuntimeError as error:
        if _OTHER_SHAPE not in str(error):
            raise
        line = next(line for line in str(error).splitlines() if _OTHER_SHAPE in line)
        raise _adapter_incomplete(line.strip()[:300]) from error
    # the library tells of factors only, not of modules that were saved whole, tokens and biases
    missing = _own_names(attached) - _held_names(folder) or loaded.missing_keys
    found = _listed(missing=missing, unexpected=loaded.unexpected_keys)
    if found:
        raise _adapter_incomplete(found)
    return attached


def replaces_weights(attached: PeftModel, folder: Path) -> bool:
    """Return whether an adapter put tensors of its own in the place of the base model's, which then
    stay there: biases, or embeddings that were saved whole.
    """
    is_biased = attached.peft_config["default"].bias != "none"
    return is_biased or bool(_held_names(folder) - _own_names(attached))


def check_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer with a token for which the model has no embedding.

    Raises: WorkerError with base_refused.
    """
    rows = int(model.get_input_embeddings().weight.shape[0])
    largest = max(tokenizer.get_vocab().values(), default=0)
    if largest >= rows:
        raise WorkerError(
            "the tokenizer has tokens for which the base model has no embedding",
            code="base_refused",
            found=f"token id {largest} and {rows} embeddings",
            expected=f"token ids up to {rows - 1}",
            remedy="delete the added tokens from the tokenizer's files, or call "
            f"model.resize_token_embeddings({largest + 1}) and save the model into its folder",
        )


def _own_names(attached: PeftModel) -> set[str]:
    """Return the names that the tensors of an adapter have in its file."""
    return set(get_peft_model_state_dict(attached, save_embedding_layers=False))


def _held_names(folder: Path) -> set[str]:
    with safe_open(folder / _WEIGHTS, "pt") as weights:
        return set(weights.keys())


def _misshapen(model: PreTrainedModel) -> Iterator[tuple[str, torch.Size, torch.Size]]:
    """Yield the weights of linear modules of another shape than the module's, with both shapes.

    The library compares no shapes where it quantises while it loads.
    """
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            wanted = torch.Size((module.out_features, module.in_features))
            found = getattr(module.weight, "quant_state", module.weight).shape
            if found != wanted:
                yield f"{name}.weight", found, wanted


def _listed(**names: Collection[str]) -> str:
    """Return the first names of each kind, empty where there are none."""
    parts = []
    for kind, items in names.items():
        if items:
            first = ", ".join(sorted(items)[:_MOST_NAMES])
            more = f" and {len(items) - _MOST_NAMES} more" if len(items) > _MOST_NAMES else ""
            parts.append(f"{kind}: {first}{more}")
    return "; ".join(parts)


def _adapter_incomplete(found: str) -> WorkerError:
    return _incomplete("the weights of the adapter are not those of its config", found)


def _incomplete(message: str, found: str) -> WorkerError:
    return WorkerError(
        message,
        code="base_weights_missing",
        found=found,
        expected="every tensor that the config asks for, by its name and in its shape, no other",
        remedy="fetch the files again, or save them with the library that made them: "
        "model.save_pretrained(FOLDER)",
    )
