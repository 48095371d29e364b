"""Weights are looked at before any library opens them; what is odd is refused and never loaded."""

import json
import pickle
import re
import shutil
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brewslm.diagnostics import exit_code_of
from brewslm.errors import ExitCode, PlanError
from brewslm.plan.architectures import sizes_of
from brewslm.plan.base_model import BUILTIN, read_base_model
from brewslm.plan.digest_cache import DigestCache
from brewslm.plan.plan import Plan
from brewslm.plan.safetensors import INDEX, read_header
from brewslm.rows.templates import TEMPLATES
from brewslm.stages.chat_templates import TEMPLATE_TOKENS
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


_FIRST, _SECOND = "model.norm.weight", "model.layers.0.input_layernorm.weight"
_MOVED = {_FIRST, _SECOND}


@pytest.fixture
def shards(own_base: Bench) -> Bench:
    """Return a project whose base model has its weights in two files, with an index."""
    base = own_base.root / "base"
    weights = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").unlink()
    length = 8 + int.from_bytes(weights[:8], "little")
    header, data = json.loads(weights[8:length]), weights[length:]
    header.pop("__metadata__", None)
    places: dict[str, str] = {}
    for name, chosen in (("model-1", set(header) - _MOVED), ("model-2", _MOVED)):
        entries, kept = {}, b""
        for tensor in sorted(chosen):
            start, stop = header[tensor]["data_offsets"]
            place = [len(kept), len(kept) + stop - start]
            entries[tensor] = header[tensor] | {"data_offsets": place}
            kept += data[start:stop]
        (base / f"{name}.safetensors").write_bytes(_packed(json.dumps(entries).encode(), kept))
        places |= dict.fromkeys(chosen, f"{name}.safetensors")
    _write_index(base, places)
    assert _errors(own_base.built().plan) == []
    return own_base


def _write_index(base: Path, places: Any) -> None:
    (base / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))


@pytest.mark.case("ART-11")
@pytest.mark.parametrize(
    "change",
    [
        {_FIRST: "../x.safetensors"},
        {_FIRST: "/x.safetensors"},
        {_FIRST: "model-3.safetensors"},
        {_FIRST: "model-1.safetensors"},
        {"c": "model-2.safetensors"},
        {_FIRST: 7},
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
    shutil.copy(base / "model-2.safetensors", base / "more.safetensors")
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
        ("config.json", {"_name_or_path": "org/name", "_model_name_or_path": "org/name"}),
        ("config.json", {"_model_name_or_path": "Name of a Mix 1"}),
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
    digest = read_base_model(base, "base", DigestCache(0), own_base.root).digest
    for name in (*_ORDINARY[model], "README.md", "LICENSE", ".gitattributes"):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text("no model")
    found = read_base_model(base, "base", DigestCache(0), own_base.root)
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


# What a config asks for, against the tensors, the tokenizer and the links that are there


def _edit_header(base: Path, edit: Callable[[Header], None]) -> None:
    """Write the weights again with another header over the same data."""
    path = base / "model.safetensors"
    weights = path.read_bytes()
    length = 8 + int.from_bytes(weights[:8], "little")
    header = json.loads(weights[8:length])
    edit(header)
    path.write_bytes(_packed(json.dumps(header).encode(), weights[length:]))


_Q, _UP = "model.layers.1.self_attn.q_proj.weight", "model.layers.3.mlp.up_proj.weight"
_EMBEDDED = "model.embed_tokens.weight"


def _rename(header: Header, before: str, after: str) -> None:
    header[after] = header.pop(before)


@pytest.mark.parametrize(
    ("edit", "found"),
    [
        (lambda h: _rename(h, _Q, _Q.replace("self_attn", "attention")), f"missing: {_Q}"),
        (lambda h: _rename(h, _UP, _UP.replace(".3.", ".4.")), "unexpected: model.layers.4"),
        (lambda h: _rename(h, "model.norm.weight", "model.final.weight"), "missing: model.norm"),
        (lambda h: _rename(h, _EMBEDDED, "lm_head.weight"), f"missing: {_EMBEDDED}"),
        (lambda h: h[_UP].update(shape=h[_UP]["shape"][::-1]), f"of another shape: {_UP}"),
    ],
    ids=["renamed", "of another layer", "norm", "head alone", "transposed"],
)
def test_base_whose_tensors_are_not_those_of_its_config_is_refused(
    own_base: Bench, edit: Callable[[Header], None], found: str
) -> None:
    _edit_header(own_base.root / "base", edit)
    (error,) = [i for i in own_base.built().plan.finding_values if i.severity == "error"]
    assert (error.code, error.address) == ("BASE_WEIGHTS_MISSING", "model")
    assert found in error.found


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"num_hidden_layers": 5}, "missing: model.layers.4"),
        ({"num_hidden_layers": 3}, "unexpected: model.layers.3"),
        ({"num_key_value_heads": 4}, "of another shape: model.layers.0.self_attn.k_proj.weight"),
        ({"tie_word_embeddings": False}, "missing: lm_head.weight"),
        ({"attention_bias": True}, "missing: model.layers.0.self_attn.k_proj.bias"),
        ({"vocab_size": 2056}, "of another shape: model.embed_tokens.weight"),
    ],
)
def test_config_of_another_model_than_the_weights_is_refused(
    own_base: Bench, settings: dict[str, Any], found: str
) -> None:
    _add_settings(own_base, "config.json", settings)
    (error,) = [i for i in own_base.built().plan.finding_values if i.severity == "error"]
    assert error.code == "BASE_WEIGHTS_MISSING"
    assert found in error.found


