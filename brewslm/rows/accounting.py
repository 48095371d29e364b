"""The sums that must hold before anything is published; a broken one is a bug, not a finding."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from brewslm.rows.record import Reject, Split
from brewslm.rows.rejects import HoldCode, RejectCode
from brewslm.rows.stored import StoredExample


def account(
    read: Mapping[str, int], examples: Sequence[StoredExample], rejects: Sequence[Reject]
) -> dict[str, Any]:
    """Return what became of every row read, by source and in total.

    read: source to rows read. Raises: AssertionError when a row has no fate or two.
    """
    own_examples: dict[str, list[StoredExample]] = {name: [] for name in read}
    own_rejects: dict[str, list[Reject]] = {name: [] for name in read}
    for example in examples:
        own_examples[example.source].append(example)
    for reject in rejects:
        own_rejects[reject.position.source].append(reject)
    sources = {
        name: _of_source(name, count, own_examples[name], own_rejects[name])
        for name, count in read.items()
    }
    return {"sources": sources, "total": _total(list(sources.values()))}


def split_counts(examples: Sequence[StoredExample]) -> dict[str, int]:
    """Return how many examples each set has."""
    counts = Counter((example.split or Split.HELD) for example in examples)
    return {split.value: counts[split] for split in Split}


def check_files(splits: Mapping[str, int], lines: Mapping[str, int], rejects: int) -> None:
    """Check that files have as many lines as counts say.

    Raises: AssertionError.
    """
    for split in Split:
        _claim(lines[split.file] == splits[split.value], "A4", split)
    _claim(lines["rejected.jsonl"] == rejects, "A4", "rejected")


def check_homes(examples: Sequence[StoredExample]) -> None:
    """Check that every row_id stands in one set of its side, training or gold.

    Raises: AssertionError.
    """
    homes: dict[bool, dict[bytes, Split]] = {True: {}, False: {}}
    for example in examples:
        split = example.split or Split.HELD
        home = homes[example.is_gold].setdefault(example.row_digest, split)
        _claim(home is split, "A5", example.source)


def _of_source(
    name: str, read: int, own: Sequence[StoredExample], out: Sequence[Reject]
) -> dict[str, Any]:
    rejected = Counter(str(reject.code) for reject in out if reject.of_row_id is None)
    counts = {
        "read": read,
        "accepted": len(own),
        "rejected": dict(sorted(rejected.items())),
        "duplicates": len(out) - rejected.total(),
        "holds": dict(
            sorted(Counter(str(item.hold) for item in own if item.hold is not None).items())
        ),
        "splits": split_counts(own),
    }
    _check_laws(counts, name)
    return counts


def _total(sources: Sequence[dict[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {"read": 0, "accepted": 0, "duplicates": 0}
    maps: dict[str, Counter[str]] = {"rejected": Counter(), "holds": Counter(), "splits": Counter()}
    for counts in sources:
        for name in total:
            total[name] += counts[name]
        for name, counter in maps.items():
            counter.update(counts[name])
    total["rejected"] = dict(sorted(maps["rejected"].items()))
    total["holds"] = dict(sorted(maps["holds"].items()))
    total["splits"] = {split.value: maps["splits"][split.value] for split in Split}
    _check_laws(total, "all sources")
    return total


def _check_laws(counts: Mapping[str, Any], name: str) -> None:
    rejected = sum(counts["rejected"].values())
    _claim(counts["read"] == counts["accepted"] + rejected + counts["duplicates"], "A1", name)
    _claim(counts["accepted"] == sum(counts["splits"].values()), "A2", name)
    _claim(counts["splits"]["held"] == sum(counts["holds"].values()), "A3", name)
    _claim(counts["rejected"].keys() <= set(RejectCode), "A3", name)
    _claim(counts["holds"].keys() <= set(HoldCode), "A3", name)


def _claim(holds: bool, law: str, subject: object) -> None:
    if not holds:
        raise AssertionError(f"accounting law {law} is broken for {subject}")
