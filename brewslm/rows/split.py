"""Placement: where a group of rows goes, by its key and the seed.

Under `hash` a row's place is a property of its group alone, so added rows move no other row. Under
`random` the shares are exact and added rows can move others.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from brewslm.rows.dataset import SplitSpec
from brewslm.rows.identity import split_ratio
from brewslm.rows.record import Split

MIN_GROUPS_TO_FORCE = 10
_SETS = (Split.TRAIN, Split.VALIDATION, Split.TEST)


@dataclass(slots=True)
class Placement:
    """The set of every group; forced groups were moved to fill an empty set."""

    sets: dict[str, Split] = field(default_factory=dict)
    forced: frozenset[str] = frozenset()
    empty: tuple[Split, ...] = ()
    """Sets with a share above 0 that stayed empty."""


@dataclass(slots=True)
class _Share:
    split: Split
    start: float
    end: float

    def distance(self, ratio: float) -> float:
        return max(self.start - ratio, ratio - self.end, 0.0)


def place(groups: Mapping[str, str], settings: SplitSpec) -> Placement:
    """Return the set of every group.

    groups: group key to stratum; the stratum only counts under `random`.
    """
    ratios = {key: split_ratio(settings.seed, key) for key in groups}
    if settings.method == "random":
        sets = _place_exactly(groups, ratios, settings)
    else:
        sets = {key: _set_at(ratio, settings) for key, ratio in ratios.items()}
    return _fill_empty(sets, ratios, settings)


def set_of(group_key: str, settings: SplitSpec) -> Split:
    """Return where a group goes under `hash` if no set stays empty."""
    return _set_at(split_ratio(settings.seed, group_key), settings)


def _set_at(ratio: float, settings: SplitSpec) -> Split:
    if ratio < settings.train:
        return Split.TRAIN
    return Split.VALIDATION if ratio < settings.train + settings.validation else Split.TEST


def _place_exactly(
    groups: Mapping[str, str], ratios: Mapping[str, float], settings: SplitSpec
) -> dict[str, Split]:
    strata: dict[str, list[str]] = {}
    for key, stratum in groups.items():
        strata.setdefault(stratum, []).append(key)
    sets: dict[str, Split] = {}
    for keys in strata.values():
        ordered = sorted(keys, key=lambda key: (ratios[key], key))
        at = 0
        for split, count in zip(_SETS, _quotas(len(ordered), settings), strict=True):
            sets.update(dict.fromkeys(ordered[at : at + count], split))
            at += count
    return sets


def _quotas(total: int, settings: SplitSpec) -> list[int]:
    """Return exact counts of the three sets, leftovers to the largest remainders."""
    exact = [total * share for share in _shares(settings)]
    counts = [int(value + 1e-9) for value in exact]
    by_remainder = sorted(range(3), key=lambda index: (counts[index] - exact[index], index))
    for index in by_remainder[: total - sum(counts)]:
        counts[index] += 1
    return counts


def _shares(settings: SplitSpec) -> tuple[float, float, float]:
    return settings.train, settings.validation, settings.test


def _fill_empty(
    sets: dict[str, Split], ratios: Mapping[str, float], settings: SplitSpec
) -> Placement:
    """Move the group nearest to an empty set's share into it where there are enough groups."""
    forced: set[str] = set()
    empty = list(empty_sets(sets.values(), settings))
    if len(sets) >= MIN_GROUPS_TO_FORCE:
        for share in _intervals(settings):
            if share.split not in empty:
                continue
            sizes = {split: list(sets.values()).count(split) for split in _SETS}
            movable = [key for key, split in sets.items() if sizes[split] > 1]
            nearest = min(movable, key=lambda key: (share.distance(ratios[key]), key))
            sets[nearest] = share.split
            forced.add(nearest)
            empty.remove(share.split)
    return Placement(sets, frozenset(forced), tuple(empty))


def empty_sets(sets: Iterable[Split], settings: SplitSpec) -> Sequence[Split]:
    """Return the sets with a share above 0 that are not among `sets`."""
    present = set(sets)
    return [
        split
        for split, share in zip(_SETS, _shares(settings), strict=True)
        if share > 0 and split not in present
    ]


def _intervals(settings: SplitSpec) -> list[_Share]:
    cut = settings.train + settings.validation
    return [
        _Share(Split.TRAIN, 0.0, settings.train),
        _Share(Split.VALIDATION, settings.train, cut),
        _Share(Split.TEST, cut, 1.0),
    ]
