"""An evaluation as one value: what was measured, on which rows, for which model, with what verdict.

It holds numbers, digests, names and row ids, and no text of a row. Text, Markdown, HTML and
report.json are views of it.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

FORMAT_VERSION = "1.0"

Direction = Literal["higher", "lower", "none"]
Role = Literal["baseline", "candidate", "promoted"]
SetName = Literal["gold_test", "gold_dev", "test", "validation", "train"]
Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE", "ERROR"]
Interval = tuple[float, float]
Change = Literal["improved", "regressed", "unchanged"]


class ReportValue(BaseModel):
    """Base of all values here."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, defer_build=True)


class Models(ReportValue):
    """What answered, by digest."""

    baseline: str
    """Files of the base model."""
    candidate: str
    """Folder of the LoRA adapter that was judged."""
    promoted: str | None = None
    """Folder of the LoRA adapter that was promoted then; null unless it answered too, and where
    that is not remembered."""
    is_promoted: bool = False
    """Whether the promoted pointer names the candidate now."""


class Dataset(ReportValue):
    """One set of rows."""

    dataset: SetName
    decides: bool
    """Whether gates read it; numbers of the other sets decide nothing."""
    rows: int
    digest: str
    """Of the file that the rows stand in."""


class Statuses(ReportValue):
    """How the items of a role ended."""

    dataset: str
    role: Role
    n: int
    """Items that count; n and n_error are all items."""
    n_error: int
    """Items without an answer because the machinery failed."""
    counts: dict[str, int]
    """ok, empty, truncated, unparseable, prompt_too_long and error, those that occur."""


class RoleValue(ReportValue):
    """A metric of one role."""

    value: float | None
    """Unrounded; null where the formula has no value."""
    n: float | None = None
    k: float | None = None
    """Of a proportion: k of n."""
    interval: Interval | None = None
    """At the report's confidence."""
    method: str | None = None
    """How the interval was made: wilson or bca."""


class Metric(ReportValue):
    """A metric on a set of rows, for every role."""

    dataset: str
    metric_id: str
    kind: str
    """proportion, mean, ratio or measured."""
    direction: Direction
    """Which way is better."""
    roles: dict[str, RoleValue]


class NamedMetric(Metric):
    """A metric of one class or field."""

    name: str
    """As it stands in metric ids."""


class SliceMetric(Metric):
    """A metric on a part of the rows."""

    slice: str
    """column=value"""
    rows: int


class Difference(ReportValue):
    """A metric of the candidate minus that of another role, on the same rows."""

    metric_id: str
    value: float | None
    other: float | None
    delta: float | None
    n: float | None = None
    interval: Interval | None = None
    p: float | None = None
    method: str | None = None
    """mcnemar or paired_bootstrap."""
    change: Change | None = None
    """By the metric's own direction; up to 0.0001 is unchanged, null where no way is better."""


class Flips(ReportValue):
    """Items by whether each side was right; graded items count when they move by over 0.05."""

    both_right: int
    both_wrong: int
    gained: tuple[str, ...]
    """Row ids that only the candidate got right."""
    lost: tuple[str, ...]
    """Row ids that only the other side got right."""


class Comparison(ReportValue):
    """The candidate beside another role."""

    dataset: str
    role: Role
    is_comparable: bool
    """Whether both answered the same prompts."""
    differing_prompts: int
    flips: Flips
    metrics: tuple[Difference, ...]


class GateOutcome(ReportValue):
    """What a gate came to."""

    gate_id: str
    verdict: Verdict | None
    """Null where the gate is not enforced."""
    reason: str
    required: bool
    metric_id: str
    """As the gate names it."""
    resolved_metric_key: str | None = None
    operator: Literal["gte", "lte", "worst_slice_gte", "worst_slice_lte"]
    threshold: float | None = None
    actual: float | None = None
    n: float | None = None
    k: float | None = None
    interval: Interval | None = None
    confidence: float
    """As the gate says."""
    interval_confidence: float | None = None
    """Of the interval; above the gate's own where the worst of several slices is looked for, null
    in verdicts of releases that did not tell."""
    decide_on: str
    """point, lower or upper: what is held against the threshold."""
    dataset: str
    slice: str | None = None
    base_actual: float | None = None
    """The base model's value."""
    baseline: dict[str, Any] | None = None
    """Of a gate on regression: role, its value, delta, delta_interval, p, method."""
    chance_wrong: float | None = None
    normaliser: str | None = None
    """Form in which the metric compared answers; null in verdicts of releases that did not say."""
    rows_needed: int | None = None
    """Rows at which an undecided gate would be decided, as far as that can be told."""
    severity: str
    source: str = ""


