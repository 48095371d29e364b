"""What changed between two prepared folders, by content and never by place.

Added and removed go by row_id. A removed and an added row are one changed row when they have the
same row_key or, without keys, the same group_key; gold rows are listed apart.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from brewslm.rows.record import Split

SHOWN_POSITIONS = 20


@dataclass(slots=True)
class RowChanges:
    """Counts of changed rows and where the first of them stand."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    positions: dict[str, list[str]] = field(default_factory=dict)
    """added, removed and changed to at most 20 `source:line`; removed ones as they were."""

    def to_json(self) -> dict[str, Any]:
        """Return the changes as plain JSON."""
        return {
            "added": self.added,
            "removed": self.removed,
            "changed": self.changed,
            "positions": self.positions,
        }


@dataclass(slots=True)
class PreparedDiff:
    """What differs between two prepared folders."""

    training: RowChanges
    gold: RowChanges
    splits: dict[str, int]
    """Set to rows more (or fewer) than before."""
    moved: int
    """Rows that are in another set than before."""
    removed_gold_row_ids: tuple[str, ...]
    """Gold rows that are gone or have other content."""

    def to_json(self) -> dict[str, Any]:
        """Return the difference as plain JSON."""
        return {
            "training": self.training.to_json(),
            "gold": self.gold.to_json(),
            "splits": self.splits,
            "moved": self.moved,
            "removed_gold_row_ids": list(self.removed_gold_row_ids),
        }


def diff_prepared(before: Path | None, after: Path) -> PreparedDiff:
    """Return what differs between two prepared folders; None stands for nothing prepared yet."""
    return diff_indexes(_index(before) if before is not None else [], _index(after))


def diff_indexes(
    before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]
) -> PreparedDiff:
    """Return what differs between the lines of two `index.jsonl`."""
    old, new = _by_side(before), _by_side(after)
    counts = {split.value: _count(new, split.value) - _count(old, split.value) for split in Split}
    moved = sum(
        1
        for side, rows in new.items()
        for row_id, entry in rows.items()
        if row_id in old[side] and old[side][row_id]["split"] != entry["split"]
    )
    return PreparedDiff(
        training=_changes(old[False], new[False]),
        gold=_changes(old[True], new[True]),
        splits=counts,
        moved=moved,
        removed_gold_row_ids=tuple(sorted(old[True].keys() - new[True].keys())),
    )


Rows = dict[str, Mapping[str, Any]]


def _index(folder: Path) -> list[Mapping[str, Any]]:
    with (folder / "index.jsonl").open("rb") as stream:
        return [orjson.loads(line) for line in stream]


def _by_side(entries: Iterable[Mapping[str, Any]]) -> dict[bool, Rows]:
    """Return rows by row_id, training side under False and gold side under True."""
    gold = {split.value for split in Split if split.is_gold}
    sides: dict[bool, Rows] = {False: {}, True: {}}
    for entry in entries:
        if not entry["is_duplicate"]:
            sides[entry["split"] in gold].setdefault(entry["row_id"], entry)
    return sides


def _count(sides: Mapping[bool, Rows], role: str) -> int:
    return sum(entry["split"] == role for rows in sides.values() for entry in rows.values())


def _changes(old: Rows, new: Rows) -> RowChanges:
    removed = _by_partner(old[row_id] for row_id in old.keys() - new.keys())
    added = _by_partner(new[row_id] for row_id in new.keys() - old.keys())
    pairs: Counter[str] = Counter(
        {key: min(len(removed[key]), len(added[key])) for key in removed.keys() & added.keys()}
    )
    shown = {
        "added": [item for key, own in added.items() for item in own[pairs[key] :]],
        "removed": [item for key, own in removed.items() for item in own[pairs[key] :]],
        "changed": [item for key, count in pairs.items() for item in added[key][:count]],
    }
    return RowChanges(
        added=len(shown["added"]),
        removed=len(shown["removed"]),
        changed=len(shown["changed"]),
        positions={
            name: [f"{source}:{line}" for source, line in sorted(own)[:SHOWN_POSITIONS]]
            for name, own in shown.items()
        },
    )


def _by_partner(entries: Iterable[Mapping[str, Any]]) -> dict[str, list[tuple[str, int]]]:
    """Return positions by what identifies a row across an edit: its key, else its group."""
    partners: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for entry in entries:
        partners[entry["row_key"] or entry["group_key"]].append((entry["source"], entry["line"]))
    return {key: sorted(own) for key, own in partners.items()}
