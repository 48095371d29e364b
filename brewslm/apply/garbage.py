"""What may go: kept bytes that no pointer, record, revision, open journal entry or saved plan leads
to, and laid-out models that nothing names.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from brewslm.apply.lineages import check_alone, mark_own
from brewslm.artifacts.store import ArtifactReader, ArtifactStore, Stored
from brewslm.contracts import Output
from brewslm.errors import ArtifactError, RefusedError
from brewslm.files import remove_folder
from brewslm.plan.placed import MODELS, short_name
from brewslm.state.records import DeploymentRecord, RevisionRecord
from brewslm.state.store import StateReader, StateSession

_DIGEST = re.compile(rb"sha256:[0-9a-f]{64}")
_MAX_LISTING_BYTES = 16 << 20
_MAX_TEXT_BYTES = 64 << 20
_POINTERS = 2
"""Promotions of an alias that stay whatever their age: the one in force and the one before."""


class GarbageOptions(Struct, frozen=True):
    """What is kept although nothing leads to it."""

    now_s: float
    """Wall clock, in seconds."""
    grace_s: float = 7 * 86_400.0
    """Anything younger stays."""
    keep_revisions: int = 10
    """Newest revisions whose bytes stay."""


class Garbage(Struct, frozen=True):
    """What may go, and what stays."""

    objects: tuple[Stored, ...]
    models: tuple[str, ...]
    """Names of laid-out folders below .brewslm/models."""
    kept: int
    """Objects that something leads to."""
    young: int
    """Objects that nothing leads to and that are too young."""

    @property
    def size_bytes(self) -> int:
        """Bytes of the objects that may go."""
        return sum(item.size_bytes for item in self.objects)


def find_garbage(
    state: StateReader, artifacts: ArtifactReader, root: Path, home: Path, options: GarbageOptions
) -> Garbage:
    """Return what nothing leads to; nothing is moved.

    root: the project folder, whose saved plans count; home: its .brewslm folder.
    """
    stored = {item.digest: item for item in artifacts.stored()}
    revisions, promotions = _kept_history(state, options)
    wanted = set(_root_digests(state, artifacts, revisions, promotions))
    wanted |= _named_in_files(root, home)
    reached = _reached(wanted, stored, artifacts)
    loose = [item for digest, item in stored.items() if digest not in reached]
    old = [item for item in loose if options.now_s - item.kept_s >= options.grace_s]
    names = {short_name(item.digest) for item in promotions}
    names |= {short_name(digest) for digest in wanted}
    return Garbage(
        objects=tuple(old),
        models=tuple(_loose_models(home, names, options)),
        kept=len(stored) - len(loose),
        young=len(loose) - len(old),
    )


def discard(garbage: Garbage, artifacts: ArtifactStore, session: StateSession) -> None:
    """Put what may go into the trash, from where a sweep would take it back.

    Raises: LeaseLostError, RefusedError where other states lead to the store; nothing is in the
    trash then.
    """
    lineage = session.meta().lineage
    mark_own(artifacts, session)
    check_alone(artifacts, lineage)
    for item in garbage.objects:
        with session.holding():
            artifacts.trash(item.digest)
    try:
        check_alone(artifacts, lineage)
    except RefusedError:
        with session.holding():
            artifacts.sweep()
        raise


def delete(garbage: Garbage, artifacts: ArtifactStore, home: Path, session: StateSession) -> None:
    """Delete for good what was put into the trash, and the laid-out models.

    Raises: LeaseLostError.
    """
    with session.holding():
        artifacts.empty_trash()
    for name in garbage.models:
        with session.holding():
            remove_folder(home / MODELS / name)


def _kept_history(
    state: StateReader, options: GarbageOptions
) -> tuple[list[RevisionRecord], list[DeploymentRecord]]:
    """Return the revisions and promotions whose bytes stay; of a protected project all of them."""
    revisions, promotions = state.revisions(), state.deployments()
    workflow = state.resources().get("workflow")
    if workflow is not None and workflow.spec.get("protect"):
        return revisions, promotions
    kept = revisions[: options.keep_revisions]
    oldest = min((item.revision for item in kept), default=0)
    chosen: list[DeploymentRecord] = []
    seen: dict[str, set[str]] = {}
    for item in promotions:
        digests = seen.setdefault(item.alias, set())
        is_pointer = item.digest in digests or len(digests) < _POINTERS
        digests |= {item.digest} if is_pointer else set()
        was_promoted_then = any(
            action["address"] == "deployment" for rev in kept for action in rev.actions
        )
        if is_pointer or (was_promoted_then and item.revision >= oldest):
            chosen.append(item)
    return kept, chosen


def _root_digests(
    state: StateReader,
    artifacts: ArtifactReader,
    revisions: Iterable[RevisionRecord],
    promotions: Iterable[DeploymentRecord],
) -> Iterator[str]:
    for record in state.resources().values():
        yield from (output.digest for output in record.outputs.values())
        yield from (str(part["digest"]) for part in record.parts.values())
    for revision in revisions:
        yield from _digests_in(revision.outputs)
        yield from _digests_in(revision.verdicts)
    for item in promotions:
        yield from (item.digest, item.evidence_digest)
        yield from _digests_in(item.details)
    for operation in state.operations(only_open=True):
        yield from _digests_in(operation.facts)
        produced = artifacts.find_produced(operation.fingerprint) if operation.fingerprint else None
        if produced is not None:
            yield from (output.digest for output in produced.outputs.values())


def _digests_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value.startswith("sha256:"):
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _digests_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _digests_in(item)


def _named_in_files(root: Path, home: Path) -> set[str]:
    """Return the digests that saved plans and rescued states name."""
    named: set[str] = set()
    for path in [*root.glob("*.plan.json"), *home.glob("errored-*.json")]:
        if path.is_file() and path.stat().st_size <= _MAX_TEXT_BYTES:
            named |= {item.decode() for item in _DIGEST.findall(path.read_bytes())}
    return named


def _reached(
    wanted: Iterable[str], stored: Mapping[str, Stored], artifacts: ArtifactReader
) -> set[str]:
    """Return the wanted objects with the files of those that are listings."""
    reached: set[str] = set()
    for digest in wanted:
        item = stored.get(digest)
        if item is None:
            continue
        reached.add(digest)
        reached |= _listed(item, artifacts)
    return reached


def _listed(item: Stored, artifacts: ArtifactReader) -> set[str]:
    if item.size_bytes > _MAX_LISTING_BYTES:
        return set()
    try:
        files: Iterable[Output] = artifacts.listing(item.digest).values()
    except ArtifactError:
        return set()
    return {file.digest for file in files}


def _loose_models(home: Path, names: set[str], options: GarbageOptions) -> Iterator[str]:
    folder = home / MODELS
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        is_ours = path.is_dir() and not path.is_symlink() and not path.name.startswith(".")
        if is_ours and path.name not in names:
            if options.now_s - path.stat().st_mtime >= options.grace_s:
                yield path.name
