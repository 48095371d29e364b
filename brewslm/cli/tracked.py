"""A project as its commit says it is: a copy of the tracked files that a plan reads, and of nothing
else.

The copy is made beside the work tree. A file is opened once, without following a link, and taken
only if its bytes are those of the commit; what the plan reads afterwards nobody else can change.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from brewslm.cli.git_objects import Blob, Commit, open_commit
from brewslm.cli.session import Session
from brewslm.diagnostics import Finding, FindingCode, Severity, finding_code, sorted_findings
from brewslm.files import PathError, check_relative, open_inside, read_inside, too_large
from brewslm.manifest.load import FindingsError, check_manifest, unusable
from brewslm.manifest.named_files import NamedFile, model_folder, named_files
from brewslm.manifest.speaker import speaker
from brewslm.manifest.yaml_file import MAX_BYTES, YamlFile, read_yaml
from brewslm.plan.policy import POLICY_FILE

MAX_FILE_BYTES = 256 << 20
MAX_TOTAL_BYTES = 1 << 30
_CHUNK_BYTES = 1 << 20
_SHA1_HEX = 40
"""Digits of an object's name; repositories of SHA-256 have more."""
_SEARCH_PATH = "PATH"
"""The one variable that is kept: git is found by it."""
_STATE = ".brewslm"


class Tracked(Struct, frozen=True):
    """A copy of a project, and what there is to say about the commit."""

    session: Session
    findings: tuple[Finding, ...]


@contextmanager
def tracked_copy(session: Session) -> Iterator[Tracked]:
    """Lend a copy of the project that holds only what its commit holds, without an environment.

    Raises: ManifestError for a manifest that is not the commit's, FindingsError for other files
    that are not, PlanError outside of a repository.
    """
    environment = {
        name: value for name, value in session.environment.items() if name == _SEARCH_PATH
    }
    with tempfile.TemporaryDirectory(prefix="brewslm-") as folder:
        target = Path(folder) / "project"
        target.mkdir()
        with open_commit(session.root, "HEAD", environment) as commit:
            copy = _Copy(session.root, target, commit)
            copied = replace(session, root=target, origin=session.root, environment=environment)
            _fill(copy, session.manifest)
            findings = _tracked_state(commit)
        yield Tracked(copied, findings)


def _tracked_state(commit: Commit) -> tuple[Finding, ...]:
    """Return a warning where the commit holds a state, which is not read."""
    names = sorted(commit.files_below(_STATE))
    if not names:
        return ()
    warning = Finding(
        code=FindingCode.SYSTEM_CONFIG_INVALID,
        severity=Severity.WARNING,
        message="git tracks a state and what belongs to it; nothing of it was read",
        actionable_fix=f"git rm -r --cached {_STATE}",
        found=f"{names[0]}, and {len(names) - 1} more" if names[1:] else names[0],
        expected=f"{_STATE} left out of git",
    )
    return (warning,)


class _Expected(Struct, frozen=True):
    """The digest that a file has to have."""

    algorithm: str
    header: bytes
    """What git digests before the content."""
    hexdigest: str

    def begin(self) -> "hashlib._Hash":
        """Return a digest that has taken in the header."""
        return hashlib.new(self.algorithm, self.header, usedforsecurity=False)


