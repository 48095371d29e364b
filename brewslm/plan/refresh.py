"""How hard a plan looks at what is really there.

auto asks for stat results and sizes, none trusts the record, full reads every recorded byte.
"""

from collections.abc import Mapping
from pathlib import Path

from brewslm.address import Address
from brewslm.artifacts.store import ArtifactReader
from brewslm.contracts import Output, Spec, counting_values
from brewslm.errors import ArtifactError
from brewslm.plan.action import Drift, DriftKind
from brewslm.plan.base_model import BaseModel
from brewslm.stages.data_source import DataSourceSpec
from brewslm.state.records import ResourceRecord

NONE, FULL = "none", "full"
_KINDS: dict[str, DriftKind] = {"artifact_missing": "missing", "artifact_corrupt": "changed"}


def recorded_base(record: ResourceRecord | None, spec: Spec, folder: Path) -> BaseModel | None:
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


def artifact_drift(
    address: Address,
    outputs: Mapping[str, Output],
    artifacts: ArtifactReader,
    refresh: str,
) -> list[Drift]:
    """Return what is no longer in the artifact store as it was recorded."""
    if refresh == NONE:
        return []
    found = []
    for name, output in sorted(outputs.items()):
        kind = _difference(output, artifacts, reads_bytes=refresh == FULL)
        if kind is not None:
            found.append(
                Drift(
                    address=str(address),
                    kind=kind,
                    path=name,
                    before=output.digest,
                    repair="apply makes it again",
                )
            )
    return found


def _difference(
    output: Output, artifacts: ArtifactReader, *, reads_bytes: bool
) -> DriftKind | None:
    """Return what is wrong with an output, None when it is as recorded."""
    if not reads_bytes:
        return None if artifacts.is_present(output) else "missing"
    try:
        artifacts.verify(output)
    except ArtifactError as error:
        return _KINDS.get(error.code, "permission")
    return None
