"""A disk that loses power: of what a program wrote only what it synced is certain to survive.

Anything else may have reached the disk in any order. `Disk` watches the real calls of `os.fsync`
while a block runs and writes out, for any moment, a folder as it may be found afterwards.
"""

import os
import random
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from brewslm import durability
from brewslm.durability import Step

Choice = Callable[[], bool]
"""Decides whether a change that was never synced reached the disk."""


@dataclass
class Disk:
    """What is certainly on the disk below a folder; inodes are never used twice in memory."""

    root: Path
    entries: dict[int, dict[str, int]] = field(default_factory=dict)
    """Names in a folder, by its inode, as of its last sync."""
    contents: dict[int, bytes] = field(default_factory=dict)
    """Bytes of a file, by its inode, as of its last sync."""
    links: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take everything that is there for durable."""
        for folder, _, names in os.walk(self.root):
            self._sync_folder(Path(folder))
            for name in names:
                self._sync_file(Path(folder) / name)

    @contextmanager
    def watching(
        self, patch: pytest.MonkeyPatch, on_moment: Callable[[str], None]
    ) -> Iterator[None]:
        """Follow what a block syncs; on_moment: called before and after each durable step."""
        real = os.fsync

        def fsync(descriptor: int) -> None:
            real(descriptor)
            path = Path(f"/proc/self/fd/{descriptor}").resolve()
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                self._sync_folder(path)
            else:
                self._sync_file(path)

        def watch(step: Step, what: str, is_taken: bool) -> None:
            if step is Step.COMMIT and is_taken:
                self._sync_state()
            on_moment(f"{'after' if is_taken else 'before'} {step}: {Path(what).name}")

        with patch.context() as patched:
            patched.setattr(os, "fsync", fsync)
            patched.setattr(durability, "watcher", watch)
            yield

    def write_image(self, target: Path, has_reached: Choice, is_empty: Choice) -> None:
        """Write out the folder as it may be after a power loss.

        has_reached: asked for each name that was made or removed without a sync; is_empty: for each
        file whose bytes were never synced.
        """
        self._write_folder(self.root.stat().st_ino, self.root, target, has_reached, is_empty)

    def _write_folder(
        self, inode: int, now: Path | None, target: Path, has_reached: Choice, is_empty: Choice
    ) -> None:
        target.mkdir(mode=0o700)
        found = _names(now) if now is not None and _inode(now) == inode else {}
        durable = self.entries.get(inode, {})
        for name in sorted(found.keys() | durable.keys()):
            if name.endswith("-shm"):
                continue
            child = found.get(name)
            if child != durable.get(name) and not has_reached():
                child = durable.get(name)
            if child is None:
                continue
            path = now / name if now is not None and found.get(name) == child else None
            if child in self.links or (path is not None and path.is_symlink()):
                (target / name).symlink_to(self._link(child, path))
            elif child in self.contents or (path is not None and path.is_file()):
                unsynced = b"" if path is None or is_empty() else path.read_bytes()
                (target / name).write_bytes(self.contents.get(child, unsynced))
            else:
                self._write_folder(child, path, target / name, has_reached, is_empty)

    def _link(self, inode: int, path: Path | None) -> str:
        return path.readlink().as_posix() if path is not None else self.links[inode]

    def _sync_folder(self, folder: Path) -> None:
        self.entries[folder.stat().st_ino] = _names(folder)
        for path in folder.iterdir():
            if path.is_symlink():
                self.links[path.lstat().st_ino] = path.readlink().as_posix()

    def _sync_file(self, path: Path) -> None:
        if not path.is_symlink():
            self.contents[path.stat().st_ino] = path.read_bytes()

    def _sync_state(self) -> None:
        """Take the files of the state for durable: SQLite syncs them itself at every commit."""
        for path in self.root.rglob("state.db*"):
            self._sync_file(path)
            self.entries[path.parent.stat().st_ino][path.name] = path.stat().st_ino


def _names(folder: Path) -> dict[str, int]:
    return {path.name: path.lstat().st_ino for path in folder.iterdir()}


def _inode(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


def images(seed: int) -> dict[str, tuple[Choice, Choice]]:
    """Return the ways in which unsynced changes survive: none, names without bytes, at random."""
    chance = random.Random(seed)  # noqa: S311  repeatable, not secret

    def coin() -> bool:
        return chance.random() < 0.5

    return {
        "only what was synced": (lambda: False, lambda: True),
        "names without bytes": (lambda: True, lambda: True),
        "some of it": (coin, coin),
    }
