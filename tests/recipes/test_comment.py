"""The comment and the status of a pull request, spoken to a server."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brewslm.fingerprint import digest_value
from comment import Run, find_pull_request, put_comment
from github_api import GitHub
from runner import RecipeError
from tests.recipes.forge import BOT, REPOSITORY, TOKEN, Forge, Refusal
from tests.recipes.job import Done, Job

_COMMIT = "3f9a1c" + 34 * "0"
_OTHER = "77" + 38 * "0"
_MARKER = f"<!-- brewslm-plan v1 project=parcels run=12 digest={64 * 'a'} -->"
_BODY = f"{_MARKER}\n**Would retrain once**\n"
_URL = "https://github.example/acme/parcels/actions/runs/12"
_RUN = {
    "id": 12,
    "event": "pull_request",
    "head_sha": _COMMIT,
    "head_branch": "lower-rate",
    "head_repository": {"owner": {"login": "ana"}},
    "conclusion": "success",
    "html_url": _URL,
}

Report = Callable[..., Done]


@pytest.fixture
def api(forge: Forge) -> GitHub:
    names = {"GITHUB_API_URL": forge.url, "GITHUB_REPOSITORY": REPOSITORY, "GH_TOKEN": TOKEN}
    return GitHub(names)


@pytest.fixture
def report(tmp_path: Path, forge: Forge, python: Path, plan_file: Path) -> Report:
    """Return the whole script: an event and a plan in, log and outputs out."""

    def call(plan: Path = plan_file, **event: Any) -> Done:
        folder = tmp_path / f"job-{len(list(tmp_path.iterdir()))}"
        job = Job.make(folder, forge, workflow_run={**_RUN, **event})
        return job.run(
            "comment.py",
            *("--python", python, "--plan", plan, "--identity", BOT, "--context", "brewslm/plan"),
        )

    return call


def test_plan_is_commented_and_the_head_commit_gets_its_status(
    forge: Forge, report: Report
) -> None:
    forge.pull(7, _COMMIT)
    done = report()
    assert done.code == 0, done.log
    first, verdict = forge.said[0].split("\n")[:2]
    assert re.fullmatch(
        r"<!-- brewslm-plan v1 project=parcels run=\d+ digest=[0-9a-f]{64} -->", first
    )
    assert forge.statuses == [
        {
            "commit": _COMMIT,
            "state": "success",
            "context": "brewslm/plan",
            "target_url": _URL,
            "description": verdict.strip("*"),
        }
    ]
    assert done.outputs == {"comment": "1"}


def test_next_plan_changes_our_comment_on_a_later_page(forge: Forge, api: GitHub) -> None:
    for number in range(5):
        forge.comment("mira", f"remark {number}")
    ours = forge.comment(BOT, f"{_MARKER.replace('12', '3')}\nold")
    forge.comment("mira", "later")
    assert put_comment(api, 7, _BODY, BOT) == ours
    assert len(forge.comments) == 7
    assert forge.said[ours - 1] == _BODY


def _said_by(run: int, what: str) -> str:
    return f"{_MARKER.replace('run=12', f'run={run}')}\n{what}"


def test_of_two_own_comments_the_newer_one_is_changed(forge: Forge, api: GitHub) -> None:
    older, newer = (forge.comment(BOT, _said_by(run, "was")) for run in (3, 9))
    assert put_comment(api, 7, _BODY, BOT, _COMMIT) == newer
    assert forge.said == [_said_by(3, "was"), _BODY]
    assert older != newer


@pytest.mark.parametrize("runs", [(14,), (3, 14), (14, 3)])
def test_older_run_changes_no_comment_of_a_newer_one(
    forge: Forge, api: GitHub, runs: tuple[int, ...]
) -> None:
    for run in runs:
        forge.comment(BOT, _said_by(run, "was"))
    forge.heads[14] = _COMMIT
    before = list(forge.said)
    assert put_comment(api, 7, _BODY, BOT, _COMMIT) is None
    assert forge.said == before


def test_newer_run_of_a_commit_that_is_not_the_head_any_more_is_overwritten(
    forge: Forge, api: GitHub
) -> None:
    ours = forge.comment(BOT, _said_by(14, "was"))
    forge.heads[14] = _OTHER
    assert put_comment(api, 7, _BODY, BOT, _COMMIT) == ours
    assert forge.said == [_BODY]


def test_older_run_sets_no_status_either(forge: Forge, report: Report) -> None:
    forge.pull(7, _COMMIT)
    forge.heads[14] = _COMMIT
    assert report(id=14).code == 0
    said, statuses = list(forge.said), list(forge.statuses)
    assert "run=14 " in said[0]
    done = report(id=12, conclusion="failure")
    assert "a newer run than 12 reported on" in done.log
    assert (forge.said, forge.statuses) == (said, statuses)


def test_head_that_moves_while_the_plan_is_read_gets_nothing(
    forge: Forge, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge.pull(7, _COMMIT)
    moved = {"number": 7, "head": {"sha": _OTHER, "ref": "lower-rate", "user": {"login": "ana"}}}
    pulls = iter([list(forge.pulls), [moved]])
    monkeypatch.setattr(Forge, "pulls_now", lambda _forge: next(pulls))
    done = report()
    assert "#7 has another head commit by now" in done.log
    assert (forge.said, forge.statuses) == ([], [])


def test_same_plan_again_writes_nothing(forge: Forge, api: GitHub) -> None:
    first, second = (put_comment(api, 7, _BODY, BOT) for _ in range(2))
    assert (first, second) == (1, 1)
    assert forge.calls("PATCH") == []


@pytest.mark.case("UNT-08")
def test_marker_copied_by_somebody_else_is_not_ours(forge: Forge, api: GitHub) -> None:
    copied = f"{_MARKER}\nall is well"
    forge.comment("mallory", copied)
    assert put_comment(api, 7, _BODY, BOT) == 2
    assert forge.said == [copied, _BODY]


def test_our_comments_about_something_else_stay(forge: Forge, api: GitHub) -> None:
    kept = [f"quoting\n{_MARKER}", _MARKER.replace("parcels", "invoices"), "coverage 95 %"]
    for body in kept:
        forge.comment(BOT, body)
    assert put_comment(api, 7, _BODY, BOT) == 4
    assert forge.said[:3] == kept


def test_comment_deleted_meanwhile_is_written_anew(forge: Forge, api: GitHub) -> None:
    forge.comment(BOT, f"{_MARKER}\nold")
    forge.refuse("PATCH comments/1", Refusal(404))
    assert put_comment(api, 7, _BODY, BOT) == 2


def test_comment_that_is_too_long_is_refused_before_it_is_sent(forge: Forge, api: GitHub) -> None:
    with pytest.raises(RecipeError, match="characters of 65536"):
        put_comment(api, 7, _BODY + 65_536 * "x", BOT)
    assert forge.asked == []


def test_text_without_a_marker_is_no_comment(forge: Forge, api: GitHub) -> None:
    with pytest.raises(RecipeError, match="does not begin with the marker"):
        put_comment(api, 7, f"<p>\n{_BODY}", BOT)
    assert forge.asked == []


def test_pull_request_of_a_fork_is_found_by_its_head(forge: Forge, api: GitHub) -> None:
    forge.pull(5, _COMMIT, "mira:lower-rate")
    forge.pull(6, _OTHER)
    forge.pull(7, _COMMIT)
    assert find_pull_request(api, Run.of({"workflow_run": _RUN})) == 7


def test_two_pull_requests_of_one_head_are_refused(forge: Forge, api: GitHub) -> None:
    forge.pull(7, _COMMIT)
    forge.pull(8, _COMMIT)
    with pytest.raises(RecipeError, match="#7, #8 have the same head commit"):
        find_pull_request(api, Run.of({"workflow_run": _RUN}))


@pytest.mark.parametrize(
    "changed", [{"event": "push"}, {"event": "pull_request_target"}, {"head_sha": "main"}]
)
def test_other_events_are_refused(changed: dict[str, str]) -> None:
    with pytest.raises(RecipeError):
        Run.of({"workflow_run": {**_RUN, **changed}})


@pytest.mark.case("UNT-08")
def test_plan_that_names_another_commit_speaks_for_the_head_alone(
    forge: Forge, report: Report, plan_file: Path, tmp_path: Path
) -> None:
    forge.pull(7, _COMMIT)
    forge.pull(8, _OTHER)
    done = report(_forged(plan_file, tmp_path, git_commit=_OTHER))
    assert done.outputs == {"comment": "1"}, done.log
    assert forge.statuses[0]["commit"] == _COMMIT
    assert [path for path in forge.calls("POST") if "/issues/8/" in path] == []


def test_head_that_moved_on_gets_nothing(forge: Forge, report: Report) -> None:
    forge.pull(7, _OTHER)
    done = report()
    assert done.code == 0
    assert "no open pull request has the head commit" in done.log
    assert forge.calls("POST") == []


def test_run_that_failed_is_told_although_its_plan_is_fine(forge: Forge, report: Report) -> None:
    forge.pull(7, _COMMIT)
    assert report(conclusion="failure").code == 0
    assert forge.statuses[0]["state"] == "failure"


def test_run_without_a_plan_is_an_error_on_the_commit(
    forge: Forge, report: Report, tmp_path: Path
) -> None:
    forge.pull(7, _COMMIT)
    assert report(tmp_path / "missing.json").code == 0
    assert (forge.statuses[0]["state"], forge.said) == ("error", [])


@pytest.mark.case("UNT-08", "RND-02")
@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'{"format_version": "\\n::error::x\\r##[error]y"}', id="command"),
    ],
)
def test_hostile_plan_fails_the_commit_and_is_shown_nowhere(
    forge: Forge, report: Report, tmp_path: Path, hostile: bytes
) -> None:
    forge.pull(7, _COMMIT)
    path = tmp_path / "hostile.json"
    path.write_bytes(hostile)
    done = report(path)
    assert done.code == 0, done.log
    assert (forge.statuses[0]["state"], forge.said) == ("failure", [])
    assert all(line.startswith("| ") for line in done.log.splitlines())
    assert "##[" not in done.log


@pytest.mark.case("UNT-08")
def test_plan_that_was_changed_is_not_shown(
    forge: Forge, report: Report, plan_file: Path, tmp_path: Path
) -> None:
    forge.pull(7, _COMMIT)
    path = tmp_path / "changed.json"
    path.write_text(plan_file.read_text().replace("parcels", "PARCELS"))
    done = report(path)
    assert "plan_digest_mismatch" in done.log
    assert (forge.statuses[0]["state"], forge.said) == ("failure", [])


def _forged(plan_file: Path, folder: Path, **changes: Any) -> Path:
    """Return a plan with other fields and the digest that fits them."""
    document = {**json.loads(plan_file.read_bytes()), **changes}
    document.pop("digest")
    path = folder / "forged.json"
    path.write_text(json.dumps({**document, "digest": digest_value(document)}))
    return path
