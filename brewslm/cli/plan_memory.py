"""The answer of the last plan without changes, under everything that it was made from.

An unchanged project is answered from here, without loading what computes a plan. What counts is
the question (flags, code, host, commit), the variables that were looked up, every file that was
read, and everything in .brewslm but the cache. A stat result proves unchanged bytes only for files
that had settled before the plan read them, so an answer that rests on younger ones is not kept.
"""

import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

import brewslm
from brewslm.cli.device_flag import wanted_device
from brewslm.cli.provenance import git_commit
from brewslm.cli.session import Session
from brewslm.files import SETTLED_NS, recording_reads, write_atomic
from brewslm.manifest.host import observe_host

_FORMAT = 1
_NAME = "plan-{}.json"
_MAX_KEPT = 4
_MAX_FILES = 20_000
_LEFT_OUT = ("cache", "state.db-shm")
"""Names in .brewslm that no plan depends on: the second only serves open connections."""


class PlanFlags(Struct, frozen=True):
    """The flags of `brewslm plan`."""

    out: Path | None
    is_json: bool
    json_into: Path | None
    markdown: Path | None
    is_detailed: bool
    refresh: str
    is_refresh_only: bool
    shows_unchanged: bool
    explains: bool
    max_deletes: int
    against: str | None
    policy_ref: str | None
    is_untrusted: bool
    snapshot: Path | None
    device: str | None
    targets: tuple[str, ...]
    excludes: tuple[str, ...]
    replaces: tuple[str, ...]

    @property
    def may_be_recalled(self) -> bool:
        """Whether nothing is asked for but the answer itself, about this project as it is now."""
        elsewhere = (self.against, self.policy_ref, self.snapshot)
        files = (self.out, self.json_into, self.markdown)
        return self.refresh == "auto" and not self.is_untrusted and not any((*elsewhere, *files))


class Answer(Struct, frozen=True):
    """What a plan wrote to standard output, and its exit code."""

    text: str
    exit_code: int


