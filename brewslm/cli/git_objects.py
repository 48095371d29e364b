"""Files of another commit, read as objects: nothing is checked out and nothing is run but git.

git sees an empty folder for its repository and only the object store of the real one, so that no
configuration, hook, filter, attribute or replacement of it has a say, and no protocol to fetch by.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path, PurePosixPath

from msgspec import Struct
from msgspec.structs import replace

from brewslm.cli.provenance import commit_of, git_folders
from brewslm.errors import PlanError
from brewslm.files import LFS_POINTER, MAX_LFS_POINTER_BYTES

_TIMEOUT_S = 60
_STEPS = re.compile(r"(?P<base>[^~^]+)(?P<steps>([~^][0-9]*)*)")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_CHUNK_BYTES = 1 << 20
_POINTER = re.compile(re.escape(LFS_POINTER) + rb"oid sha256:([0-9a-f]{64})\nsize ([0-9]{1,15})\n")
_REGULAR = ("100644", "100755")
_SUBMODULE = "160000"
_PATHS_AT_ONCE = 250
_MAX_PATH = 4096
_SHA256_HEX = 64
_SHA256_CONFIG = "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectformat = sha256\n"
"""Without it git takes the objects of a repository for SHA-1 ones."""


class Blob(Struct, frozen=True):
    """A file's content as git keeps it."""

    object_id: str
    size_bytes: int
    git: "_Git"
    """The repository that holds it: that of the project, or of a submodule."""

    def read(self) -> bytes:
        """Return the bytes that git keeps."""
        return self.git.run("cat-file", "blob", self.object_id)


class Pointer(Struct, frozen=True):
    """The content that Git LFS keeps elsewhere."""

    digest: str
    size_bytes: int


class Commit:
    """One commit's regular files below the project folder, by their paths relative to it.

    The files of a submodule are those of the commit that this one names for it, as far as its
    repository is here.
    """

    def __init__(self, git: "_Git", object_id: str, prefix: str, work_tree: Path) -> None:
        self._git = git
        self._prefix = prefix
        self._work_tree = work_tree
        self.object_id = object_id

    def read(self, path: str, limit_bytes: int) -> bytes | None:
        """Return the bytes of a regular file; None when there is none, or it is larger."""
        blob = self.files([path]).get(path)
        if blob is None or blob.size_bytes > limit_bytes:
            return None
        return blob.read()

    def digest(self, path: str) -> str | None:
        """Return the digest of a regular file's bytes, None when there is none."""
        blob = self.files([path]).get(path)
        if blob is None:
            return None
        pointer = self.pointer(blob)
        return pointer.digest if pointer else blob.git.digest(blob.object_id)

    def pointer(self, blob: Blob) -> Pointer | None:
        """Return what Git LFS keeps in place of a blob, None for a blob that is content itself."""
        if blob.size_bytes > MAX_LFS_POINTER_BYTES:
            return None
        match = _POINTER.fullmatch(blob.read())
        return Pointer(f"sha256:{match[1].decode()}", int(match[2])) if match else None

    def files(self, paths: Iterable[str]) -> dict[str, Blob]:
        """Return those of the paths that are regular files, as they are given; links are not
        followed.
        """
        places = {path: self._prefix + _plain(path) for path in paths if _is_below(path)}
        asked = sorted(set(places.values()))
        found: dict[str, Blob] = {}
        for start in range(0, len(asked), _PATHS_AT_ONCE):
            found |= self._listed(asked[start : start + _PATHS_AT_ONCE])
        if missing := [place for place in asked if place not in found]:
            found |= self._in_submodules(missing)
        return {path: found[place] for path, place in places.items() if place in found}

    def files_below(self, folder: str) -> dict[str, Blob]:
        """Return the regular files in a folder and in its folders, by their paths."""
        if not _is_below(folder):
            return {}
        found = self._listed([self._prefix + _plain(folder)], "-r")
        return {place.removeprefix(self._prefix): blob for place, blob in found.items()}

    def _listed(self, places: Sequence[str], *flags: str) -> dict[str, Blob]:
        found: dict[str, Blob] = {}
        for place, mode, object_id, size in self._entries(places, *flags):
            if mode in _REGULAR:
                if not size.isdecimal():
                    raise _not_fetched(place)
                found[place] = Blob(object_id, int(size), self._git)
        return found

    def _entries(self, places: Sequence[str], *flags: str) -> Iterator[tuple[str, str, str, str]]:
        """Yield path, mode, object and size; the size is no number where the object is not here."""
        listing = self._git.run(
            "ls-tree", *flags, "-l", "-z", "--full-tree", self.object_id, "--", *places
        )
        for entry in filter(None, listing.split(b"\0")):
            facts, _, place = entry.partition(b"\t")
            mode, _, object_id, size = facts.decode().split()
            yield os.fsdecode(place), mode, object_id, size

    def _in_submodules(self, places: Sequence[str]) -> dict[str, Blob]:
        """Return those of the paths that are regular files of submodules."""
        parents = {str(parent) for place in places for parent in PurePosixPath(place).parents}
        asked = sorted(parents - {"."})
        if not asked:
            return {}
        found: dict[str, Blob] = {}
        for folder, mode, object_id, _ in self._entries(asked):
            if mode == _SUBMODULE and (inner := self._submodule(folder, object_id)) is not None:
                own = [place for place in places if place.startswith(f"{folder}/")]
                blobs = inner.files(place.removeprefix(f"{folder}/") for place in own)
                found |= {f"{folder}/{path}": blob for path, blob in blobs.items()}
        return found

    def _submodule(self, folder: str, object_id: str) -> "Commit | None":
        """Return the commit of a submodule, None where its repository is not here."""
        place = self._work_tree / folder
        folders = git_folders(place)
        if folders is None or folders.work_tree != place:
            return None
        git = replace(self._git, objects=folders.common / "objects")
        inner = Commit(git, object_id, "", place)
        try:
            git.run("cat-file", "-e", f"{object_id}^{{tree}}")
        except PlanError:
            return None
        return inner


