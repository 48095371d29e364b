"""Where the Hub's local cache holds a model: a folder for each commit, and files that name them.

Only the cache is looked at; a name in it leads to a commit or to nothing.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from brewslm.stages.model import REVISION

COMMIT = re.compile(r"[0-9a-f]{40}")
_SHORT_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_NEWEST = "main"
_VARIABLE = re.compile(r"\$(?:(\w+)|\{([^}]*)\})")
_MAX_REFERENCE_BYTES = 64


def find_snapshot(
    base_model: str, revision: str | None, environment: Mapping[str, str]
) -> Path | None:
    """Return the folder of a model's commit, None where the cache has none of that name.

    revision: a commit, the beginning of one that only one cached commit has, or a branch or tag.
    """
    repository = repository_folder(base_model, environment)
    wanted = revision or _NEWEST
    if not REVISION.fullmatch(wanted):
        return None
    commit = _referenced(repository / "refs" / wanted)
    if commit is None and _SHORT_COMMIT.fullmatch(wanted.lower()):
        commit = _only_commit(repository / "snapshots", wanted.lower())
    snapshot = repository / "snapshots" / (commit or "")
    return snapshot if commit is not None and snapshot.is_dir() else None


def repository_folder(base_model: str, environment: Mapping[str, str]) -> Path:
    """Return where the cache keeps a model, whether or not it is there."""
    return hub_folder(environment) / ("models--" + base_model.replace("/", "--"))


def hub_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of the cache, by the variables that huggingface_hub reads, in its order."""
    home = (environment.get("HOME") or "").rstrip("/")
    caches = environment.get("XDG_CACHE_HOME") or f"{home}/.cache"
    own = environment.get("HF_HOME") or f"{caches}/huggingface"
    named = environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE")
    expanded = _expanded(own, environment, home)
    return Path(_expanded(named, environment, home) if named else f"{expanded}/hub")


def _expanded(text: str, environment: Mapping[str, str], home: str) -> str:
    """Return a path without ~ and variables; those that are not set stay as they are."""
    if text == "~" or text.startswith("~/"):
        text = home + text[1:]
    return _VARIABLE.sub(lambda found: environment.get(found[1] or found[2], found[0]), text)


def commit_of(folder: Path | None) -> str | None:
    """Return the commit that a folder of the cache holds, None for other folders."""
    return folder.name if folder is not None and COMMIT.fullmatch(folder.name) else None


def is_snapshot(folder: Path) -> bool:
    """Return whether a folder is that of a commit in the Hub's cache."""
    return commit_of(folder) is not None and folder.parent.name == "snapshots"


def _referenced(reference: Path) -> str | None:
    """Return the commit that a branch or tag names."""
    if not reference.is_file():
        return None
    with reference.open("rb") as stream:
        named = stream.read(_MAX_REFERENCE_BYTES).decode("ascii", "replace").strip()
    return named if COMMIT.fullmatch(named) else None


def _only_commit(snapshots: Path, beginning: str) -> str | None:
    if not snapshots.is_dir():
        return None
    names = (path.name for path in snapshots.iterdir())
    found = [name for name in names if name.startswith(beginning) and COMMIT.fullmatch(name)]
    return found[0] if len(found) == 1 else None