class Environment(Mapping[str, str]):
    """Variables that remember which of them were looked up by name."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        """Return a variable and remember that it was asked for, set or not."""
        self.names.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        """Return the names; looking through all of them asks for none."""
        return iter(self._values)

    def __len__(self) -> int:
        """Return how many are set."""
        return len(self._values)


class Sight:
    """What a plan saw while it was made."""

    def __init__(self, session: Session, files: set[Path]) -> None:
        self.begun_ns = session.now_ns()
        self.environment = Environment(session.environment)
        self.files = files


@contextmanager
def watching(session: Session) -> Iterator[Sight]:
    """Lend what records everything that a plan looks at meanwhile."""
    with recording_reads() as files:
        yield Sight(session, files)


def question(session: Session, flags: PlanFlags) -> dict[str, Any]:
    """Return what decides an answer beside files and variables."""
    return {
        "format": _FORMAT,
        "flags": asdict(flags),
        "manifest": session.manifest,
        "style": [session.is_ascii, session.has_color, session.is_offline],
        "code": _code(),
        "host": _host(session, flags),
        "commit": git_commit(session.repository),
    }


def _host(session: Session, flags: PlanFlags) -> dict[str, Any]:
    """Return the facts of this machine; how much memory is free decides no plan."""
    wanted = wanted_device(flags.device, session.environment)
    facts = asdict(observe_host(wanted, session.environment))
    facts["device"] = asdict(facts["device"]) | {"free_bytes": None}
    facts["unused"] = [asdict(device) | {"free_bytes": None} for device in facts["unused"]]
    return facts


def recall(session: Session, asked: Mapping[str, Any]) -> Answer | None:
    """Return the answer to a question when nothing that it was made from has changed."""
    try:
        kept = json.loads(_place(session, asked).read_bytes())
        if kept["question"] != _digest(asked):
            return None
        for name, value in kept["variables"].items():
            if _variable(session.environment, name) != value:
                return None
        found = _Looks(session, map(Path, kept["files"]), map(Path, kept["folders"]))
        return Answer(**kept["answer"]) if found.digest == kept["seen"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(
    session: Session, asked: Mapping[str, Any], answer: Answer, sight: Sight, base: Path | None
) -> None:
    """Remember an answer, unless something that it was made from may change unseen.

    base: the folder of the base model.
    """
    files = sorted(sight.files)
    folders = sorted(_model_folders(base))
    try:
        found = _Looks(session, files, folders)
        if found.newest_ns + SETTLED_NS > sight.begun_ns or found.amount > _MAX_FILES:
            return
        document = {
            "question": _digest(asked),
            "variables": {
                name: _variable(session.environment, name)
                for name in sorted(sight.environment.names)
            },
            "files": [str(path) for path in files],
            "folders": [str(path) for path in folders],
            "seen": found.digest,
            "answer": asdict(answer),
        }
        _make_room(session)
        write_atomic(_place(session, asked), json.dumps(document).encode())
    except OSError:
        return  # the next plan is computed again


class _Looks:
    """Stat results of files and folders, as one digest."""

    def __init__(self, session: Session, files: Iterable[Path], folders: Iterable[Path]) -> None:
        self.newest_ns = 0
        self.amount = 0
        self._hash = hashlib.sha256()
        for path in files:
            self._add(str(path), path)
        for folder in folders:
            self._add_below(folder)
        self._add_below(session.home, _LEFT_OUT)
        self.digest = self._hash.hexdigest()

    def _add(self, name: str, path: Path | os.DirEntry[str]) -> None:
        """Take up a file, and what it leads to if it is a link."""
        facts = [self._facts(_stat(path, follows=follows)) for follows in (False, True)]
        self.amount += 1
        self._hash.update(repr((name, facts)).encode("utf-8", "surrogateescape"))

    def _facts(self, found: os.stat_result | None) -> tuple[int, ...]:
        """Return what proves a file unchanged; of a folder that is what is in it."""
        if found is None:
            return ()
        if stat.S_ISDIR(found.st_mode):
            return (found.st_mode,)
        self.newest_ns = max(self.newest_ns, found.st_mtime_ns, found.st_ctime_ns)
        proof = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
        return (found.st_mode, *proof)

    def _add_below(self, folder: Path, left_out: tuple[str, ...] = ()) -> None:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self._hash.update(repr((str(folder), error.errno)).encode())
            return
        for entry in entries:
            if entry.name in left_out or (entry.name == "state.db-wal" and _is_empty(entry)):
                continue
            self._add(entry.path, entry)
            if entry.is_dir(follow_symlinks=False):
                self._add_below(Path(entry.path))


def _stat(path: Path | os.DirEntry[str], *, follows: bool) -> os.stat_result | None:
    try:
        return path.stat(follow_symlinks=follows)
    except OSError:
        return None


def _is_empty(entry: os.DirEntry[str]) -> bool:
    found = _stat(entry, follows=False)
    return found is not None and found.st_size == 0


def _model_folders(base: Path | None) -> Iterator[Path]:
    """Return the folders in which a base model is looked for; a cached one has its refs beside."""
    package = Path(brewslm.__file__).parent
    if base is None or base.is_relative_to(package):
        return
    yield base
    if base.parent.name == "snapshots":
        yield base.parent.parent / "refs"


def _code() -> str:
    """Return a digest that changes with the installed code, of this package or any other."""
    facts: list[Any] = [brewslm.__version__, sys.version]
    folders = [Path(brewslm.__file__).parent]
    while folders:
        for entry in os.scandir(folders.pop()):
            if entry.is_dir():
                folders.append(Path(entry.path))
            elif entry.name.endswith(".py"):
                facts.append((entry.path, entry.stat().st_mtime_ns, entry.stat().st_size))
    facts += [
        (name, found.st_mtime_ns) for name in sys.path if (found := _stat(Path(name), follows=True))
    ]
    return _digest(sorted(map(repr, facts)))


def _variable(environment: Mapping[str, str], name: str) -> str | None:
    value = environment.get(name)
    return None if value is None else hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()


def _place(session: Session, asked: Mapping[str, Any]) -> Path:
    return session.cache / _NAME.format(_digest(asked["flags"])[:16])


def _make_room(session: Session) -> None:
    kept = sorted(session.cache.glob(_NAME.format("*")), key=lambda path: path.stat().st_mtime_ns)
    for path in kept[: 1 - _MAX_KEPT]:
        path.unlink(missing_ok=True)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
