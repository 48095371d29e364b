"""Checks across fields: names, references, paths, secrets, and written values against each other.

Each check takes the typed file and yields findings; none stops at the first.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator

from brewslm.diagnostics import Finding, FindingCode, Severity
from brewslm.files import PathError, check_relative
from brewslm.manifest.check_training import check_training
from brewslm.manifest.schema import ManifestFile
from brewslm.manifest.shape import Shaped
from brewslm.manifest.yaml_file import Path as YamlPath
from brewslm.manifest.yaml_file import YamlFile, dotted
from brewslm.registry import closest
from brewslm.rows.mapper import DEFAULT_MAPPER_ID, MAPPERS

_EXTENSIONS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
_SCHEMES = ("jsonl", "json", "csv", "tsv", "parquet", "file", "hf", "https", "kaggle")
_ROLES = (
    "raw",
    "cleaned",
    "synthetic",
    "train",
    "validation",
    "test",
    "gold_dev",
    "gold_test",
)
_SECRET = re.compile(
    r"(hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----|[a-z][a-z0-9+.-]*://[^/\s:@]+:[^/\s@]+@)"
)
_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

Say = Callable[..., Finding]


def check_file(shaped: Shaped, source: YamlFile) -> list[Finding]:
    """Return everything that is wrong with a typed manifest across its fields."""
    file = shaped.file
    if file is None:
        return []
    say = _speaker(source)
    findings: list[Finding] = []
    for check in (_names, _sources, _adapters, _model, _dataset, _evaluation, _workflow):
        findings += check(file, say)
    findings += _blueprint(file, say)
    findings += _secrets(source, say)
    findings += _effects(file, shaped, say)
    findings += check_training(file, shaped, say)
    return findings


def _speaker(source: YamlFile) -> Say:
    def say(
        code: FindingCode,
        path: YamlPath,
        message: str,
        fix: str,
        found: str = "",
        expected: str = "",
        severity: Severity = Severity.ERROR,
        suggestions: tuple[str, ...] = (),
    ) -> Finding:
        return Finding(
            code=code,
            severity=severity,
            message=message,
            actionable_fix=fix,
            field=dotted(path),
            place=source.place(path),
            found=found,
            expected=expected,
            suggestions=suggestions,
        )

    return say


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
    yield from _odd_characters(file.metadata.name, ("metadata", "name"), say)


def _odd_characters(name: str, path: YamlPath, say: Say) -> Iterator[Finding]:
    odd = [char for char in name if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp")]
    if odd:
        yield say(
            FindingCode.NAME_CHARACTERS,
            path,
            "the name holds a character that can't be seen",
            "type the name again",
            f"U+{ord(odd[0]):04X}",
        )


def _sources(file: ManifestFile, say: Say) -> Iterator[Finding]:
    for index, item in enumerate(file.spec.data_sources):
        path: YamlPath = ("spec", "data_sources", index)
        if item.locator is not None and item.file_path is not None:
            yield say(
                FindingCode.LOCATOR_CONFLICT,
                (*path, "locator"),
                "locator and file_path both say where the rows are",
                "keep locator",
            )
        elif item.locator is not None:
            yield from _locator(item.locator, (*path, "locator"), say, has_digest=bool(item.sha256))
        elif item.file_path is not None:
            yield from _file_path(item.file_path, (*path, "file_path"), say)
        else:
            yield say(
                FindingCode.SOURCE_LOCATOR_MISSING,
                path,
                "the source names no rows",
                "add locator: jsonl:data/FILE.jsonl",
                severity=Severity.WARNING,
            )
        if item.metadata:
            yield _unread(tuple(item.metadata), (*path, "metadata"), say)


def _locator(locator: str, path: YamlPath, say: Say, *, has_digest: bool) -> Iterator[Finding]:
    scheme, colon, rest = locator.partition(":")
    if locator.startswith("https:"):
        if not has_digest:
            yield say(
                FindingCode.HTTPS_SOURCE_UNPINNED,
                path,
                "a source over https needs the digest of its bytes",
                "add sha256: DIGEST",
            )
        return
    if not colon or scheme not in _SCHEMES:
        near = closest(scheme, _SCHEMES)
        yield say(
            FindingCode.LOCATOR_FORM,
            path,
            f'"{locator}" is no locator',
            f"write {near[0]}:PATH" if near else "write jsonl:data/FILE.jsonl",
            locator,
            "one of " + ", ".join(f"{name}:" for name in _SCHEMES),
            suggestions=near,
        )
        return
    if scheme not in ("hf", "kaggle"):
        yield from _relative(rest, path, say)
    elif scheme == "hf" and rest.count(":") < 2:
        yield say(
            FindingCode.HF_SOURCE_UNPINNED,
            path,
            "a Hub data set without a commit",
            "write hf:ID:SPLIT:COMMIT",
            severity=Severity.WARNING,
        )


def _file_path(file_path: str, path: YamlPath, say: Say) -> Iterator[Finding]:
    yield from _relative(file_path, path, say)
    if not file_path.lower().endswith(_EXTENSIONS):
        yield say(
            FindingCode.VALUE_UNAVAILABLE,
            path,
            f'rows can\'t be read from "{file_path}"',
            "export the rows as JSON lines",
            file_path,
            "one of " + ", ".join(_EXTENSIONS),
            severity=Severity.WARNING,
        )


def _relative(text: str, path: YamlPath, say: Say) -> Iterator[Finding]:
    try:
        check_relative(text)
    except PathError as error:
        yield say(
            FindingCode.PATH_OUTSIDE_PROJECT,
            path,
            error.message,
            error.remedy,
            error.found,
            error.expected,
        )


def _adapters(file: ManifestFile, say: Say) -> Iterator[Finding]:
    names = [item.name for item in file.spec.data_sources]
    for index, adapter in enumerate(file.spec.adapters):
        path: YamlPath = ("spec", "adapters", index)
        if adapter.source_ref is not None and adapter.source_ref not in names:
            near = closest(adapter.source_ref, names)
            yield say(
                FindingCode.INVALID_VALUE,
                (*path, "source_ref"),
                f'there is no source "{adapter.source_ref}"',
                f"write source_ref: {near[0]}" if near else "name a source",
                adapter.source_ref,
                ", ".join(names),
                suggestions=near,
            )
        if adapter.base_adapter_id == DEFAULT_MAPPER_ID:
            continue
        mapper = MAPPERS.load(adapter.base_adapter_id)
        fields = {item.name for item in mapper.fields} | {"id"}
        mapping = adapter.field_mapping
        unknown = [name for name in mapping if name not in fields]
        if unknown and len(unknown) == len(mapping) and set(mapping.values()) <= fields:
            turned = ", ".join(f"{value}: {key}" for key, value in mapping.items())
            yield say(
                FindingCode.FIELD_MAPPING_REVERSED,
                (*path, "field_mapping"),
                "the wanted field stands on the left, the column on the right",
                f"write field_mapping: {{{turned}}}",
            )
            continue
        for name in unknown:
            near = closest(name, fields)
            yield say(
                FindingCode.MAPPER_OPTION,
                (*path, "field_mapping", name),
                f'{adapter.base_adapter_id} has no field "{name}"',
                f"write {near[0]}: {mapping[name]}" if near else "delete the line",
                name,
                ", ".join(sorted(fields)),
                suggestions=near,
            )
        options = set(mapper.options.model_fields)
        for name in adapter.adapter_config:
            if name not in options:
                near = closest(name, options)
                yield say(
                    FindingCode.MAPPER_OPTION,
                    (*path, "adapter_config", name),
                    f'{adapter.base_adapter_id} has no option "{name}"',
                    f"write {near[0]}" if near else "delete the line",
                    name,
                    ", ".join(sorted(options)) or "no options",
                    suggestions=near,
                )


def _model(file: ManifestFile, say: Say) -> Iterator[Finding]:
    model = file.spec.model
    name = model.base_model
    path: YamlPath = ("spec", "model")
    if name and not name.startswith("builtin:") and not name.startswith("./"):
        if not _HUB_ID.fullmatch(name):
            yield say(
                FindingCode.BASE_MODEL_FORM,
                (*path, "base_model"),
                f'"{name}" names no base model',
                "write org/name, ./folder or builtin:nano",
                name,
            )
    elif name.startswith("builtin:") and name != "builtin:nano":
        yield say(
            FindingCode.BASE_MODEL_FORM,
            (*path, "base_model"),
            f'there is no built-in model "{name}"',
            "write builtin:nano",
            name,
            "builtin:nano",
        )
    elif name.startswith("./"):
        yield from _relative(name, (*path, "base_model"), say)
    is_local = name.startswith(("builtin:", "./"))
    if model.revision is not None and is_local:
        yield say(
            FindingCode.REVISION_NOT_APPLICABLE,
            (*path, "revision"),
            "a revision belongs to a Hub id",
            "delete it; cache_fingerprint pins folders and built-in models",
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
            "write sha256: and 64 hex digits",
            model.cache_fingerprint[:80],
        )


def _dataset(file: ManifestFile, say: Say) -> Iterator[Finding]:
    dataset = file.spec.dataset
    path: YamlPath = ("spec", "dataset")
    split = dataset.split
    total = split.train + split.validation + split.test
    if abs(total - 1) > 1e-6:
        yield say(
            FindingCode.SPLIT_RATIOS,
            (*path, "split"),
            "the shares do not add up to 1",
            f"write train: {1 - split.validation - split.test:g}",
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
            "write 0 (off), or 5 to 50",
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
    if isinstance(dataset.contract.json_schema, str):
        yield from _relative(dataset.contract.json_schema, (*path, "contract", "json_schema"), say)
    profiles = {item.task_profile for item in file.spec.adapters if item.task_profile}
    if dataset.task_profile is None and len(profiles) > 1:
        yield say(
            FindingCode.TASK_PROFILE_CONFLICT,
            path,
            "the adapters ask for different tasks",
            "write dataset.task_profile",
            ", ".join(sorted(profiles)),
        )


def _evaluation(file: ManifestFile, say: Say) -> Iterator[Finding]:
    pack = file.spec.eval_pack
    path: YamlPath = ("spec", "eval_pack")
    names = {item.name: item.type for item in file.spec.data_sources}
    for index, name in enumerate(pack.datasets):
        if name not in names and name not in _ROLES:
            near = closest(name, [*names, *_ROLES])
            yield say(
                FindingCode.UNKNOWN_EVAL_DATASET,
                (*path, "datasets", index),
                f'"{name}" is neither a source nor a role',
                f"write {near[0]}" if near else "name a gold source",
                name,
                ", ".join([*names, *_ROLES]),
                suggestions=near,
            )
        elif names.get(name, name) in ("train", "raw", "cleaned", "synthetic"):
            yield say(
                FindingCode.EVAL_ON_TRAIN_ROWS,
                (*path, "datasets", index),
                "these rows are trained on",
                "name a gold source, or test",
                name,
                severity=Severity.WARNING,
            )
    if pack.compare_to == "none" and file.spec.workflow.gate_policy.require_baseline:
        yield say(
            FindingCode.BASELINE_REQUIRED,
            (*path, "compare_to"),
            "the gate policy asks for a comparison",
            "write compare_to: base_model",
        )
    if pack.epochs > 1 and pack.generation.temperature == 0:
        yield say(
            FindingCode.REPEATS_ARE_EQUAL,
            (*path, "epochs"),
            "greedy answers are the same every time",
            "write a temperature, or epochs: 1",
            severity=Severity.INFO,
        )
    if pack.seeds and len(pack.seeds) != pack.epochs:
        yield say(
            FindingCode.OUT_OF_RANGE,
            (*path, "seeds"),
            "there have to be as many seeds as epochs",
            f"write {pack.epochs} seeds, or none",
            str(len(pack.seeds)),
            str(pack.epochs),
        )
    if pack.extra:
        yield _unread(tuple(pack.extra), (*path, "extra"), say)


def _workflow(file: ManifestFile, say: Say) -> Iterator[Finding]:
    budget = file.spec.workflow.budget_settings
    path: YamlPath = ("spec", "workflow", "budget_settings")
    if budget.cap is not None and budget.max_cost_usd is not None:
        if budget.cap != budget.max_cost_usd:
            yield say(
                FindingCode.BUDGET_CONFLICT,
                (*path, "cap"),
                "cap and max_cost_usd are one limit and differ",
                "keep max_cost_usd",
                f"{budget.cap:g} and {budget.max_cost_usd:g}",
            )
    if budget.cap is not None or budget.max_cost_usd is not None:
        yield say(
            FindingCode.BUDGET_COST_UNPRICED,
            path,
            "the local runtime has no price",
            "write max_minutes or max_gpu_hours",
            severity=Severity.WARNING,
        )
    for name in ("state", "artifacts"):
        url = getattr(file.spec.workflow.backend, name)
        if url is not None and not re.match(r"(postgresql|s3|gs|az|secret)://", url):
            yield say(
                FindingCode.BACKEND_URL,
                ("spec", "workflow", "backend", name),
                "this is no store",
                "write postgresql://, s3://, or secret://NAME",
            )
    quantization = file.spec.export.quantization
    if quantization is not None and not {"gguf", "onnx", "ollama"} & set(file.spec.export.formats):
        yield say(
            FindingCode.QUANTIZATION_UNUSED,
            ("spec", "export", "quantization"),
            "no exported format uses it; they keep the base dtype",
            "delete it, or export a format that does",
            quantization,
            severity=Severity.WARNING,
        )


def _blueprint(file: ManifestFile, say: Say) -> Iterator[Finding]:
    blueprint = file.spec.blueprint
    if blueprint is None:
        return
    path: YamlPath = ("spec", "blueprint")
    texts = (
        ("domain_name", FindingCode.BLUEPRINT_DOMAIN_NAME_REQUIRED),
        ("problem_statement", FindingCode.BLUEPRINT_PROBLEM_STATEMENT_REQUIRED),
        ("target_user_persona", FindingCode.BLUEPRINT_TARGET_PERSONA_REQUIRED),
    )
    for name, code in texts:
        if not getattr(blueprint, name).strip():
            yield say(code, (*path, name), "a text is needed here", "write one sentence")
    family = re.sub(r"[\s-]+", "_", blueprint.task_family.strip().lower())
    if family in ("classification", "structured_extraction", "extraction"):
        if not blueprint.expected_output_schema:
            yield say(
                FindingCode.BLUEPRINT_OUTPUT_SCHEMA_REQUIRED,
                (*path, "expected_output_schema"),
                "this kind of task needs the shape of its answers",
                "write the labels or the fields",
            )
    limits = blueprint.deployment_target_constraints
    if limits.get("offline_required") is True and limits.get("requires_cloud_inference") is True:
        yield say(
            FindingCode.BLUEPRINT_DEPLOYMENT_CONSTRAINT_CONFLICT,
            (*path, "deployment_target_constraints"),
            "offline and cloud inference are both required",
            "keep one of the two",
        )
    if blueprint.confidence_score < 0.45:
        yield say(
            FindingCode.BLUEPRINT_LOW_CONFIDENCE_BLUEPRINT,
            (*path, "confidence_score"),
            "there is little trust in this blueprint",
            "settle its open questions",
            f"{blueprint.confidence_score:g}",
            "0.45 or more",
            severity=Severity.WARNING,
        )
    if blueprint.unresolved_assumptions:
        yield say(
            FindingCode.BLUEPRINT_UNRESOLVED_ASSUMPTIONS,
            (*path, "unresolved_assumptions"),
            f"{len(blueprint.unresolved_assumptions)} assumptions are open",
            "settle them",
            severity=Severity.WARNING,
        )
    task = file.spec.dataset.task_profile
    if task is not None and family not in (task, "span_set", "extraction"):
        yield say(
            FindingCode.TASK_FAMILY_MISMATCH,
            (*path, "task_family"),
            "the blueprint speaks of another task than the dataset",
            f"write task_family: {task}",
            family,
            task,
            severity=Severity.WARNING,
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


def _effects(file: ManifestFile, shaped: Shaped, say: Say) -> Iterator[Finding]:
    sections = file.spec
    has_model = bool(sections.model.base_model or sections.training_plan.config.base_model)
    has_data = bool(sections.data_sources)
    needs = {
        "dataset": has_data,
        "training_plan": has_model and has_data,
        "eval_pack": has_model and has_data,
        "export": has_model and has_data,
        "deployment": has_model and has_data,
    }
    for name, is_effective in needs.items():
        if f"spec.{name}" in shaped.written and not is_effective:
            yield say(
                FindingCode.SECTION_WITHOUT_EFFECT,
                ("spec", name),
                "this section does nothing without a base model and data",
                "add model.base_model and data_sources",
                severity=Severity.WARNING,
            )


def _unread(keys: tuple[str, ...], path: YamlPath, say: Say) -> Finding:
    return say(
        FindingCode.OPEN_KEY_UNREAD,
        path,
        "nothing reads these keys: " + ", ".join(sorted(keys)),
        "nothing, or use a typed field",
        severity=Severity.INFO,
    )
