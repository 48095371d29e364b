"""The files of a commit, laid out by git without any configuration."""

from base64 import b64decode
from pathlib import Path

import pytest

from tests.cli.repository import commit, git
from tests.recipes.forge import REPOSITORY, TOKEN, Forge
from tests.recipes.job import Done, Job


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """Return a repository with a base branch and a pull request that was merged for a try."""
    root = tmp_path / "server" / REPOSITORY
    root.mkdir(parents=True)
    git(root, "init", "-q", "-b", "main")
    (root / "a.txt").write_text("one")
    commit(root)
    git(root, "switch", "-q", "-c", "change")
    (root / "b.txt").write_text("two")
    (root / ".gitattributes").write_text("*.txt filter=evil\n")
    (root / ".gitmodules").write_text('[submodule "s"]\n\tpath = s\n\turl = ../evil\n')
    commit(root)
    git(root, "switch", "-q", "main")
    (root / "c.txt").write_text("three")
    commit(root)
    git(root, "switch", "-q", "--detach", "main")
    git(root, "merge", "-q", "--no-ff", "--no-verify", "-m", "try", "change")
    git(root, "update-ref", "refs/pull/7/merge", "HEAD")
    return root


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job.make(tmp_path / "job")


def _laid_out(job: Job, upstream: Path, commit: str) -> Done:
    server = upstream.parents[1].as_uri()
    return job.run(
        "checkout.sh", "src", GITHUB_SERVER_URL=server, GITHUB_SHA=commit, GH_TOKEN=TOKEN
    )


def test_files_are_those_of_the_merge_and_the_base_is_its_first_parent(
    job: Job, upstream: Path
) -> None:
    merge, base = git(upstream, "rev-parse", "refs/pull/7/merge", "main").split()
    done = _laid_out(job, upstream, merge)
    assert (done.code, done.log) == (0, f"{base}\n")
    source = job.folder / "src"
    assert sorted(path.name for path in source.glob("*.txt")) == ["a.txt", "b.txt", "c.txt"]
    assert git(source, "rev-parse", "HEAD") == merge
    assert git(source, "show", f"{base}:c.txt") == "three"


def test_first_commit_of_all_has_no_base(job: Job, upstream: Path) -> None:
    first = git(upstream, "rev-list", "--max-parents=0", "HEAD")
    done = _laid_out(job, upstream, first)
    assert (done.code, done.log) == (0, "")


def test_nothing_of_the_repository_runs_and_no_token_stays(job: Job, upstream: Path) -> None:
    canary = job.folder / "canary"
    template = job.folder / "template" / "hooks"
    template.mkdir(parents=True)
    (template / "post-checkout").write_text(f"#!/bin/sh\ntouch {canary}\n")
    (template / "post-checkout").chmod(0o755)
    (job.folder / ".gitconfig").write_text(
        f'[filter "evil"]\n\tsmudge = touch {canary} && cat\n\trequired = true\n'
        f"[init]\n\ttemplateDir = {template.parent}\n"
    )
    done = _laid_out(job, upstream, git(upstream, "rev-parse", "refs/pull/7/merge"))
    assert done.code == 0, done.log
    assert not canary.exists()
    kept = [path for path in (job.folder / "src").rglob("*") if path.is_file()]
    assert [path for path in kept if TOKEN.encode() in path.read_bytes()] == []
    assert not (job.folder / "src" / "s").exists()


def test_private_repository_is_asked_with_the_token(job: Job, forge: Forge) -> None:
    done = job.run(
        "checkout.sh", "src", GITHUB_SERVER_URL=forge.url, GITHUB_SHA=40 * "1", GH_TOKEN=TOKEN
    )
    assert done.code != 0
    method, path, authorization = forge.asked[0]
    assert (method, path) == ("GET", f"/{REPOSITORY}/info/refs?service=git-upload-pack")
    assert b64decode(authorization.removeprefix("Basic ")).decode() == f"x-access-token:{TOKEN}"


def test_commit_that_is_not_there_fails(job: Job, upstream: Path) -> None:
    assert _laid_out(job, upstream, 40 * "0").code != 0
