"""Which set every row goes to, and which training rows stay out of it for resembling a test row.

A training row that resembles the test set that the split made is held. Where that would take most
of the training rows, as it does with rows of a few templates, similar rows are placed together;
where they cannot be told apart into sets, as with rows of one template, they stay in training and
the plan says what the test set is then worth. Rows that were provided for evaluation are another
matter: what resembles them is a leak in every case.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from brewslm.rows import held_findings as say
from brewslm.rows.dataset import SplitSpec
from brewslm.rows.findings import leak_findings
from brewslm.rows.leaks import Leak, LeakReport, compared_texts, find_leaks, is_long_enough
from brewslm.rows.near import components
from brewslm.rows.record import Flag, Split
from brewslm.rows.rejects import HoldCode
from brewslm.rows.request import GOLD_ROLES, POOL_ROLES
from brewslm.rows.split import Placement, empty_sets, place, set_of
from brewslm.rows.stored import StoredExample
from brewslm.rows.work import Work

MOST_HELD_SHARE = 0.5
"""Of the training rows; where more would be held, the rows are placed in another way."""
SHOWN_HELD_SHARE = 0.1
_SIMILARITY_CODES = frozenset({"leak_ngram", "leak_short_item", "leak_near_duplicate"})
_MOST_GROUPED_ROWS = 4000
"""Joining similar rows takes seconds at this many."""
_LEAST_OF_SHARE, _MOST_OF_SHARE = 0.25, 3.0
_DECLARED = {
    "train": Split.TRAIN,
    "validation": Split.VALIDATION,
    "test": Split.TEST,
    "gold_dev": Split.GOLD_DEV,
    "gold_test": Split.GOLD_TEST,
}

Grouping = Callable[[StoredExample], str]


@dataclass(slots=True)
class _Placed:
    """One way to place the pool, and what resembles its test set."""

    placement: Placement
    report: LeakReport
    trained: int
    """Rows for training before any is held."""
    held: list[Leak]
    """Of training rows that resemble the split's own test set."""

    @property
    def resembling(self) -> dict[int, Leak]:
        """Training rows, by identity, that are held for similarity alone."""
        certain = {id(leak.trained) for leak in self.held if leak.code not in _SIMILARITY_CODES}
        return {
            id(leak.trained): leak
            for leak in reversed(self.held)
            if id(leak.trained) not in certain
        }


def place_rows(work: Work, workers: int) -> tuple[Placement, LeakReport]:
    """Give every example its set, and hold the training rows that resemble the own test set."""
    pool = _declared_apart(work)
    placed = _placed(work, pool, _own_group, workers)
    if _starves(work, placed):
        grouped = _grouped(work, pool, workers)
        if grouped is not None and _is_grouped(work, pool, grouped):
            work.findings.append(say.similar_rows_grouped(placed.resembling, placed.trained))
            placed = grouped
        else:
            _put(pool, work.request.dataset.split, _own_group)
            work.findings.append(
                say.similar_rows_kept(
                    placed.resembling, placed.trained, has_provided=_has_provided(work)
                )
            )
            _relax(placed)
    elif len(placed.resembling) > SHOWN_HELD_SHARE * placed.trained:
        work.findings.append(say.similar_rows_held(placed.resembling, placed.trained))
    for leak in placed.held:
        leak.trained.hold = HoldCode.LEAK_HELD
        leak.trained.split = Split.HELD
    work.findings += leak_findings(placed.report.blocking, work.request.dataset.leak_check.action)
    return placed.placement, placed.report


def _declared_apart(work: Work) -> list[StoredExample]:
    """Give the examples whose source says their set that set; return the others."""
    pool: list[StoredExample] = []
    for example in work.examples:
        if example.hold is not None:
            example.split = Split.HELD
            continue
        role = work.role(example)
        if example.source == work.request.dataset.mix_back.source:
            example.split = Split.TRAIN
        elif role in POOL_ROLES:
            pool.append(example)
        else:
            example.split = _DECLARED[role]
    return pool


def _own_group(example: StoredExample) -> str:
    return example.group_key


