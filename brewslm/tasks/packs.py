"""Evaluation packs: the built-in ones, and files of the contract slm.evaluation-pack/v2."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from msgspec import Struct, field
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from brewslm.errors import BrewError
from brewslm.tasks.gate import Gate
from brewslm.tasks.metrics import resolve_metric
from brewslm.tasks.task import Contract

GATES_EXTENSION = "brewslm/gates-1"
_OUR_GATE_FIELDS = (
    "slice",
    "min_n",
    "confidence",
    "decide_on",
    "baseline",
    "max_regression",
    "test",
    "on_inconclusive",
    "severity",
)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class MetricNote(_Part):
    """What a pack says about a metric; range and direction have to agree with the task's."""

    description: str = ""
    display_name: str = ""
    expected_range: tuple[float, float] | None = None
    higher_is: Literal["better", "worse"] | None = None
    aliases: tuple[str, ...] = ()


class PackOptions(_Part):
    """How outputs are read; all of it belongs to the metrics tier."""

    json_mode: Literal["first_value", "strict"] = "first_value"
    normaliser: (
        Literal["none", "trim", "nfc_trim", "words", "squad", "squad_unicode", "code"] | None
    ) = None
    label_synonyms: dict[str, str] = Field(default_factory=dict)
    numeric_tolerance: float = Field(default=0.0, ge=0)


class TaskSpec(_Part):
    """What a pack demands of one task profile."""

    task_profile: str
    display_name: str = ""
    description: str = ""
    required_metric_ids: tuple[str, ...] = ()
    metric_schema: dict[str, MetricNote] = Field(default_factory=dict)
    gates: tuple[Gate, ...] = ()
    options: PackOptions = PackOptions()


class GateDefaults(_Part):
    """Values for gates that do not say."""

    decide_on: Literal["point", "lower", "upper"] | None = None
    confidence: float | None = Field(default=None, ge=0.5, le=0.999)
    min_n: int | None = Field(default=None, ge=1)
    on_inconclusive: Literal["block", "warn", "need_more"] | None = None


class Pack(_Part):
    """A set of gates and options by task profile."""

    contract_version: Literal["slm.evaluation-pack/v2"] = "slm.evaluation-pack/v2"
    extensions: tuple[str, ...] = ()
    pack_id: str = Field(min_length=1)
    display_name: str = ""
    description: str = ""
    version: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()
    default_task_profile: str | None = None
    task_profiles: tuple[str, ...] = ()
    task_specs: tuple[TaskSpec, ...] = ()
    gates: tuple[Gate, ...] = ()
    teacher_baseline_run_id: str | None = None
    derived_from_profile_id: str | None = None
    defaults: GateDefaults = GateDefaults()

    def profiles(self) -> tuple[str, ...]:
        """Return the task profiles that the pack has gates for."""
        named = [spec.task_profile for spec in self.task_specs]
        if self.gates and self.default_task_profile:
            named.append(self.default_task_profile)
        return tuple(dict.fromkeys(named))

    def spec_for(self, profile: str) -> TaskSpec:
        """Return the spec of exactly this profile.

        Raises: PackError with those it has; never the next best.
        """
        for spec in self.task_specs:
            if spec.task_profile == profile:
                return spec
        if self.gates and self.default_task_profile == profile:
            return TaskSpec(task_profile=profile, gates=self.gates)
        raise PackError(
            f'pack "{self.pack_id}" has no gates for task "{profile}"',
            code="EVAL_PACK_FILE",
            expected=f"one of {', '.join(self.profiles())}",
            remedy="choose a pack for this task, or write eval_pack.gates",
        )


class PackError(BrewError):
    """A pack cannot be used; the code is that of the finding."""


class PackProblem(Struct, frozen=True):
    """Something wrong in a pack file, by the dotted path inside it."""

    path: str
    message: str
    remedy: str = "correct the pack file"


class LoadedPack(Struct, frozen=True):
    """A pack, None when it has problems."""

    pack: Pack | None
    problems: tuple[PackProblem, ...] = field(default=())


def pack_from(values: Any) -> LoadedPack:
    """Return the pack that the plain values of a JSON or YAML file mean, or what is wrong."""
    try:
        pack = Pack.model_validate_json(_json_text(values))
    except ValidationError as error:
        return LoadedPack(None, tuple(_problem(item) for item in error.errors()))
    problems = [*_repeated_ids(pack), *_undeclared_extensions(pack, values)]
    if pack.default_task_profile and pack.default_task_profile not in pack.profiles():
        problems.append(PackProblem("default_task_profile", "is not among the task_specs"))
    problems += [
        PackProblem("task_profiles", f"{name} has no task_spec")
        for name in pack.task_profiles
        if name not in pack.profiles()
    ]
    return LoadedPack(None if problems else pack, tuple(problems))


