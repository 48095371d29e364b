"""Weights are looked at before any library opens them; what is odd is refused and never loaded."""

import json
import pickle
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brewslm.diagnostics import exit_code_of
from brewslm.errors import ExitCode, PlanError
from brewslm.plan.base_model import BUILTIN, read_base_model
from brewslm.plan.digest_cache import DigestCache
from brewslm.plan.plan import Plan
from brewslm.plan.safetensors import INDEX, read_header
from tests.apply.bench import Bench

Header = dict[str, Any]
_MEMORY_BYTES = 1 << 20


@pytest.fixture
def own_base(bench: Bench) -> Bench:
    """Return a project with a base model in its own folder that was never applied."""
    shutil.copytree(BUILTIN / "nano", bench.root / "base")
    bench.edit("builtin:nano", "./base")
    return bench


def _packed(header: bytes, data: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def _tensor(shape: Any, offsets: Any, dtype: Any = "F32") -> Header:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


_WHOLE = {"a": _tensor([2], [0, 8]), "b": _tensor([1, 2], [8, 16])}
_TEXT = json.dumps(_WHOLE).encode()
_DATA = bytes(16)
_REFUSED = {
    "empty": b"",
    "cut in the data": _packed(_TEXT, _DATA)[:-1],
    "cut in the header": _packed(_TEXT, _DATA)[:30],
    "trailing byte": _packed(_TEXT, _DATA + b"x"),
    "length beyond the file": (2**63).to_bytes(8, "little") + _TEXT + _DATA,
    "no JSON": _packed(b"\x80\x04]q\x00." * 9, b""),
    "a list": _packed(b"[1, 2]", b""),
    "deep": _packed(b'{"a":' * 4000 + b"1" + b"}" * 4000, b""),
    "the same name twice": _packed(
        _TEXT[:-1] + b', "a": ' + json.dumps(_WHOLE["a"]).encode() + b"}", _DATA
    ),
}
_BROKEN: dict[str, Header] = {
    "overlap": {"a": _tensor([2], [0, 8]), "b": _tensor([2], [4, 12]), "c": _tensor([1], [12, 16])},
    "hole": {"a": _tensor([2], [0, 8]), "b": _tensor([1], [12, 16])},
    "backwards": {"a": _tensor([2], [8, 0]), "b": _tensor([4], [0, 16])},
    "another size": {"a": _tensor([3], [0, 8]), "b": _tensor([2], [8, 16])},
    "overflow": {"a": _tensor([2**33, 2**31 + 1], [0, 8]), "b": _tensor([2], [8, 16])},
    "negative": {"a": _tensor([-2, -1], [0, 8]), "b": _tensor([2], [8, 16])},
    "no count": {"a": _tensor([2.0], [0, 8]), "b": _tensor([True, 2], [8, 16])},
    "no list": {"a": _tensor("2", [0, 8]), "b": _tensor([2], [8, 16])},
    "one offset": {"a": _tensor([2], [0]), "b": _tensor([2], [8, 16])},
    "unknown type": {"a": _tensor([4], [0, 16], "F31")},
    "no type": {"a": _tensor([4], [0, 16], ["F32"])},
    "no entry": {"a": 7},
    "more keys": {"a": _tensor([4], [0, 16]) | {"code": "x"}},
    "a hidden name": {"a\u202e": _tensor([4], [0, 16])},
    "metadata": {"__metadata__": {"a": {"b": 1}}, "a": _tensor([4], [0, 16])},
}
_REFUSED |= {name: _packed(json.dumps(item).encode(), _DATA) for name, item in _BROKEN.items()}


@pytest.mark.case("ART-03")
@pytest.mark.parametrize("name", _REFUSED)
def test_weights_that_are_not_whole_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(_packed(_TEXT, _DATA))
    assert read_header(path) == {"a": ("F32", [2]), "b": ("F32", [1, 2])}
    path.write_bytes(_REFUSED[name])
    tracemalloc.start()
    with pytest.raises(PlanError) as caught:
        read_header(path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.code == "MODEL_NOT_SAFETENSORS"
    assert peak_bytes < _MEMORY_BYTES


def _errors(plan: Plan) -> list[str]:
    return [item.code for item in plan.finding_values if item.severity == "error"]


class _Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return (Path.touch, (self._path,))


@pytest.mark.case("ART-01", "ART-02")
@pytest.mark.parametrize("name", ["pytorch_model.bin", "adapter_model.bin", "model.safetensors"])
def test_pickled_weights_are_refused_unopened(own_base: Bench, tmp_path: Path, name: str) -> None:
    canary = tmp_path / "canary"
    (own_base.root / "base" / "model.safetensors").unlink()
    (own_base.root / "base" / name).write_bytes(pickle.dumps(_Canary(canary)))
    plan = own_base.built().plan
    assert _errors(plan) == ["MODEL_NOT_SAFETENSORS"]
    assert exit_code_of(plan.finding_values) is ExitCode.ERROR
    assert not canary.exists()


@pytest.fixture
def shards(own_base: Bench) -> Bench:
    """Return a project whose base model has its weights in two files, with an index."""
    base = own_base.root / "base"
    weights = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").rename(base / "model-1.safetensors")
    (base / "model-2.safetensors").write_bytes(_packed(_TEXT, _DATA))
    header = json.loads(weights[8 : 8 + int.from_bytes(weights[:8], "little")])
    names = [name for name in header if name != "__metadata__"]
    places = dict.fromkeys(names, "model-1.safetensors") | dict.fromkeys(
        "ab", "model-2.safetensors"
    )
    _write_index(base, places)
    assert _errors(own_base.built().plan) == []
    return own_base


def _write_index(base: Path, places: Any) -> None:
    (base / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))


@pytest.mark.case("ART-11")
@pytest.mark.parametrize(
    "change",
    [
        {"a": "../x.safetensors"},
        {"a": "/x.safetensors"},
        {"a": "model-3.safetensors"},
        {"a": "model-1.safetensors"},
        {"c": "model-2.safetensors"},
        {"a": 7},
    ],
)
def test_index_that_says_something_else_than_the_files_is_refused(
    shards: Bench, change: dict[str, Any]
) -> None:
    base = shards.root / "base"
    places = json.loads((base / INDEX).read_text())["weight_map"]
    _write_index(base, places | change)
    plan = shards.built().plan
    assert _errors(plan) == ["BASE_REFUSED"]
    assert exit_code_of(plan.finding_values) is ExitCode.REFUSED


@pytest.mark.case("ART-11")
def test_shards_that_no_index_names_and_odd_indexes_are_refused(shards: Bench) -> None:
    base = shards.root / "base"
    index = (base / INDEX).read_text()
    for text in ("{", "[]", "{}", '{"weight_map": []}'):
        (base / INDEX).write_text(text)
        assert _errors(shards.built().plan) == ["BASE_REFUSED"]
    (base / INDEX).write_text(index)
    (base / "more.safetensors").write_bytes(
        _packed(_TEXT.replace(b'"a"', b'"x"').replace(b'"b"', b'"y"'), _DATA)
    )
    assert _errors(shards.built().plan) == ["BASE_REFUSED"]
    (base / "more.safetensors").write_bytes(_packed(_TEXT, _DATA))
    assert _errors(shards.built().plan) == ["MODEL_NOT_SAFETENSORS"], "a tensor in two files"


@pytest.mark.case("ART-04")
@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("config.json", "auto_map", {"AutoModelForCausalLM": "modeling.Evil"}),
        ("config.json", "_attn_implementation", "sdpa"),
        ("config.json", "attn_implementation", "org/kernel"),
        ("config.json", "vision_config", {"deep": [{"auto_map": {}}]}),
        ("config.json", "vision_config", {"weights": "../other"}),
        ("generation_config.json", "custom_generate", "org/decoding"),
        ("generation_config.json", "trust_remote_code", True),
        ("tokenizer_config.json", "auto_map", {"AutoTokenizer": ["tokenization.Evil", None]}),
        ("tokenizer_config.json", "tokenizer_file", "other.json"),
        ("tokenizer_config.json", "vocab_file", "/etc/passwd"),
        ("tokenizer_config.json", "vocab_file", "vocab.json"),
        ("tokenizer_config.json", "vocab_file", ["tokenizer.model"]),
        ("tokenizer_config.json", "tokenizer_file", {"a": "tokenizer.json"}),
        ("special_tokens_map.json", "auto_map", {}),
        ("config.json", "_experts_implementation", "org/experts"),
        ("config.json", "_unheard_of", ["a"]),
        ("config.json", "_load", {"a": 1}),
        ("config.json", "trust_remote_code", False),
    ],
)
def test_config_of_a_base_is_refused_by_its_key(
    own_base: Bench, name: str, key: str, value: Any
) -> None:
    path = own_base.root / "base" / name
    document = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(document | {key: value}))
    plan = own_base.built().plan
    (error,) = [item for item in plan.finding_values if item.severity == "error"]
    assert (error.code, name in error.message) == ("CONFIG_KEY_REFUSED", True)
    assert error.found in (key, "auto_map", "weights")
    assert exit_code_of(plan.finding_values) is ExitCode.REFUSED