def _placed(work: Work, pool: list[StoredExample], grouping: Grouping, workers: int) -> _Placed:
    """Place the pool by groups and compare the sets."""
    placement = _put(pool, work.request.dataset.split, grouping)
    evaluated = [item for item in work.examples if item.split and item.split.is_evaluated]
    trained = [item for item in work.examples if item.split and item.split.is_trained]

    def is_own(example: StoredExample) -> bool:
        return example.split is Split.TEST and work.role(example) in POOL_ROLES

    report = find_leaks(
        evaluated,
        trained,
        work.request.dataset.leak_check,
        work.contents,
        has_declared_groups=bool(work.request.dataset.split.group_columns),
        side=is_own,
        workers=workers,
        tell=work.tell,
    )
    certain = [leak for leak in report.leaks if not leak.is_only_reported]
    report.blocking = [leak for leak in certain if not is_own(leak.evaluated)]
    held = [leak for leak in certain if is_own(leak.evaluated)]
    return _Placed(placement, report, len(trained), held)


def _put(pool: list[StoredExample], settings: SplitSpec, grouping: Grouping) -> Placement:
    """Give the examples of the pool their sets, those of a group the same one."""
    for example in pool:
        example.flags = tuple(flag for flag in example.flags if flag is not Flag.SPLIT_FORCED)
    if settings.method == "hash":
        for example in pool:
            example.split = set_of(grouping(example), settings)
        if not empty_sets((example.split for example in pool if example.split), settings):
            return Placement()
    groups: dict[str, str] = {}
    for example in pool:
        key = grouping(example)
        groups[key] = min(groups.get(key, example.stratum), example.stratum)
    placement = place(groups, settings)
    for example in pool:
        example.split = placement.sets[grouping(example)]
        if grouping(example) in placement.forced:
            example.flags = tuple(sorted({*example.flags, Flag.SPLIT_FORCED}))
    return placement


def _starves(work: Work, placed: _Placed) -> bool:
    """Return whether holding takes most training rows, or all rows of a set."""
    if len(placed.resembling) > MOST_HELD_SHARE * placed.trained:
        return True
    held = {id(leak.trained) for leak in placed.held}
    left = {item.split for item in work.examples if item.split and id(item) not in held}
    emptied = {leak.trained.split for leak in placed.resembling.values()} - left
    return bool(emptied)


def _grouped(work: Work, pool: list[StoredExample], workers: int) -> _Placed | None:
    """Place the pool with similar rows in one group; None where that is not done."""
    near = work.request.dataset.leak_check.near
    if near is None or len(pool) > _MOST_GROUPED_ROWS:
        return None
    roots = _similar_groups(work, pool, near)
    return _placed(work, pool, lambda example: roots[example.group_key], workers)


def _similar_groups(work: Work, pool: list[StoredExample], near: float) -> Mapping[str, str]:
    """Return for each group key the smallest one that similar rows connect it to."""
    compared = compared_texts(work.examples, work.contents)
    found: set[tuple[str, str]] = set()
    for example in pool:
        text = "\n".join(compared.of_inputs(work.contents.content(example)))
        if is_long_enough(text):
            found.add((text, example.group_key))
    ordered = sorted(found)
    roots = {example.group_key: example.group_key for example in pool}

    def root(key: str) -> str:
        while roots[key] != key:
            key = roots[key]
        return key

    for (_, key), first in zip(
        ordered, components([text for text, _ in ordered], near), strict=True
    ):
        smaller, larger = sorted((root(key), root(ordered[first][1])))
        roots[larger] = smaller
    return {key: root(key) for key in roots}


def _has_provided(work: Work) -> bool:
    return any(source.role in ("test", *GOLD_ROLES) for source in work.request.sources)


def _is_grouped(work: Work, pool: list[StoredExample], placed: _Placed) -> bool:
    """Return whether the pool is placed in sets of about their shares, and enough is left."""
    if placed.placement.empty or _starves(work, placed):
        return False
    settings = work.request.dataset.split
    shares = {
        Split.TRAIN: settings.train,
        Split.VALIDATION: settings.validation,
        Split.TEST: settings.test,
    }
    return all(
        _LEAST_OF_SHARE * share * len(pool)
        <= sum(example.split is split for example in pool)
        <= _MOST_OF_SHARE * share * len(pool)
        for split, share in shares.items()
    )


def _relax(placed: _Placed) -> None:
    """Keep rows in training that resemble the own test set without being equal to a row of it."""
    kept = {id(leak) for leak in placed.held if leak.code in _SIMILARITY_CODES}
    placed.report.leaks = [
        replace(leak, is_only_reported=True) if id(leak) in kept else leak
        for leak in placed.report.leaks
    ]
    placed.held = [leak for leak in placed.held if id(leak) not in kept]
