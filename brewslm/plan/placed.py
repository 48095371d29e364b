"""What apply laid out for people: export folders, promoted models and the links that name them,
each beside its record.

A file costs one stat call while its size, mtime and inode are those of an earlier look.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from brewslm.artifacts.store import ArtifactReader
from brewslm.contracts import Output
from brewslm.errors import ArtifactError
from brewslm.plan.action import Drift, DriftKind
from brewslm.plan.digest_cache import DigestCache
from brewslm.state.records import ResourceRecord

EXPORTS, MODELS, PROMOTED = "exports", "models", "promoted"
_MAX_NAMES = 3


def short_name(digest: str) -> str:
    """Return the folder name of a digest: its first 16 hex digits."""
    return digest.removeprefix("sha256:")[:16]


def link_target(digest: str) -> Path:
    """Return what the link of a promoted alias holds."""
    return Path("..") / MODELS / short_name(digest)


class Places:
    """Compares what lies below .brewslm with the records that it was laid out from."""

    def __init__(self, home: Path, artifacts: ArtifactReader, digests: DigestCache) -> None:
        """home: the project's .brewslm folder."""
        self._home = home
        self._artifacts = artifacts
        self._digests = digests

    def drift_of(self, record: ResourceRecord) -> list[Drift]:
        """Return how the laid-out form of an export or a deployment differs from its record."""
        if record.kind == "export" and "files" in record.outputs:
            name = str(record.spec.get("format", ""))
            return self._folder(record, f"{EXPORTS}/{name}", record.outputs["files"])
        if record.kind == "deployment" and "promoted" in record.outputs:
            promoted = record.outputs["promoted"]
            model = f"{MODELS}/{short_name(promoted.digest)}"
            return [*self._link(record, promoted), *self._folder(record, model, promoted)]
        return []

    def _link(self, record: ResourceRecord, promoted: Output) -> list[Drift]:
        path = f"{PROMOTED}/{record.values.get('alias', 'champion')}"
        link, wanted = self._home / path, link_target(promoted.digest)
        try:
            found = link.readlink().as_posix() if link.is_symlink() else None
            found = "no link" if found is None and link.exists() else found
        except OSError as error:
            return [unobserved(record.address, path, error)]
        if found == wanted.as_posix():
            return []
        return [
            Drift(
                address=record.address,
                kind="pointer_moved",
                path=path,
                before=wanted.as_posix(),
                after=found,
            )
        ]

    def _folder(self, record: ResourceRecord, path: str, output: Output) -> list[Drift]:
        try:
            files = self._artifacts.listing(output.digest)
        except ArtifactError:
            return []
        folder = self._home / path
        kind: DriftKind = "changed"
        try:
            if not folder.is_dir():
                kind, after = "missing", ""
            else:
                after = self._difference(folder, path, files)
        except OSError as error:
            return [unobserved(record.address, path, error)]
        if kind == "changed" and not after:
            return []
        return [
            Drift(
                address=record.address,
                kind=kind,
                path=path,
                before=output.digest,
                after=after or None,
            )
        ]

    def _difference(self, folder: Path, key: str, files: Mapping[str, Output]) -> str:
        """Return which files differ, as a sentence fragment; empty when all are as recorded."""
        if folder.is_symlink():
            return "a link"
        found = dict(_files_below(folder))
        gone = sorted(files.keys() - found.keys())
        extra = sorted(name for name in found.keys() - files.keys() if not _is_hidden(name))
        other = [
            name
            for name in sorted(files.keys() & found.keys())
            if not self._is_same(f"{key}/{name}", found[name], files[name])
        ]
        parts = [("differs", other), ("added", extra), ("gone", gone)]
        return "; ".join(f"{word}: {_some(names)}" for word, names in parts if names)

    def _is_same(self, key: str, path: Path, output: Output) -> bool:
        if path.is_symlink() or not path.is_file() or path.stat().st_size != output.size_bytes:
            return False
        return self._digests.digest(f".brewslm/{key}", path)[0] == output.digest


def unobserved(address: str, path: str, error: OSError) -> Drift:
    """Return that something could not be looked at; it never counts as in sync."""
    is_denied = isinstance(error, PermissionError)
    return Drift(
        address=address,
        kind="permission" if is_denied else "unknown",
        path=path,
        after=error.strerror,
        remedy=f"chmod -R u+rX .brewslm/{path}" if is_denied else f"look at .brewslm/{path}",
    )


def _files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Give everything below a folder that is no folder itself, links included."""
    pending = [folder]
    while pending:
        for path in pending.pop().iterdir():
            if path.is_dir() and not path.is_symlink():
                pending.append(path)
            else:
                yield path.relative_to(folder).as_posix(), path


def _is_hidden(name: str) -> bool:
    """Return whether a file is of the kind that desktops and editors drop beside others."""
    return any(part.startswith(".") for part in name.split("/"))


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more