def test_what_libraries_write_into_configs_is_let_pass(own_base: Bench) -> None:
    base = own_base.root / "base"
    for name, more in (
        ("config.json", {"_name_or_path": "org/name", "quantization_config": {"_load_in_4bit": 1}}),
        ("config.json", {"_attn_implementation_autoset": True, "_remove_final_layer_norm": False}),
        ("config.json", {"_pre_quantization_dtype": "bfloat16", "_unheard_of": 0.5}),
        ("config.json", {"time_step_limit": [0.0, {"__float__": "Infinity"}]}),
        ("config.json", {"model_name": "org/name", "finetuned_from": "org/name"}),
        ("config.json", {"base_model": "n/a", "teacher_model": "org/teacher"}),
        ("config.json", {"id2label": {"0": "n/a"}, "label2id": {"n/a": 0, "_": 1}}),
        (
            "tokenizer_config.json",
            {"vocab_file": "tokenizer.model", "tokenizer_file": "tokenizer.json"},
        ),
        ("generation_config.json", {"_from_model_config": True}),
        ("tokenizer_config.json", {"name_or_path": "org/name", "tokenizer_file": None}),
        ("tokenizer_config.json", {"chat_template": "a/b", "model_max_length": 10**30}),
    ):
        (base / name).write_text(json.dumps(json.loads((base / name).read_text()) | more))
    for name in ("README.md", "LICENSE", "LICENSE.txt", ".gitattributes", "figure.png"):
        (base / name).write_text("for people")
    (base / ".cache").mkdir()
    assert _errors(own_base.built().plan) == []


