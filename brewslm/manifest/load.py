"""`brewslm.yaml` into a checked value, or all findings at once."""

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brewslm.address import Address
from brewslm.contracts import Spec, spec_values
from brewslm.diagnostics import Finding, FindingCode, Place, Severity, sorted_findings
from brewslm.errors import ManifestError
from brewslm.files import PathError, open_inside
from brewslm.fingerprint import digest_value
from brewslm.manifest.binding import bind_adapters
from brewslm.manifest.carried_out import unavailable
from brewslm.manifest.check import check_file
from brewslm.manifest.contract_schema import with_schemas
from brewslm.manifest.host import HostFacts
from brewslm.manifest.pack_file import with_content
from brewslm.manifest.project import Manifest, Wanted
from brewslm.manifest.repair import repaired, still_true
from brewslm.manifest.resolve import resolve_training
from brewslm.manifest.schema import ManifestFile
from brewslm.manifest.shape import Shaped, is_no_bar, shape
from brewslm.manifest.speaker import speaker
from brewslm.manifest.yaml_file import MAX_BYTES, YamlFile, read_yaml
from brewslm.stages.data_source import source_path
from brewslm.stages.export import ExportFormatSpec
from brewslm.stages.model import ModelSpec
from brewslm.stages.training_plan import mode_of

_POLICY = "spec.workflow.gate_policy"


class FindingsError(ManifestError):
    """The manifest has error findings."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        """findings: all of them, of every severity."""
        self.findings = findings
        errors = sum(finding.severity is Severity.ERROR for finding in findings)
        super().__init__(
            f"the manifest has {errors} errors",
            code="manifest_invalid",
            remedy="brewslm validate lists them",
        )


def load_manifest(
    root: Path,
    path: str = "brewslm.yaml",
    host: HostFacts | None = None,
    data: bytes | None = None,
) -> Manifest:
    """Return the checked manifest of a project folder; what is not supported yet is among its
    findings as errors, and no bar to looking at the rest.

    data: bytes to take for the file's, such as those of a manifest that is not written yet.

    Raises: FindingsError with every finding, ManifestError when there is no such file.
    """
    source = read_yaml(read_manifest(root, path) if data is None else data, path)
    manifest, findings = _checked(source, root, path, host)
    if manifest is None:
        unread = _unread_sources(source, root)
        raise FindingsError(sorted_findings([*findings, *unread]))
    return manifest


def check_manifest(
    root: Path, path: str = "brewslm.yaml", host: HostFacts | None = None
) -> tuple[Manifest | None, tuple[Finding, ...]]:
    """Return the checked manifest and all findings in order of report: the ones that a plan
    reports about the manifest. The manifest is None when it has errors other than values that are
    not supported yet.

    host: None leaves out what this host uses instead of the manifest's values. No file but the
    manifest and what it includes is opened.

    Raises: ManifestError when there is no such file.
    """
    return _checked(read_yaml(read_manifest(root, path), path), root, path, host)


def _checked(
    source: YamlFile, root: Path, path: str, host: HostFacts | None
) -> tuple[Manifest | None, tuple[Finding, ...]]:
    if not source.is_whole:
        return None, sorted_findings(source.findings)
    shaped = shape(source)
    findings = list(shaped.findings)
    if shaped.file is None:
        probable = repaired(shaped)
        if probable is not None and probable.file is not None:
            bound, _ = bind_adapters(probable.file.spec, source)
            more = check_file(probable, source, bound, root)
            findings += still_true(more, findings)
        return None, sorted_findings(findings)
    bound, binding_findings = bind_adapters(shaped.file.spec, source)
    findings += binding_findings
    shaped.file, schema_findings = with_schemas(shaped.file, root, source)
    findings += schema_findings
    findings += check_file(shaped, source, bound, root)
    resources, resolved_findings = _resources(shaped, source, bound, root, host)
    findings += resolved_findings
    ordered = sorted_findings([*findings, *unavailable(resources.values())])
    if not all(is_no_bar(finding) for finding in ordered):
        return None, ordered
    effective = {
        str(address): spec_values(wanted.spec) for address, wanted in sorted(resources.items())
    }
    manifest = Manifest(
        root=root,
        path=path,
        name=shaped.file.metadata.name,
        resources=resources,
        effective=effective,
        digest=digest_value(effective),
        findings=ordered,
    )
    return manifest, ordered


def _unread_sources(source: YamlFile, root: Path) -> list[Finding]:
    """Return what a plan would say about files of rows, for a manifest that can't be planned."""
    if not source.is_whole:
        return []
    shaped = shape(source)
    whole = shaped if shaped.file is not None else repaired(shaped)
    if whole is None or whole.file is None:
        return []
    say = speaker(source)
    found: list[Finding] = []
    for index, item in enumerate(whole.file.spec.data_sources):
        key = "file_path" if item.locator is None else "locator"
        path = source_path(item)
        if not path:
            continue
        try:
            open_inside(root, path).close()
        except PathError as error:
            code = FindingCode(error.code)
            if code is not FindingCode.PATH_OUTSIDE_PROJECT:
                at = ("spec", "data_sources", index, key)
                found.append(say(code, at, error.message, error.remedy, path, error.expected))
    return still_true(found, shaped.findings)


