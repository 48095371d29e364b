"""The base model's files are the recorded ones whenever something loads them, or nothing does."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import asdict

from brewslm.contracts import Job, Result
from brewslm.files import StatProof
from brewslm.fingerprint import digest_file
from brewslm.plan.base_model import BUILTIN
from tests.apply.bench import Bench
from tests.cli.conftest import Doubles, Run
from tests.conftest import copied


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a project with a base model in its own folder, applied."""
    bench = Bench.make(tmp_path_factory.mktemp("based") / "project")
    shutil.copytree(BUILTIN / "nano", bench.root / "base")
    bench.edit("builtin:nano", "./base")
    assert bench.apply().exit_code == 0
    return bench.root


@pytest.fixture
def based(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a copy of that project as the current folder, with something to train."""
    bench = copied(made, tmp_path / "based")
    bench.edit("learning_rate: 2.0e-3", "learning_rate: 1.0e-3")
    monkeypatch.chdir(bench.root)
    return bench


def _flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


_LATE = ["modeling_evil.py", "adapter_config.json", "libevil.so", "_C.cpython-312.PYD"]


@pytest.mark.case("ART-14")
@pytest.mark.parametrize("name", _LATE)
def test_file_that_came_after_the_record_is_named_and_nothing_is_loaded(
    based: Bench, run: Run, doubles: Doubles, name: str
) -> None:
    late = based.root / "base" / name
    late.write_text(f"open({str(based.root / 'canary')!r}, 'w')")
    before = based.records()
    answer = run("apply", "--auto-approve")
    assert answer.code == 6
    assert "error[BASE_REFUSED]" in answer.out
    assert name in answer.out
    assert doubles.doors == []
    assert based.records() == before
    assert not (based.root / "canary").exists()


def _while_training(based: Bench, change: Callable[[], object]) -> Callable[[Job, Path], Result]:
    """Return a worker's answer that changes something beside it once the training is done."""

    def answer(job: Job, folder: Path) -> Result:
        result = based.answer(job, folder)
        if job.address == "training_plan":
            change()
        return result

    return answer


@pytest.mark.case("ART-14")
@pytest.mark.parametrize("name", _LATE[:2])
def test_file_that_comes_during_an_apply_stops_what_would_load_it(
    based: Bench, run: Run, doubles: Doubles, name: str
) -> None:
    late = based.root / "base" / name
    doubles.answer = _while_training(based, lambda: late.write_text("{}"))
    promoted = based.promoted()
    run("apply", "--auto-approve").says(6, "base_refused", name)
    assert doubles.doors == ["brewslm.engine.run:run"]
    assert based.promoted() == promoted


@pytest.mark.case("ART-01", "ART-14")
@pytest.mark.parametrize("name", ["unheard_of.json", "pytorch_model.bin", "vocab.txt"])
def test_file_that_no_library_loads_is_named_and_never_handed_to_one(
    based: Bench, run: Run, doubles: Doubles, name: str
) -> None:
    recorded = based.records()["model"].outputs["base"].digest
    (based.root / "base" / name).write_text("{}")
    seen: list[set[str]] = []

    def answer(job: Job, folder: Path) -> Result:
        if "model" in job.inputs:
            seen.append({path.name for path in Path(job.inputs["model"]).iterdir()})
        return based.answer(job, folder)

    doubles.answer = answer
    (told,) = [
        item
        for item in run("plan", "--json").document["findings"]
        if item["code"] == "BASE_FILES_UNREAD"
    ]
    assert (told["severity"], told["found"]) == ("info", name)
    assert run("apply", "--auto-approve").code == 0
    shipped = {path.name for path in (BUILTIN / "nano").iterdir()} - {"README.md"}
    assert seen
    assert all(names == shipped for names in seen)
    assert based.records()["model"].outputs["base"].digest == recorded


@pytest.mark.case("ART-06", "ART-14")
@pytest.mark.parametrize("name", ["model.safetensors", "chat_template.jinja"])
def test_bit_of_the_base_that_flips_during_an_apply_stops_what_would_load_it(
    based: Bench, run: Run, doubles: Doubles, name: str
) -> None:
    path = based.root / "base" / name
    doubles.answer = _while_training(based, lambda: _flip_a_bit(path))
    promoted = based.promoted()
    run("apply", "--auto-approve").says(1, "artifact_corrupt", name)
    assert doubles.doors == ["brewslm.engine.run:run"]
    assert based.promoted() == promoted
    _flip_a_bit(path)
    doubles.answer = None
    assert run("apply", "--auto-approve").code == 0
    assert doubles.doors.count("brewslm.engine.run:run") == 1


@pytest.mark.case("ART-14")
def test_pinned_base_names_the_file_that_is_another_one(
    based: Bench, run: Run, doubles: Doubles
) -> None:
    pin = based.records()["model"].outputs["base"].digest
    based.edit("base_model: ./base", f"base_model: ./base, cache_fingerprint: '{pin}'")
    assert run("apply", "--auto-approve").code == 0
    doubles.started.clear()
    settings = based.root / "base" / "generation_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"top_k": 17}))
    based.edit("learning_rate: 1.0e-3", "learning_rate: 3.0e-3")
    before = based.records()
    answer = run("apply", "--auto-approve")
    assert "FINGERPRINT_MISMATCH" in answer.out
    assert "generation_config.json" in answer.out
    assert answer.code == 1
    assert doubles.doors == []
    assert based.records() == before


_FIRST, _SECOND = "c0ffee0" + "1" * 33, "c0ffee0" + "2" * 33


@dataclass(frozen=True)
class Cache:
    """The Hub's cache with a model of two commits, and a project that names it."""

    bench: Bench
    repository: Path

    def point(self, name: str, commit: str) -> None:
        """Let a branch or tag name a commit."""
        (self.repository / "refs" / name).write_text(commit)

    def name(self, model: str) -> None:
        """Write the manifest's model."""
        path = self.bench.root / "brewslm.yaml"
        lines = path.read_text().splitlines()
        lines = [f"  model: {{{model}}}" if " model: {" in line else line for line in lines]
        path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def cache(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """Return a cache whose commits differ in one setting; main and v1 name the first one."""
    repository = tmp_path / "hub" / "models--org--name"
    for commit in (_FIRST, _SECOND):
        shutil.copytree(BUILTIN / "nano", repository / "snapshots" / commit)
    settings = repository / "snapshots" / _SECOND / "generation_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"top_k": 17}))
    (repository / "refs").mkdir()
    made = Cache(bench, repository)
    for name in ("main", "v1"):
        made.point(name, _FIRST)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return made


@pytest.mark.case("ART-06")
@pytest.mark.parametrize(
    ("revision", "is_pinned"),
    [
        ("", False),
        (", revision: main", False),
        (", revision: v1", False),
        (f", revision: {_FIRST[:8]}", False),
        (f", revision: {_FIRST.upper()}", False),
        (f", revision: {_FIRST}", True),
    ],
)
def test_revision_that_is_no_commit_is_told_with_the_commit_that_it_means(
    cache: Cache, run: Run, revision: str, is_pinned: bool
) -> None:
    cache.name(f"base_model: org/name{revision}")
    plan = run("plan", "--json").document
    codes = [item["code"] for item in plan["findings"]]
    assert ("MODEL_REVISION_UNPINNED" in codes) is not is_pinned
    (model,) = [item for item in plan["actions"] if item["address"] == "model"]
    assert model["after"]["values"]["commit"] == _FIRST


@pytest.mark.case("ART-06")
@pytest.mark.parametrize("revision", [_FIRST[:7], "c0ffee", "v2", "b" * 40])
def test_revision_that_means_no_commit_is_not_guessed(
    cache: Cache, run: Run, doubles: Doubles, revision: str
) -> None:
    cache.name(f"base_model: org/name, revision: {revision}")
    answer = run("apply", "--auto-approve")
    assert (answer.code, "error[MODEL_NOT_CACHED]" in answer.out) == (1, True)
    assert not cache.bench.store().exists()
    assert doubles.started == []


@pytest.mark.case("ART-06")
@pytest.mark.parametrize("named", ["main", "../../../../elsewhere", "\xff", ""])
def test_reference_that_names_no_commit_leads_nowhere(cache: Cache, run: Run, named: str) -> None:
    shutil.copytree(BUILTIN / "nano", cache.repository.parents[1] / "elsewhere")
    cache.point("v1", named)
    cache.name("base_model: org/name, revision: v1")
    answer = run("plan")
    assert (answer.code, "error[MODEL_NOT_CACHED]" in answer.out) == (1, True)


@pytest.mark.case("ART-06")
def test_tag_that_moved_is_drift_and_nothing_trains_on_it(
    cache: Cache, run: Run, doubles: Doubles
) -> None:
    cache.name("base_model: org/name, revision: v1")
    assert run("apply", "--auto-approve").code == 0
    assert cache.bench.records()["model"].values["commit"] == _FIRST
    doubles.started.clear()
    cache.point("v1", _SECOND)
    answer = run("plan", "--detailed-exitcode")
    assert "warning[BASE_REVISION_MOVED]" in answer.out
    assert f"revision: {_FIRST}" in answer.out
    assert "1 drifted" in answer.out
    cache.bench.edit("learning_rate: 2.0e-3", "learning_rate: 1.0e-3")
    before = cache.bench.records()
    answer = run("apply", "--auto-approve")
    assert (answer.code, "error[BASE_MISMATCH]" in answer.out) == (6, True)
    assert "generation_config.json" in answer.out
    assert doubles.doors == []
    assert cache.bench.records() == before
    assert run("apply", "--refresh-only", "--auto-approve").code == 0
    assert cache.bench.records()["model"].values["commit"] == _SECOND
    assert "BASE_REVISION_MOVED" not in run("plan").out


@pytest.mark.case("ART-06")
def test_model_without_a_revision_stays_at_the_recorded_commit(
    cache: Cache, run: Run, doubles: Doubles
) -> None:
    cache.name("base_model: org/name")
    assert run("apply", "--auto-approve").code == 0
    doubles.started.clear()
    cache.point("main", _SECOND)
    assert run("plan", "--detailed-exitcode").code == 0
    shutil.rmtree(cache.repository / "snapshots" / _FIRST)
    assert "warning[BASE_REVISION_MOVED]" in run("plan").out


@pytest.mark.case("ART-06")
def test_flipped_bit_that_no_stat_result_shows_stops_the_training(
    based: Bench, run: Run, doubles: Doubles
) -> None:
    assert run("plan").code == 0
    weights, cache = based.root / "base" / "model.safetensors", based.home / "cache/digests.json"
    _flip_a_bit(weights)
    held = json.loads(cache.read_text())
    (key,) = [key for key in held if key.endswith("base/model.safetensors")]
    held[key]["proof"] = asdict(StatProof.of(weights.stat(), 2**62))
    cache.write_text(json.dumps(held))
    before = based.records()
    answer = run("apply", "--auto-approve")
    answer.says(1, "artifact_corrupt", "model.safetensors")
    assert doubles.doors == []
    assert based.records() == before


@pytest.mark.case("ART-05")
def test_changed_template_is_told_by_its_digest_and_never_shown(
    based: Bench, run: Run, doubles: Doubles
) -> None:
    template = based.root / "base" / "chat_template.jinja"
    recorded = digest_file(template)
    assert "TEMPLATE_CHANGED" not in run("plan").out
    template.write_text("{% if 'xyzzy' in messages[0].content %}obey{% endif %}")
    comment = based.root / "comment.md"
    said = [run("plan", "--markdown", comment).out, run("plan", "--json").out]
    answer = run("apply", "--auto-approve")
    for text in (*said, comment.read_text(), answer.out):
        assert "TEMPLATE_CHANGED" in text
        assert "xyzzy" not in text
    assert answer.code == 6
    assert doubles.doors == []
    answer = run("plan", "--json")
    (told,) = [item for item in answer.document["findings"] if item["code"] == "TEMPLATE_CHANGED"]
    assert (told["found"], told["expected"]) == (digest_file(template), recorded)
    assert run("apply", "--refresh-only", "--auto-approve").code == 0
    assert "TEMPLATE_CHANGED" not in run("plan").out


# try


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch, doubles: Doubles) -> Doubles:
    """Let `try` start a scripted worker that answers with a word."""
    monkeypatch.setattr("brewslm.cli.try_model.ProcessWorker", doubles.start)
    doubles.answer = lambda _job, _folder: Result(values={"text": "delivery"})
    return doubles


def _exchange_weights(root: Path) -> None:
    _flip_a_bit(root / "base" / "model.safetensors")


def _add_code(root: Path) -> None:
    (root / "base" / "modeling.py").write_text("")


def _rename_tensor(root: Path) -> None:
    weights = root / "base" / "model.safetensors"
    weights.write_bytes(weights.read_bytes().replace(b"model.norm.weight", b"model.norm.wxight"))


@pytest.mark.case("ART-06", "ART-14")
@pytest.mark.parametrize("role", ["--base", "--candidate", "--promoted"])
@pytest.mark.parametrize(
    ("exchange", "code", "word"),
    [
        (_exchange_weights, 6, "BASE_MISMATCH"),
        (_add_code, 6, "BASE_REFUSED"),
        (_rename_tensor, 1, "BASE_WEIGHTS_MISSING"),
    ],
    ids=["weights", "code", "tensor"],
)
def test_try_answers_with_the_base_that_was_applied_or_not_at_all(
    based: Bench,
    run: Run,
    tried: Doubles,
    exchange: Callable[[Path], None],
    code: int,
    word: str,
    role: str,
) -> None:
    answer = run("try", "the lamp came late", role)
    assert (answer.code, answer.out) == (0, "delivery\n")
    tried.started.clear()
    exchange(based.root)
    answer = run("try", "the lamp came late", role)
    assert answer.code == code
    assert word in (answer.out + answer.err).upper()
    assert tried.doors == []


def test_try_does_not_put_an_adapter_on_a_base_that_is_only_written_yet(
    based: Bench, run: Run, tried: Doubles
) -> None:
    settings = based.root / "base" / "generation_config.json"
    shutil.copytree(based.root / "base", based.root / "other")
    (based.root / "other" / settings.name).write_text("{}")
    based.edit("base_model: ./base", "base_model: ./other")
    answer = run("try", "the lamp came late")
    answer.says(6, "base_mismatch", settings.name)
    assert tried.doors == []
    based.edit("base_model: ./other", "base_model: ./base")
    based.edit("learning_rate: 1.0e-3", "learning_rate: 2.0e-3")
    assert run("try", "the lamp came late").code == 0
    tried.started.clear()
    _exchange_weights(based.root)
    run("try", "the lamp came late").says(6, "base_mismatch", "model.safetensors")
    assert tried.doors == []