@contextmanager
def open_commit(root: Path, ref: str, environment: Mapping[str, str]) -> Iterator[Commit]:
    """Lend a commit of the repository that a project lies in, which need not be writable.

    Raises: PlanError with unknown_revision.
    """
    folders = git_folders(root)
    program = git_program(root, environment)
    if folders is None or program is None:
        what = "git is not installed" if folders else "the project is in no git repository"
        raise _unknown(ref, what)
    with tempfile.TemporaryDirectory(prefix="brewslm-git-") as empty:
        bare = Path(empty)
        (bare / "refs").mkdir()
        (bare / "HEAD").write_text("ref: refs/heads/none\n")
        if len(commit_of(folders.own, "HEAD") or "") == _SHA256_HEX:
            (bare / "config").write_text(_SHA256_CONFIG)
        git = _Git(program, bare, folders.common / "objects")
        object_id = _resolved(git, folders.own, ref)
        prefix = root.resolve().relative_to(folders.work_tree.resolve()).as_posix()
        work_tree = folders.work_tree.resolve()
        yield Commit(git, object_id, "" if prefix == "." else f"{prefix}/", work_tree)


class _Git(Struct, frozen=True):
    program: str
    folder: Path
    objects: Path

    def run(self, *arguments: str) -> bytes:
        try:
            done = subprocess.run(
                [self.program, *arguments],
                env=self._environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise _unreadable(f"no answer of git in {_TIMEOUT_S} s") from error
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise _unreadable(said[-1] if said else f"exit code {done.returncode}")
        return done.stdout

    def digest(self, object_id: str) -> str:
        found = sha256()
        with subprocess.Popen(
            [self.program, "cat-file", "blob", object_id],
            env=self._environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as child:
            while child.stdout is not None and (chunk := child.stdout.read(_CHUNK_BYTES)):
                found.update(chunk)
        return f"sha256:{found.hexdigest()}"

    @property
    def _environment(self) -> dict[str, str]:
        return {
            "LC_ALL": "C",
            "GIT_DIR": str(self.folder),
            "GIT_OBJECT_DIRECTORY": str(self.objects.absolute()),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_ALLOW_PROTOCOL": "none",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_LITERAL_PATHSPECS": "1",
        }


def _is_below(path: str) -> bool:
    is_plain = "\0" not in path and len(path) <= _MAX_PATH and not path.startswith("/")
    return is_plain and bool(_plain(path)) and ".." not in path.split("/")


def _plain(path: str) -> str:
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def _resolved(git: _Git, own: Path, ref: str) -> str:
    """Return the commit that a name, a full or short id, or steps back from one mean.

    What HEAD names is a commit and nothing else, so git is not asked about it.
    """
    match = _STEPS.fullmatch(ref)
    if match is None:
        raise _unknown(ref, "no name of a commit")
    start = commit_of(own, match["base"])
    if start is None and _COMMIT.fullmatch(match["base"]):
        start = match["base"]
    if start is None:
        raise _unknown(ref, "no branch, tag or commit of that name")
    if ref == "HEAD":
        return start
    try:
        wanted = f"{start}{match['steps']}^{{commit}}"
        found = git.run("rev-parse", "--verify", "--quiet", "--end-of-options", wanted)
    except PlanError as error:
        raise _unknown(ref, "its objects are not in this clone") from error
    return found.decode().strip()


def git_program(root: Path, environment: Mapping[str, str]) -> str | None:
    """Return the git of the search path, None when it would be one of the project's files."""
    found = shutil.which("git", path=environment.get("PATH", ""))
    is_own = found is not None and Path(found).resolve().is_relative_to(root.resolve())
    return None if found is None or is_own or not Path(found).is_absolute() else found


def _unreadable(found: str) -> PlanError:
    return PlanError(
        "git can't read the other commit",
        code="unknown_revision",
        found=found,
        remedy="git fsck says what is missing",
    )


def _not_fetched(place: str) -> PlanError:
    return PlanError(
        f'the content of "{place}" in the other commit is not in this partial clone',
        code="unknown_revision",
        found="a clone that left out file contents",
        expected="a clone that holds the commit as a whole",
        remedy="git fetch --refetch --no-filter origin, or clone without --filter",
    )


def _unknown(ref: str, found: str) -> PlanError:
    return PlanError(
        f'there is no commit "{ref}" to read',
        code="unknown_revision",
        found=found,
        expected="a branch, a tag, or a commit that this clone holds",
        remedy="git fetch --depth 1000 origin, or fetch-depth: 0 in a workflow",
    )
