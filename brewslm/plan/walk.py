"""The walk over the resources: for each, compare wanted, remembered and real, and say what
follows.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from brewslm.address import Address
from brewslm.artifacts.store import ArtifactReader
from brewslm.contracts import Category, Operation, Output, Work, spec_values
from brewslm.diagnostics import FindingCode, Severity
from brewslm.errors import RefusedError
from brewslm.plan.action import (
    DRIFT_REPAIR,
    Action,
    Cause,
    Drift,
    GateChange,
    HeldBack,
    Price,
    Resume,
    Reuse,
    snapshot,
)
from brewslm.plan.checkpoints import passed_over
from brewslm.plan.comparison import Draft, causes, difference, heaviest_category
from brewslm.plan.counts import counts_of, is_without_weights
from brewslm.plan.drift import Looker, base_drift, lost, repairable, told
from brewslm.plan.earlier import find_nearest, find_resume, find_reuse
from brewslm.plan.findings import Findings
from brewslm.plan.fit import check_fit
from brewslm.plan.identity import facts_from, input_digests
from brewslm.plan.judging import Judgement, failing_gates, judge
from brewslm.plan.known import Known
from brewslm.plan.model_files import changed_names
from brewslm.plan.options import PlanOptions
from brewslm.plan.pricing import Pricing
from brewslm.plan.refresh import data_addresses
from brewslm.plan.rehearsal import Rehearsal, training_findings
from brewslm.plan.rollback import is_held
from brewslm.rows.dataset import DatasetSpec
from brewslm.stages.kinds import KINDS
from brewslm.stages.model import ModelSpec
from brewslm.stages.training_config import loading_on_host
from brewslm.stages.training_plan import TrainingPlanSpec
from brewslm.stages.workflow import WorkflowSpec
from brewslm.state.records import ResourceRecord, Status
from brewslm.state.store import StateReader
from brewslm.tasks.task import TASKS

_WORKFLOW = Address("workflow")
_MODEL = Address("model")
_DATASET = Address("dataset")
_TRAINING = Address("training_plan")
_EVAL_PACK = Address("eval_pack")
_DEPLOYMENT = Address("deployment")
REPLACE_REQUESTED = "replace_requested"
_PENDING_OUTPUTS = {
    "training_plan": ("lora_adapter", "run"),
    "eval_pack": ("decision", "metrics", "verdict"),
    "export": ("files",),
    "deployment": ("promoted",),
}


class Walk:
    """Goes through the resources in order; what one of them yields is known to the next."""

    def __init__(
        self,
        known: Known,
        records: Mapping[str, ResourceRecord],
        state: StateReader,
        artifacts: ArtifactReader,
        options: PlanOptions,
        findings: Findings,
    ) -> None:
        self._known = known
        self._records = records
        self._state = state
        self._artifacts = artifacts
        self._options = options
        self._findings = findings
        self._pricing = Pricing(known, state, options.device)
        self._former_addresses = {new: old for old, new in known.moves.items()}
        self._looker = Looker(artifacts, options)
        self._rehearsal = Rehearsal(known, artifacts)
        self._is_base_refused = False
        self._changes: dict[Address, Category] = {}
        self._blocked: set[Address] = set()
        self._failing: tuple[str, ...] = ()
        self.replaced: frozenset[Address] = frozenset()
        self.drift: list[Drift] = []
        self.judgement: Judgement | None = None

    def action(self, address: Address) -> Action:
        """Return what happens to a resource, all that it consumes having been walked."""
        draft = self._draft(address)
        if address == _EVAL_PACK:
            self._judge(draft)
        if draft.record is None:
            return self._work_or_blocked(draft)
        kept, placed = self._looker.kept(draft.record), self._looker.placed(draft.record)
        action = self._decided(draft, draft.record, kept, placed)
        self.drift += told(kept, placed, is_mended=action.is_work)
        self._note_base_drift(draft)
        return action

    def checked(self, address: Address) -> Action:
        """Return what a recorded resource takes over from what is really there: the files of the
        base model, where they are others; the rest is told as drift and left alone.
        """
        record = self._records[str(address)]
        kept, placed = self._looker.kept(record), self._looker.placed(record)
        noop = unchanged(record)
        self.drift += told(kept, placed, is_mended=True)
        found = self._known.found_base
        if address != _MODEL or found is None:
            return noop
        self.drift.append(base_drift(record, found))
        self._known.outputs[address] = found.outputs()
        self._known.values[address] = found.values()
        self._known.contents[address] = found.digest
        return self._work(self._draft(address), "content_changed")

    def leave_drift(self, addresses: Collection[str]) -> None:
        """Tell the drift of these resources as left alone."""
        self.drift = [
            item.model_copy(update={"repair": ""}) if item.address in addresses else item
            for item in self.drift
        ]

    def refuse_other_base(self, actions: Sequence[Action]) -> None:
        """Report work that would load a base model whose files are not the recorded ones; those of
        a pinned one are reported already, work or not.
        """
        found, spec = self._known.found_base, self._known.specs.get(_MODEL)
        if isinstance(spec, ModelSpec) and spec.cache_fingerprint is not None:
            return
        loading = [item.address for item in actions if self._loads_base(item)]
        if found is None or not loading:
            return
        record = self._records[str(_MODEL)]
        names = ", ".join(changed_names(record.values.get("files", {}), found.files))
        self._findings.report(
            FindingCode.BASE_MISMATCH,
            _MODEL,
            "base_model",
            f"files of the base model are not the recorded ones ({names}), and there is work that "
            f"loads them: {', '.join(loading)}",
            "put the recorded files back; or, if the new ones are wanted: "
            "brewslm apply --refresh-only",
            found=found.digest,
            expected=record.outputs["base"].digest,
        )

    def _loads_base(self, action: Action) -> bool:
        if not action.is_work or action.reuse is not None or action.is_repair:
            return False
        if action.address == str(_EVAL_PACK):
            return self.judgement is None or bool(self.judgement.rows_to_generate)
        return KINDS[action.target].work is Work.DOOR

    def _note_base_drift(self, draft: Draft) -> None:
        if draft.address == _MODEL and draft.record and self._known.found_base is not None:
            self.drift.append(base_drift(draft.record, self._known.found_base))

    def _work_or_blocked(self, draft: Draft) -> Action:
        if self._is_gate_blocked(draft):
            return self._blocked_noop(draft)
        is_replaced = draft.address in self.replaced
        return self._work(draft, REPLACE_REQUESTED if is_replaced else difference(draft))

    def _decided(
        self,
        draft: Draft,
        record: ResourceRecord,
        kept: Sequence[Drift],
        placed: Sequence[Drift],
    ) -> Action:
        """Return what happens to a recorded resource by the first reason that holds."""
        gone, moved = lost(kept), repairable(placed)
        if draft.address in self.replaced and not self._is_gate_blocked(draft):
            return self._work(draft, REPLACE_REQUESTED)
        if is_held(record, str(getattr(draft.spec, "alias", "")), draft.inputs):
            return self._held(draft, record, moved)
        if self._is_gate_blocked(draft):
            is_mended = moved and not gone
            return self._put_back(draft, record, moved) if is_mended else self._blocked_noop(draft)
        if not draft.is_same:
            return self._work(draft, difference(draft))
        if changed := self._read_otherwise(draft, record):
            return self._work(draft, "content_changed", because=changed)
        if gone:
            is_damaged = any(item.kind == "changed" for item in gone)
            reason = "artifact_corrupt" if is_damaged else "artifact_missing"
            return self._work(draft, reason, [item.path for item in gone])
        if record.status is Status.FAILED:
            return self._work(draft, "previous_failed")
        is_same_spec = draft.recorded_spec == spec_values(draft.spec)
        if moved:
            if is_same_spec:
                return self._put_back(draft, record, moved)
            return self._work(draft, DRIFT_REPAIR)
        return self._noop(draft, record) if is_same_spec else self._work(draft, "metadata_changed")

    def _read_otherwise(self, draft: Draft, record: ResourceRecord) -> list[Cause]:
        """Return which prepared files differ from the recorded ones though the same bytes were
        read: a source's `limit` or role, or another tokenizer, makes others of them.
        """
        known = self._known
        is_of_rows = draft.address == _DATASET and known.prepared_folder is not None
        tags = known.values.get(_DATASET, {}).get("tag_columns")
        if not is_of_rows or record.values.get("tag_columns") != tags:
            return []
        found = known.outputs[_DATASET]
        return [
            Cause(kind="content", path=name, before=before, after=after)
            for name in sorted(found)
            if (after := found[name].digest)
            != (before := record.outputs[name].digest if name in record.outputs else None)
        ]

    def _held(self, draft: Draft, record: ResourceRecord, moved: Sequence[Drift]) -> Action:
        """Leave a deployment where a rollback put it, since the same candidate is wanted still."""
        self._findings.report(
            FindingCode.HELD_BY_ROLLBACK,
            draft.address,
            "",
            "a rollback holds the deployment, so the wanted candidate is not promoted again",
            "revert the change that was rolled back, or: brewslm rollback --release",
            severity=Severity.INFO,
        )
        if moved:
            return self._put_back(draft, record, moved)
        self._known.outputs[draft.address] = dict(record.outputs)
        return unchanged(record, "held_by_rollback")

    def _put_back(self, draft: Draft, record: ResourceRecord, moved: Sequence[Drift]) -> Action:
        """Return the action that lays out again what is recorded and kept."""
        self._known.outputs[draft.address] = dict(record.outputs)
        self._known.values[draft.address] = dict(record.values)
        if self._is_gate_blocked(draft):
            self._blocked.add(draft.address)
        return unchanged(record).model_copy(
            update={
                "operation": Operation.UPDATE,
                "category": draft.kind.category,
                "reason": DRIFT_REPAIR,
                "causes": tuple(
                    Cause(kind="artifact", path=item.path, before=item.before, after=item.after)
                    for item in moved
                ),
                "estimate": Price.free("kept bytes are laid out again"),
            }
        )

    @property
    def gate_changes(self) -> tuple[GateChange, ...]:
        """How gates and protection differ from what was last applied."""
        changes = self.judgement.changes if self.judgement else ()
        workflow = self._records.get(str(_WORKFLOW))
        wanted = self._known.specs.get(_WORKFLOW)
        was_protected = workflow is not None and bool(workflow.spec.get("protect"))
        if not was_protected or not isinstance(wanted, WorkflowSpec) or wanted.protect:
            return changes
        removed = GateChange(
            kind="protection_removed",
            address=str(_WORKFLOW),
            path="protect",
            before=True,
            after=False,
            weakened=True,
        )
        return (removed, *changes)

    @property
    def held_back(self) -> HeldBack | None:
        """What is left alone because the evaluation is known not to pass."""
        if _EVAL_PACK not in self._blocked:
            return None
        promoted = self._records.get(str(_DEPLOYMENT))
        return HeldBack(
            gates=self._failing,
            addresses=tuple(str(item) for item in sorted(self._blocked - {_EVAL_PACK})),
            revision=promoted.revision if promoted else None,
            alias=str(promoted.values.get("alias", "")) if promoted else "",
        )

    def _draft(self, address: Address) -> Draft:
        kind, spec = KINDS[address.kind], self._known.specs[address]
        digests = input_digests(kind, address, self._known.specs, self._known.outputs)
        is_known = all(digest is not None for digest in digests.values())
        facts: dict[str, Any] | None = None
        if is_known and (kind.work is not Work.OBSERVED or address in self._known.outputs):
            facts = facts_from(kind, spec, digests)
            if address in self._known.contents:
                facts["content"] = self._known.contents[address]
        return Draft(
            address=address,
            kind=kind,
            spec=spec,
            wanted=self._known.wanted[address],
            record=self._records.get(str(address)),
            facts=facts,
            inputs=digests,
        )

    def _judge(self, draft: Draft) -> None:
        """Say what the gates will need; without a row that is accepted there may be no task, and
        a task that is not supported is a finding already.
        """
        prepared = self._known.prepared
        is_judgeable = prepared.get("task_profile") in TASKS.names()
        if not is_judgeable or _MODEL not in self._known.outputs:
            return
        deployment = self._records.get(str(_DEPLOYMENT))
        pointer = {_DEPLOYMENT: dict(deployment.outputs)} if deployment else {}
        self.judgement = judge(
            self._known.specs,
            prepared,
            self._known.outputs | pointer,
            draft.record,
            self._records.get("workflow"),
            self._artifacts,
            candidate_is_known=draft.facts is not None,
            is_redone=_EVAL_PACK in self.replaced,
            is_same_data=self._is_same_data(),
            prepared_folder=self._known.prepared_folder,
        )
        self._findings.place(self.judgement.findings)

    def _is_same_data(self) -> bool:
        """Whether sources and what is done with their rows are as recorded, new fields aside."""
        for address in data_addresses(self._known.specs):
            record = self._records.get(str(address))
            wanted = spec_values(self._known.specs[address])
            if record is None or any(wanted.get(k) != v for k, v in record.spec.items()):
                return False
            if record.facts.get("content") != self._known.contents.get(address):
                return False
        return True

    def _is_gate_blocked(self, draft: Draft) -> bool:
        """Whether what waits for the verdict can't go on, because it is known not to be PASS."""
        return draft.kind.name in ("export", "deployment") and _EVAL_PACK in self._blocked

    def _blocked_noop(self, draft: Draft) -> Action:
        record = draft.record
        self._known.outputs[draft.address] = dict(record.outputs) if record else {}
        self._blocked.add(draft.address)
        if record is not None:
            return unchanged(record, "gate_blocked")
        return Action(
            address=str(draft.address),
            target=draft.kind.name,
            name=draft.address.name,
            operation=Operation.NOOP,
            reason="gate_blocked",
        )

    def _noop(self, draft: Draft, record: ResourceRecord) -> Action:
        self._known.outputs[draft.address] = dict(record.outputs)
        self._known.values[draft.address] = dict(record.values)
        is_blocked = draft.address == _EVAL_PACK and record.status is Status.QUARANTINED
        if is_blocked:
            self._blocked.add(draft.address)
            failing = record.values.get("blocking") or failing_gates(record.values.get("gates", ()))
            self._failing = tuple(failing)
        if draft.address == _TRAINING and is_without_weights(record.values, self._known.prepared):
            self._findings.report(
                FindingCode.WEIGHTS_NOT_TRAINED,
                _TRAINING,
                "",
                "the recorded adapter was trained by a version that ignored the weights of sources",
                "brewslm apply --replace training_plan",
                found="each row once an epoch",
                expected="rows as often as their source's weight says",
                severity=Severity.WARNING,
            )
        noop = unchanged(record, "gate_blocked" if is_blocked else "unchanged")
        return noop.model_copy(update={"host": self._host(draft)})

    def _work(
        self,
        draft: Draft,
        reason: str,
        missing: Sequence[str] = (),
        because: Sequence[Cause] = (),
    ) -> Action:
        """Return an action that has something to do; missing: outputs that are not there any
        more; because: causes that the draft does not show.
        """
        record, address, kind = draft.record, draft.address, draft.kind
        is_replaced = reason == REPLACE_REQUESTED
        is_again = bool(missing) or is_replaced
        reuse = None if is_again else find_reuse(draft, self._artifacts)
        resume = None if reuse or is_replaced else self._resume(draft)
        outputs = self._known_outputs(draft, reuse) if not self._is_redone(draft, reason) else {}
        unknown = self._unknown_outputs(draft, outputs)
        category = heaviest_category(draft, reason, self._changes)
        self._changes[address] = category
        self._note_outcome(draft, outputs, is_whole=not unknown)
        if reuse is None:
            self._rehearse(draft)
        priced = self._pricing.price_of(draft, reuse, self.judgement)
        if reuse is None:
            capacity_bytes = self._options.memory_bytes
            check_fit(draft, priced.memory_bytes, self._known, capacity_bytes, self._findings)
        after = snapshot(spec_values(draft.spec), outputs)
        if kind.work is Work.OBSERVED:
            after["values"] = self._known.values.get(address, {})
        return Action(
            address=str(address),
            target=kind.name,
            name=address.name,
            operation=Operation.UPDATE if record else Operation.CREATE,
            category=category,
            reason="resume" if resume and reason == "not_recorded" else reason,
            causes=(*_requested(is_replaced, draft), *because, *causes(draft, missing)),
            fields_changed=tuple(draft.fields_changed),
            before=snapshot(record.spec, record.outputs) if record else None,
            after=after,
            after_unknown={"outputs": dict.fromkeys(unknown, True)} if unknown else {},
            origins=dict(sorted(draft.wanted.origins.items())),
            host=self._host(draft),
            fingerprint=draft.identity,
            facts=draft.facts,
            reuse=reuse,
            nearest=find_nearest(draft, self._artifacts) if reuse is None else None,
            resume=resume,
            replaces=is_replaced,
            moved_from=self._former_addresses.get(str(address), ""),
            may_stop=bool(draft.unknown) and record is not None,
            data=self._data(draft),
            keeps=self._keeps(draft),
            estimate=priced,
        )

    def _resume(self, draft: Draft) -> Resume | None:
        """Return the checkpoint to go on from; say which newer ones cannot be used."""
        home = None if self._options.refresh == "none" else self._options.home
        resume, found = find_resume(draft, self._state, home)
        if found.skipped:
            self._findings.report(
                FindingCode.CHECKPOINT_INVALID,
                draft.address,
                "",
                passed_over(found),
                "nothing; brewslm apply --no-resume starts from the beginning",
                Severity.WARNING,
                found="steps " + ", ".join(map(str, found.skipped)),
                expected="the files that the journal recorded",
            )
        return resume

    def _rehearse(self, draft: Draft) -> None:
        """Try the rows that this work trains on or asks with the base model's own template."""
        training = self._known.specs.get(_TRAINING)
        dataset = self._known.specs.get(_DATASET)
        if not isinstance(training, TrainingPlanSpec) or not isinstance(dataset, DatasetSpec):
            return
        if not self._known.prepared or self._is_base_refused:
            return
        if any(item.code is FindingCode.TEMPLATE_TOKENS_MISSING for item in self._findings.items):
            return  # every row would end in the same
        config, rehearsal = training.config, self._rehearsal
        try:
            if draft.address == _TRAINING:
                made = rehearsal.of(config, "train", is_evaluated=False)
                rehearsal.of(config, "validation", is_evaluated=False)
                self._known.rehearsed = made
                told = {item.code for item in self._findings.items if item.severity.rank == 0}
                if made is not None and FindingCode.ROWS_TOO_LONG not in told:
                    limit = dataset.contract.max_reject_rate
                    self._findings.place(training_findings(made, limit))
            elif draft.address == _EVAL_PACK and self.judgement is not None:
                parts = self.judgement.rows_to_generate
                for name in sorted({part.rpartition(".")[2] for part in parts}):
                    rehearsal.of(config, name, is_evaluated=True)
        except RefusedError as error:
            self._is_base_refused = True
            if not self._is_template_told:
                self._findings.report(
                    FindingCode.BASE_REFUSED,
                    _MODEL,
                    "base_model",
                    error.message,
                    error.remedy,
                    found=error.found,
                    expected=error.expected,
                )
        self._findings.add(rehearsal.taken_findings())

    @property
    def _is_template_told(self) -> bool:
        """Whether the recipe's chat template is known to be unfit."""
        told = (item for item in self._findings.items if item.severity.rank == 0)
        return any(item.field.endswith("chat_template") for item in told)

    def _is_redone(self, draft: Draft, reason: str) -> bool:
        """Whether a door is opened again, so that nothing of the outcome is known before."""
        return reason == REPLACE_REQUESTED and draft.kind.work is Work.DOOR

    def _note_outcome(self, draft: Draft, outputs: dict[str, Output], *, is_whole: bool) -> None:
        """Let what consumes this resource see what is known of it."""
        if is_whole and outputs:
            self._known.outputs[draft.address] = outputs
        else:
            self._known.outputs.pop(draft.address, None)
        if draft.address != _EVAL_PACK or self.judgement is None:
            return
        if self.judgement.verdict not in (None, "PASS"):
            self._blocked.add(draft.address)
            self._failing = self.judgement.failing

    def _known_outputs(self, draft: Draft, reuse: Reuse | None) -> dict[str, Output]:
        if draft.kind.work is Work.OBSERVED:
            return self._known.outputs.get(draft.address, {})
        if reuse is not None:
            return {str(item["name"]): Output.from_json(item) for item in reuse.outputs}
        if draft.kind.work is Work.POINTER and not draft.unknown:
            return {"promoted": self._known.outputs[_TRAINING]["lora_adapter"]}
        if draft.address == _EVAL_PACK and self.judgement is not None:
            return dict(self.judgement.known)
        return {}

    def _unknown_outputs(self, draft: Draft, known: Mapping[str, Output]) -> list[str]:
        if draft.kind.work in (Work.RECORD, Work.OBSERVED):
            return []
        names = set(_PENDING_OUTPUTS[draft.kind.name])
        if draft.address == _EVAL_PACK and self.judgement is not None:
            names |= set(self.judgement.part_names)
        is_whole = known and draft.address != _EVAL_PACK
        return [] if is_whole or "verdict" in known else sorted(names - set(known))

    def _host(self, draft: Draft) -> dict[str, Any]:
        """Return what this host uses instead; whoever loads the trained model holds it like
        training did.
        """
        if draft.kind.name not in ("eval_pack", "export"):
            return draft.wanted.host
        training = self._known.wanted.get(_TRAINING)
        return loading_on_host(training.host) if training else {}

    def _data(self, draft: Draft) -> dict[str, Any] | None:
        if draft.address == _EVAL_PACK and self.judgement is not None:
            return self.judgement.facts
        return counts_of(draft, self._known, self._artifacts)

    def _keeps(self, draft: Draft) -> str:
        promoted = self._records.get(str(_DEPLOYMENT))
        if draft.record is None or promoted is None:
            return ""
        if draft.kind.name not in ("training_plan", "deployment"):
            return ""
        return f"what revision {promoted.revision} promoted until every required gate has passed"


def _requested(is_replaced: bool, draft: Draft) -> tuple[Cause, ...]:
    return (Cause(kind="request", path=f"--replace {draft.address}"),) if is_replaced else ()


def unchanged(record: ResourceRecord, reason: str = "unchanged") -> Action:
    """Return the noop of a record that stays as it is."""
    before = snapshot(record.spec, record.outputs)
    return Action(
        address=record.address,
        target=record.kind,
        name=Address.parse(record.address).name,
        operation=Operation.NOOP,
        reason=reason,
        before=before,
        after=before,
        fingerprint=record.fingerprint,
        facts=record.facts,
    )
