"""workflow: rules for verdicts, limits for one apply, protection; a record."""

from typing import Annotated, Literal

from pydantic import Field

from brewslm.contracts import Category, Kind, Later, Spec, Tier, Work

PlanProfile = Literal["safe", "balanced", "max_quality"]
TargetProfile = Literal["vllm_server", "mobile_cpu", "edge_gpu", "browser_webgpu", "cpu_local"]
Inconclusive = Literal["block", "warn", "need_more"]
PipelineStage = Literal[
    "ingestion",
    "cleaning",
    "gold_set",
    "synthetic",
    "dataset_prep",
    "tokenization",
    "training",
    "evaluation",
    "compression",
    "export",
    "completed",
]


class GatePolicy(Spec):
    """Rules for verdicts."""

    on_inconclusive: Annotated[Inconclusive, Category.GATES, Tier.VERDICTS] = "block"
    """Default for gates that do not say; warn reaches optional gates only."""
    allow_weakening: Annotated[bool, Category.GATES, Tier.VERDICTS] = False
    """Whether a change may loosen gates; the value recorded by the last apply decides."""
    require_baseline: Annotated[bool, Category.GATES, Tier.VERDICTS] = False
    """Whether promotion needs a comparison, so that `compare_to: none` is refused."""
    promote_ungated: Annotated[bool, Category.GATES, Tier.VERDICTS, Later.FIELD] = False
    """Whether a deployment may promote a candidate that no required gate has judged."""


class BudgetSettings(Spec):
    """Limits for one apply."""

    max_gpu_hours: Annotated[float | None, Field(gt=0), Category.METADATA] = None
    """Accelerator hours of one apply; a plan whose estimate is above is refused."""
    max_minutes: Annotated[float | None, Field(gt=0), Category.METADATA] = None
    """Wall minutes of one apply; a plan whose estimate is above is refused."""
    max_cost_usd: Annotated[float | None, Field(gt=0), Category.METADATA] = None
    """US dollars, checked where the runtime has a price."""
    cap: Annotated[float | None, Field(gt=0), Category.METADATA] = None
    """Other name of `max_cost_usd`; both written must be equal."""
    threshold: Annotated[float, Field(ge=0, le=1), Category.METADATA] = 0.8
    """Share of each limit at which a warning is sent."""
    auto_cancel: Annotated[bool, Category.METADATA] = False
    """Whether the apply is stopped at a limit as by Ctrl-C, with a checkpoint; else it goes on with
    a warning.
    """


class Backend(Spec):
    """Where state and artifacts live, and rows that are kept elsewhere."""

    state: Annotated[str | None, Category.METADATA] = None
    """State store; null is `.brewslm/state.db`."""
    artifacts: Annotated[str | None, Category.METADATA] = None
    """Artifact store; null is `.brewslm/store`."""
    link_roots: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...], Category.METADATA, Later.FIELD
    ] = ()
    """Folders outside the project that links to rows may lead into, such as a cache of DVC: an
    absolute path, `~/...`, or one relative to the manifest. Nothing but the rows of data sources is
    read there, and nothing at all under `plan --untrusted`.
    """


class WorkflowSpec(Spec):
    """The manifest's `spec.workflow`."""

    beginner_mode: Annotated[bool, Category.METADATA] = True
    """Guidance level of a user interface."""
    pipeline_stage: Annotated[PipelineStage, Category.METADATA] = "ingestion"
    """Where people see the project; the plan derives the real stage itself."""
    target_profile_id: Annotated[TargetProfile | None, Category.PROMOTE] = "vllm_server"
    """Where the result will run."""
    training_preferred_plan_profile: Annotated[PlanProfile | None, Category.METADATA] = "balanced"
    """Profile used when `training_plan.plan_profile` is not written; null is balanced."""
    gate_policy: GatePolicy = GatePolicy()
    """Rules for verdicts."""
    budget_settings: BudgetSettings = BudgetSettings()
    """Limits for one apply."""
    backend: Backend = Backend()
    """Where state and artifacts live."""
    protect: Annotated[bool, Category.METADATA] = False
    """Whether delete actions are refused; the recorded value decides."""


KIND = Kind("workflow", WorkflowSpec, Category.METADATA, 1, Work.RECORD)
