"""What is really there: the base model's files, the pack's file, the sources and what they come
to.
"""

from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from brewslm.address import Address
from brewslm.artifacts.store import ArtifactReader
from brewslm.diagnostics import FindingCode, Severity, finding_code
from brewslm.errors import BrewError, PlanError
from brewslm.files import is_folder, note_read, open_inside
from brewslm.manifest.project import Manifest
from brewslm.plan import refresh
from brewslm.plan.action import PlanInput
from brewslm.plan.base_model import BaseModel, locate, read_base_model
from brewslm.plan.content_fixes import fixed_training
from brewslm.plan.data import prepare_data, source_digests
from brewslm.plan.deciding_policy import pack_of
from brewslm.plan.evaluation import scoring_versions
from brewslm.plan.findings import Findings
from brewslm.plan.known import Known
from brewslm.plan.model_files import changed_names
from brewslm.plan.moves import find_moves, renamed
from brewslm.plan.options import PlanOptions
from brewslm.stages.data_source import DataSourceSpec, source_path
from brewslm.stages.deployment import MOST_PARAMETERS, DeploymentSpec
from brewslm.stages.eval_pack import EvalPackContentSpec, sets_of
from brewslm.stages.model import ModelSpec
from brewslm.stages.training_plan import TrainingPlanSpec
from brewslm.stages.workflow import WorkflowSpec
from brewslm.state.records import ResourceRecord
from brewslm.tasks.packs import PackError
from brewslm.tasks.task import TASKS

_MODEL = Address("model")
_DATASET = Address("dataset")
_TRAINING = Address("training_plan")
_DEPLOYMENT = Address("deployment")
_EVAL_PACK = Address("eval_pack")
_MAX_UNREAD = 64


def observe(
    manifest: Manifest,
    records: Mapping[str, ResourceRecord],
    artifacts: ArtifactReader,
    options: PlanOptions,
    findings: Findings,
) -> Known:
    """Return what a look at the real things tells; what is wrong with them goes to `findings`."""
    return _Observation(manifest, records, artifacts, options, findings).run()


