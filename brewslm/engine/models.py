"""The models that a worker keeps between jobs: one base model, adapters put on and taken off it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from brewslm.engine.base import Loading, load_model, load_tokenizer
from brewslm.engine.lora import attach
from brewslm.engine.weights import check_vocabulary, replaces_weights

_Key = tuple[tuple[Path, ...], Loading]
_held: dict[_Key, tuple[PreTrainedModel, PreTrainedTokenizerBase]] = {}


def base_model(folder: Path, loading: Loading) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a base model with its tokenizer, loaded once and kept until other files are asked for,
    wherever the links to them lie.
    """
    key = (tuple(sorted(path.resolve() for path in folder.iterdir())), loading)
    if key not in _held:
        _held.clear()
        model, tokenizer = load_model(folder, loading), load_tokenizer(folder, loading)
        check_vocabulary(model, tokenizer)
        _held[key] = (model, tokenizer)
    return _held[key]


def forget() -> None:
    """Free the model that is held."""
    _held.clear()


@contextlib.contextmanager
def answering_model(model: PreTrainedModel, lora_adapter: Path | None) -> Iterator[Any]:
    """Lend the base model, with an adapter on it if given; afterwards it is the base again."""
    if lora_adapter is None:
        yield model
        return
    attached = None
    try:
        attached = attach(model, lora_adapter)
        yield attached
    finally:
        if attached is None or replaces_weights(attached, lora_adapter):
            forget()  # the base holds what the adapter put into it
        if attached is not None:
            attached.unload()
