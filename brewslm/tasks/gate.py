"""A gate: a rule on one metric that a candidate has to clear."""

from typing import Annotated, Literal

from pydantic import Field

from brewslm.contracts import Category, Spec, Tier

Operator = Literal["gte", "lte", "worst_slice_gte", "worst_slice_lte"]


class Gate(Spec):
    """A rule on a metric; equality passes."""

    gate_id: Annotated[str, Field(max_length=128), Category.GATES, Tier.VERDICTS] = ""
    """Name in reports; empty means `min_<metric_id>` (`max_<metric_id>` for lte)."""
    metric_id: Annotated[str, Field(min_length=1), Category.GATES, Tier.METRICS]
    """A metric that the task produces; never read from a different quantity."""
    operator: Annotated[Operator, Category.GATES, Tier.VERDICTS] = "gte"
    """How the metric is compared with the threshold."""
    threshold: Annotated[float | None, Category.GATES, Tier.VERDICTS] = None
    """The bar, in the metric's unit; may be left out when `max_regression` is written."""
    required: Annotated[bool, Category.GATES, Tier.VERDICTS] = True
    """Whether the gate blocks promotion."""
    source: Annotated[str, Category.METADATA] = ""
    """Who asked for the gate."""
    weight: Annotated[float, Category.METADATA] = 1.0
    """Weight in displays; decides nothing."""
    slice_name: Annotated[str | None, Category.GATES, Tier.VERDICTS] = None
    """Slicing column of the worst_slice operators."""
    min_slice_support: Annotated[int, Field(ge=1), Category.GATES, Tier.VERDICTS] = 5
    """Rows below which a slice is left out of worst_slice."""
    variance_policy: Annotated[Literal["lower_bound", "mean"], Category.GATES, Tier.VERDICTS] = (
        "lower_bound"
    )
    """Over several epochs: the mean minus (for lte plus) one standard deviation, or the mean."""
    slice: Annotated[str | None, Field(pattern=r"^[^=]+=.*$"), Category.GATES, Tier.VERDICTS] = None
    """`column=value`: decide on these rows only."""
    min_n: Annotated[int, Field(ge=1), Category.GATES, Tier.VERDICTS] = 1
    """Rows below which the verdict is INCONCLUSIVE."""
    confidence: Annotated[float, Field(ge=0.5, le=0.999), Category.GATES, Tier.VERDICTS] = 0.95
    """Level of the two-sided interval over rows, 0.95 for 95 %."""
    decide_on: Annotated[Literal["point", "lower", "upper"], Category.GATES, Tier.VERDICTS] = (
        "point"
    )
    """Which number is compared; lower for gte (upper for lte) is the careful choice."""
    baseline: Annotated[Literal["base_model", "champion"] | None, Category.GATES, Tier.VERDICTS] = (
        None
    )
    """The other side of `max_regression`."""
    max_regression: Annotated[float | None, Field(ge=0), Category.GATES, Tier.VERDICTS] = None
    """Largest loss against the baseline on the same rows, in the metric's unit."""
    test: Annotated[
        Literal["auto", "mcnemar", "paired_bootstrap", "none"], Category.GATES, Tier.VERDICTS
    ] = "auto"
    """Method of the paired comparison with the baseline."""
    on_inconclusive: Annotated[
        Literal["block", "warn", "need_more"] | None, Category.GATES, Tier.VERDICTS
    ] = None
    """What an INCONCLUSIVE verdict does: block, need_more blocks and shows how many rows would
    decide, warn (optional gates only) warns; null takes the policy of the workflow.
    """
    severity: Annotated[Literal["critical", "warning", "info"] | None, Category.METADATA] = None
    """Display; null is critical when required, else warning."""

    @property
    def name(self) -> str:
        """The gate's id, spelled out where the manifest leaves it empty."""
        prefix = "max" if self.operator.endswith("lte") else "min"
        return self.gate_id or f"{prefix}_{self.metric_id}"


def bound_of(gate: Gate) -> str:
    """Return which end of an interval a gate compares: point, careful or lenient."""
    if gate.decide_on == "point":
        return "point"
    careful = "upper" if gate.operator.endswith("lte") else "lower"
    return "careful" if gate.decide_on == careful else "lenient"