class _Observation:
    def __init__(
        self,
        manifest: Manifest,
        records: Mapping[str, ResourceRecord],
        artifacts: ArtifactReader,
        options: PlanOptions,
        findings: Findings,
    ) -> None:
        self._manifest = manifest
        self._records = records
        self._artifacts = artifacts
        self._options = options
        self._findings = findings
        self._known = Known(specs=manifest.specs(), wanted=dict(manifest.resources))

    def run(self) -> Known:
        """Look at the model first: rows are counted in its tokens."""
        if self._options.refresh == refresh.NONE:
            self._findings.report(
                FindingCode.REFRESH_SKIPPED,
                Address("project"),
                "",
                "the record was trusted, nobody looked at what is really there",
                "brewslm plan --refresh auto",
                severity=Severity.WARNING,
            )
        self._model()
        if not self._options.is_refresh_only:
            self._pack()
            self._data()
            self._training()
            self._scoring()
        return self._known

    def _model(self) -> None:
        spec = self._known.specs.get(_MODEL)
        if not isinstance(spec, ModelSpec):
            return
        try:
            base = self._base_model(spec)
        except PlanError as error:
            self._findings.report(
                FindingCode(error.code),
                _MODEL,
                "base_model",
                error.message,
                error.remedy,
                found=error.found,
                expected=error.expected,
            )
            return
        is_folder = self._is_project_folder(spec.base_model)
        if base is None and is_folder:
            self._findings.report(
                FindingCode.BASE_MODEL_FORM,
                _MODEL,
                "base_model",
                f'"{spec.base_model}" names a Hub model, and is a folder of the project',
                f"write base_model: ./{spec.base_model}",
                found="no such model in the local cache",
                expected="./ before a folder of the project",
            )
            return
        if base is None:
            self._findings.report(
                FindingCode.MODEL_NOT_CACHED,
                _MODEL,
                "base_model",
                "the base model's files are not in the local cache",
                "fetch them into the Hugging Face cache, then plan again",
                found=spec.base_model,
                severity=Severity.WARNING if self._options.is_elsewhere else Severity.ERROR,
            )
            return
        if is_folder:
            self._findings.report(
                FindingCode.BASE_MODEL_FORM,
                _MODEL,
                "base_model",
                f'"{spec.base_model}" is the Hub model in the local cache, not the folder of the'
                " project that has the same name",
                f"write base_model: ./{spec.base_model} if the folder is meant",
                severity=Severity.WARNING,
            )
        if spec.cache_fingerprint not in (None, base.digest):
            self._findings.report(
                FindingCode.FINGERPRINT_MISMATCH,
                _MODEL,
                "cache_fingerprint",
                "the base model's files are not the pinned ones" + self._changed(spec, base),
                "if the change is wanted, write cache_fingerprint: " + base.digest,
                found=base.digest,
                expected=spec.cache_fingerprint or "",
            )
        self._note_size(base)
        self._note_template(base)
        self._note_vocabulary(base)
        self._note_unread(base)
        base = self._as_recorded(spec, base)
        self._known.base = base
        self._known.contents[_MODEL] = base.digest
        self._known.outputs[_MODEL] = base.outputs()
        self._known.values[_MODEL] = base.values()

    def _is_project_folder(self, name: str) -> bool:
        """Return whether the name of a Hub model is that of a folder of the project as well."""
        if name.startswith(("./", "builtin:")):
            return False
        folder = self._manifest.root / name
        note_read(folder)
        return is_folder(folder)

    def _note_size(self, base: BaseModel) -> None:
        """Report a base model that is larger than the target allows."""
        deployment = self._known.specs.get(_DEPLOYMENT)
        workflow = self._known.specs.get(Address("workflow"))
        if not isinstance(deployment, DeploymentSpec) or not isinstance(workflow, WorkflowSpec):
            return
        target = deployment.target_profile_id or workflow.target_profile_id or ""
        limit = MOST_PARAMETERS.get(target)
        if limit is not None and base.parameters > limit:
            self._findings.report(
                FindingCode.TARGET_SIZE_LIMIT,
                _DEPLOYMENT,
                "target_profile_id",
                f"the base model is larger than {target} allows",
                "name a smaller base_model, or write target_profile_id: vllm_server",
                found=f"{base.parameters:,} parameters",
                expected=f"at most {limit:,}",
            )

    def _changed(self, spec: ModelSpec, base: BaseModel) -> str:
        """Return the names of the files that differ, where the record is of the pinned ones."""
        record = self._records.get(str(_MODEL))
        if record is None or record.outputs["base"].digest != spec.cache_fingerprint:
            return ""
        return ": " + ", ".join(changed_names(record.values.get("files", {}), base.files))

    def _note_template(self, base: BaseModel) -> None:
        """Tell that conversations are rendered by another program than before; never show it."""
        record = self._records.get(str(_MODEL))
        recorded = record.values.get("template_digest") if record is not None else None
        if recorded in (None, base.template_digest):
            return
        self._findings.report(
            FindingCode.TEMPLATE_CHANGED,
            _MODEL,
            "base_model",
            "the file with the chat template is another one than recorded; it decides what the "
            "model is shown in training and evaluation",
            "read it before you apply",
            found=base.template_digest or "no template",
            expected=str(recorded),
            severity=Severity.WARNING,
        )

    def _note_vocabulary(self, base: BaseModel) -> None:
        """Refuse a tokenizer with tokens for which the model has no embedding."""
        tokens = base.tokenizer.tokens if base.tokenizer else 0
        if base.vocab_size and tokens > base.vocab_size:
            self._findings.report(
                FindingCode.BASE_REFUSED,
                _MODEL,
                "base_model",
                "the tokenizer has more tokens than the base model has embeddings",
                "take the added tokens out of tokenizer.json and tokenizer_config.json; or call "
                f"model.resize_token_embeddings({tokens}) and save the model into its folder",
                found=f"{tokens} tokens",
                expected=f"at most {base.vocab_size}, the vocab_size of config.json",
            )

    def _note_unread(self, base: BaseModel) -> None:
        """Tell what lies in the model's folder and is never loaded."""
        if base.unread:
            more = len(base.unread) - _MAX_UNREAD
            self._findings.report(
                FindingCode.BASE_FILES_UNREAD,
                _MODEL,
                "base_model",
                "the base model's folder holds more than what is loaded",
                "nothing: the rest is neither opened nor given to a library",
                found=", ".join(base.unread[:_MAX_UNREAD]) + (f", {more} more" * (more > 0)),
                severity=Severity.INFO,
            )

    def _as_recorded(self, spec: ModelSpec, base: BaseModel) -> BaseModel:
        """Return what is recorded of a model whose files are others now, though the manifest asks
        for the same one; what was found is kept apart as drift.
        """
        recorded = refresh.recorded_base(self._records.get(str(_MODEL)), spec, base.folder)
        if recorded is None or recorded.digest == base.digest:
            return base
        self._known.found_base = base
        if recorded.commit not in (None, base.commit):
            self._findings.report(
                FindingCode.BASE_REVISION_MOVED,
                _MODEL,
                "revision",
                f"{spec.revision or 'the newest commit'} is another commit than the recorded one",
                f"write revision: {recorded.commit}; or, if the new one is wanted: "
                "brewslm apply --refresh-only",
                found=base.commit or "",
                expected=recorded.commit or "",
                severity=Severity.WARNING,
            )
        return recorded

    def _base_model(self, spec: ModelSpec) -> BaseModel | None:
        """Return the base model, off the record where that is to be trusted; None when its files
        are not here.
        """
        folder = self._folder(spec)
        recorded = refresh.recorded_base(self._records.get(str(_MODEL)), spec, folder)
        is_trusted = self._options.refresh == refresh.NONE or (
            folder is None and self._options.is_elsewhere
        )
        if folder is None or (is_trusted and recorded is not None):
            return recorded if is_trusted else None
        digests, root = self._options.digests, self._manifest.root
        return read_base_model(folder, spec.base_model, digests, root, recorded)

    def _folder(self, spec: ModelSpec) -> Path | None:
        """Return the base model's folder: where the manifest names no revision, of the recorded
        commit while it is cached.
        """
        root, environment = self._manifest.root, self._options.environment
        recorded = refresh.recorded_base(self._records.get(str(_MODEL)), spec, None)
        commit = recorded.commit if recorded is not None else None
        if spec.revision is None and commit is not None:
            folder = locate(spec.base_model, commit, root, environment)
            if folder is not None:
                return folder
        return locate(spec.base_model, spec.revision, root, environment)

    def _pack(self) -> None:
        spec = self._known.specs.get(_EVAL_PACK)
        if isinstance(spec, EvalPackContentSpec) and spec.path is not None:
            with open_inside(self._manifest.root, spec.path) as stream:
                digest, size_bytes = self._options.digests.digest_stream(spec.path, stream)
            self._note_input(_EVAL_PACK, spec.path, digest, size_bytes)

    def _data(self) -> None:
        known = self._known
        if _DATASET not in known.specs:
            return
        contents = self._source_contents()
        for address, (digest, size_bytes) in contents.items():
            known.contents[address] = digest
            source = known.specs[address]
            if isinstance(source, DataSourceSpec):
                self._note_input(address, source_path(source), digest, size_bytes)
        known.moves = find_moves(known.specs, self._records, known.contents)
        if known.moves:
            self._records = renamed(self._records, known.moves)
        if self._is_recorded(contents):
            for address in refresh.data_addresses(known.specs):
                record = self._records[str(address)]
                known.outputs[address] = dict(record.outputs)
                known.values[address] = dict(record.values)
            return
        self._prepare(contents)

    def _prepare(self, contents: Mapping[Address, tuple[str, int]]) -> None:
        known = self._known
        try:
            outcome = prepare_data(
                known.specs,
                contents,
                self._manifest.root,
                self._options.scratch,
                known.base,
                self._manifest.name,
                self._options.tell_rows,
            )
        except BrewError as error:
            self._findings.report(
                finding_code(error.code, FindingCode.UNREADABLE),
                _DATASET,
                "",
                error.message,
                error.remedy,
                found=error.found,
                expected=error.expected,
            )
            return
        known.is_data_whole = outcome.is_whole
        known.prepared_folder = outcome.folder
        told = {(finding.address, finding.code) for finding in self._findings.items}
        self._findings.place(
            item for item in outcome.findings if (item.address, item.code) not in told
        )
        known.outputs |= outcome.outputs
        known.values |= outcome.values

    def _source_contents(self) -> dict[Address, tuple[str, int]]:
        """Return digest and size of every source, off the record where that is to be trusted."""
        specs = self._known.specs
        if self._options.refresh == refresh.NONE:
            recorded = refresh.recorded_contents(specs, self._records)
            if recorded is not None and self._is_recorded(recorded):
                return recorded
        contents, findings = source_digests(specs, self._manifest.root, self._options.digests)
        self._findings.place(findings)
        return contents

    def _is_recorded(self, contents: Mapping[Address, tuple[str, int]]) -> bool:
        if any(refresh.is_of_data(written) for written in self._options.selection.replaces):
            return False
        return refresh.is_data_recorded(
            self._known.specs,
            contents,
            self._known.base,
            self._records,
            self._artifacts,
            self._options.refresh,
        )

    def _training(self) -> None:
        """Fit the recipe to the model and the rows."""
        known = self._known
        spec, prepared = known.specs.get(_TRAINING), known.prepared
        if not isinstance(spec, TrainingPlanSpec) or not prepared or known.base is None:
            return
        wanted = known.wanted[_TRAINING]
        fixed = fixed_training(spec, wanted, known.base, prepared)
        known.specs[_TRAINING] = fixed.spec
        self._findings.add(fixed.findings)
        known.wanted[_TRAINING] = replace(
            wanted, spec=fixed.spec, origins=wanted.origins | fixed.origins
        )

    def _scoring(self) -> None:
        """Let what scores this task's answers count like fields of the eval_pack: its versions, and
        the sources by which rows are sliced.
        """
        known = self._known
        spec, prepared = known.specs.get(_EVAL_PACK), known.prepared
        profile = str(prepared.get("task_profile"))
        if not isinstance(spec, EvalPackContentSpec) or profile not in TASKS.names():
            return
        try:
            shipped = pack_of(spec) if spec.pack is None else None
        except PackError:
            return
        scoring = scoring_versions(profile, prepared["contract"], shipped)
        sets, sources = sets_of(spec, known.specs), prepared.get("row_sources", {})
        if by_set := {name: sources[name] for name in sets if name in sources}:
            scoring["row_sources"] = by_set
        known.specs[_EVAL_PACK] = spec.model_copy(update={"scoring": scoring})

    def _note_input(self, address: Address, path: str, digest: str, size_bytes: int) -> None:
        self._known.inputs.append(
            PlanInput(address=str(address), path=path, digest=digest, size_bytes=size_bytes)
        )
