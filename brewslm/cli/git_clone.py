"""The checked-out clone that a reconcile loop owns: fetched into, and moved from commit to commit.

The owner's configuration of git holds, since it knows the way to the remote; a clone of another
user's is refused by git. Hooks, the file system monitor, submodules and anything else that a commit
could set going are off. No branch is ever moved: the clone is detached at exactly the commit that
is followed.
"""

import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from brewslm.cli.git_objects import git_program
from brewslm.cli.provenance import git_folders
from brewslm.cli.usage import UsageError
from brewslm.errors import InterruptedRunError, PlanError, RefusedError, UnreachableError
from brewslm.redactor import Redactor, credentials_in
from brewslm.sync import Target

_FETCHED = "refs/brewslm/reconcile"
_TIMEOUT_S = 600.0
_LOOK_S = 0.2
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.ext.allow=never",
)
_REDIRECTING = frozenset(
    f"GIT_{name}"
    for name in (
        *("DIR", "WORK_TREE", "INDEX_FILE", "OBJECT_DIRECTORY", "ALTERNATE_OBJECT_DIRECTORIES"),
        *("COMMON_DIR", "NAMESPACE", "PREFIX", "SHALLOW_FILE", "GRAFT_FILE", "EXTERNAL_DIFF"),
        *("REPLACE_REF_BASE", "EXEC_PATH", "TEMPLATE_DIR"),
    )
)
_NO_NAME = re.compile(r"^[-/.]|[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|[/.]$|^$")
_CREDENTIALS = re.compile(r"://[^\s'\"]*@")
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


class _Done(Struct, frozen=True):
    code: int
    out: str
    said: str
    """The last line of its complaint."""
    complaint: str


