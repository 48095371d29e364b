"""Who runs this, and at which commit."""

import getpass
import socket
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

_GIT_FILE_BYTES = 4096


def actor_of(environment: Mapping[str, str]) -> str:
    """Return `user@host`; `BREWSLM_ACTOR` and the actor of a CI run go first."""
    for name in ("BREWSLM_ACTOR", "GITHUB_ACTOR", "GITLAB_USER_LOGIN"):
        if environment.get(name):
            return environment[name]
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def ci_run_of(environment: Mapping[str, str]) -> str:
    """Return the number of the CI run that this is part of, empty outside of one."""
    return environment.get("GITHUB_RUN_ID") or environment.get("CI_PIPELINE_ID") or ""


class GitFolders(Struct, frozen=True):
    """Where the repository of a work tree keeps things."""

    work_tree: Path
    own: Path
    """HEAD of this work tree."""
    common: Path
    """Objects and branches."""


def git_folders(folder: Path) -> GitFolders | None:
    """Return the repository of the work tree that a folder lies in, None outside of one."""
    for place in (folder, *folder.parents):
        git = place / ".git"
        if git.is_file():
            pointed = _text(git).removeprefix("gitdir:").strip()
            git = (place / pointed).resolve() if pointed else git
        if git.is_dir():
            common = _text(git / "commondir")
            return GitFolders(place, git, (git / common).resolve() if common else git)
    return None


def git_commit(folder: Path) -> str | None:
    """Return the commit of the work tree that a folder lies in, read from its files; None outside
    of one.
    """
    folders = git_folders(folder)
    return commit_of(folders.own, "HEAD") if folders else None


def commit_of(git: Path, name: str) -> str | None:
    """Return the commit that HEAD, a branch or a tag names, read from files; None for others."""
    if name == "HEAD":
        head = _text(git / "HEAD")
        if not head.startswith("ref:"):
            return head or None
        return _ref(git, head.removeprefix("ref:").strip())
    if name.startswith(("/", ".")) or ".." in name.split("/"):
        return None
    places = (
        "refs/tags/",
        "refs/heads/",
        "refs/remotes/",
        "" if name.startswith("refs/") else "refs/",
    )
    found = (_ref(git, f"{place}{name}") for place in places)
    return next((commit for commit in found if commit), None)


def _ref(git: Path, name: str) -> str | None:
    common = _text(git / "commondir")
    folders = [git, *([(git / common).resolve()] if common else [])]
    for folder in folders:
        if commit := _text(folder / name):
            return commit
    for folder in folders:
        packed = folder / "packed-refs"
        if packed.is_file():
            for line in packed.read_text(encoding="utf-8", errors="replace").splitlines():
                commit, _, ref = line.partition(" ")
                if ref == name:
                    return commit
    return None


def _text(path: Path) -> str:
    try:
        return path.read_bytes()[:_GIT_FILE_BYTES].decode("utf-8", "replace").strip()
    except OSError:
        return ""
