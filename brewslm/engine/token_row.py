"""A row as token ids with its loss mask, and what of a set became such rows."""

from dataclasses import dataclass

from brewslm.rows.masks import IGNORED


@dataclass(frozen=True)
class TokenRow:
    """A row as a model sees it."""

    row_id: str
    input_ids: list[int]
    labels: list[int]
    """As long as `input_ids`; `IGNORED` where no loss is taken."""
    source: int | None = None
    """Number of the source that it counts for; None where rows are not counted."""

    @property
    def trained_tokens(self) -> int:
        """Positions that carry loss."""
        return sum(label != IGNORED for label in self.labels)


@dataclass(frozen=True)
class Tokenized:
    """Rows that can be trained on, and what was left out by reason."""

    rows: list[TokenRow]
    left_out: dict[str, list[str]]
    """rows_too_long, rows_without_loss, or a reject code: to row_ids."""
