"""A model whose files lack a tensor, or hold another one, is never trained on or written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from brewslm.contracts import Job
from brewslm.engine import export
from brewslm.engine import run as training
from brewslm.engine.base import Loading, load_model
from brewslm.engine.formats import safetensors as merged
from brewslm.engine.models import answering_model, base_model, forget
from brewslm.errors import WorkerError
from tests.engine.loaded.conftest import NANO, Listener

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:Found missing adapter keys:UserWarning"),
]

Tensors = dict[str, torch.Tensor]
_Q = "model.layers.1.self_attn.q_proj.weight"
_LOADINGS = (Loading(), Loading(dtype="bfloat16"), Loading("nf4"), Loading("int8"))


def _renamed(tensors: Tensors) -> None:
    tensors["model.layers.1.attention.q_proj.weight"] = tensors.pop(_Q)


def _removed(tensors: Tensors) -> None:
    del tensors["model.norm.weight"]


def _added(tensors: Tensors) -> None:
    tensors["model.layers.4.mlp.up_proj.weight"] = torch.zeros(2, 2)


def _narrowed(tensors: Tensors) -> None:
    tensors[_Q] = tensors[_Q][:-1].clone()


def _untied(tensors: Tensors) -> None:
    tensors["lm_head.bias"] = torch.zeros(2)


_CHANGES = {
    "missing: model.layers.1.self_attn.q_proj.weight": _renamed,
    "missing: model.norm.weight": _removed,
    "unexpected: model.layers.4.mlp.up_proj.weight": _added,
    "q_proj.weight [255, 256] instead of [256, 256]": _narrowed,
    "unexpected: lm_head.bias": _untied,
}


def _base(folder: Path, change: Callable[[Tensors], None]) -> Path:
    """Write the built-in base with other tensors."""
    shutil.copytree(NANO, folder)
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize("loading", _LOADINGS, ids=["float32", "bfloat16", "nf4", "int8"])
@pytest.mark.parametrize("found", _CHANGES)
def test_base_without_its_tensors_is_refused(tmp_path: Path, found: str, loading: Loading) -> None:
    folder = _base(tmp_path / "base", _CHANGES[found])
    with pytest.raises(WorkerError) as caught:
        load_model(folder, loading)
    assert caught.value.code == "base_weights_missing"
    assert found in caught.value.found


@pytest.mark.parametrize("loading", _LOADINGS, ids=["float32", "bfloat16", "nf4", "int8"])
def test_base_with_what_is_recomputed_or_tied_is_loaded(tmp_path: Path, loading: Loading) -> None:
    def change(tensors: Tensors) -> None:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
        tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(32)

    def inner(tensors: Tensors) -> None:
        for name in list(tensors):
            tensors[name.removeprefix("model.")] = tensors.pop(name)

    load_model(_base(tmp_path / "full", change), loading)
    load_model(_base(tmp_path / "inner", inner), loading)


def test_training_on_such_a_base_trains_nothing(
    tmp_path: Path, training_job: Callable[..., Job]
) -> None:
    job = training_job()
    inputs = {**job.inputs, "model": str(_base(tmp_path / "base", _renamed))}
    with pytest.raises(WorkerError) as caught:
        training.run(job.model_copy(update={"inputs": inputs}), Listener())
    assert caught.value.code == "base_weights_missing"
    assert not (Path(job.folder) / "lora_adapter").exists()


def test_tokenizer_larger_than_the_embedding_is_refused(
    tmp_path: Path, training_job: Callable[..., Job]
) -> None:
    folder = _base(tmp_path / "base", lambda _: None)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    tokenizer.add_special_tokens({"pad_token": "<|padding|>"})
    tokenizer.save_pretrained(folder)
    forget()
    job = training_job()
    inputs = {**job.inputs, "model": str(folder)}
    for load in (
        lambda: base_model(folder, Loading()),
        lambda: training.run(job.model_copy(update={"inputs": inputs}), Listener()),
    ):
        with pytest.raises(WorkerError) as caught:
            load()
        assert caught.value.code == "base_refused"
        assert "2048" in caught.value.found
    model = load_model(folder, Loading())
    model.resize_token_embeddings(2049)
    model.save_pretrained(folder)
    base_model(folder, Loading())
    forget()


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an adapter of two modules of the built-in base, as PEFT writes it."""
    folder = tmp_path_factory.mktemp("adapter")
    config = LoraConfig(r=4, target_modules=["q_proj", "up_proj"], init_lora_weights=False)
    get_peft_model(load_model(NANO, Loading()), config).save_pretrained(str(folder))
    return folder


