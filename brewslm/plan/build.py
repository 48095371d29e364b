"""Build the plan: walk the resources, compare wanted, remembered and real, and say what follows.

The walk is the same for every kind. What differs comes from the kind's declaration: whether its
outputs are read off files while planning, made by a door, or a pointer that moves.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from brewslm import __version__
from brewslm.address import Address
from brewslm.artifacts.store import ArtifactReader
from brewslm.contracts import (
    Category,
    Kind,
    Operation,
    Output,
    Spec,
    Work,
    categories_by_path,
    counting_values,
    spec_values,
)
from brewslm.diagnostics import (
    Finding,
    FindingCode,
    Place,
    Severity,
    finding_code,
    sorted_findings,
)
from brewslm.errors import BrewError, PlanError
from brewslm.fingerprint import fingerprint
from brewslm.manifest.carried_out import unavailable
from brewslm.manifest.project import Manifest, Wanted
from brewslm.plan import price, refresh
from brewslm.plan.action import Action, Cause, Drift, Estimate, PlanInput, Price, Resume, Reuse
from brewslm.plan.base_model import BaseModel, locate, read_base_model
from brewslm.plan.content_fixes import fixed_training
from brewslm.plan.data import (
    DataOutcome,
    prepare_data,
    source_digests,
    tag_columns,
)
from brewslm.plan.diff import changed_paths, value_at
from brewslm.plan.digest_cache import DigestCache
from brewslm.plan.graph import ordered, upstream
from brewslm.plan.identity import facts_from, input_digests
from brewslm.plan.judging import Judgement, judge
from brewslm.plan.plan import Plan, ProjectFacts
from brewslm.plan.row_changes import row_changes
from brewslm.stages.data_source import DataSourceSpec, source_path
from brewslm.stages.eval_pack import EvalPackContentSpec
from brewslm.stages.kinds import KINDS
from brewslm.stages.model import ModelSpec
from brewslm.stages.training_plan import TrainingPlanSpec
from brewslm.state.records import ResourceRecord, Status
from brewslm.state.store import StateReader

_MODEL = Address("model")
_DATASET = Address("dataset")
_TRAINING = Address("training_plan")
_EVAL_PACK = Address("eval_pack")
_HELD_BY_HOST = ("dtype", "attn_implementation")
"""Host values of training that also say how a model is loaded for answering."""
_DATA_KINDS = ("data_source", "adapter", "dataset")
_PENDING_OUTPUTS = {
    "training_plan": ("lora_adapter", "run"),
    "eval_pack": ("decision", "metrics", "verdict"),
    "export": ("files",),
    "deployment": ("promoted",),
}


@dataclass(frozen=True)
class PlanOptions:
    """What a plan is made with, beside the manifest, the state and the artifacts."""

    scratch: Path
    """Folder below .brewslm/cache; may be deleted at any time."""
    digests: DigestCache
    environment: Mapping[str, str] = field(default_factory=dict)
    """Where the local model cache is looked up."""
    git_commit: str | None = None
    refresh: str = "auto"
    """auto, none or full."""
    max_deletes: int = 3
    memory_bytes: int | None = None
    """Capacity of the device that trains, None when unknown."""


@dataclass
class Built:
    """A plan, and what was found on the way that apply needs."""

    plan: Plan
    specs: dict[Address, Spec]
    base: BaseModel | None
    prepared_folder: Path | None
    """The prepared rows, when this plan made them."""


def build_plan(
    manifest: Manifest, state: StateReader, artifacts: ArtifactReader, options: PlanOptions
) -> Plan:
    """Return the plan of a project."""
    return build(manifest, state, artifacts, options).plan


def build(
    manifest: Manifest, state: StateReader, artifacts: ArtifactReader, options: PlanOptions
) -> Built:
    """Return the plan of a project with what apply needs beside it."""
    return _Builder(manifest, state, artifacts, options).run()


class _Builder:
    def __init__(
        self,
        manifest: Manifest,
        state: StateReader,
        artifacts: ArtifactReader,
        options: PlanOptions,
    ) -> None:
        self._manifest = manifest
        self._state = state
        self._artifacts = artifacts
        self._options = options
        self._records = state.resources()
        self._wanted = dict(manifest.resources)
        self._specs: dict[Address, Spec] = manifest.specs()
        self._findings: list[Finding] = [*manifest.findings, *unavailable(manifest)]
        self._outputs: dict[Address, dict[str, Output]] = {}
        self._values: dict[Address, dict[str, Any]] = {}
        self._facts: dict[Address, dict[str, Any]] = {}
        self._pending: dict[Address, Category] = {}
        self._blocked: set[Address] = set()
        self._contents: dict[Address, str] = {}
        self._inputs: list[PlanInput] = []
        self._drift: list[Drift] = []
        self._base: BaseModel | None = None
        self._prepared_folder: Path | None = None
        self._data: DataOutcome | None = None
        self._judgement: Judgement | None = None

    def run(self) -> Built:
        """Look at the real things, then walk."""
        if self._options.refresh == refresh.NONE:
            self._report(
                FindingCode.REFRESH_SKIPPED,
                Address("project"),
                "",
                "the record was trusted, nobody looked at what is really there",
                "brewslm plan --refresh auto",
                severity=Severity.WARNING,
            )
        self._observe_model()
        self._observe_pack()
        self._observe_data()
        self._fix_training()
        actions = [self._action(address) for address in ordered(self._specs)]
        actions += self._deletes()
        errors = any(item.severity is Severity.ERROR for item in self._findings)
        meta = self._state.meta()
        plan = Plan(
            tool_version=__version__,
            options={"refresh": self._options.refresh, "max_deletes": self._options.max_deletes},
            project=ProjectFacts(
                name=self._manifest.name, lineage=meta.lineage, serial=meta.serial
            ),
            effective_manifest=self._manifest.effective,
            manifest_digest=self._manifest.digest,
            git_commit=self._options.git_commit,
            stage_versions={name: kind.version for name, kind in KINDS.items()},
            is_applyable=not errors,
            inputs=tuple(sorted(self._inputs, key=lambda item: (item.address, item.path))),
            actions=tuple(actions),
            drift=tuple(self._drift),
            findings=tuple(item.to_json() for item in sorted_findings(self._findings)),
            gate_changes=self._judgement.changes if self._judgement else (),
            estimate=price.total([item.estimate for item in actions if item.is_work]),
        ).sealed()
        return Built(plan, self._specs, self._base, self._prepared_folder)

    # Real things

    def _observe_model(self) -> None:
        spec = self._specs.get(_MODEL)
        if not isinstance(spec, ModelSpec):
            return
        try:
            folder = locate(
                spec.base_model, spec.revision, self._manifest.root, self._options.environment
            )
            if folder is None:
                self._report(
                    FindingCode.MODEL_NOT_CACHED,
                    _MODEL,
                    "base_model",
                    "the base model's files are not in the local cache",
                    "fetch them into the Hugging Face cache, then plan again",
                    severity=Severity.ERROR,
                    found=spec.base_model,
                )
                return
            if self._options.refresh == refresh.NONE:
                self._base = refresh.recorded_base(self._records.get(str(_MODEL)), spec, folder)
            if self._base is None:
                self._base = read_base_model(folder, spec.base_model, self._options.digests)
        except PlanError as error:
            self._report(
                FindingCode(error.code),
                _MODEL,
                "base_model",
                error.message,
                error.remedy,
                found=error.found,
                expected=error.expected,
            )
            return
        if spec.cache_fingerprint not in (None, self._base.digest):
            self._report(
                FindingCode.FINGERPRINT_MISMATCH,
                _MODEL,
                "cache_fingerprint",
                "the base model's files are not the pinned ones",
                "if the change is wanted, write cache_fingerprint: " + self._base.digest,
                found=self._base.digest,
                expected=spec.cache_fingerprint or "",
            )
        self._contents[_MODEL] = self._base.digest
        self._outputs[_MODEL] = {"base": Output(self._base.digest, self._base.size_bytes)}
        self._values[_MODEL] = self._base.values()

    def _observe_pack(self) -> None:
        spec = self._specs.get(_EVAL_PACK)
        if isinstance(spec, EvalPackContentSpec) and spec.path is not None:
            digest, size_bytes = self._options.digests.digest(
                spec.path, self._manifest.root / spec.path
            )
            self._inputs.append(
                PlanInput(
                    address=str(_EVAL_PACK), path=spec.path, digest=digest, size_bytes=size_bytes
                )
            )

    def _observe_data(self) -> None:
        if _DATASET not in self._specs:
            return
        contents = self._source_contents()
        for address, (digest, size_bytes) in contents.items():
            self._contents[address] = digest
            source = self._specs[address]
            if isinstance(source, DataSourceSpec):
                self._inputs.append(
                    PlanInput(
                        address=str(address),
                        path=source_path(source),
                        digest=digest,
                        size_bytes=size_bytes,
                    )
                )
        if self._data_is_unchanged(contents):
            for address in self._data_addresses():
                record = self._records[str(address)]
                self._outputs[address] = dict(record.outputs)
                self._values[address] = dict(record.values)
            return
        try:
            outcome = prepare_data(
                self._specs,
                contents,
                self._manifest.root,
                self._options.scratch,
                self._base,
                self._manifest.name,
            )
        except BrewError as error:
            self._report(
                finding_code(error.code, FindingCode.UNREADABLE),
                _DATASET,
                "",
                error.message,
                error.remedy,
                found=error.found,
                expected=error.expected,
            )
            return
        self._data = outcome
        self._prepared_folder = outcome.folder
        told = {(finding.address, finding.code) for finding in self._findings}
        self._findings += [
            item for item in outcome.findings if (item.address, item.code) not in told
        ]
        self._outputs |= outcome.outputs
        self._values |= outcome.values

    def _source_contents(self) -> dict[Address, tuple[str, int]]:
        """Return digest and size of every source, off the record where that is to be trusted."""
        if self._options.refresh == refresh.NONE:
            recorded = refresh.recorded_contents(self._specs, self._records)
            if recorded is not None and self._data_is_unchanged(recorded):
                return recorded
        contents, findings = source_digests(self._specs, self._manifest.root, self._options.digests)
        self._findings += [self._placed(finding) for finding in findings]
        return contents

    def _data_addresses(self) -> list[Address]:
        return [address for address in self._specs if address.kind in _DATA_KINDS]

    def _data_is_unchanged(self, contents: Mapping[Address, tuple[str, int]]) -> bool:
        """Whether specs, bytes and stage versions are those of the record, all of them."""
        addresses = self._data_addresses()
        recorded = {name for name, item in self._records.items() if item.kind in _DATA_KINDS}
        if recorded != {str(address) for address in addresses}:
            return False
        for address in addresses:
            record = self._records[str(address)]
            same = record.facts.get("spec") == counting_values(self._specs[address])
            version = record.facts.get("version") == KINDS[address.kind].version
            content = address.kind != "data_source" or (
                address in contents and record.facts.get("content") == contents[address][0]
            )
            if not (same and version and content and record.status is Status.CURRENT):
                return False
        if self._values_of(_DATASET).get("tag_columns") != list(tag_columns(self._specs)):
            return False
        if self._drift_of(_DATASET):
            return False
        template = (self._values_of(_DATASET).get("manifest") or {}).get("chat_template") or {}
        expected = self._base.template_digest if self._base else None
        return bool(template.get("digest") == expected)

    def _values_of(self, address: Address) -> dict[str, Any]:
        record = self._records.get(str(address))
        return record.values if record else {}

    def _prepared(self) -> dict[str, Any]:
        """Return the manifest of the prepared data, empty when not all of it could be read."""
        if self._data is not None and not self._data.is_whole:
            return {}
        return dict(self._values.get(_DATASET, {}).get("manifest") or {})

    def _fix_training(self) -> None:
        spec = self._specs.get(_TRAINING)
        prepared = self._prepared()
        if not isinstance(spec, TrainingPlanSpec) or not prepared or self._base is None:
            return
        wanted = self._wanted[_TRAINING]
        fixed = fixed_training(spec, wanted, self._base, prepared, self._options.memory_bytes)
        self._specs[_TRAINING] = fixed.spec
        self._findings += fixed.findings
        self._wanted[_TRAINING] = replace(
            wanted, spec=fixed.spec, origins=wanted.origins | fixed.origins
        )

    # The walk

    def _action(self, address: Address) -> Action:
        kind = KINDS[address.kind]
        record = self._records.get(str(address))
        digests = input_digests(kind, address, self._specs, self._outputs)
        unknown = sorted(name for name, digest in digests.items() if digest is None)
        facts: dict[str, Any] | None = None
        if not unknown and self._can_be_known(kind, address):
            facts = facts_from(kind, self._specs[address], digests)
            if address in self._contents:
                facts["content"] = self._contents[address]
            self._facts[address] = facts
        if kind.name == "eval_pack":
            self._judge(facts)
        draft = _Draft(address, kind, self._wanted[address], record, facts, unknown)
        if self._is_gate_blocked(kind):
            return self._blocked_noop(draft)
        return self._compared(draft)

    def _can_be_known(self, kind: Kind, address: Address) -> bool:
        return kind.work is not Work.OBSERVED or address in self._outputs

    def _judge(self, facts: dict[str, Any] | None) -> None:
        prepared = self._prepared()
        if not prepared or _MODEL not in self._outputs:
            return
        self._judgement = judge(
            self._specs,
            prepared,
            self._outputs | self._recorded_pointer(),
            self._records.get(str(_EVAL_PACK)),
            self._records.get("workflow"),
            self._artifacts,
            candidate_is_known=facts is not None,
        )
        for problem in self._judgement.findings:
            self._findings.append(self._placed(problem))

    def _recorded_pointer(self) -> dict[Address, dict[str, Output]]:
        address = Address("deployment")
        record = self._records.get(str(address))
        return {address: dict(record.outputs)} if record else {}

    def _is_gate_blocked(self, kind: Kind) -> bool:
        """Whether what waits for the verdict can't go on, because it is known not to be PASS."""
        if kind.name not in ("export", "deployment") or _EVAL_PACK in self._pending:
            return False
        return _EVAL_PACK in self._blocked

    def _blocked_noop(self, draft: "_Draft") -> Action:
        record = draft.record
        self._outputs[draft.address] = dict(record.outputs) if record else {}
        self._blocked.add(draft.address)
        snapshot = _snapshot(record.spec, record.outputs) if record else None
        return Action(
            address=str(draft.address),
            target=draft.kind.name,
            name=draft.address.name,
            operation=Operation.NOOP,
            reason="gate_blocked",
            before=snapshot,
            after=snapshot,
            fingerprint=record.fingerprint if record else None,
            facts=record.facts if record else None,
        )

    def _compared(self, draft: "_Draft") -> Action:
        record, facts = draft.record, draft.facts
        address = draft.address
        identity = fingerprint(facts) if facts is not None else None
        spec = spec_values(self._specs[address])
        if record is not None and identity == record.fingerprint:
            drift = self._drift_of(address)
            if drift:
                self._drift += drift
                is_damaged = any(item.kind == "changed" for item in drift)
                reason = "artifact_corrupt" if is_damaged else "artifact_missing"
                return self._worked(draft, identity, reason, [item.path for item in drift])
            if record.status is Status.FAILED:
                return self._worked(draft, identity, "previous_failed")
            if record.spec == spec:
                return self._noop(draft, record)
            return self._worked(draft, identity, "metadata_changed")
        return self._worked(draft, identity, self._reason(draft))

    def _drift_of(self, address: Address) -> list[Drift]:
        """Return what is not in the artifact store as it was recorded."""
        record = self._records[str(address)]
        kind = KINDS[address.kind]
        kept = {
            name: output for name, output in record.outputs.items() if self._is_kept(kind, name)
        }
        return refresh.artifact_drift(address, kept, self._artifacts, self._options.refresh)

    def _is_kept(self, kind: Kind, name: str) -> bool:
        """Whether an output's bytes lie in the artifact store."""
        return (
            kind.work is Work.DOOR
            or (kind.name == "dataset" and name == "prepared")
            or (kind.work is Work.POINTER)
        )

    def _noop(self, draft: "_Draft", record: ResourceRecord) -> Action:
        self._outputs[draft.address] = dict(record.outputs)
        self._values[draft.address] = dict(record.values)
        reason = "unchanged"
        if draft.address == _EVAL_PACK and record.status is Status.QUARANTINED:
            self._blocked.add(draft.address)
            reason = "gate_blocked"
        snapshot = _snapshot(record.spec, record.outputs)
        return Action(
            address=str(draft.address),
            target=draft.kind.name,
            name=draft.address.name,
            operation=Operation.NOOP,
            reason=reason,
            host=self._host(draft.address),
            before=snapshot,
            after=snapshot,
            fingerprint=record.fingerprint,
            facts=record.facts,
        )

    def _reason(self, draft: "_Draft") -> str:
        record = draft.record
        if record is None:
            return "not_recorded"
        if changed_paths(record.facts.get("spec"), counting_values(self._specs[draft.address])):
            return "field_changed"
        if record.facts.get("content") != (draft.facts or {}).get("content"):
            return "content_changed"
        if record.facts.get("version") != draft.kind.version:
            return "version_raised"
        return "input_pending" if draft.unknown else "input_changed"

    def _worked(
        self, draft: "_Draft", identity: str | None, reason: str, missing: list[str] | None = None
    ) -> Action:
        record, address, kind = draft.record, draft.address, draft.kind
        spec = self._specs[address]
        fields = changed_paths(record.spec, spec_values(spec)) if record else []
        reuse = self._reuse(kind, identity, missing)
        resume = self._resume(kind, identity) if reuse is None else None
        known = self._known_outputs(draft, reuse)
        unknown = self._unknown_outputs(draft, known)
        category = self._category(draft, fields, reason)
        if unknown:
            self._pending[address] = category
            self._outputs.pop(address, None)
        else:
            self._outputs[address] = known
        if address == _EVAL_PACK and not unknown and self._judgement is not None:
            if self._judgement.verdict not in (None, "PASS"):
                self._blocked.add(address)
        after: dict[str, Any] = _snapshot(spec_values(spec), known)
        if kind.work is Work.OBSERVED:
            after["values"] = self._values.get(address, {})
        wanted = self._wanted[address]
        return Action(
            address=str(address),
            target=kind.name,
            name=address.name,
            operation=Operation.UPDATE if record else Operation.CREATE,
            category=category,
            reason="resume" if resume and reason == "not_recorded" else reason,
            causes=self._causes(draft, fields, missing or []),
            fields_changed=tuple(fields),
            before=_snapshot(record.spec, record.outputs) if record else None,
            after=after,
            after_unknown={"outputs": dict.fromkeys(unknown, True)} if unknown else {},
            origins=dict(sorted(wanted.origins.items())),
            host=self._host(address),
            fingerprint=identity,
            facts=draft.facts,
            reuse=reuse,
            nearest=self._nearest(kind, draft.facts, record) if reuse is None else None,
            resume=resume,
            may_stop=bool(draft.unknown) and record is not None,
            data=self._data_facts(draft),
            keeps=self._keeps(kind, record),
            estimate=self._price(draft, reuse),
        )

    def _host(self, address: Address) -> dict[str, Any]:
        """Return what this host uses instead; whoever loads the trained model holds it like
        training did.
        """
        if address.kind not in ("eval_pack", "export"):
            return self._wanted[address].host
        training = self._wanted.get(_TRAINING)
        held = training.host if training else {}
        return {name: held[name] for name in _HELD_BY_HOST if name in held}

    def _known_outputs(self, draft: "_Draft", reuse: Reuse | None) -> dict[str, Output]:
        if draft.kind.work is Work.OBSERVED:
            return self._outputs.get(draft.address, {})
        if reuse is not None:
            return {str(item["name"]): Output.from_json(item) for item in reuse.outputs}
        if draft.kind.work is Work.POINTER and not draft.unknown:
            return {"promoted": self._outputs[_TRAINING]["lora_adapter"]}
        if draft.address == _EVAL_PACK and self._judgement is not None:
            return dict(self._judgement.known)
        return {}

    def _unknown_outputs(self, draft: "_Draft", known: Mapping[str, Output]) -> list[str]:
        if draft.kind.work in (Work.RECORD, Work.OBSERVED):
            return []
        names = set(_PENDING_OUTPUTS[draft.kind.name])
        if draft.address == _EVAL_PACK and self._judgement is not None:
            names |= set(self._judgement.part_names)
        is_whole = known and draft.address != _EVAL_PACK
        return [] if is_whole or "verdict" in known else sorted(names - set(known))

    def _category(self, draft: "_Draft", fields: list[str], reason: str) -> Category:
        own: list[Category] = []
        by_path = categories_by_path(self._specs[draft.address], draft.kind.category)
        for path in fields:
            below = [
                category
                for name, category in by_path.items()
                if name == path or name.startswith((f"{path}.", f"{path}["))
            ]
            own += below or [draft.kind.category]
        if reason in (
            "not_recorded",
            "content_changed",
            "artifact_missing",
            "artifact_corrupt",
            "version_raised",
        ):
            own.append(draft.kind.category)
        heaviest = max(own, key=lambda item: item.weight, default=None)
        inherited = [
            self._pending[address]
            for address in upstream(draft.address, self._specs)
            if address in self._pending
        ]
        if heaviest is not None and heaviest is not Category.METADATA:
            return heaviest
        if inherited:
            return max(inherited, key=lambda item: item.weight)
        if reason == "input_changed":
            changed = [
                KINDS[address.kind].category for address in upstream(draft.address, self._specs)
            ]
            return max(changed, key=lambda item: item.weight, default=draft.kind.category)
        return heaviest or draft.kind.category

    def _causes(self, draft: "_Draft", fields: list[str], missing: list[str]) -> tuple[Cause, ...]:
        record = draft.record
        if record is None:
            return ()
        after = spec_values(self._specs[draft.address])
        causes = [
            Cause(
                kind="field",
                path=path,
                before=value_at(record.spec, path),
                after=value_at(after, path),
            )
            for path in fields
        ]
        causes += [Cause(kind="artifact", path=name) for name in missing]
        if draft.facts and record.facts.get("content") != draft.facts.get("content"):
            spec = self._specs[draft.address]
            path = source_path(spec) if isinstance(spec, DataSourceSpec) else str(draft.address)
            causes.append(
                Cause(
                    kind="content",
                    path=path,
                    before=record.facts.get("content"),
                    after=draft.facts.get("content"),
                )
            )
        if record.facts.get("version") != draft.kind.version:
            causes.append(
                Cause(
                    kind="version",
                    path=draft.kind.name,
                    before=record.facts.get("version"),
                    after=draft.kind.version,
                )
            )
        old = record.facts.get("inputs", {})
        new = (draft.facts or {}).get("inputs", {})
        changed = sorted(name for name in new if old.get(name) != new[name])
        causes += [
            Cause(kind="input", path=name, before=old.get(name), after=new[name])
            for name in changed
        ]
        causes += [Cause(kind="input", path=name, before=old.get(name)) for name in draft.unknown]
        return tuple(causes)

    def _reuse(self, kind: Kind, identity: str | None, missing: list[str] | None) -> Reuse | None:
        if kind.work is not Work.DOOR or identity is None or missing:
            return None
        produced = self._artifacts.find_produced(identity)
        if produced is None or not all(map(self._artifacts.is_present, produced.outputs.values())):
            return None
        return Reuse(
            fingerprint=identity,
            outputs=tuple(
                {"name": name, **output.to_json()}
                for name, output in sorted(produced.outputs.items())
            ),
        )

    def _resume(self, kind: Kind, identity: str | None) -> Resume | None:
        if kind.name != "training_plan" or identity is None:
            return None
        for operation in self._state.operations(only_open=True):
            if operation.fingerprint == identity and operation.checkpoints:
                newest = max(operation.checkpoints, key=lambda item: int(item["step"]))
                return Resume(
                    step=int(newest["step"]),
                    checkpoint=str(newest["digest"]),
                    operation_id=operation.operation_id,
                )
        return None

    def _nearest(
        self, kind: Kind, facts: dict[str, Any] | None, record: ResourceRecord | None
    ) -> dict[str, Any] | None:
        if kind.work is not Work.DOOR or facts is None or record is None:
            return None
        candidates = [
            (changed_paths(item.facts, facts), item.fingerprint)
            for item in self._artifacts.all_produced(kind.name)
            if "part" not in item.facts
        ]
        if not candidates:
            return None
        differs, nearest = min(candidates, key=lambda item: (len(item[0]), item[1]))
        return {
            "fingerprint": nearest,
            "revision": record.revision if nearest == record.fingerprint else None,
            "differs": [path.removeprefix("spec.") for path in differs],
        }

    def _data_facts(self, draft: "_Draft") -> dict[str, Any] | None:
        if draft.address == _EVAL_PACK and self._judgement is not None:
            return self._judgement.facts
        if draft.address.kind == "data_source" and draft.address in self._values:
            values = self._values[draft.address]
            before = draft.record.values.get("rows_read") if draft.record else None
            return {"rows": {"read": values.get("rows_read"), "before": before}}
        if draft.address.kind == "adapter" and draft.address in self._values:
            values = self._values[draft.address]
            return {"mapped": values.get("mapped"), "rejected": values.get("rejected") or None}
        if draft.address == _DATASET:
            return self._dataset_facts(draft)
        if draft.address == _TRAINING and self._prepared():
            spec = self._specs[_TRAINING]
            if isinstance(spec, TrainingPlanSpec):
                work = price.training_work(spec.config, self._prepared())
                config = spec.config
                batch = config.batch_size * config.gradient_accumulation_steps
                return {"run": {"rows": work.rows, "steps": work.steps, "effective_batch": batch}}
        return None

    def _dataset_facts(self, draft: "_Draft") -> dict[str, Any] | None:
        manifest = self._prepared()
        if not manifest:
            return None
        accounting = manifest["accounting"]["total"]
        before = (draft.record.values.get("manifest") or {}) if draft.record else {}
        old = (before.get("accounting") or {}).get("total") or {}
        facts: dict[str, Any] = {
            "rows": {
                "read": accounting["read"],
                "accepted": accounting["accepted"],
                "rejected": sum(accounting["rejected"].values()),
                "duplicates": accounting["duplicates"],
            },
            "placed": {name: amount for name, amount in manifest["splits"].items() if amount},
            "rejected": accounting["rejected"] or None,
        }
        if old:
            facts["before"] = {
                "read": old["read"],
                "accepted": old["accepted"],
                "rejected": sum(old["rejected"].values()),
                "duplicates": old["duplicates"],
            }
        facts |= self._row_changes(draft.record)
        leaks = manifest["leaks"]
        facts["leaks"] = leaks.get("counts") or "none"
        return facts

    def _row_changes(self, record: ResourceRecord | None) -> dict[str, Any]:
        if record is None or self._prepared_folder is None:
            return {}
        recorded = record.outputs.get("prepared")
        changes = row_changes(recorded, self._prepared_folder, self._artifacts)
        if changes is None:
            return {}
        gold = changes["gold"]
        return {
            "changes": changes["training"] | {"moved": changes["moved"] or None},
            "gold changes": gold if any(gold.values()) else None,
            "sets": changes["splits"] or None,
        }

    def _keeps(self, kind: Kind, record: ResourceRecord | None) -> str:
        if record is None or kind.name not in ("training_plan", "deployment"):
            return ""
        promoted = self._records.get("deployment")
        if promoted is None:
            return ""
        return f"what revision {promoted.revision} promoted until every required gate has passed"

    def _price(self, draft: "_Draft", reuse: Reuse | None) -> Price:
        kind = draft.kind
        if reuse is not None or kind.work in (Work.RECORD, Work.POINTER):
            return Price.free()
        if kind.work is Work.OBSERVED:
            disk = self._outputs.get(draft.address, {}).get("prepared")
            free = Price.free("read while planning")
            if disk is None:
                return free
            return free.model_copy(update={"disk_bytes": Estimate.exact(disk.size_bytes)})
        past = self._state.operations(kind=kind.name, limit=20)
        past = [item for item in past if item.address == str(draft.address)]
        spec = self._specs[draft.address]
        if isinstance(spec, TrainingPlanSpec) and self._prepared():
            work = price.training_work(spec.config, self._prepared())
            return price.training_price(spec.config, work, self._base, past)
        if kind.name == "eval_pack" and self._judgement is not None:
            return price.evaluation_price(
                self._judgement.rows_to_generate, self._prepared(), self._base, past
            )
        if kind.name == "export":
            training = self._outputs.get(_TRAINING, {}).get("lora_adapter")
            size_bytes = float(training.size_bytes) if training else 1e6
            return price.export_price(draft.address.name, self._base, size_bytes, past)
        return Price()

    # Deletes, drift, findings

    def _deletes(self) -> list[Action]:
        gone = [
            record
            for address, record in self._records.items()
            if Address.parse(address) not in self._specs
        ]
        if not gone:
            return []
        workflow = self._records.get("workflow")
        is_protected = bool(workflow and workflow.spec.get("protect"))
        if is_protected:
            self._report(
                FindingCode.PROTECTED,
                Address("workflow"),
                "protect",
                f"{len(gone)} resources left the manifest of a protected project",
                "apply protect: false by itself first",
            )
        has_work = [item for item in gone if KINDS[item.kind].work is not Work.RECORD]
        promotes = any(item.kind == "deployment" and item.outputs for item in gone)
        if len(has_work) > self._options.max_deletes or (
            promotes and self._options.max_deletes <= 3
        ):
            self._report(
                FindingCode.DELETE_BUDGET_EXCEEDED,
                Address.parse(gone[0].address),
                "",
                f"{len(gone)} resources would be deleted",
                f"brewslm plan --max-deletes {max(len(gone), 4)}",
                found=", ".join(item.address for item in gone[:8]),
                expected=f"at most {self._options.max_deletes}, and nothing promoted",
            )
        return [
            Action(
                address=record.address,
                target=record.kind,
                name=Address.parse(record.address).name,
                operation=Operation.DELETE,
                category=KINDS[record.kind].category,
                reason="removed_from_manifest",
                before=_snapshot(record.spec, record.outputs),
                estimate=Price.free(),
            )
            for record in sorted(gone, key=lambda item: item.address, reverse=True)
        ]

    def _report(
        self,
        code: FindingCode,
        address: Address,
        field_path: str,
        message: str,
        fix: str,
        severity: Severity = Severity.ERROR,
        found: str = "",
        expected: str = "",
    ) -> None:
        wanted = self._manifest.resources.get(address)
        self._findings.append(
            Finding(
                code=code,
                severity=severity,
                message=message,
                actionable_fix=fix,
                field=field_path,
                address=str(address),
                found=found,
                expected=expected,
                place=wanted.place(field_path) if wanted else Place(),
            )
        )

    def _placed(self, finding: Finding) -> Finding:
        """Return a finding with the position of its field in the manifest, where it has none."""
        if finding.place.line or not finding.address:
            return finding
        wanted = self._manifest.resources.get(Address.parse(finding.address))
        path = finding.field.rpartition("].")[2]
        return replace(finding, place=wanted.place(path)) if wanted else finding


@dataclass(frozen=True)
class _Draft:
    """An action in the making."""

    address: Address
    kind: Kind
    wanted: Wanted
    record: ResourceRecord | None
    facts: dict[str, Any] | None
    unknown: list[str]


def _snapshot(spec: Mapping[str, Any], outputs: Mapping[str, Output]) -> dict[str, Any]:
    return {
        "spec": dict(spec),
        "outputs": {name: output.to_json() for name, output in sorted(outputs.items())},
    }
