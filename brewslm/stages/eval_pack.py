"""eval_pack: predictions of base and candidate on held-out rows, their metrics, and the gates'
verdict.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from brewslm.address import Address
from brewslm.contracts import Category, Ending, InputRef, Kind, Spec, Tier, Work
from brewslm.stages.data_source import DataSourceSpec
from brewslm.stages.workflow import Inconclusive
from brewslm.tasks.gate import Gate

EVALUABLE_SETS = ("gold_test", "gold_dev", "test", "validation", "train")


class GenerationSpec(Spec):
    """How answers are generated."""

    max_new_tokens: Annotated[
        int | None, Field(ge=1, le=8192), Category.GATES, Tier.PREDICTIONS
    ] = None
    """Tokens an answer may have; null is the task's own limit."""
    temperature: Annotated[float, Field(ge=0, le=2), Category.GATES, Tier.PREDICTIONS] = 0.0
    """0 is greedy."""
    top_p: Annotated[float, Field(gt=0, le=1), Category.GATES, Tier.PREDICTIONS] = 1.0
    """Nucleus share; only with a temperature."""
    stop: Annotated[tuple[str, ...], Field(max_length=8), Category.GATES, Tier.PREDICTIONS] = ()
    """Strings that end an answer."""
    batch_size: Annotated[int, Field(ge=1, le=256), Category.METADATA] = 8
    """Rows answered together; speed only."""


class EvalPackSpec(Spec):
    """The manifest's `spec.eval_pack`."""

    pack_id: Annotated[str | None, Category.GATES, Tier.VERDICTS] = None
    """Pack whose gates apply."""
    datasets: Annotated[tuple[str, ...], Category.GATES, Tier.PREDICTIONS] = (
        "gold_dev",
        "gold_test",
    )
    """Rows to evaluate on: names of sources, or roles."""
    eval_types: Annotated[tuple[str, ...], Category.GATES, Tier.METRICS] = (
        "exact_match",
        "f1",
        "hallucination",
        "safety",
    )
    """Metrics reported; [] is all. Metrics that gates name are always computed."""
    extra: Annotated[dict[str, Any], Category.METADATA] = {}
    """Notes."""
    path: Annotated[str | None, Category.GATES, Tier.VERDICTS] = None
    """File of a pack of your own."""
    gates: Annotated[tuple[Gate, ...], Category.GATES, Tier.VERDICTS] = ()
    """Added to the pack's; an equal gate_id replaces the pack's gate."""
    generation: GenerationSpec = GenerationSpec()
    """How answers are generated."""
    compare_to: Annotated[
        Literal["base_model", "champion", "none"], Category.GATES, Tier.VERDICTS
    ] = "base_model"
    """What the candidate is measured against."""
    epochs: Annotated[int, Field(ge=1, le=20), Category.GATES, Tier.PREDICTIONS] = 1
    """Answers generated for each row."""
    seeds: Annotated[tuple[int, ...], Category.GATES, Tier.PREDICTIONS] = ()
    """Sampling seeds; empty is 0, 1, 2, …"""


class EvalPackContentSpec(EvalPackSpec):
    """An eval_pack with the content of its pack file and the policy of the workflow, which count
    like gates of the manifest.
    """

    path: Annotated[str | None, Category.METADATA] = None
    """Where the content was read."""
    pack: Annotated[dict[str, Any] | None, Category.GATES, Tier.VERDICTS] = None
    """What the file at `path` says, without what it leaves unwritten."""
    on_inconclusive: Annotated[Inconclusive, Category.GATES, Tier.VERDICTS] = "block"
    """The workflow's policy for gates that do not say."""
    scoring: Annotated[dict[str, Any], Category.GATES, Tier.METRICS] = {}
    """Versions of task, metrics, statistics and shipped pack, so that another version of the
    program scores stored predictions again."""


def sets_of(spec: EvalPackSpec, specs: Mapping[Address, Spec]) -> tuple[str, ...]:
    """Return the prepared sets that may be evaluated, without looking at rows, the deciding one
    first.
    """
    roles = {
        source.name: source.type for source in specs.values() if isinstance(source, DataSourceSpec)
    }
    named = {roles.get(name, name) for name in spec.datasets}
    present = {role for role in roles.values() if role in ("gold_dev", "gold_test")}
    chosen = [
        name
        for name in EVALUABLE_SETS
        if name in named and (name in present or not name.startswith("gold"))
    ]
    return tuple(chosen or ["test"])


def _inputs(address: Address, specs: Mapping[Address, Spec]) -> tuple[InputRef, ...]:
    spec = specs[address]
    if not isinstance(spec, EvalPackSpec):
        raise TypeError(f"{address} is no eval_pack")
    dataset = Address("dataset")
    return (
        InputRef(Address("model"), "base"),
        InputRef(Address("training_plan"), "lora_adapter"),
        *(InputRef(dataset, name) for name in sets_of(spec, specs)),
        InputRef(dataset, "contract"),
        InputRef(dataset, "prepared", is_ordering=True),
    )


_ENDING = Ending("eval", "eval_decided", ("verdict", "rows", "metrics"))
KIND = Kind(
    "eval_pack",
    EvalPackContentSpec,
    Category.GATES,
    1,
    Work.DOOR,
    _inputs,
    door="brewslm.engine.generate:run",
    ending=_ENDING,
)
