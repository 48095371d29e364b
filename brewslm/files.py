"""Every file that brewslm writes or reads from a project goes through here.

Writing: a temporary file beside the target, fsync, rename, fsync of the folder; a failed fsync is
final. Reading from a project: each component of the path is opened below a descriptor of the
project folder, links included, and must end at a regular file inside that folder.
"""

import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, NamedTuple, cast

from msgspec import Struct

from brewslm.durability import Step, durable
from brewslm.errors import ApplyError, BrewError

LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
"""Begins the file that Git LFS puts in place of one that was not fetched."""
MAX_LFS_POINTER_BYTES = 1024
_MAX_LINKS = 40
_WRITE_BUFFER_BYTES = 1 << 20
SETTLED_NS = 2_000_000_000
"""A file that changed this recently may change again without its stat result showing it."""
_WRITE_CODES = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EFBIG: "disk_full",
    errno.EACCES: "permission_denied",
    errno.EPERM: "permission_denied",
    errno.EROFS: "permission_denied",
    errno.EIO: "store_suspect",
}


_SHOWN_CHARS = 80
_recorded: ContextVar[set[Path] | None] = ContextVar("recorded", default=None)


@contextmanager
def recording_reads() -> Iterator[set[Path]]:
    """Lend a set that receives the path of every file that is asked for meanwhile, found or not."""
    paths: set[Path] = set()
    token = _recorded.set(paths)
    try:
        yield paths
    finally:
        _recorded.reset(token)


def note_read(path: Path) -> None:
    """Add a file to what is being recorded."""
    recorded = _recorded.get()
    if recorded is not None:
        recorded.add(path)


def is_file(path: Path) -> bool:
    """Return whether a file is there; a name may be longer than any file's."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Return whether a folder is there; a name may be longer than any folder's."""
    try:
        return path.is_dir()
    except OSError:
        return False


class LinesWritten(NamedTuple):
    """What a file of lines holds."""

    lines: int
    size_bytes: int
    digest: str


class PathError(BrewError):
    """A path of a project cannot be used; `code` says why.

    Codes: PATH_OUTSIDE_PROJECT, PATH_NOT_REGULAR_FILE, SOURCE_NOT_FOUND, UNREADABLE,
    FILE_TOO_LARGE.
    """


