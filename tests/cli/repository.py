"""A project under git, for tests that read other commits."""

import os
import subprocess
from pathlib import Path


def git(root: Path, *arguments: str) -> str:
    """Run git without any configuration but the repository's."""
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        **{f"GIT_{who}_NAME": "ana" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "ana@desk" for who in ("AUTHOR", "COMMITTER")},
    }
    done = subprocess.run(
        ["git", *arguments], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def begin(root: Path) -> str:
    """Put a project under git with its state left out, and return the first commit."""
    (root / ".gitignore").write_text(".brewslm/\n")
    git(root, "init", "-q", "-b", "main")
    return commit(root)


def commit(root: Path) -> str:
    """Commit all that is there, and return the commit."""
    git(root, "add", "-A")
    git(root, "commit", "-q", "--no-verify", "-m", "as it is")
    return git(root, "rev-parse", "HEAD")
