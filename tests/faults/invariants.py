"""What holds of a project at any time, whatever happened to the programs that worked on it, and
what it comes to in the end.
"""

import json
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from brewslm.artifacts.store import ArtifactStore
from brewslm.contracts import Output
from brewslm.errors import ArtifactError
from brewslm.fingerprint import digest_folder
from brewslm.plan.placed import short_name
from brewslm.state.documents import to_document
from brewslm.state.records import OperationStatus, ResourceRecord, Status
from brewslm.state.run_events import chained
from brewslm.state.store import StateReader
from tests.apply.bench import Bench

_KEPT = ("training_plan", "eval_pack", "export", "deployment")
"""Kinds whose every output is bytes in the artifact store."""

_FOUND = re.compile(r"\.[0-9a-f]{16}\.found")
"""Behind the name of what was set aside."""

_VARYING = ("cache/", "backups/state-", "store/objects/", "store/produced/", "state.db-")


def violations(project: Path) -> list[str]:
    """Return what is wrong with a project that nobody works on."""
    bench = Bench(project)
    if not bench.store().exists():
        return [] if bench.promoted() is None else ["a champion without a state"]
    own = bench.home / "state.db"
    found = list(_integrity(own)) if own.exists() else []
    with closing(bench.store().read()) as state:
        found += _numbers(state)
        found += _journal(state)
        found += _history(state)
        found += _references(state, bench.artifacts())
        found += _champion(state, bench)
    return found


def final(project: Path) -> dict[str, Any]:
    """Return what a project came to: everything but times, ids and numbers of attempts."""
    bench = Bench(project)
    with closing(bench.store().read()) as state:
        newest = next(iter(state.deployments()), None)
        return {
            "records": {name: _lasting(item) for name, item in state.resources().items()},
            "promoted": newest.digest if newest else None,
            "unrevised serials": state.meta().serial
            - max(item.serial for item in state.revisions()),
            "revised": sorted({x["address"] for y in state.revisions() for x in y.actions}),
            "open": [item.address for item in state.operations(only_open=True)],
            "lease": state.lease(),
            "link": bench.promoted(),
            "files": sorted(_files(bench.home)),
            "exports": {
                _FOUND.sub(".found", folder.name): digest_folder(folder)
                for folder in sorted((bench.home / "exports").iterdir())
            },
        }


def _lasting(record: ResourceRecord) -> dict[str, Any]:
    document = to_document(record)
    return {name: document[name] for name in document if name not in ("serial", "revision")}


def _files(home: Path) -> Iterator[str]:
    """Return the files that are not a cache, bytes of the store or the worker's log."""
    for path in home.rglob("*"):
        name = path.relative_to(home).as_posix()
        if path.is_file() and not name.startswith(_VARYING) and path.suffix != ".pushed":
            yield _FOUND.sub(".found", name)


def _integrity(path: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("", "-wal"):
            beside = path.with_name(path.name + suffix)
            if beside.exists():
                shutil.copyfile(beside, Path(folder) / beside.name)
        with closing(sqlite3.connect(Path(folder) / path.name)) as connection:
            answer = connection.execute("PRAGMA integrity_check").fetchone()[0]
    if answer != "ok":
        yield f"integrity check: {answer}"


def _numbers(state: StateReader) -> Iterator[str]:
    meta = state.meta()
    if not meta.lineage:
        yield "no lineage"
    numbers = [item.revision for item in reversed(state.revisions())]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"revisions {numbers}"
    serials = [item.serial for item in reversed(state.revisions())]
    if serials != sorted(set(serials)) or max(serials, default=0) > meta.serial:
        yield f"serials of revisions {serials}, serial {meta.serial}"
    changed = [item.serial for item in state.resources().values()]
    if changed and not 0 < min(changed) <= max(changed) <= meta.serial:
        yield f"serials of records {changed}, serial {meta.serial}"


def _journal(state: StateReader) -> Iterator[str]:
    operations = state.operations()
    fences = [item.fence for item in reversed(operations)]
    if fences != sorted(fences) or max(fences, default=0) > state.meta().fence:
        yield f"fences {fences}, fence {state.meta().fence}"
    ended = {item.address for item in operations if item.status is OperationStatus.ENDED}
    for record in state.resources().values():
        if record.status is Status.CURRENT and record.address not in ended:
            yield f"{record.address} is current and never ended"
    for item in operations:
        if (item.status is OperationStatus.BEGUN) != (item.ended_at == ""):
            yield f"{item.address} is {item.status} and ended at {item.ended_at!r}"


def _history(state: StateReader) -> Iterator[str]:
    previous = None
    for event in reversed(state.run_events()):
        if chained(event, previous) != event:
            yield f"event {event.sequence} breaks the chain"
        previous = event


def _references(state: StateReader, artifacts: ArtifactStore) -> Iterator[str]:
    outputs: list[tuple[str, Output]] = []
    for record in state.resources().values():
        for name, output in record.outputs.items():
            if record.kind in _KEPT or (record.kind, name) == ("dataset", "prepared"):
                outputs.append((f"{record.address}.{name}", output))
    for name, output in outputs:
        try:
            if not artifacts.is_present(output):
                yield f"{name} is missing"
            artifacts.verify(output)
        except ArtifactError as error:
            yield f"{name}: {error.code}"


def _champion(state: StateReader, bench: Bench) -> Iterator[str]:
    deployments = state.deployments()
    artifacts = bench.artifacts()
    for deployment in deployments[:2]:  # gc keeps the evidence of no more
        verdict = json.loads(artifacts.read_bytes(deployment.evidence_digest))
        if (verdict["verdict"], verdict["candidate_digest"]) != ("PASS", deployment.digest):
            yield f"promotion {deployment.sequence} without passed gates"
    if [item.sequence for item in deployments] != list(range(len(deployments), 0, -1)):
        yield "promotions out of sequence"
    link = bench.promoted()
    if link is None:
        return
    folder = bench.home / "models" / link
    promoted = {short_name(item.digest): item.digest for item in deployments}
    if not folder.is_dir() or promoted.get(link) != digest_folder(folder):
        yield f"the link names {link}, which is nothing that was promoted"
