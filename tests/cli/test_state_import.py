"""An adapter that was trained elsewhere is taken over by digest, judged, and never run."""

import json
import math
import shutil
import struct
from collections.abc import Mapping
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
from brewslm.plan.safetensors import DTYPE_BYTES
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
_MODULE = "base_model.model.model.layers.0.self_attn.k_proj"
_A, _B = f"{_MODULE}.lora_A.weight", f"{_MODULE}.lora_B.weight"
_SIZES = {
    "self_attn.q_proj": (256, 256),
    "self_attn.k_proj": (128, 256),
    "self_attn.v_proj": (128, 256),
    "mlp.up_proj": (512, 256),
}
"""Outputs and inputs of modules of the built-in base."""
_ORG = "models--org--name"
_COMMIT = "c0ffee" + "0" * 34


def _write(folder: Path, **changes: Any) -> Path:
    """Write an adapter of one pair of factors as PEFT would."""
    config = _CONFIG | changes
    rank = config["r"] if type(config["r"]) is int else 1
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    _write_weights(folder, _complete(rank, config.get("target_modules") or ["k_proj"]))
    return folder


def _complete(rank: int, modules: Any) -> dict[str, list[int]]:
    """Return the shapes of factors for modules of all layers of the built-in base."""
    names = [name for name in _SIZES if isinstance(modules, list) and name.endswith(tuple(modules))]
    shapes: dict[str, list[int]] = {}
    for layer in range(4):
        for name in names or ["self_attn.k_proj"]:
            module = f"base_model.model.model.layers.{layer}.{name}"
            outputs, inputs = _SIZES[name]
            shapes |= {f"{module}.lora_A.weight": [rank, inputs]}
            shapes |= {f"{module}.lora_B.weight": [outputs, rank]}
    return shapes


def _write_weights(
    folder: Path, shapes: Mapping[str, list[int]], dtype: str = "F32", data: bytes = b""
) -> None:
    """Write tensors of zeros that begin with `data`."""
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + math.prod(shape) * DTYPE_BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    weights = len(text).to_bytes(8, "little") + text + data + bytes(end - len(data))
    (folder / "adapter_model.safetensors").write_bytes(weights)


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
    assert run("show", "training_plan", "--html", "page.html").code == 0
    page = (bench.root / "page.html").read_text()
    assert "trained elsewhere and imported" in page
    assert "None steps" not in page
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
    ("rank_pattern", {"k_proj": {}}),
    ("rank_pattern", {"k_proj": "8"}),
    ("rank_pattern", {"k_proj": 4.0}),
    ("rank_pattern", {"k_proj": True}),
    ("alpha_pattern", {"k_proj": "32"}),
    ("alpha_pattern", {"k_proj": 0}),
    ("layers_to_transform", ["0"]),
    ("trainable_token_indices", ["1"]),
    ("trainable_token_indices", {"embed_tokens": 1}),
    ("modules_to_save", [["lm_head"]]),
    ("exclude_modules", [1]),
    ("init_lora_weights", "pissa_niter_4"),
    ("init_lora_weights", "olora"),
    ("init_lora_weights", "LoftQ"),
    ("modules_to_save", ["https://example.org/x"]),
    ("base_model_name_or_path", "https://example.org/nano"),
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
        ({"base_model_name_or_path": "/etc"}, "/etc"),
        ({"base_model_name_or_path": "/nano/.."}, "/nano/.."),
        ({"base_model_name_or_path": f"/hub/{_ORG}/snapshots/{_COMMIT}"}, "org/name"),
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
    elsewhere = f"/home/someone/hub/{_ORG}/snapshots/"
    other = _write(tmp_path / "moved", base_model_name_or_path=elsewhere + "d" * 40)
    run(*words, other, "--digest", digest_folder(other)).says(6, "base_mismatch", "d" * 40)
    path = {"base_model_name_or_path": elsewhere + _COMMIT}
    other = _write(tmp_path / "both", **path, revision="d" * 40)
    run(*words, other, "--digest", digest_folder(other)).says(6, "base_mismatch", "d" * 40)
    assert not (bench.home / "store").exists()
    for name, base in (("same", named | {"revision": _COMMIT}), ("cached", path)):
        same = _write(tmp_path / name, **base)
        assert run(*words, same, "--digest", digest_folder(same)).code == 0


@pytest.mark.parametrize("base", ["/home/someone/models/nano", "../nano/", "C:\\models\\nano"])
@pytest.mark.usefixtures("bench")
def test_base_that_a_trainer_named_by_its_path_is_compared_by_its_folder(
    run: Run, tmp_path: Path, base: str
) -> None:
    folder = _write(tmp_path / "other", base_model_name_or_path=base)
    assert _import(run, folder).code == 0


