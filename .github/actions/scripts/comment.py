"""The comment and the status of a pull request, from a plan that is nothing but data.

    comment.py --python PYTHON --plan FILE --identity LOGIN --context NAME

Runs for the event `workflow_run`. The commit and the pull request come from GitHub, never from the
plan. One comment per project is kept up to date: the newest one that begins with our hidden marker
and was written by our own identity; a marker copied by somebody else counts for nothing. The marker
names the run that planned, so that an older run never overwrites what a newer one said about the
same commit.
"""

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from github_api import GitHub, NotThereError
from plan import verdict_of
from runner import RecipeError, called, ended, read_event, say, write_output

_MAX_BODY_CHARACTERS = 65_536
_MAX_DESCRIPTION_CHARACTERS = 140
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_MARKER = re.compile(
    r"<!-- brewslm-plan v1 project=([A-Za-z0-9._-]{1,64}) run=([0-9]{1,20}) digest=[0-9a-f]{64} -->"
)


class Run(NamedTuple):
    """The run that planned, as GitHub tells it."""

    commit: str
    owner: str
    branch: str
    conclusion: str
    url: str
    run_id: str

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> "Run":
        """Return the run of an event.

        Raises: RecipeError where it planned no pull request.
        """
        run = event.get("workflow_run") or {}
        if run.get("event") != "pull_request":
            raise RecipeError("this job answers workflow runs of pull requests alone")
        commit = str(run["head_sha"])
        if not _COMMIT.fullmatch(commit):
            raise RecipeError("the event names no head commit")
        repository = run.get("head_repository") or {}
        owner = str(repository.get("owner", {}).get("login", ""))
        return cls(
            commit,
            owner,
            str(run["head_branch"]),
            str(run["conclusion"]),
            str(run["html_url"]),
            str(int(run["id"])),
        )


class Report(NamedTuple):
    """What is said about a commit."""

    state: str
    description: str
    body: str = ""


def main() -> int:
    """Report the plan and return the exit code of the step."""
    parser = argparse.ArgumentParser()
    for name in ("--python", "--plan", "--identity", "--context"):
        parser.add_argument(name, required=True)
    given = parser.parse_args()
    run = Run.of(read_event(os.environ))
    api = GitHub(os.environ)
    number = find_pull_request(api, run)
    if number is None:
        say(f"no open pull request has the head commit {run.commit}; nothing to say")
        return 0
    report = report_of(given.python, Path(given.plan), run.conclusion, run.run_id)
    if find_pull_request(api, run) != number:
        say(f"#{number} has another head commit by now; nothing to say")
        return 0
    if report.body:
        comment = put_comment(api, number, report.body, given.identity, run.commit)
        if comment is None:
            say(f"a newer run than {run.run_id} reported on {run.commit}; nothing to say")
            return 0
        say(f"#{number} has the comment {comment}")
        write_output("comment", str(comment))
    status = {"state": report.state, "context": given.context, "target_url": run.url}
    description = report.description[:_MAX_DESCRIPTION_CHARACTERS]
    api.ask("POST", f"/statuses/{run.commit}", {**status, "description": description})
    say(f"{run.commit} is {report.state}: {description}")
    return 0


def find_pull_request(api: GitHub, run: Run) -> int | None:
    """Return the open pull request whose head is the commit of the run.

    Forks are asked for by owner and branch, since their commits lead to no pull request here.
    Raises: RecipeError where several have that head, as their plans can't be told apart.
    """
    query = {"state": "open", "head": f"{run.owner}:{run.branch}"}
    found = [pull for pull in api.listed("/pulls", **query) if pull["head"]["sha"] == run.commit]
    if len(found) > 1:
        numbers = ", ".join(f"#{int(pull['number'])}" for pull in found)
        raise RecipeError(f"{numbers} have the same head commit; close all but one")
    return int(found[0]["number"]) if found else None


def report_of(python: str, plan: Path, conclusion: str, run_id: str = "") -> Report:
    """Return what a plan comes to; a plan that can't be read gives no comment.

    What the plan finds decides even where its run claims success: a pull request can change both.
    """
    if not plan.exists():
        return Report("error", "The run left no plan; see its log.")
    checked = ["show", str(plan.absolute()), "--validate"]
    with tempfile.TemporaryDirectory() as name:
        body = Path(name) / "comment.md"
        code = called(python, checked, Path(name))
        called(python, [*checked, "--markdown", "--out", str(body)], Path(name), run_id)
        markdown = body.read_text("utf-8") if body.exists() else ""
    if not markdown:
        return Report("failure", "The plan is not readable; see the log of this job.")
    has_passed = code == 0 and conclusion == "success"
    return Report("success" if has_passed else "failure", verdict_of(markdown), markdown)


def put_comment(api: GitHub, number: int, body: str, identity: str, commit: str = "") -> int | None:
    """Return the comment that now says this, the newest of ours where there is one; None where
    that one is of a newer run on the same commit, and stays.

    commit: that the body is about, which is the head of the pull request. Raises: RecipeError.
    """
    marker = _MARKER.match(body)
    if marker is None:
        raise RecipeError("the comment does not begin with the marker of a plan")
    if len(body) > _MAX_BODY_CHARACTERS:
        raise RecipeError(f"the comment has {len(body)} characters of {_MAX_BODY_CHARACTERS}")
    comments = f"/issues/{number}/comments"
    ours = _find_ours(api.listed(comments), marker[1], identity)
    if ours is not None and ours["body"] == body:
        return int(ours["id"])
    if ours is not None and _is_newer(api, ours, int(marker[2]), commit):
        return None
    if ours is not None:
        try:
            changed = api.ask("PATCH", f"/issues/comments/{int(ours['id'])}", {"body": body})
            return int(changed["id"])
        except NotThereError:
            say("the comment was deleted meanwhile; a new one is written")
    return int(api.ask("POST", comments, {"body": body})["id"])


def _find_ours(
    comments: Iterable[Mapping[str, Any]], project: str, identity: str
) -> Mapping[str, Any] | None:
    """Return the comment of the newest run, of several the one that was written last."""
    found = [
        comment
        for comment in comments
        if (comment.get("user") or {}).get("login") == identity
        and (marker := _MARKER.match(comment.get("body") or "")) is not None
        and marker[1] == project
    ]
    return max(found, key=lambda item: (_run_of(item), int(item["id"])), default=None)


def _run_of(comment: Mapping[str, Any]) -> int:
    marker = _MARKER.match(comment["body"])
    return int(marker[2]) if marker else 0


def _is_newer(api: GitHub, comment: Mapping[str, Any], run: int, commit: str) -> bool:
    """Return whether a comment is of a later run than this one, and not of another commit: the
    head may have been moved back to a commit whose run is older.
    """
    later = _run_of(comment)
    if later <= run:
        return False
    try:
        head = str(api.ask("GET", f"/actions/runs/{later}").get("head_sha", ""))
    except NotThereError:
        return True
    return not commit or head in ("", commit)


if __name__ == "__main__":
    sys.exit(ended(main))
