"""The header of safetensors weights, checked before any library opens the file.

A header is accepted only where it is one strict JSON object whose tensors cover the data exactly,
each of a known type and of the size that its shape says.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from brewslm.errors import PlanError
from brewslm.strict_json import StrictJsonError, parse_strict

INDEX = "model.safetensors.index.json"
DTYPE_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U64": 8,
    "U32": 4,
    "U16": 2,
    "U8": 1,
    "BOOL": 1,
}
_MAX_HEADER_BYTES = 25 << 20
MAX_INDEX_BYTES = 25 << 20
FLOATS = {"F64": "d", "F32": "f", "F16": "e", "BF16": "f"}
"""Types of numbers that may be other than finite, with what `struct` calls them."""
_PIECE_BYTES = 1 << 16
_METADATA = "__metadata__"

Tensors = dict[str, tuple[str, list[int]]]
"""Name to type and shape."""


class _Entry(NamedTuple):
    dtype: str
    shape: list[int]
    start: int
    """Where the numbers begin, counted from the end of the header."""
    stop: int


def read_header(path: Path) -> Tensors:
    """Return the tensors of a file.

    Raises: PlanError with code MODEL_NOT_SAFETENSORS.
    """
    entries, _ = _read_entries(path)
    return {name: (entry.dtype, entry.shape) for name, entry in entries.items()}


def first_not_finite(path: Path) -> str | None:
    """Return the name of a tensor that holds an infinity or what is no number, read in pieces.

    Tensors of other types than `FLOATS` are passed over. Raises: PlanError with code
    MODEL_NOT_SAFETENSORS.
    """
    entries, data_start = _read_entries(path)
    with path.open("rb") as stream:
        for name, entry in entries.items():
            stream.seek(data_start + entry.start)
            for start in range(entry.start, entry.stop, _PIECE_BYTES):
                piece = stream.read(min(_PIECE_BYTES, entry.stop - start))
                if entry.dtype in FLOATS and not all(
                    map(math.isfinite, _numbers(entry.dtype, piece))
                ):
                    return name
    return None


def _numbers(dtype: str, data: bytes) -> tuple[float, ...]:
    """Return the numbers of a piece; those of type BF16 are the upper halves of F32."""
    if dtype == "BF16":
        widened = bytearray(2 * len(data))
        widened[2::4], widened[3::4] = data[0::2], data[1::2]
        dtype, data = "F32", bytes(widened)
    return struct.unpack(f"<{len(data) // DTYPE_BYTES[dtype]}{FLOATS[dtype]}", data)


def _read_entries(path: Path) -> tuple[dict[str, _Entry], int]:
    """Return the tensors of a file with their places, and where its data begin."""
    size_bytes = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(_MAX_HEADER_BYTES, size_bytes - 8):
            raise _bad_header(path, "a header length outside the file")
        raw = stream.read(length)
    try:
        header: dict[str, Any] = parse_strict(raw, require_object=True)
    except StrictJsonError as error:
        raise _bad_header(path, f"no JSON header: {error.code}") from error
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _bad_header(path, "metadata that is not text")
    entries = {name: _entry(path, name, item) for name, item in header.items()}
    end = 0
    for start, stop in sorted((entry.start, entry.stop) for entry in entries.values()):
        if start != end or stop < start:
            raise _bad_header(path, "tensors that overlap or leave holes")
        end = stop
    if 8 + length + end != size_bytes:
        raise _bad_header(path, "bytes beyond the last tensor, or missing ones")
    return entries, 8 + length


def read_weights(folder: Path, files: Sequence[Path]) -> Tensors:
    """Return the tensors of all files of a model, each in one of them and where its index says.

    Raises: PlanError with code MODEL_NOT_SAFETENSORS or BASE_REFUSED.
    """
    tensors: Tensors = {}
    places: dict[str, str] = {}
    for path in files:
        found = read_header(path)
        if twice := sorted(found.keys() & tensors.keys()):
            raise _bad_header(path, f"{twice[0]}, which {places[twice[0]]} holds too")
        tensors |= found
        places |= dict.fromkeys(found, path.name)
    if (folder / INDEX).is_file() and _index(folder / INDEX) != places:
        raise _refused_index("tensors or files that are not where it says")
    return tensors


def _entry(path: Path, name: str, entry: Any) -> _Entry:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _bad_header(path, "a tensor that is not described by type, shape and place")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        raise _bad_header(path, "a tensor of an unknown type")
    if not _is_counts(shape) or not _is_counts(offsets) or len(offsets) != 2:
        raise _bad_header(path, "a tensor whose shape or place is not counted")
    if not name.isprintable():
        raise _bad_header(path, "a tensor whose name cannot be printed")
    if math.prod(shape) * DTYPE_BYTES[dtype] != offsets[1] - offsets[0]:
        raise _bad_header(path, "a tensor of another size than its type and shape say")
    return _Entry(dtype, shape, offsets[0], offsets[1])


def _is_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _index(path: Path) -> Mapping[str, Any]:
    with path.open("rb") as stream:
        data = stream.read(MAX_INDEX_BYTES)
    try:
        found = parse_strict(data, require_object=True).get("weight_map")
    except StrictJsonError as error:
        raise _refused_index(error.message) from error
    if not isinstance(found, dict):
        raise _refused_index("no weight_map")
    return found


def _refused_index(found: str) -> PlanError:
    return PlanError(
        f"{INDEX} does not describe the weights beside it",
        code="BASE_REFUSED",
        found=found,
        expected="every tensor of every weight file, by the name of its file",
        remedy="fetch the model again",
    )


def _bad_header(path: Path, found: str) -> PlanError:
    return PlanError(
        f'"{path.name}" is no whole safetensors file',
        code="MODEL_NOT_SAFETENSORS",
        found=found,
        expected="a safetensors file whose header covers its data exactly",
        remedy="fetch the file again",
    )
