"""What an evaluation looks like: roles, prepared sets, the set that decides, gates and policy."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from brewslm.address import Address
from brewslm.contracts import Output, Spec
from brewslm.plan.deciding_policy import deciding_policy, pack_of, workflow_policy
from brewslm.plan.evaluation import Answering, Part, metrics_part, predictions_part
from brewslm.stages.data_source import DataSourceSpec
from brewslm.stages.eval_pack import EvalPackSpec
from brewslm.stages.training_config import loading_facts
from brewslm.stages.training_plan import TrainingPlanSpec
from brewslm.stages.workflow import WorkflowSpec
from brewslm.tasks.gate import Gate
from brewslm.tasks.packs import Pack, gates_of
from brewslm.tasks.task import TASKS

SETS = ("gold_test", "gold_dev", "test", "validation", "train")
"""Prepared sets in the order in which they may decide."""


class EvaluationShape(Struct, frozen=True):
    """An evaluation as the manifest and the prepared data mean it."""

    profile: str
    contract: Mapping[str, Any]
    """Effective contract of the prepared data, with `labels` and `scoring_mode`."""
    sets: Mapping[str, tuple[str, ...] | None]
    """Set name to the sources that are evaluated; None is all of them."""
    decisive: str
    """The set whose rows decide; empty when there are no rows to evaluate."""
    roles: tuple[str, ...]
    gates: tuple[Gate, ...]
    policy: Mapping[str, Any]
    answering: Answering
    options: Mapping[str, Any] = field(default_factory=dict)
    """How outputs are read, as the pack says."""
    rows: Mapping[str, str] = field(default_factory=dict)
    """Set name to the digest of its file."""
    row_sources: Mapping[str, str] = field(default_factory=dict)
    """Set name to a digest of the source of each row."""
    reported: tuple[str, ...] = ()
    """Ids of the only metrics that are reported; none means every one of the task."""
    promoted_digest: str | None = None
    datasets: tuple[str, ...] = ()
    """Sets and sources as the manifest names them."""

    @property
    def normaliser(self) -> str:
        """The form in which answers are compared, of the pack or of the task."""
        return str(self.options.get("normaliser") or TASKS.load(self.profile).normaliser)

    def prediction_parts(self, candidate_digest: str | None) -> dict[tuple[str, str], Part]:
        """Return the predictions that are needed, by role and set."""
        digests = {"candidate": candidate_digest, "promoted": self.promoted_digest}
        return {
            (role, name): predictions_part(
                role, name, self.answering, digests.get(role), self.rows.get(name)
            )
            for role in self.roles
            for name in self.sets
        }

    def metrics(self, predictions: Mapping[str, str | None]) -> Part:
        """Return the metrics of predictions given by part name and digest."""
        return metrics_part(
            predictions,
            self.rows,
            self.contract,
            self.profile,
            TASKS.load(self.profile).version,
            self.options,
            self.sets,
            self.reported,
            self.row_sources,
        )


def shape_of(
    specs: Mapping[Address, Spec],
    prepared: Mapping[str, Any],
    outputs: Mapping[Address, Mapping[str, Output]],
) -> EvaluationShape:
    """Return the evaluation that the project asks for.

    prepared: the prepared manifest; outputs: known outputs, of which `model`, `dataset` and
    `deployment` are read.
    """
    spec = specs[Address("eval_pack")]
    training = specs[Address("training_plan")]
    workflow = specs[Address("workflow")]
    if not (
        isinstance(spec, EvalPackSpec)
        and isinstance(training, TrainingPlanSpec)
        and isinstance(workflow, WorkflowSpec)
    ):
        raise TypeError("specs of other kinds")
    profile = str(prepared["task_profile"])
    contract = prepared["contract"]
    sets = evaluated_sets(spec, specs, prepared)
    pack = pack_of(spec)
    gates = gates_of(pack, profile, contract, spec.gates)
    promoted = outputs.get(Address("deployment"), {}).get("promoted")
    wants_champion = spec.compare_to == "champion" or any(
        gate.baseline == "champion" for gate in gates
    )
    wants_base = spec.compare_to != "none" or any(gate.baseline == "base_model" for gate in gates)
    roles = ["baseline", "candidate"] if wants_base else ["candidate"]
    if wants_champion and promoted is not None:
        roles.append("promoted")
    dataset = outputs.get(Address("dataset"), {})
    policy = deciding_policy(spec, pack, profile, contract) | workflow_policy(workflow)
    return EvaluationShape(
        profile=profile,
        contract=contract,
        sets=sets,
        decisive=next((name for name in SETS if name in sets), ""),
        roles=tuple(roles),
        gates=gates,
        policy=policy,
        options=_options(pack, profile),
        reported=_reported(spec, gates, policy["required_metrics"]),
        answering=Answering(
            base_digest=outputs[Address("model")]["base"].digest,
            load=loading_facts(training.config),
            generation={
                "max_new_tokens": spec.generation.max_new_tokens,
                "temperature": spec.generation.temperature,
                "top_p": spec.generation.top_p,
                "stop": list(spec.generation.stop),
                "epochs": spec.epochs,
                "seeds": list(spec.seeds),
            },
        ),
        rows={name: dataset[name].digest for name in sets if name in dataset},
        row_sources={
            name: digest for name, digest in prepared.get("row_sources", {}).items() if name in sets
        },
        promoted_digest=promoted.digest if promoted else None,
        datasets=spec.datasets,
    )


def _reported(
    spec: EvalPackSpec, gates: tuple[Gate, ...], required: Iterable[str]
) -> tuple[str, ...]:
    """Return the ids that eval_types chooses with those that gates stand on; none where it chooses
    nothing, as with its default.
    """
    if spec.eval_types in ((), EvalPackSpec.model_fields["eval_types"].default):
        return ()
    return tuple(sorted({*spec.eval_types, *required, *(gate.metric_id for gate in gates)}))


def _options(pack: Pack | None, profile: str) -> dict[str, Any]:
    """Return what a pack says about reading outputs, apart from what holds without it."""
    if pack is None:
        return {}
    return pack.spec_for(profile).options.model_dump(mode="json", exclude_defaults=True)


def evaluated_sets(
    spec: EvalPackSpec, specs: Mapping[Address, Spec], prepared: Mapping[str, Any]
) -> dict[str, tuple[str, ...] | None]:
    """Return the prepared sets with rows that `eval_pack.datasets` names, as sources or as
    roles.
    """
    counts = prepared.get("splits") or {}
    roles = {
        address.name: source.type
        for address, source in specs.items()
        if isinstance(source, DataSourceSpec)
    }
    chosen: dict[str, tuple[str, ...] | None] = {}
    for name in spec.datasets:
        if name in roles and roles[name] in SETS:
            held = chosen.get(roles[name], ())
            chosen[roles[name]] = None if held is None else (*held, name)
        elif name in SETS:
            chosen[name] = None
    for role, names in chosen.items():
        if names is not None and set(names) == {
            name for name, kind in roles.items() if kind == role
        }:
            chosen[role] = None
    with_rows = {name: names for name, names in chosen.items() if counts.get(name, 0)}
    if not with_rows and counts.get("test", 0):
        return {"test": None}
    return {name: with_rows[name] for name in SETS if name in with_rows}
