"""An adapter that was trained elsewhere is taken over by digest, judged, and never run."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from brewslm.address import Address
from brewslm.errors import StateError
from brewslm.fingerprint import digest_folder
from brewslm.manifest.describe import described
from brewslm.manifest.load import load_manifest
from brewslm.manifest.yaml_file import read_yaml
from brewslm.plan.base_model import BUILTIN
from brewslm.plan.lora_adapter import recipe_of
from brewslm.stages.training_plan import TrainingPlanSpec
from tests.apply.bench import MANIFEST, Bench
from tests.cli.conftest import Answer, Run

_CONFIG = {
    "peft_type": "LORA",
    "base_model_name_or_path": "nano",
    "revision": None,
    "r": 16,
    "lora_alpha": 32,
    "auto_mapping": None,
}
_ORG = "models--org--name"
_COMMIT = "c0ffee" + "0" * 34


def _write(folder: Path, **changes: Any) -> Path:
    """Write an adapter of one tensor as PEFT would."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps(_CONFIG | changes))
    header = {"layer.lora_A.weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    text = json.dumps(header).encode()
    weights = len(text).to_bytes(8, "little") + text + bytes(8)
    (folder / "adapter_model.safetensors").write_bytes(weights)
    return folder


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return _write(tmp_path / "elsewhere")


def test_imported_adapter_is_promoted_without_training(
    bench: Bench, run: Run, adapter: Path
) -> None:
    bench.edit("  export: {formats: [adapter, safetensors]}\n", "")
    digest = digest_folder(adapter)
    answer = run("state", "import", "training_plan", adapter, "--digest", digest)
    assert (answer.code, answer.err) == (0, "")
    assert "# training_plan will be reused" in run("plan").out
    assert bench.apply().exit_code == 0
    assert not [door for door in bench.doors() if door.startswith("train")]
    record = bench.records()["training_plan"]
    assert record.outputs["lora_adapter"].digest == digest
    assert record.values == {"is_imported": True}
    assert digest_folder((bench.home / "promoted" / "champion").resolve()) == digest
    assert not bench.built().plan.has_changes
    assert f"state import training_plan {digest[:19]}" in run("events").out
    assert sorted(path.name for path in adapter.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


@pytest.mark.parametrize(
    ("changes", "code", "word"),
    [
        ({"r": 8}, 1, "lora_r 8"),
        ({"peft_type": "IA3"}, 1, "peft_type IA3"),
        ({"use_dora": True}, 1, "use_dora True"),
    ],
)
def test_adapter_of_another_form_is_refused(
    bench: Bench, run: Run, tmp_path: Path, changes: dict[str, Any], code: int, word: str
) -> None:
    folder = _write(tmp_path / "other", **changes)
    digest = digest_folder(folder)
    run("state", "import", "training_plan", folder, "--digest", digest).says(code, word)
    assert not (bench.home / "store").exists()


_OTHER_KEYS: list[tuple[str, Any]] = [
    ("auto_mapping", {"base_model_class": "Evil", "parent_library": "theirs"}),
    ("auto_map", {"AutoModel": "modeling.Evil"}),
    ("custom_pipelines", {"evil": {"impl": "evil.Pipeline"}}),
    ("trust_remote_code", True),
    ("_attn_implementation", "org/kernel"),
    ("_anything", 1),
    ("unheard_of", 1),
    ("r", True),
    ("r", "8\n  x: 1"),
    ("lora_dropout", "0.1"),
    ("target_modules", {"q_proj": "theirs"}),
    ("megatron_config", {"a": 1}),
    ("megatron_core", "theirs/core"),
    ("rank_pattern", {"rank_pattern": "/etc/passwd"}),
    ("modules_to_save", ["https://example.org/x"]),
    ("base_model_name_or_path", "/etc"),
    ("base_model_name_or_path", "../nano"),
    ("base_model_name_or_path", "https://example.org/nano"),
    ("base_model_name_or_path", "C:\\nano"),
    ("revision", "main"),
    ("revision", "v1.0"),
    ("revision", "c0ffee"),
    ("revision", _COMMIT.upper()),
]


@pytest.mark.case("ART-04")
@pytest.mark.parametrize(("key", "value"), _OTHER_KEYS)
def test_adapter_is_refused_by_a_key_that_is_no_setting(
    bench: Bench, run: Run, tmp_path: Path, key: str, value: Any
) -> None:
    folder = _write(tmp_path / "other", **{key: value})
    words = ("state", "import", "training_plan", folder, "--digest", digest_folder(folder))
    run(*words).says(6, "config_key_refused", f"found:    {key}")
    assert not (bench.home / "store").exists()
    assert not bench.store().exists()


@pytest.mark.case("ART-04")
@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"base_model_name_or_path": "org/name"}, "org/name"),
        ({"base_model_name_or_path": "builtin:milli"}, "builtin:milli"),
        ({"base_model_name_or_path": None}, "none"),
        ({"revision": _COMMIT}, f"nano at {_COMMIT}"),
    ],
)
def test_adapter_of_another_base_is_refused(
    bench: Bench, run: Run, tmp_path: Path, changes: dict[str, Any], found: str
) -> None:
    folder = _write(tmp_path / "other", **changes)
    words = ("state", "import", "training_plan", folder, "--digest", digest_folder(folder))
    run(*words).says(6, "base_mismatch", found)
    assert not (bench.home / "store").exists()
    assert not bench.store().exists()