def read_manifest(root: Path, path: str) -> bytes:
    """Return the bytes of a manifest, at most one more than it may have.

    Raises: ManifestError when there is no such file, or it is none that may be read.
    """
    try:
        with open_inside(root, path) as stream:
            return stream.read(MAX_BYTES + 1)
    except PathError as error:
        if error.code != "SOURCE_NOT_FOUND":
            raise unusable(error) from error
        raise ManifestError(
            f'there is no manifest "{path}" in this folder',
            code="manifest_missing",
            found=error.found,
            expected=error.expected,
            remedy="brewslm init writes a starter manifest; --chdir names another folder",
        ) from error
    except OSError as error:
        raise ManifestError(
            f"the project folder cannot be read: {error.strerror}",
            code="manifest_missing",
            remedy="name a folder with a manifest: brewslm --chdir DIR",
        ) from error


def _resources(
    shaped: Shaped,
    source: YamlFile,
    bound: dict[str, str | None],
    root: Path,
    host: HostFacts | None,
) -> tuple[dict[Address, Wanted], list[Finding]]:
    file = shaped.file
    if file is None:
        raise ValueError("the manifest has errors")
    builder = _Builder(shaped, source)
    sections = file.spec
    builder.add(Address("project"), file.metadata, "metadata")
    builder.add(Address("workflow"), sections.workflow, "spec.workflow")
    if sections.blueprint is not None:
        builder.add(Address("blueprint"), sections.blueprint, "spec.blueprint")
    if sections.domain.pack_id or sections.domain.profile_id:
        builder.add(Address("domain"), sections.domain, "spec.domain")
    model = _effective_model(file)
    if model.base_model:
        builder.add(Address("model"), model, "spec.model")
    for index, item in enumerate(sections.data_sources):
        spec = item.model_copy(update={"adapter": bound.get(item.name)})
        builder.add(Address("data_source", item.name), spec, f"spec.data_sources[{index}]")
    for index, adapter in enumerate(sections.adapters):
        builder.add(Address("adapter", adapter.name), adapter, f"spec.adapters[{index}]")
    findings: list[Finding] = []
    if sections.data_sources:
        dataset, origins, split_findings = _with_split(shaped, source)
        builder.add(Address("dataset"), dataset, "spec.dataset", origins)
        findings += split_findings
    if model.base_model and sections.data_sources:
        profile = _profile(shaped)
        mode = mode_of(file.spec.training_plan).name
        resolved = resolve_training(
            sections.training_plan,
            frozenset(shaped.written),
            profile,
            mode,
            host,
            builder.places("spec.training_plan"),
        )
        findings += resolved.findings
        builder.add(
            Address("training_plan"),
            resolved.spec,
            "spec.training_plan",
            resolved.origins,
            resolved.host,
        )
        policy = sections.workflow.gate_policy
        pack = with_content(sections.eval_pack, root, policy.on_inconclusive)
        is_said = f"{_POLICY}.on_inconclusive" in shaped.written
        said = {"on_inconclusive": "manifest"} if is_said else {}
        builder.add(Address("eval_pack"), pack, "spec.eval_pack", said)
        for name in sections.export.formats:
            export = ExportFormatSpec(
                format=name,
                quantization=None,
                extra=sections.export.extra,
                verify=sections.export.verify,
            )
            builder.add(Address("export", name), export, "spec.export")
        if sections.deployment is not None:
            builder.add(Address("deployment"), sections.deployment, "spec.deployment")
    return builder.resources, findings