class _Copy(Struct):
    """Files on their way out of a work tree."""

    root: Path
    target: Path
    commit: Commit
    total_bytes: int = 0

    def take(self, path: str, blob: Blob | None) -> None:
        """Copy a file whose bytes are those of a blob. Raises: PathError."""
        place = self.target / path
        if place.exists():
            return
        with open_inside(self.root, path, follows_links=False) as stream:
            if blob is None:
                raise _other_content(path, "a file that the commit does not hold")
            size_bytes = os.fstat(stream.fileno()).st_size
            self.total_bytes += size_bytes
            if size_bytes > MAX_FILE_BYTES or self.total_bytes > MAX_TOTAL_BYTES:
                raise too_large(path, MAX_FILE_BYTES)
            expected = self._expected(blob, size_bytes)
            place.parent.mkdir(parents=True, exist_ok=True)
            found = expected.begin()
            with place.open("xb") as copy:
                while chunk := stream.read(_CHUNK_BYTES):
                    found.update(chunk)
                    copy.write(chunk)
        if found.hexdigest() != expected.hexdigest:
            place.unlink()
            raise _other_content(path, "other content than the commit holds")

    def _expected(self, blob: Blob, size_bytes: int) -> _Expected:
        """Return what a file of this size has to be: the blob, or what Git LFS keeps for it."""
        pointer = self.commit.pointer(blob) if size_bytes != blob.size_bytes else None
        if pointer is not None:
            return _Expected("sha256", b"", pointer.digest.removeprefix("sha256:"))
        algorithm = "sha1" if len(blob.object_id) == _SHA1_HEX else "sha256"
        return _Expected(algorithm, b"blob %d\0" % blob.size_bytes, blob.object_id)


def _fill(copy: _Copy, name: str) -> None:
    """Copy the manifest, what it names and the policy; refuse what is not the commit's."""
    blobs = copy.commit.files([name, POLICY_FILE])
    _take_manifest(copy, name, blobs.get(name))
    if POLICY_FILE in blobs:
        _find_refusal(copy, POLICY_FILE, blobs[POLICY_FILE])
    try:
        source = read_yaml(read_inside(copy.target, name, MAX_BYTES), name)
    except PathError:
        return
    refused = dict(_refusals(copy, source))
    if refused:
        _, others = check_manifest(copy.target, name)
        told = [_finding(source, item, error) for item, error in refused.items()]
        places = {finding.place for finding in told}
        rest = [finding for finding in others if finding.place not in places]
        raise FindingsError(sorted_findings([*told, *rest]))


def _take_manifest(copy: _Copy, name: str, blob: Blob | None) -> None:
    try:
        copy.take(name, blob)
    except PathError as error:
        if error.code == "SOURCE_NOT_FOUND":
            return
        raise unusable(error) from error


def _refusals(copy: _Copy, source: YamlFile) -> Iterator[tuple[NamedFile, PathError]]:
    """Copy what a manifest names; return what is there and may not be read."""
    named = [item for item in named_files(source.value) if _is_relative(item.path)]
    yield from _refused(copy, named, copy.commit.files(item.path for item in named))
    model = model_folder(source.value)
    if model is not None and _is_relative(model.path):
        below = copy.commit.files_below(model.path)
        yield from _refused(copy, [NamedFile(path, model.at) for path in below], below)


def _refused(
    copy: _Copy, named: Iterable[NamedFile], blobs: Mapping[str, Blob]
) -> Iterator[tuple[NamedFile, PathError]]:
    for item in named:
        error = _find_refusal(copy, item.path, blobs.get(item.path))
        if error is not None and error.code != "SOURCE_NOT_FOUND":
            yield item, error


def _find_refusal(copy: _Copy, path: str, blob: Blob | None) -> PathError | None:
    try:
        copy.take(path, blob)
    except PathError as error:
        return error
    return None


def _is_relative(path: str) -> bool:
    """Return whether the plan would open a path; it says itself what is wrong with others."""
    try:
        check_relative(path)
    except PathError:
        return False
    return True


def _finding(source: YamlFile, item: NamedFile, error: PathError) -> Finding:
    code = finding_code(error.code, FindingCode.UNREADABLE)
    say = speaker(source)
    return say(code, item.at, error.message, error.remedy, error.found, error.expected)


def _other_content(path: str, found: str) -> PathError:
    return PathError(
        f'"{path}" is not what the commit says',
        code="PATH_OUTSIDE_PROJECT",
        found=found,
        expected="a regular file that git tracks, as it was committed",
        remedy="commit the file as it is, then plan again",
    )