def test_model_without_its_head_and_what_older_versions_saved_are_let_pass(own_base: Bench) -> None:
    def inner(header: Header) -> None:
        for name in [name for name in header if name.startswith("model.")]:
            _rename(header, name, name.removeprefix("model."))

    base = own_base.root / "base"
    _edit_header(base, inner)
    old = json.dumps({"layers.0.self_attn.rotary_emb.inv_freq": _tensor([2], [0, 8])}).encode()
    (base / "old.safetensors").write_bytes(_packed(old, bytes(8)))
    assert _errors(own_base.built().plan) == []
    _add_settings(own_base, "config.json", {"model_type": "cohere"})
    _edit_header(base, lambda header: _rename(header, "norm.weight", "final.weight"))
    assert _errors(own_base.built().plan) == [], "what is not known here is found by the worker"


def _add_settings(bench: Bench, name: str, settings: dict[str, Any]) -> None:
    path = bench.root / "base" / name
    document = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(document | settings))


@pytest.mark.parametrize(
    "settings",
    [
        *({"quant_method": name} for name in ("gptq", "awq", "fp8", "mxfp4", "unheard_of", "", 7)),
        {"bits": 4, "group_size": 64},
        {"quant_method": "bitsandbytes"},
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": True},
        {"quant_method": "gptq", "load_in_4bit": True},
        {"load_in_4bit": True, "bnb_4bit_quant_type": "unheard_of"},
        ["gptq"],
        "gptq",
    ],
    ids=str,
)
def test_base_that_is_quantised_in_an_unknown_way_is_refused(
    own_base: Bench, settings: Any
) -> None:
    for key in ("quantization_config", "quantization", "compression_config"):
        _add_settings(own_base, "config.json", {key: settings})
        (error,) = [i for i in own_base.built().plan.finding_values if i.severity == "error"]
        assert error.code == "MODEL_QUANTIZED"
        assert "quantization: nf4" in error.actionable_fix
        _add_settings(own_base, "config.json", {key: None})
    assert _errors(own_base.built().plan) == []


@pytest.mark.parametrize(
    ("settings", "code", "found"),
    [
        ({"model_type": "bert"}, "MODEL_ARCHITECTURE_UNFIT", "bert"),
        ({"model_type": "t5"}, "MODEL_ARCHITECTURE_UNFIT", "t5"),
        ({"model_type": "qwen3_vl"}, "MODEL_ARCHITECTURE_UNFIT", "qwen3_vl"),
        ({"model_type": "chatglm"}, "MODEL_NEEDS_CODE", "model_type: chatglm"),
        ({"model_type": None}, "BASE_REFUSED", "model_type: None"),
        ({"model_type": ["llama"]}, "BASE_REFUSED", "model_type: ['llama']"),
        ({"vocab_size": 0}, "BASE_REFUSED", "vocab_size: 0"),
        (
            {"architectures": ["LlamaForSequenceClassification"]},
            "MODEL_ARCHITECTURE_UNFIT",
            "LlamaForSequenceClassification",
        ),
        (
            {"architectures": ["ModernBertForMaskedLM"]},
            "MODEL_ARCHITECTURE_UNFIT",
            "ModernBertForMaskedLM",
        ),
    ],
    ids=str,
)
def test_base_that_is_no_causal_language_model_is_refused(
    own_base: Bench, settings: dict[str, Any], code: str, found: str
) -> None:
    _add_settings(own_base, "config.json", settings)
    (error,) = [i for i in own_base.built().plan.finding_values if i.severity == "error"]
    assert (error.code, error.found) == (code, found)