_TRAINER = ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth")
_RESULTS = ("all_results.json", "eval_results.json", "train_results.json", "trainer_state.json")
_ORDINARY: dict[str, tuple[str, ...]] = {
    "SmolLM2-135M-Instruct": (*_RESULTS, "training_args.bin", "onnx/model.onnx", "runs/a/events.0"),
    "TinyLlama-1.1B-Chat": ("eval_results.json",),
    "Llama-3.2-1B-Instruct": ("original/consolidated.00.pth", "original/params.json"),
    "DeepSeek-R1-Distill-Qwen-1.5B": ("figures/benchmark.jpg", "configuration.json"),
    "gemma-2b": ("gemma-2b.gguf",),
    "gemma-3-1b-it": ("preprocessor_config.json", "processor_config.json"),
    "Mistral-7B": ("consolidated.safetensors", "params.json", "tokenizer.model.v3"),
    "merged": ("mergekit_config.yml",),
    "several templates": ("additional_chat_templates/rag.jinja",),
    "GPT-2": ("pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "rust_model.ot"),
    "saved by a trainer": (*_TRAINER, "trainer_state.json", "checkpoint-10/model.safetensors"),
    "exported": ("SHA256SUMS", "run.json", "brewslm.json"),
}
"""What lies beside config, tokenizer and weights in folders of models that people have."""


@pytest.mark.parametrize("model", _ORDINARY)
def test_ordinary_folder_of_a_model_is_read_and_the_rest_of_it_told(
    own_base: Bench, model: str
) -> None:
    base = own_base.root / "base"
    digest = read_base_model(base, "base", DigestCache(0)).digest
    for name in (*_ORDINARY[model], "README.md", "LICENSE", ".gitattributes"):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text("no model")
    found = read_base_model(base, "base", DigestCache(0))
    assert found.digest == digest
    assert set(found.unread) == {name.partition("/")[0] for name in _ORDINARY[model]}
    plan = own_base.built().plan
    assert _errors(plan) == []
    (told,) = [item for item in plan.finding_values if item.code == "BASE_FILES_UNREAD"]
    assert told.found == ", ".join(found.unread)


@pytest.mark.case("ART-01", "ART-14")
@pytest.mark.parametrize(
    "name",
    [
        "a.py",
        "a.pyc",
        "a.PYD",
        "a.so",
        "a.so.1.2",
        "a.dll",
        "a.dylib",
        ".a.py",
        "a.exe",
        "adapter_config.json",
    ],
)
def test_code_or_a_lora_adapter_in_the_folder_of_a_base_is_refused(
    own_base: Bench, name: str
) -> None:
    (own_base.root / "base" / name).write_text("{}")
    plan = own_base.built().plan
    (error,) = [item for item in plan.finding_values if item.severity == "error"]
    assert (error.code, error.found) == ("BASE_REFUSED", name)
    assert exit_code_of(plan.finding_values) is ExitCode.REFUSED


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.json", "{"),
        ("config.json", "[]"),
        ("config.json", '{"hidden_size": 1, "hidden_size": 2}'),
        ("config.json", '{"hidden_size": NaN}'),
        ("config.json", '{"hidden_size": [1]}'),
        ("config.json", '{"hidden_size": -1}'),
        ("config.json", '{"vocab_size": ' + "9" * 5000 + "}"),
        ("config.json", '{"a":' * 40 + "1" + "}" * 40),
        ("tokenizer_config.json", '{"a":' * 9000),
    ],
)
def test_config_that_is_no_plain_object_is_refused(own_base: Bench, name: str, text: str) -> None:
    (own_base.root / "base" / name).write_text(text)
    assert _errors(own_base.built().plan) == ["BASE_REFUSED"]