class Clone(Struct, frozen=True):
    """A work tree under git, and the project folder inside it."""

    program: str
    root: Path
    work_tree: Path
    own: Path
    environment: Mapping[str, str]
    is_stopped: Callable[[], bool]
    """Whether waiting for a remote is over."""

    @property
    def prefix(self) -> str:
        """The project folder in the repository, with / at its end; empty for the top."""
        place = self.root.resolve().relative_to(self.work_tree.resolve()).as_posix()
        return "" if place == "." else f"{place}/"

    def check_there(self) -> None:
        """Refuse a clone that was removed, or that git does not trust.

        Raises: PlanError with no_clone.
        """
        if not (self.root.is_dir() and self.own.is_dir()):
            raise _no_clone("the clone was removed")
        done = self._run("rev-parse", "--git-dir")
        if done.code:
            raise _no_clone(done.complaint.partition("\n")[0])

    def followed(self, target: Target, before: Target | None) -> Target:
        """Return what is followed: what is named, else the upstream of the branch, else the branch,
        else what was followed before.

        before: of an earlier look. Raises: UsageError.
        """
        if target.remote:
            self._check_remote(target.remote)
        if target.ref:
            _check_ref(target.ref)
            return target
        named = self._run("symbolic-ref", "--quiet", "HEAD").out
        if not named:
            return self._followed_detached(target, before)
        branch = named.removeprefix("refs/heads/")
        if target.remote:
            is_upstream = self._setting(f"branch.{branch}.remote") == target.remote
            merged = self._setting(f"branch.{branch}.merge") if is_upstream else ""
            return Target(ref=merged or named, remote=target.remote)
        upstream = self._run("rev-parse", "--symbolic-full-name", "@{upstream}")
        return Target(ref=upstream.out if upstream.code == 0 and upstream.out else named)

    def fetch(self, target: Target) -> None:
        """Fetch what is followed into a ref of our own; no other ref moves, and of a branch and a
        tag of one name it is the branch.

        Raises: UnreachableError with fetch_failed, PlanError with ref_missing.
        """
        done = self._fetched(target.remote, _branch(target.ref))
        if _is_absent(done) and _branch(target.ref) != target.ref:
            done = self._fetched(target.remote, target.ref)
        if _is_absent(done):
            raise _missing(target, f"remote {target.remote} has no such ref")
        if done.code:
            raise UnreachableError(
                f"git could not fetch from {target.remote}",
                code="fetch_failed",
                found=done.said,
                remedy=f"git fetch {target.remote} shows more; it is tried again",
            )

    def commit(self, target: Target) -> str:
        """Return the commit that is followed.

        Raises: PlanError with ref_missing.
        """
        if target.remote:
            found = self._commit(_FETCHED)
        else:
            found = self._commit(_branch(target.ref)) or self._commit(target.ref)
        if not found:
            raise _missing(target, "this clone has no such ref")
        return found

    def head(self) -> str:
        """Return the commit that is checked out, empty when there is none yet."""
        return self._commit("HEAD")

    def check_clean(self) -> None:
        """Refuse a tree whose tracked files are not as committed.

        Raises: RefusedError with tree_dirty.
        """
        flags = ("--porcelain=v1", "-z", "--untracked-files=no", "--ignore-submodules=all")
        done = self._run("status", *flags)
        if done.code:
            raise _checkout_failed(done)
        changed = [item for item in done.out.split("\x00") if item]
        if changed:
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            raise RefusedError(
                "files of the clone are not as committed, so nothing was touched",
                code="tree_dirty",
                found=changed[0].strip() + more,
                expected="no change to tracked files",
                remedy="commit and push them, or: git stash",
            )

    def check_contents(self, commit: str, manifest: str) -> None:
        """Refuse a commit that would write into .brewslm or that holds no manifest.

        Raises: RefusedError with state_in_commit or manifest_missing.
        """
        state = f"{self.prefix}.brewslm"
        for place in (commit, self.head()):
            if place and self._run("ls-tree", "--full-tree", place, "--", state).out:
                raise RefusedError(
                    "the commit has files where the state is",
                    code="state_in_commit",
                    found=f"{state} in {place[:7]}",
                    expected="no .brewslm in git",
                    remedy=f"git rm -r --cached {state}, then commit and push",
                )
        path = f"{self.prefix}{manifest}"
        listed = self._run("ls-tree", "--full-tree", commit, "--", path).out
        if not listed.startswith("100"):
            raise RefusedError(
                "the commit holds no manifest",
                code="manifest_missing",
                found=f"no file {path} in {commit[:7]}",
                expected="the manifest in git",
                remedy="commit and push it, or name another one with --manifest",
            )

    def move(self, commit: str, *, is_forced: bool) -> None:
        """Check a commit out, detached; untracked and ignored files are never overwritten.

        is_forced: whether to finish a move that broke off. Raises: RefusedError with tree_dirty,
        UnreachableError with checkout_failed.
        """
        how = "--force" if is_forced else "--no-overwrite-ignore"
        done = self._run("checkout", "--quiet", "--detach", "--no-recurse-submodules", how, commit)
        if done.code and "would be overwritten" in done.complaint:
            raise RefusedError(
                "files in the clone that git does not know are in the way of the commit",
                code="tree_dirty",
                found=_between(done.complaint),
                expected="a free place for each file of the commit",
                remedy="move them away",
            )
        if done.code or self.head() != commit:
            raise _checkout_failed(done)

    def is_rewritten(self, before: str, after: str) -> bool:
        """Return whether a commit is certain not to come after another one."""
        if not before or before == after:
            return False
        ancestry = self._run("merge-base", "--is-ancestor", before, after)
        shallow = self._run("rev-parse", "--is-shallow-repository")
        return ancestry.code == 1 and shallow.out == "false"

    def _fetched(self, remote: str, ref: str) -> _Done:
        return self._run(
            *("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"),
            *("--refmap=", "--", remote, f"+{ref}:{_FETCHED}"),
            is_fetch=True,
        )

    def _followed_detached(self, target: Target, before: Target | None) -> Target:
        if before is not None and before.remote == target.remote:
            return before
        if target.remote:
            raise UsageError(
                "no branch is checked out, so it must be said what to follow",
                code="usage_error",
                found=f"--remote {target.remote} alone",
                expected="a ref of the remote",
                remedy=f"brewslm reconcile --remote {target.remote} --ref main",
            )
        return Target(ref="HEAD")

    def _check_remote(self, remote: str) -> None:
        if _NO_NAME.search(remote) or not self._setting(f"remote.{remote}.url"):
            raise UsageError(
                "no remote of this clone has that name",
                code="usage_error",
                found=remote,
                expected="one of those that git remote lists",
                remedy="brewslm reconcile --remote origin",
            )

    def _commit(self, name: str) -> str:
        wanted = f"{name}^{{commit}}"
        done = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", wanted)
        return done.out if done.code == 0 and _COMMIT.fullmatch(done.out) else ""

    def _setting(self, name: str) -> str:
        return self._run("config", "--get", name).out

    def _run(self, *arguments: str, is_fetch: bool = False) -> _Done:
        settings = [word for item in _SETTINGS for word in ("-c", item)]
        with subprocess.Popen(
            [self.program, *settings, *arguments],
            env=self._environment(may_connect=is_fetch),
            cwd=self.work_tree,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as child:
            out, err = self._finished(child)
        complaint = err.decode("utf-8", "replace").strip()
        if complaint:
            complaint = self._without_credentials(complaint)
        return _Done(
            code=child.returncode,
            out=out.decode("utf-8", "replace").strip(),
            said=complaint.splitlines()[-1] if complaint else f"exit code {child.returncode}",
            complaint=complaint,
        )

    def _without_credentials(self, complaint: str) -> str:
        """Return what git says without the credentials that the remotes' URLs hold."""
        listed = self._run("config", "--get-regexp", r"^(remote|url)\..*$").out
        words = [word for line in listed.splitlines() for word in line.split()]
        secrets = {part for word in words for part in credentials_in(word)}
        return _CREDENTIALS.sub("://", Redactor({"git-remote": secrets})(complaint))

    def _finished(self, child: "subprocess.Popen[bytes]") -> tuple[bytes, bytes]:
        waited_s = 0.0
        while True:
            try:
                return child.communicate(timeout=_LOOK_S)
            except subprocess.TimeoutExpired:
                waited_s += _LOOK_S
            if self.is_stopped() or waited_s >= _TIMEOUT_S:
                child.terminate()
                child.wait()
                raise _gave_up(is_stopped=self.is_stopped())

    def _environment(self, *, may_connect: bool) -> dict[str, str]:
        kept = {name: text for name, text in self.environment.items() if name not in _REDIRECTING}
        inert = {} if may_connect else {"GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1"}
        return {
            **kept,
            **inert,
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C",
        }


def open_clone(root: Path, environment: Mapping[str, str], is_stopped: Callable[[], bool]) -> Clone:
    """Return the clone that a project lies in.

    Raises: PlanError with no_clone.
    """
    folders = git_folders(root)
    program = git_program(root, environment)
    if folders is None or program is None:
        raise _no_clone("git is not installed" if folders else "the project is in no repository")
    return Clone(program, root, folders.work_tree, folders.own, environment, is_stopped)


def _no_clone(found: str) -> PlanError:
    return PlanError(
        "only a clone of a git repository can follow a ref",
        code="no_clone",
        found=found,
        expected="a clone of its own for the loop",
        remedy="git clone the repository, then: brewslm --chdir CLONE reconcile",
    )


def _check_ref(ref: str) -> None:
    if _NO_NAME.search(ref):
        raise UsageError(
            "no ref has that name",
            code="usage_error",
            found=ref,
            expected="a branch, a tag or a full commit",
            remedy="brewslm reconcile --ref main",
        )


def _branch(ref: str) -> str:
    """Return the full name of a branch; what is a full name or a commit already stays as it is."""
    is_whole = ref == "HEAD" or ref.startswith("refs/") or _COMMIT.fullmatch(ref)
    return ref if is_whole else f"refs/heads/{ref}"


def _is_absent(done: _Done) -> bool:
    return done.code != 0 and "couldn't find remote ref" in done.complaint


def _missing(target: Target, found: str) -> PlanError:
    return PlanError(
        f'there is no "{target.ref}" to follow',
        code="ref_missing",
        found=found,
        expected="a branch, a tag or a full commit",
        remedy="push it, or name another one with --ref",
    )


def _checkout_failed(done: _Done) -> UnreachableError:
    return UnreachableError(
        "git could not work on the clone",
        code="checkout_failed",
        found=done.said,
        remedy="end the other git, or remove a .git/index.lock that a dead one left",
    )


def _gave_up(*, is_stopped: bool) -> InterruptedRunError | UnreachableError:
    if is_stopped:
        return InterruptedRunError(
            "interrupted while git was at work", code="interrupted", remedy="brewslm reconcile"
        )
    return UnreachableError(
        f"git did not answer within {_TIMEOUT_S:.0f} s",
        code="fetch_failed",
        remedy="see that the remote can be reached; it is tried again",
    )


def _between(complaint: str) -> str:
    """Return the files that git lists, which it indents."""
    return ", ".join(line.strip() for line in complaint.splitlines() if line.startswith("\t"))