def test_sizes_under_the_names_of_gpt2_are_read() -> None:
    config = {"model_type": "gpt2", "n_embd": 8, "n_layer": 2, "n_positions": 64, "vocab_size": 9}
    assert sizes_of(config) == {
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "vocab_size": 9,
        "intermediate_size": 0,
        "max_position_embeddings": 64,
    }


@pytest.mark.parametrize("classes", [None, [], ["LlamaModel"], ["OtherForCausalLM"]], ids=str)
def test_base_without_a_class_or_a_head_of_its_own_is_let_pass(
    own_base: Bench, classes: list[str] | None
) -> None:
    _add_settings(own_base, "config.json", {"architectures": classes})
    assert _errors(own_base.built().plan) == []


def test_base_of_bitsandbytes_is_trained_on_as_it_is(own_base: Bench) -> None:
    settings = {"quant_method": "bitsandbytes", "_load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    _add_settings(own_base, "config.json", {"quantization_config": settings})
    (error,) = [i for i in own_base.built().plan.finding_values if i.severity == "error"]
    assert (error.code, error.field.rpartition(".")[2]) == ("MODEL_QUANTIZED", "quantization")
    assert "write quantization: nf4" in error.actionable_fix
    own_base.edit("      dtype: float32", "      dtype: float32\n      quantization: nf4")
    assert _errors(own_base.built().plan) == []


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_link_of_a_base_that_leads_out_of_the_project_is_refused(
    own_base: Bench, tmp_path: Path, name: str
) -> None:
    base, outside = own_base.root / "base", tmp_path / "outside"
    outside.mkdir()
    inside = own_base.root / "weights"
    inside.mkdir()
    shutil.move(base / name, inside / name)
    (base / name).symlink_to(f"../weights/{name}")
    assert _errors(own_base.built().plan) == []
    shutil.move(inside / name, outside / name)
    (inside / name).symlink_to(outside / name)
    plan = own_base.built().plan
    (error,) = [item for item in plan.finding_values if item.severity == "error"]
    assert (error.code, error.found) == ("PATH_OUTSIDE_PROJECT", str(outside / name))
    command = error.actionable_fix.partition(": ")[2]
    assert command.startswith("cp --remove-destination")
    subprocess.run(["sh", "-c", command], cwd=own_base.root, check=True)
    assert _errors(own_base.built().plan) == []


def test_snapshot_of_the_hub_links_to_its_own_blobs_and_nowhere_else(
    own_base: Bench, tmp_path: Path
) -> None:
    repository = tmp_path / "hub" / "models--org--name"
    snapshot, blobs = repository / "snapshots" / ("c" * 40), repository / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c" * 40)
    for path in (BUILTIN / "nano").iterdir():
        shutil.copy(path, blobs / path.name)
        (snapshot / path.name).symlink_to(f"../../blobs/{path.name}")
    own_base.edit("./base", "org/name")
    environment = {"HF_HUB_CACHE": str(tmp_path / "hub")}
    assert _errors(own_base.built(environment=environment).plan) == []
    shutil.move(blobs / "config.json", tmp_path / "config.json")
    (blobs / "config.json").symlink_to(tmp_path / "config.json")
    assert _errors(own_base.built(environment=environment).plan) == ["PATH_OUTSIDE_PROJECT"]


# Tokenizers


def _add_token(bench: Bench, content: str, *, special: bool = True) -> None:
    path = bench.root / "base" / "tokenizer.json"
    document = json.loads(path.read_bytes())
    known = [*document["model"]["vocab"].values(), *(t["id"] for t in document["added_tokens"])]
    token = document["added_tokens"][0] | {"content": content, "id": max(known) + 1}
    document["added_tokens"].append(token | {"special": special})
    path.write_text(json.dumps(document))


def _pad(bench: Bench) -> None:
    _add_settings(bench, "tokenizer_config.json", {"pad_token": "<|padding|>"})


def _declare(bench: Bench) -> None:
    decoder = {"2048": {"content": "<|padding|>", "special": True}}
    _add_settings(bench, "tokenizer_config.json", {"added_tokens_decoder": decoder})


def _extra(bench: Bench) -> None:
    _add_settings(bench, "tokenizer_config.json", {"extra_special_tokens": {"seen": "<|seen|>"}})


def _map(bench: Bench) -> None:
    (bench.root / "base/special_tokens_map.json").write_text('{"pad_token": "<|padding|>"}')


def _list(bench: Bench) -> None:
    (bench.root / "base/added_tokens.json").write_text('{"<|padding|>": 7000, "<s>": 1}')


@pytest.mark.parametrize(
    "add",
    [lambda bench: _add_token(bench, "<|extra|>"), _pad, _declare, _extra, _map, _list],
)
def test_tokenizer_larger_than_the_embedding_is_refused(
    own_base: Bench, add: Callable[[Bench], None]
) -> None:
    assert _errors(own_base.built().plan) == []
    add(own_base)
    (error,) = [i for i in own_base.built().plan.finding_values if i.severity == "error"]
    assert (error.code, error.found) == ("BASE_REFUSED", "2049 tokens")
    assert "resize_token_embeddings(2049)" in error.actionable_fix


def _without_template(bench: Bench) -> None:
    (bench.root / "base" / "chat_template.jinja").unlink()


def _template_of(plan: Plan) -> Any:
    (action,) = [item for item in plan.actions if item.address == "training_plan"]
    assert action.after is not None
    return action.after["spec"]["config"]["chat_template"]


def _replace_tokens(bench: Bench, names: dict[str, str]) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        path = bench.root / "base" / name
        text = path.read_text()
        for before, after in names.items():
            text = text.replace(before, after)
        path.write_text(text)


@pytest.mark.parametrize(("end", "chosen"), [("<|end|>", "phi3"), ("<|fin|>", "zephyr")])
def test_base_without_a_template_gets_one_whose_tokens_it_has(
    own_base: Bench, end: str, chosen: str
) -> None:
    _without_template(own_base)
    _replace_tokens(own_base, {"<|end|>": end})
    plan = own_base.built().plan
    assert _errors(plan) == []
    (told,) = [item for item in plan.finding_values if item.code == "CHAT_TEMPLATE_CHOSEN"]
    assert "<|eot_id|>" in told.message
    assert _template_of(plan) == chosen, "zephyr needs nothing but an end token"


@pytest.mark.parametrize("name", ["llama3", "chatml"])
def test_written_template_whose_tokens_are_missing_is_refused(own_base: Bench, name: str) -> None:
    own_base.edit("      dtype: float32", f"      dtype: float32\n      chat_template: {name}")
    assert _errors(own_base.built().plan) == [], "the base has its own"
    _without_template(own_base)
    (error,) = [i for i in own_base.built().plan.finding_values if i.severity == "error"]
    assert error.code == "TEMPLATE_TOKENS_MISSING"
    assert error.actionable_fix == "write chat_template: phi3"
    own_base.edit(f"chat_template: {name}", "chat_template: phi3")
    plan = own_base.built().plan
    assert (_errors(plan), _template_of(plan)) == ([], "phi3")


def test_named_template_in_place_of_the_base_s_own_needs_its_tokens_too(own_base: Bench) -> None:
    own_base.edit(
        "      dtype: float32",
        "      dtype: float32\n      use_tokenizer_chat_template: false\n"
        "      chat_template: chatml",
    )
    (error,) = [i for i in own_base.built().plan.finding_values if i.severity == "error"]
    assert error.code == "TEMPLATE_TOKENS_MISSING"
    assert "use_tokenizer_chat_template: true" in error.actionable_fix


def test_tokens_that_are_not_special_end_no_answer(own_base: Bench) -> None:
    _without_template(own_base)
    _replace_tokens(own_base, {"<|end|>": "<|fin|>"})
    _add_settings(own_base, "config.json", {"vocab_size": 2050, "model_type": "cohere"})
    for token in ("<|im_start|>", "<|im_end|>"):
        _add_token(own_base, token, special=False)
    assert _template_of(own_base.built().plan) == "zephyr"
    path = own_base.root / "base" / "tokenizer.json"
    path.write_text(path.read_text().replace('"special": false', '"special": true'))
    assert _template_of(own_base.built().plan) == "chatml"


def test_tokens_of_a_template_are_those_that_it_writes() -> None:
    for name, tokens in TEMPLATE_TOKENS.items():
        text = TEMPLATES[name].replace("<|' + message['role'] + '|>", "<|user|><|assistant|>")
        written = set(re.findall(r"<\|\w+\|>", text))
        assert set(tokens) == (written if tokens else set())
        assert tokens or "eos_token" in text
    assert TEMPLATE_TOKENS.keys() == TEMPLATES.keys()


def test_recorded_tokenizer_is_not_read_again(own_base: Bench) -> None:
    _without_template(own_base)
    assert own_base.apply().exit_code == 0
    recorded = own_base.records()["model"].values["tokenizer"]
    markers = ["<|assistant|>", "<|end|>", "<|user|>"]
    facts = {"tokens": 2048, "markers": markers, "has_end": True, "has_template": False}
    assert recorded == facts
    assert not own_base.built(refresh="none").plan.has_changes


def _retype(dtype: str, size_bytes: int) -> Callable[[Header], None]:
    """Return an edit after which a weight has as many rows as its bytes hold in another type."""

    def edit(header: Header) -> None:
        columns, (start, stop) = header[_UP]["shape"][1], header[_UP]["data_offsets"]
        rows = (stop - start) // (columns * size_bytes)
        header[_UP].update(dtype=dtype, shape=[rows, columns])

    return edit


@pytest.mark.parametrize(
    ("dtype", "size_bytes"), [("I8", 1), ("U8", 1), ("BOOL", 1), ("F8_E4M3", 1), ("I32", 4)]
)
@pytest.mark.parametrize("model_type", ["llama", "cohere"])
def test_weights_that_are_no_plain_numbers_are_refused_without_a_config_that_says_so(
    own_base: Bench, dtype: str, size_bytes: int, model_type: str
) -> None:
    _edit_header(own_base.root / "base", _retype(dtype, size_bytes))
    _add_settings(own_base, "config.json", {"model_type": model_type})
    (error,) = [i for i in own_base.built().plan.finding_values if i.severity == "error"]
    assert (error.code, error.found) == (
        "BASE_WEIGHTS_MISSING",
        f"of another type: {_UP} {dtype}",
    )


def test_weights_by_a_name_that_no_library_loads_are_refused_and_the_remedy_works(
    own_base: Bench,
) -> None:
    weights = own_base.root / "base" / "model.safetensors"
    weights.rename(weights.with_name("weights.safetensors"))
    (error,) = [i for i in own_base.built().plan.finding_values if i.severity == "error"]
    assert error.code == "MODEL_NOT_SAFETENSORS"
    assert error.actionable_fix == "rename weights.safetensors to model.safetensors"
    weights.with_name("weights.safetensors").rename(weights)
    assert _errors(own_base.built().plan) == []


def test_shards_without_their_index_are_refused(shards: Bench) -> None:
    (shards.root / "base" / INDEX).unlink()
    (error,) = [i for i in shards.built().plan.finding_values if i.severity == "error"]
    assert (error.code, error.actionable_fix) == ("MODEL_NOT_SAFETENSORS", f"fetch {INDEX} as well")


def test_weights_beside_the_one_file_of_a_model_are_not_counted(own_base: Bench) -> None:
    base = own_base.root / "base"
    (base / "more.safetensors").write_bytes(_packed(_TEXT, _DATA))
    plan = own_base.built().plan
    assert _errors(plan) == []
    (unread,) = [item for item in plan.finding_values if item.code == "BASE_FILES_UNREAD"]
    assert "more.safetensors" in unread.found
    _edit_header(base, lambda header: _rename(header, _UP, "model.elsewhere.weight"))
    assert _errors(own_base.built().plan) == ["BASE_WEIGHTS_MISSING"]


@pytest.mark.parametrize(
    "name",
    [
        *["config.json", "generation_config.json", "special_tokens_map.json", "tokenizer.json"],
        *["tokenizer_config.json", "added_tokens.json", "chat_template.json", "vocab.json"],
        *["chat_template.jinja", "merges.txt", INDEX],
    ],
)
def test_pickle_by_any_name_that_is_loaded_is_refused(own_base: Bench, name: str) -> None:
    (own_base.root / "base" / name).write_bytes(pickle.dumps({"a": list(range(9))}))
    assert _errors(own_base.built().plan) == ["BASE_REFUSED"]


def test_base_folder_that_is_a_link_out_of_the_project_is_called_a_link(
    own_base: Bench, tmp_path: Path
) -> None:
    shutil.move(own_base.root / "base", tmp_path / "elsewhere")
    (own_base.root / "base").symlink_to(tmp_path / "elsewhere")
    plan = own_base.built().plan
    (error,) = [item for item in plan.finding_values if item.severity == "error"]
    assert (error.code, error.found) == ("PATH_OUTSIDE_PROJECT", str(tmp_path / "elsewhere"))
    assert "is a link" in error.message