class _Builder:
    """Collects wanted resources with the positions and origins of their fields."""

    def __init__(self, shaped: Shaped, source: YamlFile) -> None:
        self._places = {_dotted(path): place for path, place in source.places.items()}
        self._placed = sorted(self._places)
        self._written = sorted(shaped.written)
        self.resources: dict[Address, Wanted] = {}

    def places(self, prefix: str) -> dict[str, Place]:
        """Return positions by path below a section; the section itself is the empty path."""
        found = {"": self._places.get(prefix, Place())}
        for path in _below(prefix, self._placed):
            found[path] = self._places[f"{prefix}.{path}"]
        return found

    def add(
        self,
        address: Address,
        spec: Spec,
        prefix: str,
        origins: dict[str, str] | None = None,
        host: dict[str, Any] | None = None,
    ) -> None:
        """Add a resource whose fields stand below a dotted path of the manifest."""
        written = frozenset(_below(prefix, self._written))
        self.resources[address] = Wanted(
            address=address,
            spec=spec,
            host=host or {},
            origins=dict.fromkeys(sorted(written), "manifest") | (origins or {}),
            places=self.places(prefix),
            written=written,
            section=prefix,
        )


def _below(prefix: str, ordered: Sequence[str]) -> list[str]:
    """Return the rest of each path that lies below a section; ordered: all paths, sorted."""
    first = bisect_left(ordered, f"{prefix}.")
    last = bisect_left(ordered, f"{prefix}/")  # the sign that follows the dot
    return [path[len(prefix) + 1 :] for path in ordered[first:last]]


def _dotted(path: tuple[str | int, ...]) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _effective_model(file: ManifestFile) -> ModelSpec:
    model = file.spec.model
    config = file.spec.training_plan.config
    if not model.base_model and config.base_model:
        return model.model_copy(update={"base_model": config.base_model})
    return model


def _profile(shaped: Shaped) -> str:
    if shaped.file is None:
        raise ValueError("the manifest has errors")
    sections = shaped.file.spec
    if "spec.training_plan.plan_profile" in shaped.written:
        return sections.training_plan.plan_profile
    return sections.workflow.training_preferred_plan_profile or "balanced"


def _with_split(shaped: Shaped, source: YamlFile) -> tuple[Spec, dict[str, str], list[Finding]]:
    """Give the share of an unwritten split to train where a set has sources of its own."""
    if shaped.file is None:
        raise ValueError("the manifest has errors")
    sections = shaped.file.spec
    dataset = sections.dataset
    split = dataset.split
    if any(path.startswith("spec.dataset.split.") for path in shaped.written):
        names = {path.rpartition(".")[2] for path in shaped.written}
        if names & {"train", "validation", "test"}:
            return dataset, {}, []
    roles = {item.type for item in sections.data_sources}
    validation = 0.0 if "validation" in roles else split.validation
    test = 0.0 if roles & {"test", "gold_test"} else split.test
    if (validation, test) == (split.validation, split.test):
        return dataset, {}, []
    train = round(1 - validation - test, 6)
    fixed = split.model_copy(update={"train": train, "validation": validation, "test": test})
    origin = f"auto-fix:{FindingCode.AUTOFIX_SPLIT}"
    origins = {f"split.{name}": origin for name in ("train", "validation", "test")}
    finding = Finding(
        code=FindingCode.AUTOFIX_SPLIT,
        severity=Severity.INFO,
        message="sets with sources of their own take no share of the pool",
        actionable_fix="nothing, or write dataset.split",
        field="spec.dataset.split",
        place=source.place(("spec", "dataset")),
        found=f"{split.train:g} / {split.validation:g} / {split.test:g}",
        expected=f"{train:g} / {validation:g} / {test:g}",
    )
    return dataset.model_copy(update={"split": fixed}), origins, [finding]


def unusable(error: PathError) -> ManifestError:
    """Return the error of a manifest whose path may not be read."""
    return ManifestError(
        error.message,
        code=error.code.lower(),
        found=error.found,
        expected=error.expected,
        remedy=error.remedy,
    )
