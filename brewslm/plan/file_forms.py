"""Whether files beside a model's weights are of the form that their names say.

They are kept and may be handed on, so that none may be something else under a harmless name, such
as a pickle called tokenizer.json. Nothing is done with their content.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from brewslm.rows.tokenizer_trial import MAX_BYTES

_SENTENCEPIECE = "tokenizer.model"
_MAGIC = {
    ".png": b"\x89PNG\r\n",
    ".jpg": b"\xff\xd8\xff",
    ".jpeg": b"\xff\xd8\xff",
    ".gif": b"GIF8",
    ".webp": b"RIFF",
    ".pdf": b"%PDF-",
}
"""How files that are not text begin."""
_LENGTH = 2
"""The wire type of a field that has a length."""
_FIELDS_OF_MODEL = range(1, 6)
"""Fields of SentencePiece's ModelProto: pieces, trainer, normaliser, self test, denormaliser."""


def is_of_its_form(path: Path) -> bool:
    """Return whether a file holds what its name says: JSON, text, a picture, a tokenizer model."""
    if path.stat().st_size > MAX_BYTES:
        return False
    data = path.read_bytes()
    suffix = path.suffix.lower()
    if path.name == _SENTENCEPIECE:
        return _is_model_proto(data)
    if suffix == ".json":
        return _is_object(data)
    if suffix in _MAGIC:
        return data.startswith(_MAGIC[suffix])
    return _is_text(data)


def _is_object(data: bytes) -> bool:
    try:
        msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True


def _is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


def _is_model_proto(data: bytes) -> bool:
    """Return whether the bytes are fields of a ModelProto, from the first to the last one."""
    try:
        return bool(data) and all(
            field in _FIELDS_OF_MODEL and wire == _LENGTH for field, wire in _fields(data)
        )
    except IndexError:
        return False


def _fields(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield number and wire type of each field of a protobuf message; a field other than one with
    a length ends it. Raises: IndexError where the message is cut.

    Source: Protocol Buffers, Encoding.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        yield key >> 3, key & 7
        size, at = _varint(data, at)
        at += size
    if at != len(data):
        raise IndexError(at)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise IndexError(at)