@pytest.mark.parametrize(
    ("changes", "edit", "remedy"),
    [
        (
            {"auto_mapping": {"base_model_class": "LlamaForCausalLM", "unsloth_fixed": True}},
            {"auto_mapping": None, "task_type": "CAUSAL_LM"},
            'set auto_mapping to null and task_type to "CAUSAL_LM" in adapter_config.json',
        ),
        ({"revision": "main"}, {"revision": None}, "or null, as revision in adapter_config.json"),
        ({"unheard_of": 1}, {"unheard_of": None}, "take that key out of adapter_config.json"),
        (
            {"base_model_name_or_path": "org/other"},
            {"base_model_name_or_path": "builtin:nano"},
            "in adapter_config.json, then take the digest again",
        ),
    ],
)
@pytest.mark.usefixtures("bench")
def test_refused_adapter_is_told_the_edit_that_lets_it_pass(
    run: Run, tmp_path: Path, changes: dict[str, Any], edit: dict[str, Any], remedy: str
) -> None:
    answer = _import(run, _write(tmp_path / "other", **changes))
    assert answer.code == 6
    assert remedy in " ".join(answer.err.split())
    assert _import(run, _write(tmp_path / "edited", **changes | edit)).code == 0


@pytest.mark.usefixtures("bench")
def test_unset_keys_of_other_versions_of_peft_are_let_pass(run: Run, tmp_path: Path) -> None:
    unset: dict[str, Any] = {"arrow_config": None, "velora_config": None, "layer_replication": None}
    unset |= {"use_bdlora": False, "of_a_later_version": None, "of_another_one": False}
    assert _import(run, _write(tmp_path / "other", **unset)).code == 0


@pytest.mark.parametrize(
    "name",
    [
        *("training_args.bin", "checkpoint-10/adapter_model.safetensors", "optimizer.pt"),
        *("trainer_state.json", ".git/config", "linked"),
    ],
)
@pytest.mark.usefixtures("bench")
def test_folder_of_a_trainer_is_told_to_be_copied_without_the_rest(
    run: Run, adapter: Path, tmp_path: Path, name: str
) -> None:
    (adapter / name).parent.mkdir(exist_ok=True)
    (adapter / name).write_text("{}")
    for beside in ("README.md", "tokenizer.json", "chat_template.jinja"):
        (adapter / beside).write_text("{}")
    if name == "linked":
        (adapter / name).unlink()
        name = "adapter_model.safetensors"
        (adapter / name).rename(tmp_path / "blob")
        (adapter / name).symlink_to(tmp_path / "blob")
    words = ("--digest", f"sha256:{'0' * 64}")
    answer = run("state", "import", "training_plan", adapter, *words)
    answer.says(6, "format_refused", name)
    assert "into a folder of their own (cp -L)" in " ".join(answer.err.split())
    clean = tmp_path / "clean"
    clean.mkdir()
    for wanted in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(adapter / wanted, clean)
    assert _import(run, clean).code == 0


_LAYER = "base_model.model.model.layers.0"
_PAIR = {_A: [16, 256], _B: [128, 16]}
_OTHER_WEIGHTS: dict[str, dict[str, list[int]]] = {
    "no tensor": {},
    "no pair": {f"{_LAYER}.norm.bias": [2]},
    "A alone": {_A: [16, 2]},
    "B of one pair is missing": _PAIR | {f"{_LAYER}.mlp.up_proj.lora_A.weight": [16, 2]},
    "another rank": {_A: [8, 2], _B: [2, 8]},
    "sides of two ranks": {_A: [16, 2], _B: [2, 8]},
    "turned over": {_A: [2, 16], _B: [16, 2]},
    "gathered from no shard": {_A: [0], _B: [0]},
    "nothing in it": {_A: [16, 0], _B: [2, 16]},
    "another module": {name.replace("k_proj", "gate"): shape for name, shape in _PAIR.items()},
    "unheard of": _PAIR | {f"{_LAYER}.mlp.up_proj.weight": [2]},
    "magnitude without DoRA": _PAIR | {f"{_MODULE}.lora_magnitude_vector": [2]},
    "other names": {name.removesuffix(".weight"): shape for name, shape in _PAIR.items()},
    "both names": _complete(16, ["k_proj", "up_proj"]) | {_A.removesuffix(".weight"): [16, 256]},
}


