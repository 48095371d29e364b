"""One file out of an artifact, spoken to a server."""

from pathlib import Path

import pytest

from tests.recipes.forge import TOKEN, Forge
from tests.recipes.job import Done, Job

_EVENT = {"repository": {"default_branch": "main"}}
_SNAPSHOT = ("snapshot", "snapshot.json", "snapshot.json")


@pytest.fixture
def job(tmp_path: Path, forge: Forge) -> Job:
    return Job.make(tmp_path / "job", forge, **_EVENT)


def _fetched(job: Job) -> Done:
    return job.run("fetch_artifact.py", "--workflow", "brewslm-apply.yml", *_SNAPSHOT)


def _run(number: int, event: str = "push", branch: str = "main") -> dict[str, object]:
    return {"id": number, "event": event, "head_branch": branch}


def test_plan_of_a_run_is_fetched_without_showing_the_token_to_the_store(
    forge: Forge, job: Job
) -> None:
    forge.upload(12, "other", {"plan.json": b"{}"})
    forge.upload(12, "plan", {"plan.json": b'{"a": 1}', "../../evil": b"x"})
    done = job.run("fetch_artifact.py", "--run", "12", "plan", "plan.json", "plan.json")
    assert (done.code, done.outputs) == (0, {"file": "plan.json"}), done.log
    assert (job.folder / "plan.json").read_bytes() == b'{"a": 1}'
    assert not list(job.folder.rglob("evil"))
    assert [seen for _, path, seen in forge.asked if path.startswith("/blob/")] == [""]
    assert {seen for _, path, seen in forge.asked if path.startswith("/repos/")} == {
        f"Bearer {TOKEN}"
    }


def test_newest_push_that_left_a_snapshot_is_taken(forge: Forge, job: Job) -> None:
    forge.runs["brewslm-apply.yml"] = [_run(9), _run(8), _run(7), _run(6)]
    forge.upload(8, "snapshot", {"snapshot.json": b"gone"}, expired=True)
    forge.upload(7, "snapshot", {"snapshot.json": b"newest"})
    forge.upload(6, "snapshot", {"snapshot.json": b"older"})
    assert _fetched(job).outputs == {"file": "snapshot.json"}
    assert (job.folder / "snapshot.json").read_bytes() == b"newest"


def test_snapshot_of_a_pull_request_is_never_taken(forge: Forge, job: Job) -> None:
    runs = [_run(9, "pull_request"), _run(8, "push", "theirs"), _run(7, "workflow_dispatch")]
    forge.runs["brewslm-apply.yml"] = runs
    for number in (9, 8, 7):
        forge.upload(number, "snapshot", {"snapshot.json": b"forged"})
    done = _fetched(job)
    assert (done.code, done.outputs) == (0, {"file": ""})
    assert not (job.folder / "snapshot.json").exists()


def test_project_that_was_never_applied_has_none(job: Job) -> None:
    done = _fetched(job)
    assert (done.code, done.outputs) == (0, {"file": ""})


@pytest.mark.case("UNT-08")
def test_file_that_unpacks_to_more_than_a_plan_may_have_is_refused(forge: Forge, job: Job) -> None:
    forge.upload(12, "plan", {"plan.json": bytes((64 << 20) + 1)})
    done = job.run("fetch_artifact.py", "--run", "12", "plan", "plan.json", "plan.json")
    assert done.code == 1
    assert f"plan.json is larger than {64 << 20} bytes" in done.log
    assert not (job.folder / "plan.json").exists()


@pytest.mark.parametrize(
    ("data", "told"), [(b"no archive", "no readable archive"), (None, "holds no plan.json")]
)
def test_artifact_that_is_something_else_is_refused(
    forge: Forge, job: Job, data: bytes | None, told: str
) -> None:
    number = forge.upload(12, "plan", {"other.json": b"{}"})
    if data is not None:
        forge.archives[number] = data
    done = job.run("fetch_artifact.py", "--run", "12", "plan", "plan.json", "plan.json")
    assert done.code == 1
    assert told in done.log
