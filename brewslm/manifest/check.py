"""Checks across fields: names, references, paths, secrets, and written values against each other.

Each check takes the typed file and yields findings; none stops at the first.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from brewslm.characters import unseen_in
from brewslm.diagnostics import Finding, FindingCode, Severity
from brewslm.manifest.carried_out import supported
from brewslm.manifest.check_adapters import check_adapters
from brewslm.manifest.check_blueprint import READ_LIMITS, check_blueprint
from brewslm.manifest.check_evaluation import check_evaluation
from brewslm.manifest.check_sources import check_path, check_sources
from brewslm.manifest.check_training import check_training
from brewslm.manifest.schema import ManifestFile
from brewslm.manifest.shape import Shaped
from brewslm.manifest.speaker import Say, speaker, unread
from brewslm.manifest.yaml_file import Path as YamlPath
from brewslm.manifest.yaml_file import YamlFile
from brewslm.stages.export_format import FORMATS, WITHOUT_EXPORT, formats_of
from brewslm.stages.model import REVISION
from brewslm.tasks.task import FORMS, TYPED, form_of

_STORES = {
    "state": ("postgresql", "s3", "gs", "az", "secret"),
    "artifacts": ("s3", "gs", "az", "secret"),
}
_SECRET = re.compile(
    r"(hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----|[a-z][a-z0-9+.-]*://[^/\s:@]+:[^/\s@]+@)"
)
_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def check_file(
    shaped: Shaped, source: YamlFile, bound: Mapping[str, str | None], root: Path
) -> list[Finding]:
    """Return everything that is wrong with a typed manifest across its fields.

    bound: source name to the name of the adapter that serves it, None for introspection;
    root: the project folder, for packs that are files.
    """
    file = shaped.file
    if file is None:
        return []
    say = speaker(source)
    findings: list[Finding] = []
    for check in (
        _names,
        check_sources,
        check_adapters,
        _model,
        _dataset,
        _workflow,
        _exports,
        _merges,
        _target,
        _domain,
        _open_maps,
    ):
        findings += check(file, say)
    findings += check_blueprint(file, say)
    findings += check_evaluation(file, shaped, bound, root, say)
    findings += _secrets(source, say)
    findings += _effects(file, shaped, say)
    findings += check_training(file, shaped, say)
    return findings


def _names(file: ManifestFile, say: Say) -> Iterator[Finding]:
    lists = (
        (
            "data_sources",
            FindingCode.DUPLICATE_DATASET_NAME,
            [item.name for item in file.spec.data_sources],
        ),
        (
            "adapters",
            FindingCode.DUPLICATE_ADAPTER_NAME,
            [item.name for item in file.spec.adapters],
        ),
    )
    path: YamlPath
    for section, code, names in lists:
        seen: dict[str, int] = {}
        for index, name in enumerate(names):
            path = ("spec", section, index, "name")
            folded = unicodedata.normalize("NFC", name).casefold()
            if folded in seen:
                yield say(
                    code,
                    path,
                    f'the name "{name}" is taken by entry {seen[folded]}',
                    "rename one of the two",
                    name,
                )
            seen.setdefault(folded, index)
            yield from _odd_characters(name, path, say)
    seen_gates: set[str] = set()
    for index, gate in enumerate(file.spec.eval_pack.gates):
        path = ("spec", "eval_pack", "gates", index)
        folded = gate.name.casefold()
        if folded in seen_gates:
            yield say(
                FindingCode.DUPLICATE_GATE_ID,
                path,
                f'there are two gates "{gate.name}"',
                "write a gate_id of its own",
                gate.name,
            )
        seen_gates.add(folded)
        yield from _odd_characters(gate.name, path, say)
    yield from _odd_characters(file.metadata.name, ("metadata", "name"), say)


def _odd_characters(name: str, path: YamlPath, say: Say) -> Iterator[Finding]:
    odd = unseen_in(name)
    if odd:
        yield say(
            FindingCode.NAME_CHARACTERS,
            path,
            "the name has a character that cannot be seen",
            "delete that character, or type the name again",
            f"U+{ord(odd[0]):04X}",
            "letters, digits, punctuation and plain spaces",
        )


def _model(file: ManifestFile, say: Say) -> Iterator[Finding]:
    model = file.spec.model
    path: YamlPath = ("spec", "model")
    config = file.spec.training_plan.config
    yield from _base_model(model.base_model, (*path, "base_model"), say)
    in_config: YamlPath = ("spec", "training_plan", "config")
    yield from _base_model(config.base_model, (*in_config, "base_model"), say)
    teacher = config.distillation_teacher_model
    yield from _base_model(teacher, (*in_config, "distillation_teacher_model"), say)
    name = model.base_model
    is_local = name.startswith(("builtin:", "./"))
    if model.revision is not None and is_local:
        yield say(
            FindingCode.REVISION_NOT_APPLICABLE,
            (*path, "revision"),
            "a revision belongs to a Hub id",
            "delete it; cache_fingerprint pins folders and built-in models",
        )
    if model.revision is not None and not REVISION.fullmatch(model.revision):
        yield say(
            FindingCode.INVALID_VALUE,
            (*path, "revision"),
            "this is no revision",
            "delete the line, or write a commit of 40 hex digits or the name of a tag",
            model.revision[:80],
        )
    if name and not is_local and not re.fullmatch(r"[0-9a-f]{40}", model.revision or ""):
        yield say(
            FindingCode.MODEL_REVISION_UNPINNED,
            (*path, "base_model"),
            "the base model is not pinned to a commit",
            "add revision: COMMIT, 40 hex digits",
            severity=Severity.WARNING,
        )
    if model.cache_fingerprint is not None and not _DIGEST.fullmatch(model.cache_fingerprint):
        yield say(
            FindingCode.INVALID_VALUE,
            (*path, "cache_fingerprint"),
            "this is no digest",
            "delete the line, or write sha256: followed by 64 hex digits",
            model.cache_fingerprint[:80],
        )


def _base_model(name: str, path: YamlPath, say: Say) -> Iterator[Finding]:
    if name and not name.startswith("builtin:") and not name.startswith("./"):
        if not _HUB_ID.fullmatch(name):
            yield say(
                FindingCode.BASE_MODEL_FORM,
                path,
                f'"{name}" names no base model',
                f"write {path[-1]}: {'builtin:nano' if '://' in name else f'./{name}'}, "
                "or org/name for a Hub model, or ./folder for a folder of the project",
                name,
            )
    elif name.startswith("builtin:") and name != "builtin:nano":
        yield say(
            FindingCode.BASE_MODEL_FORM,
            path,
            f'there is no built-in model "{name}"',
            f"write {path[-1]}: builtin:nano",
            name,
            "builtin:nano",
        )
    elif name.startswith("./"):
        yield from check_path(name, path, say)


def _dataset(file: ManifestFile, say: Say) -> Iterator[Finding]:
    dataset = file.spec.dataset
    path: YamlPath = ("spec", "dataset")
    split = dataset.split
    total = split.train + split.validation + split.test
    rest = 1 - split.validation - split.test
    if abs(total - 1) > 1e-6:
        yield say(
            FindingCode.SPLIT_RATIOS,
            (*path, "split"),
            "the shares do not add up to 1",
            f"write train: {rest:g}" if rest >= 0 else "write shares that add up to 1",
            f"{total:g}",
            "1",
        )
    if split.stratify_by is not None and split.method == "hash":
        yield say(
            FindingCode.SPLIT_STRATIFY_METHOD,
            (*path, "split", "stratify_by"),
            "exact shares of a column need another method",
            "write method: random",
        )
    if 0 < dataset.leak_check.ngram < 5:
        yield say(
            FindingCode.OUT_OF_RANGE,
            (*path, "leak_check", "ngram"),
            "shorter runs are shared by chance",
            "write ngram: 13, or 0 to switch it off",
            str(dataset.leak_check.ngram),
            "0, or 5 to 50",
        )
    names = {item.name: item.type for item in file.spec.data_sources}
    mix = dataset.mix_back
    if mix.source is not None:
        role = names.get(mix.source)
        if role is None or role.startswith("gold") or mix.fraction == 0:
            yield say(
                FindingCode.MIX_BACK_SOURCE,
                (*path, "mix_back"),
                "mix_back needs a pool or train source and a fraction above 0",
                "name such a source and write fraction: 0.05",
                mix.source,
                ", ".join(name for name, kind in names.items() if not kind.startswith("gold")),
            )
    profiles = {item.task_profile for item in file.spec.adapters if item.task_profile}
    if dataset.task_profile is None and len(profiles) > 1:
        yield say(
            FindingCode.TASK_PROFILE_CONFLICT,
            path,
            "the adapters ask for different tasks",
            "write dataset.task_profile",
            ", ".join(sorted(profiles)),
        )
    tasks = {dataset.task_profile} if dataset.task_profile else profiles
    if dataset.cleaning.min_chars > 1 and tasks and all(map(_is_typed, tasks)):
        yield say(
            FindingCode.FIELD_UNUSED,
            (*path, "cleaning", "min_chars"),
            "the answers of this task are no free text, so their characters are not counted",
            "delete the line",
            ", ".join(sorted(tasks)),
            "a task whose answers are free text",
            severity=Severity.WARNING,
        )


def _is_typed(task: str) -> bool:
    return task in FORMS.names() and form_of(task).reference in TYPED


def _workflow(file: ManifestFile, say: Say) -> Iterator[Finding]:
    budget = file.spec.workflow.budget_settings
    path: YamlPath = ("spec", "workflow", "budget_settings")
    if budget.cap is not None and budget.max_cost_usd is not None:
        if budget.cap != budget.max_cost_usd:
            yield say(
                FindingCode.BUDGET_CONFLICT,
                (*path, "cap"),
                "cap and max_cost_usd are one limit and differ",
                "delete the line; max_cost_usd is the other name of cap",
                f"{budget.cap:g} and {budget.max_cost_usd:g}",
            )
    if budget.cap is not None or budget.max_cost_usd is not None:
        yield say(
            FindingCode.BUDGET_COST_UNPRICED,
            (*path, "cap" if budget.max_cost_usd is None else "max_cost_usd"),
            "the local runtime has no price, so nothing is limited",
            "delete the line; max_minutes and max_gpu_hours are checked against the estimate",
            severity=Severity.WARNING,
        )
    if budget.max_minutes is None and budget.max_gpu_hours is None:
        for name in sorted({"threshold", "auto_cancel"} & budget.model_fields_set):
            yield say(
                FindingCode.FIELD_UNUSED,
                (*path, name),
                "there is no limit that it could apply to",
                "delete the line; it needs max_minutes or max_gpu_hours",
                severity=Severity.WARNING,
            )
    for name, schemes in _STORES.items():
        url = getattr(file.spec.workflow.backend, name)
        if url is not None and not url.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            yield say(
                FindingCode.BACKEND_URL,
                ("spec", "workflow", "backend", name),
                "this is no store",
                f"write {schemes[0]}://, {schemes[1]}://, or secret://NAME",
            )


def _exports(file: ManifestFile, say: Say) -> Iterator[Finding]:
    quantization, formats = file.spec.export.quantization, file.spec.export.formats
    if quantization is not None and not any(FORMATS.load(name).quantizations for name in formats):
        yield say(
            FindingCode.QUANTIZATION_UNUSED,
            ("spec", "export", "quantization"),
            "no exported format uses it; they keep the base dtype",
            "delete it, or export a format that does",
            quantization,
            severity=Severity.WARNING,
        )


def _merges(file: ManifestFile, say: Say) -> Iterator[Finding]:
    quantization = file.spec.training_plan.config.quantization
    is_merged = any(FORMATS.load(name).is_merged for name in file.spec.export.formats)
    if is_merged and quantization != "none":
        yield say(
            FindingCode.MERGE_FROM_QUANTIZED,
            ("spec", "export", "formats"),
            "the adapter is trained on a quantised base and merged into the full one",
            "nothing; the export's evidence says how far the two answer apart",
            quantization,
            severity=Severity.INFO,
        )


def _secrets(source: YamlFile, say: Say) -> Iterator[Finding]:
    pending: list[tuple[YamlPath, object]] = [((), source.value)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, dict):
            pending += [((*path, key), item) for key, item in value.items()]
        elif isinstance(value, list):
            pending += [((*path, index), item) for index, item in enumerate(value)]
        elif isinstance(value, str):
            is_backend = path[:3] == ("spec", "workflow", "backend")
            if value.startswith("secret://") and not is_backend:
                yield say(
                    FindingCode.SECRET_NOT_ALLOWED,
                    path,
                    "no secret is read here",
                    "write the value; only backend.* reads secrets",
                )
            elif _SECRET.search(value):
                yield say(
                    FindingCode.SECRET_IN_MANIFEST,
                    path,
                    "this looks like a credential; it is not shown here",
                    "revoke it, and name a variable instead: secret://NAME",
                )


def _target(file: ManifestFile, say: Say) -> Iterator[Finding]:
    deployment, formats = file.spec.deployment, file.spec.export.formats
    if deployment is None:
        return
    target = deployment.target_profile_id or file.spec.workflow.target_profile_id
    runs = formats_of(target or "")
    promoted = formats or (WITHOUT_EXPORT,)
    written = supported("spec.export.formats[]", runs)
    if runs and not {*promoted} & {*runs}:
        yield say(
            FindingCode.TARGET_FORMAT_MISMATCH,
            ("spec", "deployment"),
            f"{target} runs none of the exported formats",
            f"write export.formats: [{written[0]}]"
            if written
            else "write target_profile_id: cpu_local",
            ", ".join(promoted),
            ", ".join(runs),
            severity=Severity.WARNING,
        )


def _effects(file: ManifestFile, shaped: Shaped, say: Say) -> Iterator[Finding]:
    needs = {"dataset": bool(file.spec.data_sources)} | dict.fromkeys(
        ("training_plan", "eval_pack", "export", "deployment"), file.can_train
    )
    for name, is_effective in needs.items():
        if f"spec.{name}" in shaped.written and not is_effective:
            yield say(
                FindingCode.SECTION_WITHOUT_EFFECT,
                ("spec", name),
                "this section does nothing without a base model and data",
                "delete the section, or add model.base_model and data_sources",
                severity=Severity.WARNING,
            )


def _domain(file: ManifestFile, say: Say) -> Iterator[Finding]:
    known = (
        ("pack_id", FindingCode.UNKNOWN_DOMAIN_PACK, "general-pack-v1"),
        ("profile_id", FindingCode.UNKNOWN_DOMAIN_PROFILE, "generic-domain-v1"),
    )
    for name, code, shipped in known:
        value = getattr(file.spec.domain, name)
        if value not in (None, shipped):
            yield say(
                code,
                ("spec", "domain", name),
                f'"{value}" is not known here and is only recorded',
                "nothing, or delete the line",
                value,
                shipped,
                severity=Severity.INFO,
            )


def _open_maps(file: ManifestFile, say: Say) -> Iterator[Finding]:
    sections = file.spec
    maps: list[tuple[YamlPath, Mapping[str, Any]]] = [
        (("metadata", "labels"), file.metadata.labels),
        (("spec", "eval_pack", "extra"), sections.eval_pack.extra),
        (("spec", "export", "extra"), sections.export.extra),
    ]
    maps += [
        (("spec", "data_sources", index, "metadata"), item.metadata)
        for index, item in enumerate(sections.data_sources)
    ]
    if sections.deployment is not None:
        maps.append((("spec", "deployment", "extra"), sections.deployment.extra))
    if sections.blueprint is not None:
        path: YamlPath = ("spec", "blueprint")
        schema = sections.blueprint.expected_output_schema
        limits = sections.blueprint.deployment_target_constraints
        maps.append(((*path, "expected_output_schema"), schema))
        rest = {key: value for key, value in limits.items() if key not in READ_LIMITS}
        maps.append(((*path, "deployment_target_constraints"), rest))
    for place, values in maps:
        if values:
            yield unread(tuple(values), place, say)
