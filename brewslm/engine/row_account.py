"""The rows of a run by source: repeated as their weights ask, counted as the model sees them, and
held against what the prepared manifest and the plan counted.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson

from brewslm.engine.sequences import SOURCES, EpochOrder
from brewslm.engine.token_row import Tokenized, TokenRow
from brewslm.errors import WorkerError
from brewslm.rows.index import first_occurrences
from brewslm.rows.prepared import MANIFEST_NAME
from brewslm.rows.rehearsal_program import TOO_LONG

_UNKNOWN = "unknown"
"""The source of rows in a folder that has no index."""


@dataclass(frozen=True)
class RowAccount:
    """What an epoch of a run holds."""

    rows: list[TokenRow]
    """Every row as often as an epoch sees it, with the number of its source."""
    names: tuple[str, ...]
    """Sources by number."""
    left_out: dict[str, Counter[str]]
    """Code to effective rows by source."""
    mix: Mapping[str, Any]
    """The mix of the prepared manifest."""
    is_by_source: bool
    """Whether each row belongs to one source; without deduplication it may belong to several."""

    @property
    def epoch_rows(self) -> Counter[str]:
        """Rows of an epoch by source."""
        return Counter(self.names[row.source or 0] for row in self.rows)

    def check_epoch(self, planned: Mapping[str, Any]) -> None:
        """Check that an epoch holds the rows that were prepared and planned.

        planned: the run as the plan counted it, empty where it could not.

        Raises: WorkerError with training_data_mismatch.
        """
        sources = self.mix.get("sources") or {}
        if sources:
            found = self.epoch_rows.copy()
            for left in self.left_out.values():
                found.update(left)
            wanted = {name: int(item["effective_rows"]) for name, item in sources.items()}
            compare("rows of an epoch", self._comparable(found), self._comparable(wanted))
        if planned:
            too_long = sum(self.left_out.get(TOO_LONG, Counter()).values())
            wanted = {"rows": planned["rows"] + planned[TOO_LONG]}
            compare("rows of an epoch", {"rows": len(self.rows) + too_long}, wanted)

    def check_run(
        self,
        sequences: Sequence[Mapping[str, Any]],
        order: EpochOrder,
        rows_per_step: int,
        steps: int,
        seen: Mapping[str, int],
    ) -> None:
        """Check that the model saw the rows that its steps were to show it.

        seen: rows by source. Raises: WorkerError with training_data_mismatch.
        """
        numbers = Counter(
            source
            for shown in _shown(order, rows_per_step, steps)
            for source in sequences[shown][SOURCES]
        )
        compare(f"rows of {steps} steps", seen, self.named(numbers))

    def named(self, numbers: Mapping[int, int]) -> dict[str, int]:
        """Return numbers of rows by the name of their source."""
        return {self.names[number]: rows for number, rows in sorted(numbers.items())}

    def document(self, seen: Mapping[str, int]) -> dict[str, Any]:
        """Return what an epoch holds and what the run saw, by source, beside what was planned.

        seen: rows by source; empty where not every row was counted.
        """
        epoch, total = self.epoch_rows, sum(seen.values())
        distinct = Counter(
            self.names[source] for _, source in {(row.row_id, row.source or 0) for row in self.rows}
        )
        planned = self.mix.get("sources") or {}
        return {
            name: {
                "rows": distinct[name],
                "effective_rows": epoch[name],
                "left_out": {code: left[name] for code, left in self.left_out.items()},
                "planned_share_ratio": (planned.get(name) or {}).get("share_ratio"),
                "share_ratio": epoch[name] / len(self.rows),
                "seen_rows": seen.get(name, 0) if seen else None,
                "seen_share_ratio": seen.get(name, 0) / total if total else None,
            }
            for name in self.names
        }

    def _comparable(self, rows: Mapping[str, int]) -> dict[str, int]:
        if self.is_by_source:
            return {name: amount for name, amount in rows.items() if amount}
        return {"all sources": sum(rows.values())}


def account_of(
    prepared: Path, lines: Iterable[Mapping[str, Any]], tokenized: Tokenized
) -> RowAccount:
    """Return the account of the train rows.

    lines: as prepared, each with the copies of it that an epoch sees as its weight.
    """
    index = _index(prepared)
    placed = [line for line in index if line["split"] == "train" and not line["is_duplicate"]]
    source_of = first_occurrences(placed, itemgetter("source"))
    pairs = {(line["row_id"], line["source"]) for line in placed}
    weights: dict[str, list[int]] = {}
    for line in lines:
        weights.setdefault(str(line["row_id"]), []).append(int(line.get("weight", 1)))
    left_out: dict[str, Counter[str]] = {}
    names = tuple(sorted(set(source_of.values()))) or (_UNKNOWN,)
    numbers = {name: number for number, name in enumerate(names)}
    remaining = {row_id: list(copies) for row_id, copies in weights.items()}
    rows: list[TokenRow] = []
    for row in tokenized.rows:
        number = numbers[source_of.get(row.row_id, names[0])]
        rows += [replace(row, source=number)] * remaining[row.row_id].pop(0)
    for code, row_ids in sorted(tokenized.left_out.items()):
        left = left_out.setdefault(code, Counter())
        for row_id in row_ids:
            left[source_of.get(row_id, names[0])] += remaining[row_id].pop(0)
    return RowAccount(rows, names, left_out, _mix(prepared), len(pairs) == len(source_of))


def steps_per_epoch(sequences: int, rows_per_step: int) -> int:
    """Return the optimizer steps of an epoch; the last may be a short one."""
    return -(-sequences // rows_per_step)


def _shown(order: EpochOrder, rows_per_step: int, steps: int) -> Iterable[int]:
    """Yield the sequences of the first steps of a run, epoch by epoch."""
    epoch = 0
    while steps > 0:
        order.set_epoch(epoch)
        sequences = list(order)
        yield from sequences[: steps * rows_per_step]
        steps -= steps_per_epoch(len(sequences), rows_per_step)
        epoch += 1


def compare(what: str, found: Mapping[str, int], wanted: Mapping[str, int]) -> None:
    """Check that a run has what was counted before it.

    Raises: WorkerError with training_data_mismatch.
    """
    if dict(found) != dict(wanted):
        raise WorkerError(
            f"the run does not have the {what} that were counted before it",
            code="training_data_mismatch",
            found=_words(found),
            expected=_words(wanted),
            remedy="run brewslm plan again; if it says the same, report this as a bug",
        )


def _words(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {amount}" for name, amount in sorted(rows.items())) or "no rows"


def _index(prepared: Path) -> Sequence[dict[str, Any]]:
    path = prepared / "index.jsonl"
    if not path.exists():
        return ()
    with path.open("rb") as stream:
        return [orjson.loads(line) for line in stream]


def _mix(prepared: Path) -> dict[str, Any]:
    path = prepared / MANIFEST_NAME
    return dict(orjson.loads(path.read_bytes())["mix"]) if path.exists() else {}
