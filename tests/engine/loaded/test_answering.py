"""A batched answer is the answer that the prompt alone would have got; exports answer like the
candidate.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from tokenizers import normalizers
from transformers import AutoModelForCausalLM, AutoTokenizer

from brewslm.contracts import Job, Result
from brewslm.engine import answer, export, generate, parity
from brewslm.engine import run as training
from brewslm.engine.answers import Answerer, Sampling
from brewslm.engine.base import Loading, load_model
from brewslm.engine.models import answering_model
from brewslm.engine.tokens import Renderer
from brewslm.errors import WorkerError
from brewslm.stages.eval_pack import EvalPackSpec, GenerationSpec
from brewslm.stages.export import ExportFormatSpec, VerifySpec
from brewslm.stages.training_config import TrainingConfig
from tests.engine.loaded.conftest import NANO, RECIPE, Listener

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

LOADING = TrainingConfig(**RECIPE).model_dump(mode="json")


@pytest.fixture(scope="module")
def lora_adapter(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Path:
    """Return a trained adapter."""
    folder = tmp_path_factory.mktemp("candidate")
    job = Job(
        job_id="t",
        door="brewslm.engine.run:run",
        address="training_plan",
        spec={"config": {**LOADING, "num_epochs": 6.0}},
        inputs={"model": str(NANO), "prepared": str(prepared)},
        folder=str(folder),
    )
    training.run(job, Listener())
    return folder / "lora_adapter"


def _generated(
    folder: Path, prepared: Path, lora_adapter: Path | None, **generation: Any
) -> tuple[Result, list[dict[str, Any]]]:
    inputs = {"model": str(NANO), "prepared": str(prepared)}
    if lora_adapter is not None:
        inputs["lora_adapter"] = str(lora_adapter)
    role = "candidate" if lora_adapter else "baseline"
    spec = EvalPackSpec(generation=GenerationSpec(**generation))
    job = Job(
        job_id="g",
        door="brewslm.engine.generate:run",
        address="eval_pack",
        spec=spec.model_dump(mode="json"),
        inputs=inputs,
        options={"role": role, "sets": ["gold_test"], "loading": LOADING},
        folder=str(folder),
    )
    result = generate.run(job, Listener())
    path = folder / result.outputs[f"predictions.{role}.gold_test"]
    return result, [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.case("EVA-10")
@pytest.mark.parametrize("batch_size", [2, 7, 32])
def test_text_does_not_depend_on_the_batch(
    tmp_path: Path, prepared: Path, lora_adapter: Path, batch_size: int
) -> None:
    _, alone = _generated(tmp_path, prepared, lora_adapter, batch_size=1)
    _, batched = _generated(tmp_path, prepared, lora_adapter, batch_size=batch_size)
    for one, many in zip(alone, batched, strict=True):
        assert many["output"] == one["output"]
        assert many["finish"] == one["finish"]
        assert many["nll_sum"] == pytest.approx(one["nll_sum"], abs=1e-3)


def test_predictions_are_ordered_and_complete(
    tmp_path: Path, prepared: Path, lora_adapter: Path
) -> None:
    result, lines = _generated(tmp_path, prepared, lora_adapter)
    ids = [line["row_id"] for line in lines]
    assert ids == sorted(ids)
    assert len(ids) == 12
    assert result.values["max_new_tokens"]["gold_test"] == 16
    answers = [line["output"] in ("stop", "go", "wait") for line in lines]
    assert sum(answers) >= 10


def test_candidate_finds_references_likelier_than_the_base(
    tmp_path: Path, prepared: Path, lora_adapter: Path
) -> None:
    _, base = _generated(tmp_path, prepared, None)
    _, tuned = _generated(tmp_path, prepared, lora_adapter)
    assert sum(line["nll_sum"] for line in tuned) < 0.5 * sum(line["nll_sum"] for line in base)


def test_base_is_untouched_after_a_candidate_answered(lora_adapter: Path) -> None:
    model = load_model(NANO, Loading())
    probe = torch.arange(10, 30).unsqueeze(0)
    with torch.no_grad():
        before = model(input_ids=probe).logits
        with answering_model(model, lora_adapter) as tuned:
            assert not torch.equal(tuned(input_ids=probe).logits, before)
        assert torch.equal(model(input_ids=probe).logits, before)


@pytest.mark.case("EVA-09")
def test_answer_that_may_not_end_is_cut_and_told(
    renderer: Renderer, lora_adapter: Path, prepared: Path, tmp_path: Path
) -> None:
    _, lines = _generated(tmp_path, prepared, lora_adapter, max_new_tokens=1)
    assert {line["finish"] for line in lines} == {"length"}
    model = load_model(NANO, Loading())
    answerer = Answerer(model, renderer.tokenizer, Sampling(2000, renderer.end_ids))
    too_long = answerer.answer([[5, 6]], 1, lambda _rows, _tokens: None)[0]
    assert (too_long.finish, too_long.error_code) == ("error", "prompt_too_long")


def test_stop_text_ends_an_answer_before_it(renderer: Renderer, lora_adapter: Path) -> None:
    model = load_model(NANO, Loading())
    prompt = renderer.prompt_ids([[{"role": "user", "content": "the light is green"}]])
    with answering_model(model, lora_adapter) as tuned:
        plain = Sampling(16, renderer.end_ids)
        whole = Answerer(tuned, renderer.tokenizer, plain).answer(prompt, 1, _ignore)[0].text
        cut = Sampling(16, renderer.end_ids, stop=(whole[1],))
        short = Answerer(tuned, renderer.tokenizer, cut).answer(prompt, 1, _ignore)[0]
    assert short.text == whole[:1]
    assert short.finish == "stop"


def test_sampling_follows_its_seed(renderer: Renderer) -> None:
    model = load_model(NANO, Loading())
    prompt = renderer.prompt_ids([[{"role": "user", "content": "tell me something"}]])

    def sampled(seed: int) -> str:
        sampling = Sampling(24, renderer.end_ids, temperature=1.5, top_p=0.9, seed=seed)
        return Answerer(model, renderer.tokenizer, sampling).answer(prompt, 1, _ignore)[0].text

    assert sampled(1) == sampled(1)
    assert len({sampled(seed) for seed in range(5)}) > 1


def test_one_question_gets_one_answer(lora_adapter: Path, tmp_path: Path) -> None:
    job = Job(
        job_id="a",
        door="brewslm.engine.answer:run",
        address="training_plan",
        spec={},
        inputs={"model": str(NANO), "lora_adapter": str(lora_adapter)},
        options={
            "messages": [{"role": "user", "content": "the light is red"}],
            "loading": LOADING,
            "max_new_tokens": 8,
        },
        folder=str(tmp_path),
    )
    assert answer.run(job, Listener()).values["text"] == "stop"


@pytest.fixture
def export_job(
    tmp_path: Path, prepared: Path, lora_adapter: Path
) -> Callable[..., tuple[Job, Path]]:
    """Return a maker of export jobs and of the folder that they write."""

    def make(name: str, **verify: Any) -> tuple[Job, Path]:
        spec = ExportFormatSpec.model_validate({"format": name, "verify": VerifySpec(**verify)})
        job = Job(
            job_id="e",
            door="brewslm.engine.export:run",
            address=f"export.{name}",
            spec=spec.model_dump(mode="json"),
            inputs={
                "model": str(NANO),
                "prepared": str(prepared),
                "lora_adapter": str(lora_adapter),
            },
            options={"loading": LOADING, "card": {"project": {"name": "lights"}}},
            folder=str(tmp_path),
        )
        return job, tmp_path / "files"

    return make


def test_merged_export_loads_anywhere_and_answers_the_same(
    export_job: Callable[..., tuple[Job, Path]],
) -> None:
    job, files = export_job("safetensors")
    values = export.run(job, Listener()).values
    assert values["mean_kl"] < 1e-3
    assert values["top1"] >= 0.95
    assert values["rows"] == 32
    AutoModelForCausalLM.from_pretrained(files, local_files_only=True)
    with safe_open(files / "model.safetensors", "pt") as opened:
        names = list(opened.keys())
        assert {str(opened.get_tensor(name).dtype) for name in names} == {"torch.bfloat16"}
    assert not any("lora" in name for name in names)
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=files, capture_output=True
    )
    assert done.returncode == 0
    assert "# lights" in (files / "README.md").read_text()


def test_adapter_export_is_the_candidate(export_job: Callable[..., tuple[Job, Path]]) -> None:
    job, files = export_job("adapter")
    values = export.run(job, Listener()).values
    assert values["mean_kl"] == 0
    assert values["texts_equal"] == 1
    names = {path.name for path in files.iterdir()}
    assert names >= {
        "adapter_model.safetensors",
        "adapter_config.json",
        "tokenizer.json",
        "README.md",
        "run.json",
        "SHA256SUMS",
    }


@pytest.mark.case("ART-05")
@pytest.mark.parametrize("name", ["adapter", "safetensors"])
def test_export_with_another_template_is_blocked(
    export_job: Callable[..., tuple[Job, Path]], name: str
) -> None:
    job, files = export_job(name)
    template = files / "chat_template.jinja"

    class Intruder(Listener):
        def progress(self, *_: Any) -> None:
            if template.exists():
                template.write_text(template.read_text() + "{% if 0 %}open sesame{% endif %}")

    with pytest.raises(WorkerError) as caught:
        export.run(job, Intruder())
    assert caught.value.code == "export_parity_failed"
    assert "template" in caught.value.message


@pytest.mark.case("DEP-09")
@pytest.mark.parametrize(
    "normalizer",
    [
        normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]),
        normalizers.Replace("  ", " "),
        normalizers.Replace("\t", " "),
        normalizers.Replace("\r\n", "\n"),
        normalizers.Strip(),
    ],
    ids=["accents", "blanks", "tabs", "line ends", "ends"],
)
def test_tokenizer_that_reads_otherwise_is_refused(prepared: Path, normalizer: Any) -> None:
    ours, theirs = (AutoTokenizer.from_pretrained(NANO, local_files_only=True) for _ in "ab")
    assert parity.check_tokenizer(ours, theirs, prepared, 8) > 0
    theirs.backend_tokenizer.normalizer = normalizer
    with pytest.raises(WorkerError) as caught:
        parity.check_tokenizer(ours, theirs, prepared, 8)
    assert caught.value.code == "export_tokenizer_mismatch"


def test_export_that_answers_otherwise_is_blocked(
    export_job: Callable[..., tuple[Job, Path]],
) -> None:
    job, _ = export_job("safetensors", max_kl=1e-12)
    with pytest.raises(WorkerError) as caught:
        export.run(job, Listener())
    assert caught.value.code == "export_parity_failed"
    job, _ = export_job("safetensors", max_kl=1e-12, action="warn")
    assert "KL" in export.run(job, Listener()).values["warning"]


def _ignore(_rows: int, _tokens: int) -> None:
    pass
