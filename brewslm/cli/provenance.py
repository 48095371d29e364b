"""Who runs this, and at which commit."""

import getpass
import os
import re
import socket
import stat
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from brewslm.files import is_file, is_folder

_GIT_FILE_BYTES = 4096
_PACKED_BYTES = 64 << 20
_BRANCH = "ref:"
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


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
        if is_file(git):
            pointed = _text(git).removeprefix("gitdir:").strip()
            git = (place / pointed).resolve() if pointed else git
        if is_folder(git):
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
    """Return the commit that HEAD, a branch or a tag names, read from files; None for others.

    Nothing but the name of a commit is ever returned, whatever those files hold.
    """
    if name == "HEAD":
        head = _head(git / "HEAD")
        if not head.startswith(_BRANCH):
            return _as_commit(head)
        return _ref(git, head.removeprefix(_BRANCH).strip())
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
        if commit := _as_commit(_text(folder / name)):
            return commit
    for folder in folders:
        for line in _text(folder / "packed-refs", _PACKED_BYTES).splitlines():
            commit, _, ref = line.partition(" ")
            if ref == name:
                return _as_commit(commit)
    return None


def _head(path: Path) -> str:
    """Return what HEAD says; old versions of git made it a link to the file of a branch."""
    try:
        target = str(path.readlink())
    except OSError:
        return _text(path)
    return f"{_BRANCH} {target}" if target.startswith("refs/") else ""


def _as_commit(text: str) -> str | None:
    return text if _COMMIT.fullmatch(text) else None


def _text(path: Path, limit_bytes: int = _GIT_FILE_BYTES) -> str:
    """Return the beginning of a regular file, empty where there is none; no pipe is waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return ""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return ""
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read(limit_bytes).decode("utf-8", "replace").strip()
