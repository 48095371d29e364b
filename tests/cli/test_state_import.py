"""An adapter that was trained elsewhere is taken over by digest, judged, and never run."""

import json
from pathlib import Path
from typing import Any

import pytest

from brewslm.fingerprint import digest_folder
from tests.apply.bench import Bench
from tests.cli.conftest import Run

_CONFIG = {"peft_type": "LORA", "r": 16, "lora_alpha": 32, "auto_mapping": None}


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
        ({"auto_mapping": {"parent_library": "theirs"}}, 6, "config_key_refused"),
    ],
)
def test_adapter_of_another_form_is_refused(
    bench: Bench, run: Run, tmp_path: Path, changes: dict[str, Any], code: int, word: str
) -> None:
    folder = _write(tmp_path / "other", **changes)
    digest = digest_folder(folder)
    run("state", "import", "training_plan", folder, "--digest", digest).says(code, word)
    assert not (bench.home / "store").exists()


@pytest.mark.case("ART-01", "ART-03")
def test_files_that_could_run_code_or_are_cut_are_refused(
    bench: Bench, run: Run, adapter: Path
) -> None:
    pickled = adapter / "adapter_model.bin"
    pickled.write_bytes(b"\x80\x04.")
    words = ("state", "import", "training_plan", adapter, "--digest")
    run(*words, digest_folder(adapter)).says(6, "format_refused", "adapter_model.bin")
    pickled.unlink()
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    run(*words, digest_folder(adapter)).says(1, "MODEL_NOT_SAFETENSORS")
    weights.unlink()
    run(*words, digest_folder(adapter)).says(1, "MODEL_NOT_SAFETENSORS")
    assert not (bench.home / "store").exists()


def test_other_bytes_than_the_digest_says_are_refused(
    bench: Bench, run: Run, adapter: Path
) -> None:
    words = ("state", "import", "training_plan", adapter)
    run(*words, "--digest", f"sha256:{'0' * 64}").says(1, "artifact_corrupt")
    run(*words).says(1, "--digest")
    (adapter / "more").symlink_to("/etc/hostname")
    run(*words, "--digest", f"sha256:{'0' * 64}").says(1, "artifact_corrupt")
    run("state", "import", "dataset", adapter, "--digest", "x").says(1, "usage_error")
    assert not (bench.home / "store").exists()
