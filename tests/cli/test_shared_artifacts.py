"""Clones that share artifacts: the second reuses what the first trained, after reading it."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from brewslm.artifacts.opening import open_shared_artifacts
from brewslm.fingerprint import digest_folder
from tests.apply.bench import Bench
from tests.cli.conftest import Run

pytestmark = pytest.mark.slow

CANARY = b"c4n4ry-s3cr3t"


def name_stores(bench: Bench, **stores: str) -> Bench:
    written = ", ".join(f"{name}: '{url}'" for name, url in stores.items())
    bench.edit(
        "deployment:",
        f"workflow: {{backend: {{{written}}}, gate_policy: {{promote_ungated: true}}}}\n"
        "  deployment:",
    )
    return bench


@pytest.fixture
def first(bench: Bench, bucket_url: str) -> Bench:
    return name_stores(bench, artifacts=bucket_url)


@pytest.fixture
def second(tmp_path: Path, bucket_url: str) -> Bench:
    return name_stores(Bench.make(tmp_path / "second"), artifacts=bucket_url)


def test_second_clone_trains_nothing_and_promotes_the_same(first: Bench, second: Bench) -> None:
    assert first.apply().exit_code == 0
    assert not (first.home / "store").exists()
    outcome = second.apply()
    assert outcome.exit_code == 0
    assert second.doors() == []
    assert outcome.reused
    assert second.promoted() == first.promoted() is not None
    digests = [
        {name: item.outputs for name, item in bench.records().items()} for bench in (first, second)
    ]
    assert digests[0] == digests[1]


def test_bytes_that_other_states_may_need_are_not_deleted(first: Bench, run: Run) -> None:
    assert first.apply().exit_code == 0
    loose = first.artifacts().put_bytes(b"what another clone needs")
    assert '"young": 1' in run("gc", "--json").out
    run("gc", "--delete", "--grace", "0").says(6, "delete_refused")
    first.artifacts().verify(loose)


def test_bytes_of_a_project_with_a_state_of_its_own_are_not_deleted(
    bench: Bench, run: Run, bucket_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Bench.make(tmp_path / "second")
    other.edit("2.0e-3", "1.0e-3")
    for name, project in (("ONE", bench), ("OTHER", other)):
        monkeypatch.setenv(f"{name}_URL", f"{bucket_url}/{name.lower()}")
        stores = {"state": f"secret://{name}_URL", "artifacts": f"{bucket_url}/artifacts"}
        name_stores(project, **stores).store().create(f"lineage-{name}")
    assert bench.apply().exit_code == 0
    loose = bench.artifacts().put_bytes(b"nobody needs this")
    assert run("gc", "--delete", "--grace", "0").out.startswith("Deleted 1 object ")
    assert not bench.artifacts().is_present(loose)
    assert other.apply().exit_code == 0
    for name, project in (("ONE", other), ("OTHER", bench)):
        refused = run("--chdir", project.root, "gc", "--delete", "--grace", "0")
        refused.says(6, "delete_refused", f"lineage lineage-{name}", "prefix")
    for project in (bench, other):
        bench.artifacts().verify(project.records()["training_plan"].outputs["lora_adapter"])


@pytest.mark.case("ART-13")
def test_damage_in_the_shared_store_is_never_reused(first: Bench, second: Bench) -> None:
    assert first.apply().exit_code == 0
    adapter = first.records()["training_plan"].outputs["lora_adapter"]
    files = first.artifacts().listing(adapter.digest)
    item = max(files.values(), key=lambda output: output.size_bytes)
    name = item.digest.removeprefix("sha256:")
    shared: Any = first.artifacts()
    shared._folder.put(f"objects/{name[:2]}/{name[2:]}", b"x" * item.size_bytes)
    assert second.apply().exit_code == 1
    assert second.promoted() is None
    assert second.apply().exit_code == 0
    assert "train" in second.doors()[0]
    second.artifacts().verify(adapter)
    assert second.promoted() == first.promoted()


def test_commands_find_the_shared_artifacts(
    first: Bench, run: Run, bucket_url: str, tmp_path: Path
) -> None:
    assert first.apply().exit_code == 0
    answers = [
        run("plan", "--detailed-exitcode", "--out", tmp_path / "again.plan.json"),
        run("show", "eval_pack"),
        run("state", "pull"),
        run("apply", "--auto-approve"),
    ]
    assert [answer.code for answer in answers] == [0] * 4, [answer.err for answer in answers]
    shown = "".join(answer.out + answer.err for answer in answers).encode()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert CANARY not in shown + b"".join(path.read_bytes() for path in files)
    assert open_shared_artifacts(bucket_url).all_produced("training_plan")


def test_store_that_does_not_answer_stops_the_plan(
    first: Bench, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert first.apply().exit_code == 0
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr("brewslm.objects._RETRIES", 0)
    run("plan").says(1, "store_unreachable", "s3://brewslm/")


def test_second_clone_with_both_shared_has_nothing_to_make(
    bench: Bench, bucket_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE_URL", f"{bucket_url}/state")
    stores = {"state": "secret://STORE_URL", "artifacts": f"{bucket_url}/artifacts"}
    first = name_stores(bench, **stores)
    second = name_stores(Bench.make(tmp_path / "second"), **stores)
    assert first.apply().exit_code == 0
    serial = max(item.serial for item in first.records().values())
    assert second.apply().exit_code == 0
    assert second.doors() == []
    assert second.promoted() == first.promoted()
    assert max(item.serial for item in second.records().values()) == serial


@pytest.fixture
def clones(
    bench: Bench, bucket_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Bench, Bench]:
    """Return two clones of one project that share state and artifacts; the first was applied."""
    monkeypatch.setenv("STORE_URL", f"{bucket_url}/state")
    stores = {"state": "secret://STORE_URL", "artifacts": f"{bucket_url}/artifacts"}
    first = name_stores(bench, **stores)
    second = name_stores(Bench.make(tmp_path / "second"), **stores)
    assert first.apply().exit_code == 0
    return first, second


@pytest.mark.case("CON-13")
def test_second_clone_is_told_what_it_lacks_and_lays_it_out_verified(
    clones: tuple[Bench, Bench], run: Run
) -> None:
    first, second = clones
    records = first.records()
    adapter = records["training_plan"].outputs["lora_adapter"].digest
    planned = run("--chdir", second.root, "plan", "--detailed-exitcode")
    assert planned.code == 2
    assert "No changes wanted, 4 drifted. apply would repair them." in planned.out
    assert planned.out.count("missing; apply lays it out again") == 3
    assert "promoted/champion" in planned.out
    done = run("--chdir", second.root, "apply", "--auto-approve")
    assert done.code == 0
    assert "Apply: 0 applied, 3 reused" in done.out
    assert second.records() == records, "nothing was recorded anew"
    link = second.home / "promoted" / "champion"
    assert digest_folder(link.resolve()) == adapter
    for name in ("adapter", "safetensors"):
        files = records[f"export.{name}"].outputs["files"].digest
        assert digest_folder(second.home / "exports" / name) == files
    with closing(second.store().read()) as state:
        assert state.deployments()[0].digest == adapter
        assert len(state.deployments()) == 1
    assert run("--chdir", second.root, "plan", "--detailed-exitcode").code == 0


@pytest.mark.case("ART-13")
def test_second_clone_lays_out_nothing_that_is_damaged(
    clones: tuple[Bench, Bench], run: Run
) -> None:
    first, second = clones
    adapter = first.records()["training_plan"].outputs["lora_adapter"]
    (item,) = first.artifacts().listing(adapter.digest).values()
    name = item.digest.removeprefix("sha256:")
    shared: Any = first.artifacts()
    shared._folder.put(f"objects/{name[:2]}/{name[2:]}", b"x" * item.size_bytes)
    run("--chdir", second.root, "apply", "--auto-approve").says(1, "artifact_corrupt")
    assert second.promoted() is None


@pytest.mark.case("CON-13")
def test_plan_of_a_clone_is_stale_once_another_clone_applied(
    clones: tuple[Bench, Bench], run: Run
) -> None:
    first, second = clones
    second.edit("2.0e-3", "1.0e-3")
    saved = second.root / "mine.plan.json"
    run("--chdir", second.root, "plan", "--out", saved).says(0)
    first.edit("2.0e-3", "5.0e-4")
    assert first.apply().exit_code == 0
    promoted = first.promoted()
    run("--chdir", second.root, "apply", saved).says(4, "plan_stale")
    with closing(first.store().read()) as state:
        assert len(state.revisions()) == 2
    assert first.promoted() == promoted
    assert second.promoted() is None


def test_whole_apply_leaves_a_second_clone_nothing_to_train(
    bench: Bench, run: Run, bucket_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE_URL", f"{bucket_url}/state")
    stores = {"state": "secret://STORE_URL", "artifacts": f"{bucket_url}/artifacts"}
    second = Bench.make(tmp_path / "second")
    for clone in (bench, second):
        name_stores(clone, **stores).edit("threshold: 0.8", "threshold: 0.0")
    assert run("apply", "--auto-approve").code == 0
    laid_out = run("--chdir", second.root, "apply", "--auto-approve")
    assert laid_out.code == 0
    assert "Apply: 0 applied, 3 reused" in laid_out.out
    assert "What drifted is as recorded again." in laid_out.out
    again = run("--chdir", second.root, "apply", "--auto-approve")
    assert again.code == 0
    assert "Nothing had to be done." in again.out
    assert second.promoted() == bench.promoted() is not None
    assert run("--chdir", second.root, "try", "the lamp of order 3 came late").out.strip()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert CANARY not in b"".join(path.read_bytes() for path in files)