@pytest.mark.case("ART-03")
@pytest.mark.parametrize("name", _OTHER_WEIGHTS)
def test_weights_that_the_configuration_does_not_describe_are_refused(
    bench: Bench, run: Run, tmp_path: Path, name: str
) -> None:
    folder = _write(tmp_path / "other", target_modules=["k_proj", "up_proj"])
    _write_weights(folder, _OTHER_WEIGHTS[name])
    _import(run, folder).says(1, "artifact_corrupt", "not what its configuration says")
    assert not (bench.home / "store").exists()


@pytest.mark.parametrize(
    ("changes", "shapes"),
    [
        ({"modules_to_save": ["lm_head"]}, {"base_model.model.lm_head.weight": [2048, 256]}),
        ({}, {"base_model.model.lm_head.weight": [2048, 256]}),
        ({"lora_bias": True}, {f"{_MODULE}.lora_B.bias": [128]}),
        ({"use_dora": False}, {}),
        (
            {
                "rank_pattern": {"up_proj": 4},
                "target_modules": ["k_proj", "mlp.up_proj"],
                "layers_to_transform": [0],
            },
            {
                f"{_LAYER}.mlp.up_proj.lora_A.weight": [4, 256],
                f"{_LAYER}.mlp.up_proj.lora_B.weight": [512, 4],
            },
        ),
        (
            {},
            {
                "base_model.model.model.embed_tokens.lora_embedding_A": [16, 2048],
                "base_model.model.model.embed_tokens.lora_embedding_B": [256, 16],
            },
        ),
    ],
)
@pytest.mark.usefixtures("bench")
def test_what_a_configuration_adds_to_the_factors_is_let_pass(
    run: Run, tmp_path: Path, changes: dict[str, Any], shapes: dict[str, list[int]]
) -> None:
    folder = _write(tmp_path / "other", **changes)
    _write_weights(folder, _PAIR | shapes)
    assert _import(run, folder).code == 0


_LM_HEAD = "base_model.model.lm_head.weight"
_TOKENS = "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"
_OTHER_BASE: dict[str, tuple[dict[str, Any], dict[str, list[int]]]] = {
    "layer that it lacks": ({}, {name.replace(".0.", ".4."): x for name, x in _PAIR.items()}),
    "module that it lacks": (
        {},
        {name.replace("k_proj", "g_proj"): x for name, x in _PAIR.items()},
    ),
    "wider inputs": ({}, {_A: [16, 576], _B: [128, 16]}),
    "narrower outputs": ({}, {_A: [16, 256], _B: [64, 16]}),
    "turned": ({}, {_A: [16, 128], _B: [256, 16]}),
    "some layers only": ({"target_modules": ["k_proj"]}, _PAIR),
    "one of two modules": ({"target_modules": ["k_proj", "q_proj"]}, _complete(16, ["k_proj"])),
    "layer that was to be left out": (
        {"target_modules": ["k_proj"], "layers_to_transform": [1]},
        _PAIR,
    ),
    "larger vocabulary": ({}, _PAIR | {_LM_HEAD: [2056, 256]}),
    "head in one dimension": ({}, _PAIR | {_LM_HEAD: [2048 * 256]}),
    "head that is to be there": ({"modules_to_save": ["lm_head"]}, _PAIR),
    "norms that are to be there": (
        {"modules_to_save": ["norm"]},
        _PAIR | {"base_model.model.model.norm.weight": [256]},
    ),
    "kernels": ({}, {name: [*shape, 1, 1] for name, shape in _PAIR.items()}),
    "embedding": (
        {},
        {name.replace("lora_", "lora_embedding_")[:-7]: x for name, x in _PAIR.items()},
    ),
    "rank of another module": (
        {"rank_pattern": {"up_proj": 4}},
        {_A: [4, 256], _B: [128, 4]},
    ),
    "rank of no module": ({"rank_pattern": {"k_proj": 4}}, _PAIR),
    "layer that was not chosen": ({"layers_to_transform": [1]}, _PAIR),
    "magnitude as wide as the inputs": (
        {"use_dora": True},
        _PAIR | {f"{_MODULE}.lora_magnitude_vector": [256]},
    ),
    "magnitude alone": (
        {"use_dora": True},
        _PAIR
        | {
            f"{_MODULE}.lora_magnitude_vector": [128],
            f"{_LAYER}.mlp.up_proj.lora_magnitude_vector": [512],
        },
    ),
    "no magnitude": ({"use_dora": True}, _PAIR),
    "no bias": ({"lora_bias": True}, _PAIR),
    "no tokens": ({"trainable_token_indices": [1, 2]}, _PAIR),
    "narrower tokens": ({"trainable_token_indices": [1, 2]}, _PAIR | {_TOKENS: [2, 7]}),
    "one token too many": ({"trainable_token_indices": [1, 2]}, _PAIR | {_TOKENS: [3, 256]}),
    "token that it lacks": ({"trainable_token_indices": [1, 2048]}, _PAIR | {_TOKENS: [2, 256]}),
    "magnitude of another width": (
        {"use_dora": True},
        _PAIR | {f"{_MODULE}.lora_magnitude_vector": [7]},
    ),
    "bias of another width": ({"lora_bias": True}, _PAIR | {f"{_MODULE}.lora_B.bias": [7]}),
    "module that is saved and not there": (
        {"modules_to_save": ["score"]},
        _PAIR | {"base_model.model.score.weight": [2, 2]},
    ),
    "bias that is not there": ({"bias": "all"}, _PAIR | {f"{_LAYER}.norm.bias": [2]}),
}


