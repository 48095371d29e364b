"""Who a row is: digests of its content alone, never of its place."""

import hashlib
from collections.abc import Mapping
from typing import Any

from brewslm.fingerprint import canonical_json
from brewslm.rows.matching import matching_key
from brewslm.rows.record import Example
from brewslm.rows.rejects import RejectCode, RejectedRow

_ORDER = 2**64


def hex_digest(data: bytes) -> str:
    """Return 64 hex digits of SHA-256."""
    return hashlib.sha256(data).hexdigest()


def identify(example: Example, group_values: Mapping[str, Any] | None) -> None:
    """Give a cleaned example its row_id, input_key and group_key.

    group_values: the columns of `split.group_by`; None where none are declared.
    Raises: RejectedRow where a number has no canonical form.
    """
    try:
        example.row_id = row_id_of(example)
        example.input_key = matching_key(example.inputs or example.reference)
        if group_values is None:
            example.group_key = f"i:{example.input_key}"
        else:
            example.group_key = f"g:{canonical_json(list(group_values.values())).decode()}"
    except ValueError as error:
        raise RejectedRow(RejectCode.NUMBER_OUT_OF_RANGE, "", "more than 53 bits") from error


def row_id_of(example: Example) -> str:
    """Return the digest of profile, inputs and reference."""
    return hex_digest(
        canonical_json(
            {
                "task_profile": example.task_profile,
                "inputs": example.inputs,
                "reference": example.reference,
            }
        )
    )


def order_digest(seed: int, row_id: str) -> str:
    """Return the digest by which lines are ordered and rows are chosen, in hex."""
    return hex_digest(f"{seed}\0{row_id}".encode())


def order_ratio(digest: str) -> float:
    """Return an order digest as a number in [0, 1)."""
    return int(digest[:16], 16) / _ORDER


def split_ratio(seed: int, group_key: str) -> float:
    """Return where in [0, 1) a group stands for placement; a property of seed and key alone."""
    digest = hashlib.sha256(b"brewslm.split.v1\0%d\0%b" % (seed, group_key.encode())).digest()
    return int.from_bytes(digest[:8], "big") / _ORDER