def write_atomic(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Make `path` hold exactly `data`, durably; on a failure before the rename the old content is
    still there, and where only the last sync fails the new content may not survive a power loss.

    Raises: OSError of the step that failed.
    """
    temporary = temporary_name(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, mode)
    try:
        try:
            with durable(Step.WRITE, path):
                view = memoryview(data)
                while view:
                    view = view[os.write(descriptor, view) :]
            with durable(Step.SYNC, path):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        move(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_lines_atomic(path: Path, lines: Iterable[bytes], mode: int = 0o600) -> LinesWritten:
    """Make `path` hold exactly the lines, durably, without ever holding them all in memory.

    lines: with their ends, any number at once.
    On a failure before the rename the old content is still there. Raises: OSError of the step that
    failed.
    """
    temporary = temporary_name(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    sha256 = hashlib.sha256()
    amount = size_bytes = 0
    try:
        with os.fdopen(os.open(temporary, flags, mode), "wb", _WRITE_BUFFER_BYTES) as stream:
            for data in lines:
                amount += data.count(b"\n")
                size_bytes += len(data)
                sha256.update(data)
                stream.write(data)
            with durable(Step.WRITE, path):
                stream.flush()
            with durable(Step.SYNC, path):
                os.fsync(stream.fileno())
        move(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return LinesWritten(amount, size_bytes, f"sha256:{sha256.hexdigest()}")


def open_scratch(folder: Path) -> BinaryIO:
    """Return a nameless private file on the disk of `folder`, gone once it is closed."""
    return cast(BinaryIO, TemporaryFile(dir=folder))


def unwritable(error: OSError) -> ApplyError:
    """Return the error of a file or folder that the system did not let us write or make durable."""
    return ApplyError(
        f"a file could not be written: {error.strerror}",
        code=_WRITE_CODES.get(error.errno or 0, "system_db_error"),
        found=str(error.filename or ""),
        remedy="free disk space or correct the permissions, then: brewslm apply",
    )


def name_too_long(error: OSError) -> PathError | None:
    """Return the error of a path with a name that no file can have, None for other failures."""
    if error.errno != errno.ENAMETOOLONG:
        return None
    return PathError(
        "a path is longer than the file system allows",
        code="UNREADABLE",
        found=f"{str(error.filename or '')[:_SHOWN_CHARS]}…",
        expected="names of at most 255 bytes",
        remedy="write a shorter path",
    )


def is_refused_write(error: OSError) -> bool:
    """Return whether it is the disk, and no mistake of the program, that failed."""
    return error.errno in _WRITE_CODES


def temporary_name(target: Path, kind: str = "tmp") -> Path:
    """Return a fresh hidden name beside `target`, by which a crash's leftovers are known."""
    return target.with_name(f".{target.name[:100]}.{secrets.token_hex(8)}.{kind}")


def move(source: Path, target: Path) -> None:
    """Rename within a folder, durably; a file or link at `target` is replaced."""
    with durable(Step.MOVE, target):
        source.replace(target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make the entries of a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with durable(Step.SYNC_FOLDER, folder):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the bytes of a file that another library wrote durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with durable(Step.SYNC, path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private_folder(folder: Path) -> Path:
    """Create a folder and its parents with mode 0700 where they are missing, durably; return it."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    for parent in reversed(missing):
        with durable(Step.FOLDER, parent):
            parent.mkdir(mode=0o700, exist_ok=True)
        sync_folder(parent.parent)
    return folder


def swap_folder(built: Path, target: Path) -> None:
    """Put a folder that was built beside `target` in its place by rename; the old one goes
    afterwards.
    """
    old = temporary_name(target, "old")
    had_old = target.exists()
    if had_old:
        with durable(Step.MOVE, old):
            target.rename(old)
    try:
        with durable(Step.MOVE, target):
            built.rename(target)
    except OSError:
        if had_old:
            with durable(Step.MOVE, target):
                old.rename(target)
        raise
    sync_folder(target.parent)
    remove_folder(old)


def remove_folder(folder: Path) -> None:
    """Remove a folder; what cannot be removed is left for the next apply."""
    with suppress(OSError), durable(Step.REMOVE, folder):
        shutil.rmtree(folder, ignore_errors=True)


def link_files(folder: Path, files: Mapping[str, Path]) -> Path:
    """Make a private folder hold exactly links to where the files, by name, lie; return it."""
    if folder.exists():
        remove_folder(folder)
    make_private_folder(folder)
    with durable(Step.LINK, folder):
        for name, path in files.items():
            (folder / name).symlink_to(path.resolve())
    return folder


def replace_link(link: Path, target: Path) -> None:
    """Make `link` a symbolic link to `target`, durably; it names the old or the new at any time."""
    fresh = temporary_name(link)
    try:
        with durable(Step.LINK, link):
            fresh.symlink_to(target)
        move(fresh, link)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


class StatProof(Struct, frozen=True):
    """What a stat call said when a file was digested.

    It proves that the bytes are the same only while size, mtime, ctime and inode are equal and the
    mtime was at least two seconds old when the record was made; otherwise the file has to be
    digested again. A ctime cannot be set back, so an edit shows although its mtime was.
    """

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    recorded_ns: int

    @classmethod
    def of(cls, result: os.stat_result, recorded_ns: int) -> "StatProof":
        """Make a proof from a stat result and the wall clock in nanoseconds."""
        return cls(
            result.st_size, result.st_mtime_ns, result.st_ctime_ns, result.st_ino, recorded_ns
        )

    def holds_for(self, result: os.stat_result) -> bool:
        """Return whether a later stat result proves unchanged bytes."""
        return (self.size_bytes, self.mtime_ns, self.ctime_ns, self.inode) == (
            result.st_size,
            result.st_mtime_ns,
            result.st_ctime_ns,
            result.st_ino,
        ) and self.mtime_ns + SETTLED_NS <= self.recorded_ns


def check_relative(path: str) -> None:
    """Refuse a path that is absolute, climbs with `..`, or uses backslashes, a drive letter or a
    home.

    Raises: PathError with code PATH_OUTSIDE_PROJECT.
    """
    parts = path.split("/")
    is_drive = len(parts[0]) == 2 and parts[0][1] == ":" and parts[0][0].isalpha()
    if (
        not path
        or path.startswith(("/", "~"))
        or "\\" in path
        or "\0" in path
        or ".." in parts
        or is_drive
    ):
        raise _outside(path)


def open_inside(
    root: Path,
    relative: str,
    *,
    follows_links: bool = True,
    link_roots: Collection[Path] = (),
) -> BinaryIO:
    """Open a regular file below `root` for reading; links are followed only while they stay inside.

    follows_links: False refuses every link; link_roots: absolute folders that links may lead into.
    Raises: PathError.
    """
    check_relative(relative)
    note_read(root / relative)
    walk = _Walk(root, relative, link_roots, follows_links=follows_links)
    try:
        return os.fdopen(walk.open(), "rb")
    finally:
        walk.leave()


def read_inside(root: Path, relative: str, limit_bytes: int) -> bytes:
    """Return the bytes of a regular file below `root`.

    Raises: PathError, also when the file is larger than `limit_bytes`.
    """
    with open_inside(root, relative) as stream:
        data = stream.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise too_large(relative, limit_bytes)
    return data


def read_named(path: Path, limit_bytes: int) -> bytes:
    """Return the bytes of a regular file that the user named, wherever it lies.

    It is opened once and without waiting, so that nothing is swapped in and no pipe is read.

    Raises: PathError.
    """
    note_read(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
        raise (_missing(str(path)) if missing else _unreadable(str(path), error)) from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise _not_regular(str(path))
    with os.fdopen(descriptor, "rb") as stream:
        data = stream.read(limit_bytes + 1) if found.st_size <= limit_bytes else b""
    if max(found.st_size, len(data)) > limit_bytes:
        raise too_large(str(path), limit_bytes)
    return data


def too_large(path: str, limit_bytes: int) -> PathError:
    """Return the error of a file that is larger than may be read."""
    return PathError(
        f'"{path}" is too large',
        code="FILE_TOO_LARGE",
        found=f"more than {limit_bytes} bytes",
        expected=f"at most {limit_bytes} bytes",
        remedy="make the file smaller or split it",
    )


class _Walk:
    """Opens component by component below a descriptor of a folder that is never left unnoticed."""

    def __init__(
        self, root: Path, relative: str, link_roots: Collection[Path], *, follows_links: bool
    ) -> None:
        self._roots = (root, *link_roots)
        self._relative = relative
        self._follows_links = follows_links
        self._links: list[str] = []
        """What the links on the way say, in order."""
        self._folders: list[int] = []
        self._base = root
        self._enter(root)

    def open(self) -> int:
        """Return a descriptor of the regular file at the end of the path. Raises: PathError."""
        pending = self._relative.split("/")[::-1]
        while True:
            name = pending.pop()
            if name in ("", "."):
                if not pending:
                    raise _not_regular(self._relative)
                continue
            if name == "..":
                if len(self._folders) > 1:
                    os.close(self._folders.pop())
                else:
                    pending = self._moved(f"../{'/'.join(pending[::-1])}")
                continue
            target = self._link_at(name)
            if target is not None:
                self._links.append(target)
                if len(self._links) > _MAX_LINKS or not self._follows_links:
                    raise _linked(self._relative, target)
                rest = pending[::-1]
                is_absolute = target.startswith("/")
                joined = "/".join([target, *rest])
                pending = self._moved(joined) if is_absolute else joined.split("/")[::-1]
                continue
            descriptor = self._opened(name, is_last=not pending)
            if not pending:
                return descriptor
            self._folders.append(descriptor)

    def leave(self) -> None:
        """Close all folders."""
        while self._folders:
            os.close(self._folders.pop())

    def _enter(self, folder: Path) -> None:
        self.leave()
        self._base = folder.resolve()
        self._folders.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    def _moved(self, path: str) -> list[str]:
        """Go to the root that a path leads into, which is absolute or begins above the folder of
        this one; return what is left of it, last component first.
        """
        place = self._base
        while path.startswith("../"):
            place, path = place.parent, path[3:].lstrip("/")
        whole = Path(path) if path.startswith("/") else place / path
        for root in self._roots:
            for form in (root, root.resolve()):
                if whole.is_relative_to(form) and root.is_dir():
                    self._enter(root)
                    return list(whole.relative_to(form).parts)[::-1] or ["."]
        if not self._links:
            raise _outside(self._relative)
        allowed = _link_root(os.path.normpath(whole))
        if not self._links[-1].startswith("/"):
            allowed = os.path.relpath(allowed, self._roots[0].resolve())
        raise _linked_outside(self._relative, self._links[-1], allowed)

    def _link_at(self, name: str) -> str | None:
        """Return what a link says, None where there is none."""
        try:
            return os.readlink(name, dir_fd=self._folders[-1])
        except OSError as error:
            if error.errno == errno.EINVAL:
                return None
            if error.errno == errno.ENOENT:
                raise self._missing() from error
            raise _unreadable(self._relative, error) from error

    def _opened(self, name: str, *, is_last: bool) -> int:
        try:
            return _open_component(self._relative, name, self._folders[-1], is_last=is_last)
        except PathError as error:
            if error.code == "SOURCE_NOT_FOUND":
                raise self._missing() from error
            raise

    def _missing(self) -> PathError:
        return (
            _dangling(self._relative, self._links[-1]) if self._links else _missing(self._relative)
        )


def _open_component(relative: str, name: str, folder: int, *, is_last: bool) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if is_last and not stat.S_ISREG(found.st_mode):
            raise _not_regular(relative)
        descriptor = os.open(name, flags | (0 if is_last else os.O_DIRECTORY), dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise _missing(relative) from error
        raise _unreadable(relative, error) from error
    if is_last and not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_regular(relative)
    return descriptor


def _outside(path: str) -> PathError:
    return PathError(
        f'"{path}" is not inside the project folder',
        code="PATH_OUTSIDE_PROJECT",
        found=f'"{path}"',
        expected="a relative path with / that stays below the folder of the manifest",
        remedy="move the file into the project folder and write its relative path; rows that are"
        " kept elsewhere may be linked from there, with spec.workflow.backend.link_roots",
    )


def _linked(path: str, target: str) -> PathError:
    return PathError(
        f'"{path}" is a link that is not followed',
        code="PATH_OUTSIDE_PROJECT",
        found=f'a link to "{target}"',
        expected="a regular file",
        remedy="put the file itself in place of the link",
    )


def _linked_outside(path: str, target: str, allowed: str) -> PathError:
    """Return the error of a link that leads elsewhere; allowed: the folder that would have to be
    allowed.
    """
    return PathError(
        f'"{path}" is a link that leads out of the project folder',
        code="PATH_OUTSIDE_PROJECT",
        found=f'a link to "{target}"',
        expected="a file below the folder of the manifest, or in a folder that the manifest allows",
        remedy=f"put a copy in place of the link, or allow the folder, which only rows may be read"
        f' from: write spec.workflow.backend.link_roots: ["{allowed}"]',
    )


def _link_root(target: str) -> str:
    """Return the folder to allow for a link: for one that DVC made, all of its cache."""
    cache, found, _ = target.partition("/files/md5/")
    return cache if found else target.rpartition("/")[0] or "/"


def _dangling(path: str, target: str) -> PathError:
    is_annex = "/annex/objects/" in target
    fetch = f"git annex get {path}" if is_annex else f"dvc pull {path}, if DVC made the link"
    return PathError(
        f'"{path}" is a link to a file that is not there',
        code="SOURCE_NOT_FOUND",
        found=f'a link to "{target}"',
        expected="a link to a regular file",
        remedy=f"fetch the file: {fetch}; or correct the link",
    )


def _not_regular(path: str) -> PathError:
    return PathError(
        f'"{path}" is no regular file',
        code="PATH_NOT_REGULAR_FILE",
        found="a folder, device, socket or pipe",
        expected="a regular file",
        remedy="name a file",
    )


def _missing(path: str) -> PathError:
    return PathError(
        f'there is no file "{path}"',
        code="SOURCE_NOT_FOUND",
        found="nothing",
        expected="a regular file",
        remedy="correct the path, or put the file there",
    )


def _unreadable(path: str, error: OSError) -> PathError:
    return PathError(
        f'"{path}" cannot be read',
        code="UNREADABLE",
        found=os.strerror(error.errno or 0),
        expected="a readable file",
        remedy="correct the permissions of the file",
    )
