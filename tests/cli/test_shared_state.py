"""Commands on a project whose state lives elsewhere, under a name that hides the URL."""

from pathlib import Path

import pytest

from tests.apply.bench import Bench
from tests.cli.conftest import Run
from tests.state.states import NOW, lease

CANARY = "c4n4ry-p4ssw0rd"


def name_state(bench: Bench, value: str) -> None:
    bench.edit("deployment:", f"workflow: {{backend: {{state: '{value}'}}}}\n  deployment:")


@pytest.fixture
def shared(bench: Bench, postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a project that was never applied; its state is on a server, its URL in a variable."""
    monkeypatch.setenv("STATE_URL", postgresql_url.replace("brewslm@", f"brewslm:{CANARY}@"))
    name_state(bench, "secret://STATE_URL")
    return bench


def texts(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.postgres
def test_every_command_finds_the_shared_state(shared: Bench, run: Run, tmp_path: Path) -> None:
    answers = [run("init"), run("plan", "--out", tmp_path / "first.plan.json")]
    assert shared.apply().exit_code == 0
    answers += [
        run("plan", "--detailed-exitcode"),
        run("show"),
        run("show", "training_plan"),
        run("state", "list"),
        run("state", "pull"),
        run("events"),
        run("history"),
        run("lock", "show"),
        run("apply", "--auto-approve"),
    ]
    assert [answer.code for answer in answers] == [0] * len(answers), [a.err for a in answers]
    assert not (shared.home / "state.db").exists()
    assert "training_plan" in run("state", "list").out
    assert run("state", "pull").document["serial"] > 0
    assert CANARY not in "".join(answer.out + answer.err for answer in answers)
    assert CANARY.encode() not in texts(shared.root) + texts(tmp_path)


@pytest.mark.postgres
def test_second_clone_has_nothing_to_do(shared: Bench, run: Run, tmp_path: Path) -> None:
    run("init")
    clone = Bench.make(tmp_path / "clone")
    name_state(clone, "secret://STATE_URL")
    assert shared.apply().exit_code == 0
    assert clone.records() == shared.records()


@pytest.mark.postgres
def test_lease_on_the_shared_state_is_shown_and_ended(shared: Bench, run: Run) -> None:
    run("init")
    held = lease()
    session = shared.store().acquire(held, NOW)
    assert held.lease_id in run("lock", "show").out
    assert run("force-unlock", held.lease_id, "--yes").code == 0
    session.close()
    assert "free" in run("lock", "show").out


@pytest.mark.postgres
def test_project_s_own_state_is_never_left_silently(shared: Bench, run: Run) -> None:
    (shared.home).mkdir(exist_ok=True)
    (shared.home / "state.db").write_bytes(b"")
    run("plan").says(1, "BACKEND_CHANGED", "state.db", "mv ")


def test_secret_that_is_not_set_is_named(bench: Bench, run: Run) -> None:
    name_state(bench, "secret://STATE_URL_THAT_IS_NOT_SET")
    for command in ("plan", "show", "init"):
        run(command).says(1, "SECRET_MISSING", "export STATE_URL_THAT_IS_NOT_SET=")


def test_shared_state_is_refused_offline(bench: Bench, run: Run) -> None:
    name_state(bench, "postgresql://127.0.0.1:1/brew")
    run("--offline", "plan").says(6, "network_refused", "without --offline")


@pytest.mark.parametrize("value", ["mysql://h/d", "postgres", ""])
def test_secret_that_names_no_store_is_not_repeated(
    bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("STATE_URL", value and f"{value}?password={CANARY}")
    name_state(bench, "secret://STATE_URL")
    answer = run("plan")
    assert answer.code == 1
    assert CANARY not in answer.out + answer.err


@pytest.mark.parametrize("rest", [f"mira:{CANARY}@h/d", f"h/d?password={CANARY}"])
def test_credentials_in_the_manifest_are_neither_used_nor_shown(
    bench: Bench, run: Run, rest: str
) -> None:
    name_state(bench, f"postgresql://{rest}")
    answer = run("show")
    answer.says(1, "BACKEND_URL", "revoke", "secret://NAME")
    assert CANARY not in answer.out + answer.err


@pytest.mark.parametrize("key", ["backend", '"backend"', '"back\\x65nd"', "? backend\n  "])
def test_key_is_found_however_it_is_written(bench: Bench, run: Run, key: str) -> None:
    bench.edit("deployment:", f"workflow: {{{key}: {{state: 'mysql://h/d'}}}}\n  deployment:")
    assert run("show").code == 1


def test_manifest_that_cannot_be_read_hides_no_backend(bench: Bench, run: Run) -> None:
    name_state(bench, "secret://STATE_URL")
    bench.edit("kind: Project", "kind: [Project")
    run("state", "list").says(1, "error[YAML_SYNTAX]")
