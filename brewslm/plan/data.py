"""The data kinds, computed for real: a changed source is read once, an unchanged one costs a stat
call.
"""

import errno
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from brewslm.address import Address
from brewslm.contracts import (
    Output,
    RowProgress,
    Spec,
    TokenCounter,
    counting_values,
    untold,
)
from brewslm.diagnostics import Finding, FindingCode, Severity
from brewslm.files import PathError, open_inside, swap_folder, temporary_name
from brewslm.fingerprint import digest_folder, digest_value
from brewslm.plan.base_model import BUILTIN, BaseModel
from brewslm.plan.deciding_policy import pack_of
from brewslm.plan.digest_cache import DigestCache
from brewslm.rows.dataset import DatasetSpec
from brewslm.stages.adapter import AdapterSpec
from brewslm.stages.data_source import DataSourceSpec, locator_of, source_path
from brewslm.stages.eval_pack import EvalPackSpec
from brewslm.stages.workflow import WorkflowSpec
from brewslm.tasks.packs import PackError
from brewslm.tasks.task import TASKS

_DATASET = Address("dataset")
_SETS = ("train", "validation", "test", "gold_dev", "gold_test")
_FILES = {"validation": "val"}


class DataOutcome(Struct):
    """What the data of a project comes to."""

    contents: dict[Address, str] = field(default_factory=dict)
    """Digest of the bytes of each source that could be read."""
    outputs: dict[Address, dict[str, Output]] = field(default_factory=dict)
    values: dict[Address, dict[str, Any]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    folder: Path | None = None
    """The prepared folder, when it was made by this plan."""
    is_whole: bool = True
    """Whether every source could be read; nothing is said about training otherwise."""


def source_digests(
    specs: Mapping[Address, Spec], root: Path, digests: DigestCache
) -> tuple[dict[Address, tuple[str, int]], list[Finding]]:
    """Return digest and size of every source's bytes, and findings for those that can't be read."""
    found: dict[Address, tuple[str, int]] = {}
    findings: list[Finding] = []
    roots = link_roots(specs, root)
    for address, source in sorted(specs.items()):
        if not isinstance(source, DataSourceSpec):
            continue
        path = source_path(source)
        if not path:
            continue
        try:
            with open_inside(root, path, link_roots=roots) as stream:
                if locator_of(source):
                    found[address] = digests.digest_stream(path, stream)
        except PathError as error:
            findings.append(_unreadable(address, source, error))
    return found, findings


def link_roots(specs: Mapping[Address, Spec], root: Path) -> tuple[Path, ...]:
    """Return the folders outside the project that links to rows may lead into."""
    workflow = specs.get(Address("workflow"))
    written = workflow.backend.link_roots if isinstance(workflow, WorkflowSpec) else ()
    return tuple(root / Path(text).expanduser() for text in written)


def prepare_data(
    specs: Mapping[Address, Spec],
    contents: Mapping[Address, tuple[str, int]],
    root: Path,
    scratch: Path,
    base: BaseModel | None,
    project: str,
    tell: RowProgress = untold,
) -> DataOutcome:
    """Read all sources and write the prepared folder below `scratch`.

    The folder is named by everything that determines it, so a second call with the same data finds
    it.
    """
    prepare = import_module("brewslm.rows.prepare")  # only changed data pays for the row room
    request = _request(specs, base, project, root)
    key = digest_value(
        {
            "specs": {
                str(address): counting_values(spec)
                for address, spec in sorted(specs.items())
                if address.kind in ("data_source", "adapter", "dataset", "eval_pack")
            },
            "contents": {str(address): digest for address, (digest, _) in sorted(contents.items())},
            "base": base.digest if base else None,
        }
    ).removeprefix("sha256:")[:16]
    folder = scratch / "prepared" / key
    compose = import_module("brewslm.tasks.compose").compose
    with _token_counter(base) as counter, _built(folder) as built:
        preparation = prepare.prepare(request, root, built, compose, counter, tell=tell)
        _publish(built, folder)
    outcome = DataOutcome(
        findings=list(preparation.findings),
        folder=folder,
        is_whole=len(preparation.sources) == len(request.sources),
    )
    for name, stats in preparation.sources.items():
        address = Address("data_source", name)
        outcome.outputs[address] = {"rows": Output(stats.digest, stats.size_bytes)}
        outcome.values[address] = {
            "rows_read": stats.rows_read,
            "blank_lines": stats.blank_lines,
            "columns": list(stats.columns),
        }
    bound: dict[str, list[str]] = {}
    for name in sorted(preparation.bindings):
        bound.setdefault(_source(specs, name).adapter or "", []).append(name)
    for address, spec in specs.items():
        if isinstance(spec, AdapterSpec):
            _adapter_outcome(address, bound.get(address.name, []), preparation, outcome)
    outputs = {name: preparation.files[f"{_FILES.get(name, name)}.jsonl"] for name in _SETS}
    outputs["prepared"] = _folder_output(preparation.files)
    contract = preparation.manifest["contract_digest"]
    outputs["contract"] = Output(contract, 0)
    outcome.outputs[_DATASET] = outputs
    outcome.values[_DATASET] = {
        "manifest": preparation.manifest,
        "tag_columns": list(tag_columns(specs)),
    }
    return outcome


def _folder_output(files: Mapping[str, Output]) -> Output:
    """Return the output of a folder by what was written into it."""
    listing = {
        name: {"digest": output.digest, "size_bytes": output.size_bytes}
        for name, output in files.items()
    }
    size_bytes = sum(output.size_bytes for output in files.values())
    return Output(digest_value(listing), size_bytes, is_folder=True)


@contextmanager
def _built(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside `folder`, which nothing is left of afterwards."""
    built = temporary_name(folder)
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    built.mkdir(mode=0o700)
    try:
        yield built
    finally:
        shutil.rmtree(built, ignore_errors=True)


def _publish(built: Path, folder: Path) -> None:
    """Put a prepared folder in its place, where another plan may have put the same one and may be
    reading it.
    """
    try:
        if not _is_same(built, folder):
            swap_folder(built, folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _is_same(built: Path, folder: Path) -> bool:
    try:
        return folder.is_dir() and digest_folder(folder) == digest_folder(built)
    except (OSError, ValueError):
        return False


def _adapter_outcome(
    address: Address, bound: list[str], preparation: Any, outcome: DataOutcome
) -> None:
    stats = [preparation.bindings[name] for name in bound]
    rejected: dict[str, int] = {}
    for item in stats:
        for code, amount in item.rejected.items():
            rejected[str(code)] = rejected.get(str(code), 0) + amount
    digest = digest_value({name: preparation.bindings[name].examples_digest for name in bound})
    outcome.outputs[address] = {"examples": Output(digest, 0)}
    outcome.values[address] = {
        "mapped": sum(item.mapped for item in stats),
        "rejected": dict(sorted(rejected.items())),
        "mappers": {
            name: {
                "mapper_id": item.mapper_id,
                "field_map": dict(sorted(item.field_map.items())),
                "confidence": item.confidence,
            }
            for name, item in zip(bound, stats, strict=True)
        },
    }


def _source(specs: Mapping[Address, Spec], name: str) -> DataSourceSpec:
    spec = specs[Address("data_source", name)]
    if not isinstance(spec, DataSourceSpec):
        raise TypeError(f"{name} is no source")
    return spec


def _request(
    specs: Mapping[Address, Spec], base: BaseModel | None, project: str, root: Path
) -> Any:
    rows = import_module("brewslm.rows.request")
    dataset = specs[_DATASET]
    if not isinstance(dataset, DatasetSpec):
        raise TypeError("no dataset")
    adapters = {spec.name: spec for spec in specs.values() if isinstance(spec, AdapterSpec)}
    sources = []
    for address, spec in sorted(specs.items()):
        if not isinstance(spec, DataSourceSpec) or not locator_of(spec):
            continue
        adapter = adapters.get(spec.adapter or "")
        is_introspected = adapter is None or adapter.base_adapter_id == "default-canonical"
        sources.append(
            rows.SourceRequest(
                name=address.name,
                role=spec.type,
                locator=locator_of(spec),
                limit=spec.limit,
                delimiter=spec.delimiter,
                weight=spec.weight,
                sha256=spec.sha256,
                record_count=spec.record_count,
                adapter=adapter.name if adapter else "",
                mapper_id=None if is_introspected or adapter is None else adapter.base_adapter_id,
                task_profile=adapter.task_profile if adapter else None,
                field_mapping=adapter.field_mapping if adapter else {},
                options=adapter.adapter_config if adapter else {},
                contract=adapter.output_contract if adapter else {},
            )
        )
    return rows.Request(
        project=project,
        sources=tuple(sources),
        dataset=dataset,
        supported_profiles=TASKS.names(),
        tag_columns=tag_columns(specs),
        chat_template=(
            {"digest": base.template_digest, "origin": "tokenizer", "special_tokens_digest": None}
            if base is not None
            else None
        ),
        tokenizer_digest=base.files.get("tokenizer.json") if base else None,
        link_roots=tuple(map(str, link_roots(specs, root))),
    )


def tag_columns(specs: Mapping[Address, Spec]) -> tuple[str, ...]:
    """Return the columns that gates slice by, those of the pack included."""
    spec = specs.get(Address("eval_pack"))
    if not isinstance(spec, EvalPackSpec):
        return ()
    gates = list(spec.gates)
    try:
        pack = pack_of(spec)
    except PackError:
        pack = None
    if pack is not None:
        gates += [*pack.gates, *(gate for task in pack.task_specs for gate in task.gates)]
    columns = {gate.slice.partition("=")[0] for gate in gates if gate.slice}
    columns |= {gate.slice_name for gate in gates if gate.slice_name}
    return tuple(sorted(columns - {"source", "label", "length", "turns", "has_number"}))


@contextmanager
def _token_counter(base: BaseModel | None) -> Iterator[TokenCounter | None]:
    """Yield a counter by the base's own tokenizer, None without its file or library.

    Raises: RefusedError with base_refused.
    """
    if base is None or base.folder is None or "tokenizer.json" not in base.files:
        yield None
        return
    path = base.folder / "tokenizer.json"
    if base.folder.parent == BUILTIN:
        yield _own_counter(path)
        return
    try:
        import_module("brewslm.rows.tokenizer_trial").try_tokenizer(path)
    except ImportError:
        yield None
        return
    counter = import_module("brewslm.rows.confined_tokens").ConfinedTokenCounter(str(path))
    with closing(counter):
        yield counter


def _own_counter(path: Path) -> TokenCounter | None:
    try:
        counter: TokenCounter = import_module("brewslm.rows.tokens").TokenCounter(str(path))
    except ImportError:
        return None
    return counter


def _unreadable(address: Address, source: DataSourceSpec, error: PathError) -> Finding:
    return Finding(
        code=FindingCode(error.code),
        severity=Severity.ERROR,
        message=error.message,
        actionable_fix=error.remedy,
        field="file_path" if source.locator is None else "locator",
        address=str(address),
        found=error.found,
        expected=error.expected,
    )