class PackIdentity(ReportValue):
    """The pack that gates came from."""

    pack_id: str
    version: str | None = None
    """Of a pack file; null for a built-in pack."""
    digest: str | None = None
    """Of what a pack file says; null for a built-in pack."""
    verdict: Verdict


class Cluster(ReportValue):
    """Failures of the candidate that look alike."""

    reason_code: str
    output_pattern: str
    failure_count: int
    share_of_failures: float
    share_of_items: float
    exemplar_row_ids: tuple[str, ...]


class PrimaryMetric(ReportValue):
    """The metric of the first required gate."""

    metric_id: str
    candidate: float | None
    baseline: float | None
    gain: float | None
    """Above 0 is better than the base model, whatever the metric's direction."""
    gain_interval: Interval | None


class Decision(ReportValue):
    """What people are advised to do; promotion looks at gates only."""

    decision: Literal["keep", "iterate", "discard"]
    next_action: str
    primary_metric: PrimaryMetric | None
    remarks: tuple[str, ...]
    risks: tuple[str, ...]


class Answering(ReportValue):
    """How a role answered."""

    tokens_per_s: float | None = None
    """Measured."""
    max_new_tokens: dict[str, int] | None = None
    """Limit of an answer by set, as it was resolved."""
    batch_parity_rate: float | None = None
    """Share of rows whose answer is the same alone and in a batch; null where not looked at."""


class Generation(ReportValue):
    """How answers were generated."""

    settings: dict[str, Any]
    """As the manifest asked for it."""
    epochs: int
    seeds: tuple[int, ...]
    roles: dict[str, Answering]


class Lock(ReportValue):
    """What has to be equal for two reports to be comparable, metric by metric."""

    statistics_version: int
    profile: str
    """The task."""
    profile_version: int
    metrics: dict[str, dict[str, Any]]
    """definition_version, kind and normaliser by metric."""


class ReportWarning(ReportValue):
    """Something to know before the numbers are believed."""

    code: str
    message: str


class Report(ReportValue):
    """One evaluation, from recorded state and kept files alone."""

    format_version: str = FORMAT_VERSION
    project: str
    revision: int
    """The apply that recorded the evaluation."""
    status: str
    """current, or quarantined where a required gate did not pass."""
    verdict: Verdict
    """The worst of the required gates."""
    blocking: tuple[str, ...]
    """Required gates that did not pass."""
    looks: int
    """How many candidates were judged on the deciding rows, this one included."""
    confidence: float
    """Of every interval that does not say otherwise."""
    gates: tuple[GateOutcome, ...]
    decision: Decision
    pack: PackIdentity | None
    models: Models
    contract_digest: str | None
    """Of the labels, schema and rules that rows and answers were held against."""
    datasets: tuple[Dataset, ...]
    statuses: tuple[Statuses, ...]
    metrics: tuple[Metric, ...]
    per_class: tuple[NamedMetric, ...]
    per_field: tuple[NamedMetric, ...]
    per_slice: tuple[SliceMetric, ...]
    comparison: tuple[Comparison, ...]
    clusters: tuple[Cluster, ...]
    """Of the deciding rows, largest first."""
    generation: Generation
    leaks: dict[str, Any] | None
    """Leaks between the rows of training and of evaluation; null when the prepared rows are others
    than these by now."""
    lock: Lock
    evidence: dict[str, str]
    """Name of a kept file to its digest: predictions, scores, rows, metrics, verdict."""
    warnings: tuple[ReportWarning, ...]

    @property
    def deciding(self) -> Dataset:
        """The rows that the gates were decided on."""
        return next(item for item in self.datasets if item.decides)