@pytest.mark.case("ART-04")
def test_adapter_of_a_cached_base_has_to_be_of_its_commit(
    bench: Bench, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots = tmp_path / "hub" / _ORG / "snapshots"
    shutil.copytree(BUILTIN / "nano", snapshots / _COMMIT)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    bench.edit("base_model: builtin:nano", f"base_model: org/name, revision: {_COMMIT}")
    named = {"base_model_name_or_path": "org/name"}
    other = _write(tmp_path / "other", **named, revision="d" * 40)
    words = ("state", "import", "training_plan")
    run(*words, other, "--digest", digest_folder(other)).says(6, "base_mismatch", "d" * 40)
    short = _write(tmp_path / "short", base_model_name_or_path="name")
    run(*words, short, "--digest", digest_folder(short)).says(6, "base_mismatch")
    assert not (bench.home / "store").exists()
    same = _write(tmp_path / "same", **named, revision=_COMMIT)
    assert run(*words, same, "--digest", digest_folder(same)).code == 0


@pytest.mark.case("ART-01", "ART-03")
def test_files_that_could_run_code_or_are_cut_are_refused(
    bench: Bench, run: Run, adapter: Path
) -> None:
    pickled = adapter / "adapter_model.bin"
    pickled.write_bytes(b"\x80\x04.")
    words = ("state", "import", "training_plan", adapter, "--digest")
    run(*words, digest_folder(adapter)).says(6, "format_refused", "adapter_model.bin")
    pickled.unlink()
    for name in ("modeling.py", "libevil.so", "trainer_state.json", "inner/a.json"):
        (adapter / name).parent.mkdir(exist_ok=True)
        (adapter / name).write_text("{}")
        run(*words, digest_folder(adapter)).says(6, "format_refused", name)
        (adapter / name).unlink()
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    run(*words, digest_folder(adapter)).says(1, "MODEL_NOT_SAFETENSORS")
    weights.unlink()
    run(*words, digest_folder(adapter)).says(1, "MODEL_NOT_SAFETENSORS")
    assert not (bench.home / "store").exists()


_SHAPES = {
    "overlap": {"a": ([2], [0, 8]), "b": ([1], [4, 8])},
    "hole": {"a": ([1], [4, 8])},
    "another size": {"a": ([3], [0, 8])},
    "overflow": {"a": ([2**33, 2**31 + 1], [0, 8])},
}


@pytest.mark.case("ART-02", "ART-03")
@pytest.mark.parametrize("name", [*_SHAPES, "length of 2^63", "empty", "trailing byte", "pickle"])
def test_weights_that_are_not_whole_are_not_kept(
    bench: Bench, run: Run, adapter: Path, name: str
) -> None:
    tensors = {
        key: {"dtype": "F32", "shape": shape, "data_offsets": place}
        for key, (shape, place) in _SHAPES.get(name, {"a": ([2], [0, 8])}).items()
    }
    text = json.dumps(tensors).encode()
    canary = bench.root / "canary"
    data = {
        "length of 2^63": (2**63).to_bytes(8, "little") + text + bytes(8),
        "empty": b"",
        "trailing byte": len(text).to_bytes(8, "little") + text + bytes(9),
        "pickle": f"cos\nsystem\n(S'touch {canary}'\ntR.".encode(),
    }.get(name, len(text).to_bytes(8, "little") + text + bytes(8))
    (adapter / "adapter_model.safetensors").write_bytes(data)
    words = ("state", "import", "training_plan", adapter, "--digest", digest_folder(adapter))
    run(*words).says(1, "MODEL_NOT_SAFETENSORS", "adapter_model.safetensors")
    assert not (bench.home / "store").exists()
    assert not bench.store().exists()
    assert not canary.exists()


def test_other_bytes_than_the_digest_says_are_refused(
    bench: Bench, run: Run, adapter: Path
) -> None:
    words = ("state", "import", "training_plan", adapter)
    run(*words, "--digest", f"sha256:{'0' * 64}").says(1, "artifact_corrupt")
    run(*words).says(1, "--digest")
    (adapter / "README.md").symlink_to("/etc/hostname")
    run(*words, "--digest", f"sha256:{'0' * 64}").says(1, "artifact_corrupt")
    run("state", "import", "dataset", adapter, "--digest", "x").says(1, "usage_error")
    assert not (bench.home / "store").exists()


# Writing the manifest that describes it


def _import(run: Run, folder: Path, *words: str | Path) -> Answer:
    return run(
        "state", "import", "training_plan", folder, "--digest", digest_folder(folder), *words
    )


def test_written_manifest_trains_what_was_imported(bench: Bench, run: Run, tmp_path: Path) -> None:
    bench.edit("  export: {formats: [adapter, safetensors]}\n", "")
    bench.edit("      num_epochs: 2\n", "      num_epochs: 2  # enough\n")
    before = (bench.root / "brewslm.yaml").read_bytes()
    folder = _write(
        tmp_path / "elsewhere",
        r=8,
        lora_alpha=24.0,
        lora_dropout=0.1,
        bias="none",
        use_rslora=True,
        target_modules=["v_proj", "k_proj"],
        base_model_name_or_path="nano",
    )
    _import(run, folder).says(1, "lora_r 8", "--write-manifest FILE")
    answer = _import(run, folder, "--write-manifest", "imported.yaml")
    assert (answer.code, answer.err) == (0, "")
    assert "--manifest imported.yaml plan" in answer.out
    assert "model.base_model is as it was" in answer.out
    assert (bench.root / "brewslm.yaml").read_bytes() == before
    written = (bench.root / "imported.yaml").read_text()
    assert "# enough" in written
    plan = load_manifest(bench.root, "imported.yaml").specs()[Address("training_plan")]
    assert isinstance(plan, TrainingPlanSpec)
    config = plan.config
    assert (config.lora_r, config.lora_alpha, config.lora_dropout) == (8, 24, 0.1)
    assert (config.use_rslora, config.use_dora, config.lora_bias) == (True, False, "none")
    assert config.target_modules == ("k_proj", "v_proj")
    assert (config.learning_rate, config.num_epochs) == (2e-3, 2)
    assert run("--manifest", "imported.yaml", "fmt", "--check").code == 0
    planned = run("--manifest", "imported.yaml", "plan").out
    assert "# training_plan will be reused" in planned
    assert "# training_plan will be created" in run("plan").out


def test_base_model_of_the_hub_is_written_with_its_revision(tmp_path: Path) -> None:
    base = {"base_model_name_or_path": "acme/small", "revision": "0" * 40}
    recipe = recipe_of(_write(tmp_path / "elsewhere", **base))
    text = described(MANIFEST.encode(), "brewslm.yaml", recipe)
    model = read_yaml(text, "brewslm.yaml").value["spec"]["model"]
    assert model == {"base_model": "acme/small", "revision": "0" * 40}


def test_manifest_that_is_there_is_never_replaced(bench: Bench, run: Run, adapter: Path) -> None:
    theirs = bench.root / "theirs.yaml"
    theirs.symlink_to("nowhere")
    outside = bench.root.parent / "outside.yaml"
    before = (bench.root / "brewslm.yaml").read_bytes()
    for name in ("brewslm.yaml", "theirs.yaml", str(outside), "../outside.yaml"):
        _import(run, adapter, "--write-manifest", name).says(1, "usage_error")
    assert (bench.root / "brewslm.yaml").read_bytes() == before
    assert theirs.is_symlink()
    assert not outside.exists()
    assert not (bench.home / "store").exists()


def test_manifest_is_written_into_the_project_that_was_changed_to(
    bench: Bench, run: Run, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = bench.root.parent / "desk"
    desk.mkdir()
    monkeypatch.chdir(desk)
    there = ("--chdir", f"../{bench.root.name}")
    words = ("state", "import", "training_plan", adapter, "--digest", digest_folder(adapter))
    for name in ("../outside.yaml", str(desk / "outside.yaml")):
        run(*there, *words, "--write-manifest", name).says(1, "usage_error")
    assert run(*there, *words, "--write-manifest", "data/../first.yaml").code == 0
    assert run(*there, *words, "--write-manifest", bench.root / "second.yaml").code == 0
    assert (bench.root / "first.yaml").read_bytes() == (bench.root / "second.yaml").read_bytes()
    assert not (desk / "outside.yaml").exists()


@pytest.mark.parametrize("is_recorded", [False, True])
def test_written_manifest_goes_unless_the_import_stands(
    bench: Bench, run: Run, adapter: Path, monkeypatch: pytest.MonkeyPatch, is_recorded: bool
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise StateError("gone", code="state_write_failed", remedy="wait")

    step = "note_adopted" if is_recorded else "adopt"
    monkeypatch.setattr(f"brewslm.cli.importing.{step}", refused)
    _import(run, adapter, "--write-manifest", "new.yaml").says(1, "state_write_failed")
    assert (bench.root / "new.yaml").exists() is is_recorded
    if is_recorded:
        assert "# training_plan will be reused" in run("--manifest", "new.yaml", "plan").out


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"rank_pattern": {"q_proj": 4}}, "rank_pattern"),
        ({"target_modules": ".*_proj"}, "target_modules"),
        ({"peft_type": "IA3"}, "peft_type IA3"),
    ],
)
def test_adapter_that_no_manifest_describes_is_refused(
    bench: Bench, run: Run, tmp_path: Path, changes: dict[str, Any], word: str
) -> None:
    folder = _write(tmp_path / "other", **changes)
    _import(run, folder, "--write-manifest", "new.yaml").says(1, "no manifest can describe", word)
    assert not (bench.root / "new.yaml").exists()
    assert not (bench.home / "store").exists()


@pytest.mark.parametrize("changes", [{"r": 100_000}, {"lora_dropout": 7.0}])
def test_manifest_that_does_not_validate_is_taken_away(
    bench: Bench, run: Run, tmp_path: Path, changes: dict[str, Any]
) -> None:
    answer = _import(run, _write(tmp_path / "other", **changes), "--write-manifest", "new.yaml")
    assert answer.code == 1
    assert "new.yaml:" in answer.out
    assert "describes it" not in answer.out
    assert not (bench.root / "new.yaml").exists()
    assert not (bench.home / "store").exists()


def test_other_bytes_write_no_manifest(bench: Bench, run: Run, adapter: Path) -> None:
    words = ("--digest", f"sha256:{'0' * 64}", "--write-manifest", "new.yaml")
    run("state", "import", "training_plan", adapter, *words).says(1, "artifact_corrupt")
    assert not (bench.root / "new.yaml").exists()


def test_prepared_rows_are_believed_from_nobody(bench: Bench, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "prepared"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    for address in ("dataset", "data_source.rows"):
        answer = run("state", "import", address, folder, "--digest", digest_folder(folder))
        answer.says(1, "usage_error", "believes no prepared folder")
    assert not (bench.home / "store").exists()