@pytest.mark.case("ART-04")
@pytest.mark.parametrize("name", _OTHER_BASE)
def test_weights_that_do_not_fit_the_base_are_refused(
    bench: Bench, run: Run, tmp_path: Path, name: str
) -> None:
    changes, shapes = _OTHER_BASE[name]
    if "use_dora" in changes:
        bench.edit("      optimizer:", "      use_dora: true\n      optimizer:")
    folder = _write(tmp_path / "other", **changes)
    _write_weights(folder, shapes)
    _import(run, folder).says(1, "artifact_corrupt", "the weights of the adapter")
    assert not (bench.home / "store").exists()


_PICKLE = b"\x80\x04\x95\x14\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93."


@pytest.mark.case("ART-01")
@pytest.mark.parametrize(
    "name",
    [
        *("tokenizer.json", "tokenizer_config.json", "run.json", "tokenizer.model", "merges.txt"),
        *("chat_template.jinja", "README.md", "LICENSE", ".gitattributes", "loss.png", "paper.pdf"),
    ],
)
def test_pickle_under_the_name_of_another_file_is_refused(
    bench: Bench, run: Run, adapter: Path, name: str
) -> None:
    (adapter / name).write_bytes(_PICKLE)
    _import(run, adapter).says(6, "format_refused", name)
    assert not (bench.home / "store").exists()


@pytest.mark.usefixtures("bench")
def test_files_that_are_what_their_names_say_are_let_pass(run: Run, adapter: Path) -> None:
    for path in (BUILTIN / "nano").iterdir():
        if path.name not in ("model.safetensors", "config.json"):
            shutil.copy(path, adapter)
    (adapter / "loss.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert _import(run, adapter).code == 0
    (adapter / "tokenizer.model").write_bytes((BUILTIN / "nano/tokenizer.model").read_bytes()[:-1])
    _import(run, adapter).says(6, "format_refused", "tokenizer.model")


_BITS = {"F16": "<H", "BF16": "<H", "F32": "<I"}
_LARGEST = {"F16": 0x7BFF, "BF16": 0x7F7F, "F32": 0x7F7FFFFF}
"""The bits of the largest finite number; one more are those of infinity."""


@pytest.mark.case("ART-03")
@pytest.mark.parametrize("dtype", _LARGEST)
def test_weights_that_are_not_finite_are_refused(
    bench: Bench, run: Run, tmp_path: Path, dtype: str
) -> None:
    rank = (1 << 16) // DTYPE_BYTES[dtype] * 2 // 256
    bench.edit("      optimizer:", f"      lora_r: {rank}\n      optimizer:")
    folder = _write(tmp_path / "other", r=rank)
    shapes = {_A: [rank, 256], _B: [128, rank]}
    sign = 1 << (8 * DTYPE_BYTES[dtype] - 1)
    leading = bytes((1 << 16) + 6 * DTYPE_BYTES[dtype])
    for bits in (1, 2, sign + 1):
        number = struct.pack(_BITS[dtype], _LARGEST[dtype] + bits)
        _write_weights(folder, shapes, dtype, leading + number)
        _import(run, folder).says(1, "artifact_corrupt", f"{_A} holds a number that is not finite")
    assert not (bench.home / "store").exists()
    _write_weights(folder, shapes, dtype, leading + struct.pack(_BITS[dtype], _LARGEST[dtype]))
    assert _import(run, folder).code == 0


@pytest.mark.parametrize("dtype", ["I8", "F8_E4M3", "F64"])
@pytest.mark.usefixtures("bench")
def test_weights_of_a_type_that_no_adapter_has_are_refused(
    run: Run, adapter: Path, dtype: str
) -> None:
    _write_weights(adapter, _PAIR, dtype)
    _import(run, adapter).says(1, "artifact_corrupt", f"of type {dtype}")


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
    run(*words, "--digest", f"sha256:{'0' * 64}").says(6, "format_refused", "README.md")
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
