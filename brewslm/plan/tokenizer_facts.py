"""What a plan knows of a base model's tokenizer: how many tokens it has, which of them mark turns,
and whether a chat template comes with it.

Only the vocabulary is read, as plain JSON of the expected types; no library loads the file.
"""

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from brewslm.stages.chat_templates import TEMPLATE_TOKENS

_TOKENIZER, _SETTINGS = "tokenizer.json", "tokenizer_config.json"
_TEMPLATES = ("chat_template.jinja", "chat_template.json")
_MAP, _OLD_ADDED = "special_tokens_map.json", "added_tokens.json"
"""Files that the libraries read where the settings do not list the added tokens."""
_DECODER = "added_tokens_decoder"
_EXTRA, _OLD_EXTRA = "extra_special_tokens", "additional_special_tokens"
_ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token")
_MARKERS = frozenset(token for tokens in TEMPLATE_TOKENS.values() for token in tokens)


class TokenizerFacts(Struct, frozen=True):
    """A tokenizer, as far as its files tell."""

    tokens: int
    """The largest id and one."""
    markers: tuple[str, ...]
    """Those of `TEMPLATE_TOKENS` that are special tokens of it."""
    has_end: bool
    """Whether it has a token that ends a sequence."""
    has_template: bool


class _Added(Struct):
    id: int
    content: str
    special: bool = False


class _Model(Struct):
    vocab: dict[str, int] | list[tuple[str, float]] | None = None


class _File(Struct):
    model: _Model
    added_tokens: list[_Added] = []


class _Token(Struct):
    content: str = ""
    special: bool = True


class _Settings(Struct):
    chat_template: Any = None
    added_tokens_decoder: dict[str, _Token] = {}
    bos_token: str | _Token | None = None
    eos_token: str | _Token | None = None
    unk_token: str | _Token | None = None
    sep_token: str | _Token | None = None
    pad_token: str | _Token | None = None
    cls_token: str | _Token | None = None


def read_tokenizer(folder: Path) -> TokenizerFacts | None:
    """Return the facts of a tokenizer, None where its files are of another form.

    A special token that the vocabulary lacks is added behind it by the libraries.
    """
    try:
        file = msgspec.json.decode((folder / _TOKENIZER).read_bytes(), type=_File)
        written = _object_in(folder / _SETTINGS)
        settings = msgspec.convert(written, _Settings)
        named = _named_tokens(written)
        if _DECODER not in written:
            mapped = _object_in(folder / _MAP)
            mapped.pop(_OLD_EXTRA, None)
            named = _named_tokens(written | mapped) | _object_in(folder / _OLD_ADDED).keys()
        declared = {int(key): token for key, token in settings.added_tokens_decoder.items()}
    except (OSError, ValueError):
        return None
    vocabulary = file.model.vocab
    if vocabulary is None:
        return None
    if isinstance(vocabulary, list):
        vocabulary = {token: index for index, (token, _) in enumerate(vocabulary)}
    added: dict[int, _Added | _Token] = {item.id: item for item in file.added_tokens} | declared
    known = vocabulary.keys() | {item.content for item in added.values()}
    roles = [_content(getattr(settings, name)) for name in _ROLES]
    unknown = named - known
    largest = max((*vocabulary.values(), *added), default=-1)
    special = {item.content for item in added.values() if item.special} | {*roles}
    return TokenizerFacts(
        tokens=largest + 1 + len(unknown),
        markers=tuple(sorted(_MARKERS & special)),
        has_end=bool(_content(settings.eos_token)),
        has_template=bool(settings.chat_template)
        or any((folder / name).is_file() for name in _TEMPLATES),
    )


def _object_in(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, an empty one where there is no file."""
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Any]) if path.is_file() else {}


def _named_tokens(settings: dict[str, Any]) -> set[str]:
    """Return the texts of the special tokens that settings name, whatever their roles."""
    values = [value for name, value in settings.items() if name.endswith("_token")]
    for extra in (
        settings.get(_EXTRA, settings.get(_OLD_EXTRA)),
        settings.get("model_specific_special_tokens"),
    ):
        if isinstance(extra, dict):
            values += extra.values()
        elif isinstance(extra, list):
            values += extra
    texts = (value.get("content") if isinstance(value, dict) else value for value in values)
    return {text for text in texts if text and isinstance(text, str)}


def _content(token: str | _Token | None) -> str:
    return token.content if isinstance(token, _Token) else token or ""