def metric_schema_problems(pack: Pack, profile: str, contract: Contract) -> list[PackProblem]:
    """Return where a pack's metric notes disagree with what the task declares."""
    problems = []
    for metric_id, note in pack.spec_for(profile).metric_schema.items():
        metric = resolve_metric(profile, contract, metric_id)
        path = f"metric_schema.{metric_id}"
        if metric is None:
            problems.append(PackProblem(path, f"task {profile} produces no such metric"))
            continue
        allowed = {metric.metric_id, *metric.synonyms}
        problems += [
            PackProblem(f"{path}.aliases", f"{alias} is no synonym of {metric.metric_id}")
            for alias in note.aliases
            if alias not in allowed
        ]
        if note.higher_is and metric.higher_is_better is (note.higher_is == "worse"):
            problems.append(PackProblem(f"{path}.higher_is", "is against the metric's direction"))
        if note.expected_range and not all(map(metric.is_in_range, note.expected_range)):
            problems.append(PackProblem(f"{path}.expected_range", "is beyond the metric's range"))
    return problems


def gates_of(
    pack: Pack | None, profile: str, contract: Contract, inline: Iterable[Gate] = ()
) -> tuple[Gate, ...]:
    """Return the gates that apply: the pack's, then inline ones, an equal gate_id replacing.

    Raises: PackError when the pack has none for the profile.
    """
    gates: dict[str, Gate] = {}
    if pack is not None:
        for gate in pack.spec_for(profile).gates:
            fitted = _fitted(gate, profile, contract)
            gates[fitted.name] = _with_defaults(fitted, pack.defaults)
    for gate in inline:
        gates[gate.name] = gate
    return tuple(gates.values())


def _json_text(values: Any) -> str:
    # Dates of YAML become text here, which the fields then refuse or accept as text.
    return json.dumps(values, default=str)


def _problem(item: Any) -> PackProblem:
    return PackProblem(".".join(str(part) for part in item["loc"]), str(item["msg"]))


def _repeated_ids(pack: Pack) -> list[PackProblem]:
    problems = []
    for spec in (*pack.task_specs, TaskSpec(task_profile="", gates=pack.gates)):
        names = [gate.name for gate in spec.gates]
        problems += [
            PackProblem("gates", f'gate_id "{name}" stands twice', "rename one of the gates")
            for name in sorted({name for name in names if names.count(name) > 1})
        ]
    return problems


def _undeclared_extensions(pack: Pack, values: Mapping[str, Any]) -> list[PackProblem]:
    written = [
        *values.get("gates", ()),
        *(gate for spec in values.get("task_specs", ()) for gate in spec.get("gates", ())),
    ]
    is_extended = "defaults" in values or any(
        name in gate for gate in written for name in _OUR_GATE_FIELDS
    )
    is_extended = is_extended or any("options" in spec for spec in values.get("task_specs", ()))
    if is_extended and GATES_EXTENSION not in pack.extensions:
        return [
            PackProblem(
                "extensions",
                "fields beyond the shared contract are used without saying so",
                f"write extensions: [{GATES_EXTENSION}]",
            )
        ]
    return []


def _fitted(gate: Gate, profile: str, contract: Contract) -> Gate:
    """Return the gate of a built-in pack as the contract's scoring mode means it."""
    is_span_set = contract.get("scoring_mode") == "span_set"
    if profile == "structured_extraction" and is_span_set and gate.metric_id == "overall_em":
        values = gate.model_dump() | {"metric_id": "f1", "gate_id": gate.gate_id}
        if gate.threshold is not None:
            values["threshold"] = _SPAN_SET_F1
        return Gate(**values)
    return gate


def _with_defaults(gate: Gate, defaults: GateDefaults) -> Gate:
    unwritten = {
        name: value
        for name, value in defaults.model_dump(exclude_none=True).items()
        if name not in gate.model_fields_set
    }
    if "decide_on" in unwritten and gate.operator.endswith("lte"):
        unwritten["decide_on"] = _MIRRORED_BOUND[unwritten["decide_on"]]
    return gate.model_copy(update=unwritten) if unwritten else gate


_SPAN_SET_F1 = 0.5
_MIRRORED_BOUND = {"point": "point", "lower": "upper", "upper": "lower"}
