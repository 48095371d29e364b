"""What killed runs left below .brewslm, removed by the next apply.

Only the holder of the lease writes there, so whatever has a temporary name or belongs to no open
journal entry is nobody's. The cache is not touched: plans write to it without a lease.
"""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from brewslm.artifacts.store import ArtifactStore
from brewslm.files import move, remove_folder

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8,16}\.(?P<what>tmp|old)(-wal|-shm|-journal)?")
_OWN_FILES = (".gitignore", "state.db")
_BUILT_IN = ("backups", "exports", "models", "promoted")


def sweep(home: Path, artifacts: ArtifactStore, kept_folders: Collection[str]) -> int:
    """Remove leftovers and return how many there were; the caller holds the lease.

    kept_folders: run folders of open journal entries, relative to `home`. A folder that was moved
    aside for one that never came is put back.
    """
    removed = artifacts.sweep()
    for folder in _run_folders(home):
        if folder.relative_to(home).as_posix() not in kept_folders:
            removed += _removed(folder)
    for path in _entries(home):
        match = _TEMPORARY.fullmatch(path.name)
        if match is not None and match["name"].startswith(_OWN_FILES):
            removed += _removed(path)
    for parent in map(home.joinpath, _BUILT_IN):
        for path in _entries(parent):
            match = _TEMPORARY.fullmatch(path.name)
            if match is None:
                continue
            target = parent / match["name"]
            if match["what"] == "old" and not target.exists():
                move(path, target)
            else:
                removed += _removed(path)
    return removed


def _run_folders(home: Path) -> Iterator[Path]:
    return (path for path in _entries(home / "runs") if path.is_dir() and not path.is_symlink())


def _entries(folder: Path) -> list[Path]:
    """Return what lies in a folder of ours; nothing behind a link is ours."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    return sorted(folder.iterdir())


def _removed(path: Path) -> bool:
    """Remove a file, link or folder; return whether it is gone."""
    if path.is_dir() and not path.is_symlink():
        remove_folder(path)
    else:
        path.unlink(missing_ok=True)
    return not path.exists()
