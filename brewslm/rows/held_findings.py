"""Findings about rows that are in no set, or in one in which they are worth less."""

from collections import Counter
from collections.abc import Mapping, Sequence

from brewslm.diagnostics import Finding, FindingCode, Place, Severity
from brewslm.rows.leaks import Leak
from brewslm.rows.record import Reject, Split
from brewslm.rows.rejects import HoldCode
from brewslm.rows.stored import StoredExample

_SHOWN_PAIRS = 3
_GROUPING = "write in split.group_by the column that rows of one origin have in common"
_HOLD_REMEDIES = {
    HoldCode.NEAR_DUPLICATE: "write cleaning.dedupe: exact, or raise cleaning.near_threshold",
    HoldCode.PENDING_REVIEW: "write review_status: approved in the rows that were reviewed",
    HoldCode.LEAK_HELD: "remove the rows that repeat test rows, or add a source of type gold_test"
    " and write split: {train: 0.9, validation: 0.1, test: 0}",
    HoldCode.WEIGHT_EXCLUDED: "raise the weight of a data source",
    HoldCode.CAPPED: "raise dataset.max_examples",
}


def no_train_rows(examples: Sequence[StoredExample], rejects: Sequence[Reject]) -> Finding:
    """Return the finding that nothing is left to train on, with what became of the rows."""
    rejected = Counter(str(item.code) for item in rejects if item.of_row_id is None)
    holds = Counter(item.hold for item in examples if item.hold is not None)
    splits = Counter(item.split for item in examples)
    fates = [f"rejected {rejected.total()}{_by_code(rejected)}"]
    held = Counter({str(code): amount for code, amount in holds.items()})
    fates.append(f"held {held.total()}{_by_code(held)}")
    fates += [
        f"{split.value} {splits[split]}"
        for split in Split
        if splits[split] and split is not Split.HELD
    ]
    return Finding(
        FindingCode.NO_TRAIN_ROWS,
        Severity.ERROR,
        "no row is left to train on",
        _shortage_remedy(rejected.total(), holds, len(examples)),
        address="dataset",
        found="0 train rows; " + " · ".join(fates),
        expected="at least 1",
    )


def _shortage_remedy(rejected: int, holds: Mapping[HoldCode, int], accepted: int) -> str:
    most = max(holds, key=lambda code: (holds[code], code), default=None)
    if most is not None and holds[most] >= rejected:
        return _HOLD_REMEDIES[most]
    if rejected:
        return "fix the rejected rows"
    return "add rows, or raise split.train" if accepted else "add rows to the data sources"


def _by_code(counts: Counter[str]) -> str:
    if not counts:
        return ""
    return " (" + ", ".join(f"{code} {count}" for code, count in sorted(counts.items())) + ")"


def similar_rows_held(leaks: Mapping[int, Leak], trained: int) -> Finding:
    """Return the finding that training rows are left out for resembling test rows."""
    return _similar(
        FindingCode.SIMILAR_ROWS_HELD,
        Severity.WARNING,
        f"{len(leaks)} of {trained} training rows are held back: they resemble rows of the test"
        " set that the split made",
        f"{_GROUPING}, or raise leak_check.near",
        leaks,
    )


def similar_rows_grouped(leaks: Mapping[int, Leak], trained: int) -> Finding:
    """Return the finding that similar rows were placed in one set."""
    return _similar(
        FindingCode.SIMILAR_ROWS_GROUPED,
        Severity.INFO,
        f"rows that resemble each other are placed in one set; placed one by one, {len(leaks)} of"
        f" {trained} training rows would resemble test rows",
        f"nothing; to decide it yourself, {_GROUPING}",
        leaks,
    )


def similar_rows_kept(leaks: Mapping[int, Leak], trained: int, *, has_provided: bool) -> Finding:
    """Return the finding that training rows stay although they resemble test rows.

    has_provided: there are sources of rows for evaluation.
    """
    accept = "" if has_provided else ", or accept it with leak_check: {near: null, ngram: 0}"
    return _similar(
        FindingCode.SIMILAR_ROWS_KEPT,
        Severity.WARNING,
        f"{len(leaks)} of {trained} training rows resemble rows of the test set that the split"
        " made; they stay in training, so scores on that set say little about other inputs",
        "add a source of type gold_test whose rows are written differently and write split:"
        f" {{train: 0.9, validation: 0.1, test: 0}}{accept}",
        leaks,
    )


def _similar(
    code: FindingCode, severity: Severity, message: str, remedy: str, leaks: Mapping[int, Leak]
) -> Finding:
    ordered = sorted(leaks.values(), key=lambda leak: leak.trained.position)
    shown = "; ".join(
        f"{leak.trained.position} resembles {leak.evaluated.position} ({leak.code}"
        f" {leak.score:.2f})"
        for leak in ordered[:_SHOWN_PAIRS]
    )
    more = len(ordered) - _SHOWN_PAIRS
    first = ordered[0].trained.position
    return Finding(
        code,
        severity,
        message,
        remedy,
        field="spec.dataset.split",
        address="dataset",
        place=Place(first.file, first.line),
        found=shown + (f"; and {more} more" if more > 0 else ""),
        expected="training rows that differ from the rows they are tested with",
    )