def _with_tokenizer(bench: Bench, **changes: Any) -> None:
    path = bench.root / "base" / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))


@pytest.mark.case("ART-12")
@pytest.mark.parametrize(
    "name", ["tokenizer.json", "vocab.json", "merges.txt", "tokenizer.model", "added_tokens.json"]
)
def test_tokenizer_of_a_gigabyte_is_refused_unread(own_base: Bench, name: str) -> None:
    with (own_base.root / "base" / name).open("wb") as stream:
        stream.truncate(1 << 30)
    digests = DigestCache(0)
    tracemalloc.start()
    plan = own_base.built(digests=digests).plan
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    (error,) = [item for item in plan.finding_values if item.severity == "error"]
    assert (error.code, name in error.message) == ("BASE_REFUSED", True)
    assert exit_code_of(plan.finding_values) is ExitCode.REFUSED
    assert not [key for key in digests.entries if "base" in key]
    assert peak_bytes < 32 * _MEMORY_BYTES


@pytest.mark.case("ART-12")
@pytest.mark.parametrize(
    "normalizer",
    [
        {"type": "Replace", "pattern": {"Regex": "[\\s\\S]"}, "content": ""},
        {"type": "Replace", "pattern": {"Regex": "no end ("}, "content": ""},
        {"type": "Unheard"},
    ],
    ids=["drops everything", "no expression", "no normaliser"],
)
def test_tokenizer_that_is_of_no_use_is_refused(own_base: Bench, normalizer: Any) -> None:
    _with_tokenizer(own_base, normalizer=normalizer)
    plan = own_base.built().plan
    assert _errors(plan) == ["BASE_REFUSED"]
    assert exit_code_of(plan.finding_values) is ExitCode.REFUSED


@pytest.mark.case("ART-12")
@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("(a+)+$", "PanicException"),
        pytest.param(r"a*a*\d", "processor time", marks=pytest.mark.slow),
    ],
)
def test_tokenizer_whose_expression_goes_back_for_ever_is_ended(
    own_base: Bench, expression: str, why: str
) -> None:
    split = {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated"}
    _with_tokenizer(own_base, pre_tokenizer=split | {"invert": False})
    plan = own_base.built().plan
    (error,) = [item for item in plan.finding_values if item.severity == "error"]
    assert (error.code, why in error.found) == ("BASE_REFUSED", True)


def test_tokenizer_in_order_counts_tokens(own_base: Bench) -> None:
    plan = own_base.built().plan
    dataset = next(item for item in plan.actions if item.address == "dataset")
    assert dataset.after is not None
    assert dataset.after["values"]["manifest"]["lengths"]["provenance"] == "measured"