_A = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


def _without(tensors: Tensors) -> None:
    del tensors[_A]


def _beyond(tensors: Tensors) -> None:
    tensors[_A.replace("layers.0", "layers.9")] = tensors[_A].clone()


def _wider(tensors: Tensors) -> None:
    tensors[_A] = torch.zeros(4, 300)


@pytest.mark.parametrize(
    ("change", "found"),
    [(_without, "missing: "), (_beyond, "unexpected: "), (_wider, "size mismatch")],
    ids=["missing", "unexpected", "wider"],
)
def test_adapter_without_its_tensors_is_refused_and_leaves_no_trace(
    adapter: Path, tmp_path: Path, change: Callable[[Tensors], None], found: str
) -> None:
    folder = shutil.copytree(adapter, tmp_path / "adapter")
    tensors = load_file(folder / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    probe = torch.tensor([[5, 6, 7]])
    model, _ = base_model(NANO, Loading())
    before = model(input_ids=probe).logits.detach()
    with pytest.raises(WorkerError) as caught, answering_model(model, folder):
        pass
    assert caught.value.code == "base_weights_missing"
    assert found in caught.value.found
    model, _ = base_model(NANO, Loading())
    assert torch.equal(model(input_ids=probe).logits.detach(), before)


def test_biases_of_an_adapter_do_not_stay_in_the_base(tmp_path: Path) -> None:
    base = _base(tmp_path / "base", _biased)
    settings = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(settings | {"attention_bias": True}))
    trained = get_peft_model(
        load_model(base, Loading()), LoraConfig(r=4, target_modules=["q_proj"], bias="all")
    )
    with torch.no_grad():
        for name, parameter in trained.named_parameters():
            if name.endswith(".bias"):
                parameter.add_(1)
    trained.save_pretrained(str(tmp_path / "adapter"))
    probe = torch.tensor([[5, 6, 7]])
    model, _ = base_model(base, Loading())
    before = model(input_ids=probe).logits.detach()
    with answering_model(model, tmp_path / "adapter") as tuned:
        assert not torch.equal(tuned(input_ids=probe).logits.detach(), before)
    model, _ = base_model(base, Loading())
    assert torch.equal(model(input_ids=probe).logits.detach(), before)


def _biased(tensors: Tensors) -> None:
    for name in [name for name in tensors if ".self_attn." in name]:
        tensors[name.replace(".weight", ".bias")] = torch.zeros(tensors[name].shape[0])


def test_embeddings_of_an_adapter_do_not_stay_in_the_base(adapter: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(adapter, tmp_path / "adapter")
    tensors = load_file(folder / "adapter_model.safetensors")
    tensors["base_model.model.lm_head.weight"] = torch.ones(2048, 256)
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    probe = torch.tensor([[5, 6, 7]])
    model, _ = base_model(NANO, Loading())
    before = model(input_ids=probe).logits.detach().clone()
    with answering_model(model, folder):
        pass
    model, _ = base_model(NANO, Loading())
    assert torch.equal(model(input_ids=probe).logits.detach(), before)


def test_export_that_lost_a_tensor_is_not_kept(
    adapter: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = merged._save

    def losing(model: Any, dtype: torch.dtype, folder: Path) -> None:
        saved(model, dtype, folder)
        tensors = load_file(folder / "model.safetensors")
        _renamed(tensors)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    monkeypatch.setattr(merged, "_save", losing)
    loading = {
        "quantization": "none",
        "dtype": "float32",
        "bnb_4bit_use_double_quant": True,
        "chat_template": "llama3",
        "use_tokenizer_chat_template": True,
    }
    job = Job(
        job_id="e",
        door="brewslm.engine.export:run",
        address="export.safetensors",
        spec={"format": "safetensors"},
        inputs={"model": str(NANO), "prepared": str(prepared), "lora_adapter": str(adapter)},
        options={"loading": loading, "card": {}},
        folder=str(tmp_path),
    )
    with pytest.raises(WorkerError) as caught:
        export.run(job, Listener())
    assert caught.value.code == "base_weights_missing"
