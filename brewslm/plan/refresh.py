"""How hard a plan looks at what is really there.

auto asks for stat results and sizes, none trusts the record, full reads every recorded byte.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brewslm.address import Address
from brewslm.artifacts.store import ArtifactReader
from brewslm.contracts import Kind, Output, Spec, Work, counting_values
from brewslm.errors import ArtifactError
from brewslm.plan.action import Drift, DriftKind
from brewslm.plan.base_model import BaseModel
from brewslm.plan.data import tag_columns
from brewslm.stages.data_source import DataSourceSpec, locator_of
from brewslm.stages.kinds import KINDS
from brewslm.state.records import ResourceRecord, Status

NONE, FULL = "none", "full"
_DATASET = "dataset"
_DATA_KINDS = ("data_source", "adapter", "dataset")
LOST = frozenset({"missing", "changed"})
"""Kinds of drift after which an output has to be made again."""
_KINDS: dict[str, DriftKind] = {"artifact_missing": "missing", "artifact_corrupt": "changed"}


def recorded_base(
    record: ResourceRecord | None, spec: Spec, folder: Path | None
) -> BaseModel | None:
    """Return the base model as it was recorded, None where the record is of another one."""
    if record is None or record.facts.get("spec") != counting_values(spec):
        return None
    return BaseModel.recorded(folder, record.outputs["base"], record.values)


def recorded_contents(
    specs: Mapping[Address, Spec], records: Mapping[str, ResourceRecord]
) -> dict[Address, tuple[str, int]] | None:
    """Return digest and size of every source as recorded, None unless all of them are recorded as
    they are wanted.
    """
    contents: dict[Address, tuple[str, int]] = {}
    for address, spec in specs.items():
        if not isinstance(spec, DataSourceSpec):
            continue
        record = records.get(str(address))
        if record is None or record.facts.get("spec") != counting_values(spec):
            return None
        rows = record.outputs.get("rows")
        if rows is None or "content" not in record.facts:
            return None
        contents[address] = (str(record.facts["content"]), rows.size_bytes)
    return contents


def data_addresses(specs: Mapping[Address, Spec]) -> list[Address]:
    """Return the resources that are computed from rows while planning."""
    return [address for address in specs if address.kind in _DATA_KINDS]


def is_of_data(written: str) -> bool:
    """Return whether an address or a kind is one of those that are computed from rows."""
    return written.startswith(_DATA_KINDS)


def is_data_recorded(
    specs: Mapping[Address, Spec],
    contents: Mapping[Address, tuple[str, int]],
    base: BaseModel | None,
    records: Mapping[str, ResourceRecord],
    artifacts: ArtifactReader,
    refresh: str,
) -> bool:
    """Return whether specs, bytes and stage versions of all data are those of the record.

    contents: digest and size of every source; base: its tokenizer and template count rows.
    """
    addresses = data_addresses(specs)
    recorded = {name for name, item in records.items() if item.kind in _DATA_KINDS}
    if recorded != {str(address) for address in addresses}:
        return False
    if not all(
        _is_as_recorded(records[str(address)], specs[address], contents.get(address))
        for address in addresses
    ):
        return False
    dataset = records[_DATASET]
    if dataset.values.get("tag_columns") != list(tag_columns(specs)):
        return False
    if any(item.kind in LOST for item in drift_of(dataset, artifacts, refresh)):
        return False
    manifest = dataset.values.get("manifest") or {}
    template = manifest.get("chat_template") or {}
    expected = base.template_digest if base else None
    return bool(template.get("digest") == expected) and _is_counted_with(manifest, base)


def _is_counted_with(manifest: Mapping[str, Any], base: BaseModel | None) -> bool:
    """Return whether the tokens of the rows were counted with this base model's tokenizer; counts
    that were estimated belong to no tokenizer.
    """
    counted = (manifest.get("lengths") or {}).get("tokenizer_digest")
    return counted is None or base is None or counted == base.files.get("tokenizer.json")


def _is_as_expected(record: ResourceRecord, spec: Spec, content: str) -> bool:
    """Return whether a source is what the manifest says to expect; it is read and told if not."""
    return isinstance(spec, DataSourceSpec) and (
        spec.record_count in (0, record.values.get("rows_read"))
        and spec.sha256 in (None, content.removeprefix("sha256:"))
    )


def _is_as_recorded(record: ResourceRecord, spec: Spec, content: tuple[str, int] | None) -> bool:
    same_spec = record.facts.get("spec") == counting_values(spec) or _is_only_moved(record, spec)
    same_version = record.facts.get("version") == KINDS[record.kind].version
    same_content = record.kind != "data_source" or (
        content is not None
        and record.facts.get("content") == content[0]
        and _is_as_expected(record, spec, content[0])
    )
    return same_spec and same_version and same_content and record.status is Status.CURRENT


def _is_only_moved(record: ResourceRecord, spec: Spec) -> bool:
    """Return whether a source is the recorded one at another path, read in the same way."""
    if not isinstance(spec, DataSourceSpec):
        return False
    recorded = DataSourceSpec.model_validate(record.spec, strict=False)
    place = {"file_path": recorded.file_path, "locator": recorded.locator}
    is_read_alike = locator_of(recorded).partition(":")[0] == locator_of(spec).partition(":")[0]
    there = spec.model_copy(update=place)
    return is_read_alike and counting_values(there) == record.facts.get("spec")


def drift_of(record: ResourceRecord, artifacts: ArtifactReader, refresh: str) -> list[Drift]:
    """Return what is no longer in the artifact store as it was recorded."""
    if refresh == NONE:
        return []
    kind = KINDS[record.kind]
    found = []
    for name, output in sorted(record.outputs.items()):
        if not is_kept(kind, name):
            continue
        difference = _difference(output, artifacts, reads_bytes=refresh == FULL)
        if difference is not None:
            is_denied = difference == "permission"
            found.append(
                Drift(
                    address=record.address,
                    kind=difference,
                    path=name,
                    before=output.digest,
                    remedy="chmod -R u+rX .brewslm/store" if is_denied else "",
                )
            )
    return found


def is_kept(kind: Kind, name: str) -> bool:
    """Return whether an output's bytes lie in the artifact store."""
    return kind.work in (Work.DOOR, Work.POINTER) or (kind.name, name) == (_DATASET, "prepared")


def _difference(
    output: Output, artifacts: ArtifactReader, *, reads_bytes: bool
) -> DriftKind | None:
    """Return what is wrong with an output, None when it is as recorded."""
    if not reads_bytes and artifacts.is_present(output):
        return None
    try:
        artifacts.verify(output)
    except ArtifactError as error:
        return _KINDS.get(error.code, "permission")
    except OSError:
        return "unknown"
    return None
