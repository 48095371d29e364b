"""Values of secrets are nowhere: not in what is said, not in what is kept, in no spelling."""

import base64
import html
import json
import stat
from pathlib import Path
from urllib.parse import quote

import pytest

from brewslm.apply.worker import worker_environment
from brewslm.contracts import Job, Result
from brewslm.errors import ArtifactError, WorkerError
from tests.apply.bench import Bench
from tests.canaries import NAMES, PASSWORD, TOKEN, URL, found_in, kept_below, open_below
from tests.cli.conftest import Answer, Doubles, Run


def assert_nowhere(folder: Path, *answers: Answer) -> None:
    """Look for the values in outputs and in every byte below a folder."""
    texts = {f"output {index}": f"{item.out}\n{item.err}" for index, item in enumerate(answers)}
    said = {name: text.encode() for name, text in texts.items()}
    assert found_in(said | kept_below(folder)) == []


@pytest.fixture
def project(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a project in whose environment secrets are set, with every folder below tmp_path."""
    for name, value in NAMES.items():
        monkeypatch.setenv(name, value)
    for name in ("TMPDIR", "HOME", "BREWSLM_RESCUE_DIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    return bench


def everything(run: Run) -> list[Answer]:
    """Call every command that tells something."""
    words = (
        *("validate", "validate --json", "plan --explain --show-unchanged", "plan --json"),
        *("plan --out a.plan.json --markdown a.md", "plan --refresh-only", "show", "show --json"),
        *("show eval_pack", "show training_plan --json", "show a.plan.json", "show --rejects"),
        *(
            "state list --json",
            "state pull",
            "events",
            "events --json",
            "history",
            "history --json",
        ),
        *("gc", "gc --json", "lock show", "lock show --json", "fmt --diff", "rollback --dry-run"),
        *("--debug plan", "--debug state show model", "nothing", "plan --nothing", "show nothing"),
    )
    return [run(*item.split()) for item in words]


@pytest.mark.case("SEC-01", "SEC-08")
def test_a_run_that_succeeds_keeps_nothing(
    project: Bench, run: Run, doubles: Doubles, tmp_path: Path
) -> None:
    doubles.messages[0] = [
        {"type": "log", "stream": "library", "text": f"connected to {URL} with {TOKEN}"},
        {"type": "warning", "reason_code": "training_oom", "text": TOKEN, "facts": {TOKEN: [URL]}},
    ]
    applied = run("--debug", "apply", "--auto-approve", "--json-into", tmp_path / "events.json")
    assert applied.code == 0, applied.err
    assert doubles.doors
    assert "[secret://PARCELS_TOKEN]" in applied.err
    assert_nowhere(tmp_path, applied, *everything(run))
    assert_nowhere(project.root)


PEM = "-----BEGIN PRIVATE KEY-----\n" + "\n".join(
    f"c4n4ryk3y{index}" + "Qz7" * 18 for index in range(5)
)
SPELT = {
    "lower percent": "".join(f"%{byte:02x}" for byte in PASSWORD.encode()),
    "double percent": quote(quote(PASSWORD, safe=""), safe=""),
    "entities": "".join(f"&#{ord(item)};" for item in PASSWORD),
    "html": html.escape(PASSWORD),
    "json of json": json.dumps(json.dumps(PASSWORD)),
    "lines": "\n".join(f"worker: {line}" for line in PEM.splitlines()[1:]),
    "json of lines": json.dumps({"key": PEM}),
}


@pytest.mark.usefixtures("project")
@pytest.mark.case("SEC-01")
@pytest.mark.parametrize("spelling", SPELT)
def test_no_spelling_is_kept_or_shown(
    spelling: str,
    run: Run,
    doubles: Doubles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PARCELS_PASSWORD", PASSWORD)
    monkeypatch.setenv("PARCELS_TLS", PEM)
    text = SPELT[spelling]
    doubles.messages[0] = [
        {"type": "log", "text": f"said {text} and more"},
        {"type": "warning", "reason_code": "training_oom", "text": text, "facts": {"a": [text]}},
    ]
    applied = run("--debug", "apply", "--auto-approve", "--json-into", tmp_path / "events.json")
    assert applied.code == 0, applied.err
    pieces = {text[at : at + 12].encode() for at in range(0, len(text) - 12, 5)}
    pieces = {item for item in pieces if b"worker" not in item and b"key" not in item}
    said = {"out": applied.out.encode(), "err": applied.err.encode()}
    kept = {"shown": run("events", "--json").out.encode(), **said, **kept_below(tmp_path)}
    assert [(name, item) for name, data in kept.items() for item in pieces if item in data] == []


@pytest.mark.usefixtures("project")
@pytest.mark.case("SEC-01")
def test_a_value_split_over_messages_is_not_shown(
    run: Run, doubles: Doubles, tmp_path: Path
) -> None:
    doubles.messages[0] = [
        {"type": "log", "text": f"token {TOKEN[:9]}"},
        {"type": "progress", "unit": "steps", "done": 1, "total": 2, "metrics": {}},
        {"type": "log", "text": TOKEN[9:15]},
        {"type": "log", "text": f"{TOKEN[15:]} was refused"},
    ]
    applied = run("--debug", "apply", "--auto-approve", "--json-into", tmp_path / "events.json")
    assert applied.code == 0, applied.err
    assert "was refused" in applied.err
    written = applied.err + (tmp_path / "events.json").read_text()
    assert [part for part in (TOKEN[:9], TOKEN[9:15], TOKEN[15:]) if part in written] == []


@pytest.mark.case("SEC-01")
def test_a_result_with_a_value_in_its_names_is_refused_and_not_kept(
    project: Bench, run: Run, doubles: Doubles, tmp_path: Path
) -> None:
    bench = Bench(project.root)

    def answer(job: Job, folder: Path) -> Result:
        result = bench.answer(job, folder)
        if job.address != "training_plan":
            return result
        values = {**result.values, "metrics": {f"loss of {TOKEN}": 1.0, f"rate of {TOKEN}": 2.0}}
        return result.model_copy(update={"values": values})

    doubles.answer = answer
    applied = run("apply", "--auto-approve")
    applied.says(1, "worker_protocol_error", "the value of a secret in its names")
    assert_nowhere(tmp_path, applied, *everything(run))
    assert "training_plan" not in bench.records()


@pytest.mark.case("SEC-01")
def test_values_of_a_result_are_kept_without_secrets(
    project: Bench, run: Run, doubles: Doubles, tmp_path: Path
) -> None:
    bench = Bench(project.root)

    def answer(job: Job, folder: Path) -> Result:
        result = bench.answer(job, folder)
        if job.address != "training_plan":
            return result
        note = {"note": [f"from {URL}", {"deep": TOKEN}]}
        return result.model_copy(update={"values": result.values | note})

    doubles.answer = answer
    assert run("apply", "--auto-approve").code == 0
    note = bench.records()["training_plan"].values["note"]
    assert note == ["from [secret://PARCELS_STATE_URL]", {"deep": "[secret://PARCELS_TOKEN]"}]
    assert_nowhere(tmp_path, *everything(run))


@pytest.mark.usefixtures("project", "doubles")
@pytest.mark.case("SEC-01")
def test_an_error_of_a_store_during_an_apply_is_kept_without_secrets(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ArtifactError(f"no answer from {URL}", code="unreachable", found=TOKEN, remedy=URL)

    monkeypatch.setattr("brewslm.artifacts.local.LocalStore.put_folder", fail)
    applied = run("apply", "--auto-approve", "--json-into", tmp_path / "events.json")
    assert applied.code == 1
    assert "no answer from [secret://PARCELS_STATE_URL]" in applied.err
    shown = run("events", "--json")
    assert "no answer from [secret://PARCELS_STATE_URL]" in shown.out
    assert_nowhere(tmp_path, applied, shown)


@pytest.mark.case("SEC-01")
def test_a_secret_in_the_manifest_is_not_in_any_view(project: Bench, run: Run) -> None:
    project.edit("sorts complaints", f"sorts complaints by {TOKEN}")
    answers = [run("plan"), run("plan", "--json"), run("plan", "--markdown", "a.md"), run("show")]
    (project.root / "brewslm.yaml").unlink()
    assert found_in({str(index): item.out.encode() for index, item in enumerate(answers)}) == []
    assert TOKEN.encode() not in (project.root / "a.md").read_bytes()


@pytest.mark.case("SEC-01")
@pytest.mark.parametrize("is_json", [False, True], ids=["text", "json"])
def test_a_worker_that_fails_with_a_secret_on_its_lips(
    is_json: bool, project: Bench, run: Run, doubles: Doubles, tmp_path: Path
) -> None:
    encoded = base64.b64encode(f"x{TOKEN}".encode()).decode()

    def fail(_job: Job, _folder: Path) -> Result:
        raise WorkerError(
            f"cannot reach {URL}, {encoded}",
            code="worker_killed",
            found=json.dumps({"token": TOKEN, "password": PASSWORD}),
            expected=quote(PASSWORD),
            remedy=f"use {TOKEN!r} or {TOKEN.encode().hex()}",
        )

    doubles.answer = fail
    words = ("--debug", "apply", "--auto-approve", *(("--json",) if is_json else ()))
    applied = run(*words)
    assert applied.code == 1
    said = applied.out if is_json else applied.err
    assert "[secret://PARCELS_TOKEN]" in said
    assert_nowhere(tmp_path, applied, *everything(run))
    assert_nowhere(project.root)


@pytest.mark.case("SEC-01")
@pytest.mark.parametrize(
    "error",
    [
        ArtifactError(f"no answer from {URL}", code="unreachable", found=TOKEN, remedy=PASSWORD),
        ValueError(f"bad dsn {URL}"),
        OSError(5, f"cannot open {URL}"),
    ],
    ids=["own", "defect", "system"],
)
def test_a_library_that_puts_a_secret_into_its_error(
    error: Exception, project: Bench, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project.edit("  model:", "  # secret://PARCELS_STATE_URL is for the state\n  model:")

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("brewslm.cli.planning.build", fail)
    answers = [run("plan"), run("--debug", "plan"), run("apply", "--auto-approve")]
    assert {answer.code for answer in answers} == {1}
    assert all("[secret://PARCELS_" in answer.err for answer in answers)
    assert_nowhere(tmp_path, *answers)


@pytest.mark.case("SEC-02")
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "write secret://PARCELS_STATE_URL"),
        ("", "PARCELS_STATE_UR is empty"),
        (" \t ", "PARCELS_STATE_UR is empty"),
        (f"{URL}\n", "PARCELS_STATE_UR begins or ends with a line end"),
        (f" {URL}", "PARCELS_STATE_UR begins or ends with a blank"),
        ("short", "PARCELS_STATE_UR has fewer than 8 characters"),
    ],
    ids=["misspelt", "empty", "blank", "line end", "blank before", "short"],
)
@pytest.mark.parametrize("store", ["state", "artifacts"])
def test_a_secret_that_cannot_be_used_is_refused_by_name(
    store: str,
    value: str | None,
    said: str,
    project: Bench,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    if value is not None:
        monkeypatch.setenv("PARCELS_STATE_UR", value)
    written = f"workflow: {{backend: {{{store}: 'secret://PARCELS_STATE_UR'}}}}"
    project.edit("  model:", f"  {written}\n  model:")
    for words in (("plan",), ("apply", "--auto-approve"), ("--debug", "state", "pull")):
        if (words[-1], store) == ("pull", "artifacts"):
            continue
        answer = run(*words)
        answer.says(1, "SECRET_MISSING", said)
        assert_nowhere(tmp_path, answer)
    assert not (project.home / "state.db").exists()


@pytest.mark.case("SEC-03")
@pytest.mark.usefixtures("project")
def test_a_rotated_secret_changes_nothing(
    run: Run, doubles: Doubles, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("plan", "--out", "a.plan.json").code == 0
    monkeypatch.setenv("PARCELS_TOKEN", "r0t4t3d-t0k3n")
    assert run("apply", "a.plan.json").code == 0
    doubles.started.clear()
    monkeypatch.setenv("PARCELS_STATE_URL", "r0t4t3d-url")
    assert run("plan", "--detailed-exitcode").code == 0
    assert doubles.doors == []


@pytest.mark.case("SEC-04")
@pytest.mark.usefixtures("no_umask")
def test_what_is_made_is_private_under_any_umask(
    project: Bench, run: Run, doubles: Doubles
) -> None:
    assert run("plan", "--out", "a.plan.json").code == 0
    assert run("apply", "--auto-approve").code == 0
    assert doubles.doors
    assert stat.S_IMODE((project.root / "a.plan.json").stat().st_mode) == 0o600
    assert open_below(project.home) == [".gitignore"]


@pytest.mark.case("SEC-04")
def test_a_folder_that_anybody_may_write_to_is_made_private(bench: Bench, run: Run) -> None:
    bench.home.mkdir()
    bench.home.chmod(0o777)
    assert "note[permission]: .brewslm was open to every user" in run("plan").err
    assert stat.S_IMODE(bench.home.stat().st_mode) == 0o700
    assert run("plan").err == ""


LITERALS = {
    "hub": "hf_" + "aBcDeFgHiJ" * 4,
    "model": "sk-" + "aBcDeFgHiJ" * 5,
    "forge": "ghp_" + "aBcDeFgHiJ" * 4,
    "cloud": "AKIA" + "ABCDEFGHIJKLMNOP",
    "key": "-----BEGIN PRIVATE KEY-----",
}


@pytest.mark.case("SEC-05")
@pytest.mark.parametrize("kind", LITERALS)
@pytest.mark.parametrize(
    "place",
    ["metadata: {name: parcels, labels: {team: '§'},", "metadata: {name: '§',"],
    ids=["label", "name"],
)
def test_a_credential_in_the_manifest_is_found_and_not_shown(
    kind: str, place: str, bench: Bench, run: Run
) -> None:
    bench.edit("metadata: {name: parcels,", place.replace("§", LITERALS[kind]))
    answers = [run("validate"), run("validate", "--json"), run("plan"), run("plan", "--json")]
    assert {answer.code for answer in answers} == {1}
    assert all("SECRET_IN_MANIFEST" in answer.out + answer.err for answer in answers)
    for answer in answers:
        assert LITERALS[kind] not in answer.out + answer.err
    kept = [path for path in bench.root.rglob("*") if path.is_file() and path.suffix != ".yaml"]
    assert [path for path in kept if LITERALS[kind].encode() in path.read_bytes()] == []


@pytest.mark.case("SEC-05")
@pytest.mark.parametrize("kind", LITERALS)
def test_a_credential_in_a_row_turns_the_row_away(kind: str, bench: Bench, run: Run) -> None:
    rows = bench.root / "data" / "rows.jsonl"
    row = json.dumps({"text": f"use {LITERALS[kind]} please", "label": "late"})
    rows.write_text(f"{rows.read_text()}{row}\n")
    answers = [run("plan", "--out", "a.plan.json", "--markdown", "a.md"), run("show", "--rejects")]
    assert "secret_in_row" in answers[0].out
    for answer in answers:
        assert LITERALS[kind] not in answer.out + answer.err
    kept = [path for path in bench.root.rglob("*") if path.is_file() and path != rows]
    assert [path for path in kept if LITERALS[kind].encode() in path.read_bytes()] == []


@pytest.mark.case("SEC-06")
def test_a_worker_gets_no_secret() -> None:
    secrets = {**NAMES, "AWS_SECRET_ACCESS_KEY": TOKEN, "PGPASSWORD": PASSWORD, "HF_TOKEN": TOKEN}
    passed = worker_environment({"PATH": "/bin", "HOME": "/home/ana", **secrets})
    assert passed.keys().isdisjoint(secrets)
    assert (passed["PATH"], passed["HOME"]) == ("/bin", "/home/ana")
