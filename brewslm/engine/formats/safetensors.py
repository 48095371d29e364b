"""Export format `safetensors`: base model and adapter merged in float32, saved in the base's dtype,
with tokenizer and chat template.
"""

import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, PreTrainedModel

from brewslm.contracts import Job, Reporter, Result
from brewslm.engine import models
from brewslm.engine.base import Loading, load_model, load_tokenizer
from brewslm.engine.card import write_papers
from brewslm.engine.devices import DTYPES
from brewslm.engine.loading_snippet import merged_snippet
from brewslm.engine.lora import attach
from brewslm.engine.models import answering_model
from brewslm.engine.parity import check, check_tokenizer, compare, evidence, rows_to_compare
from brewslm.engine.tokens import Renderer
from brewslm.stages.export import ExportFormatSpec

_BITS = {torch.float32: 32, torch.float16: 16, torch.bfloat16: 8}
"""Bits that say how close the merged model has to be: bfloat16 keeps 8 of a number, and rounding
to it moves a small adapter as far as 8-bit quantisation does.
"""


def run(job: Job, report: Reporter) -> Result:
    """Write files/ and prove that the merged model, reloaded, answers like the candidate.

    A base that was quantised while training is not what is merged into: the full-precision base
    is, and how far the two are apart is told as `kl_to_quantized`. Raises: WorkerError with
    export_parity_failed or export_tokenizer_mismatch.
    """
    spec = ExportFormatSpec.model_validate(job.spec, strict=False)
    folder = Path(job.folder) / "files"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    models.forget()
    held = Loading.of(job.options["loading"], job.options.get("host", {}))
    full = replace(held, quantization="none", dtype="float32")
    base_folder, lora_adapter = Path(job.inputs["model"]), Path(job.inputs["lora_adapter"])
    tokenizer = load_tokenizer(base_folder, full)
    rows = rows_to_compare(Path(job.inputs["prepared"]), Renderer(tokenizer), spec.verify.rows)
    trained = attach(load_model(base_folder, full), lora_adapter)
    ours = evidence(trained, tokenizer, rows) if spec.verify.enabled else None
    report.progress("rows", len(rows), 2 * len(rows))
    merged = trained.merge_and_unload(safe_merge=True)
    dtype = _base_dtype(base_folder)
    _save(merged, dtype, folder)
    tokenizer.save_pretrained(str(folder))
    parity: dict[str, Any] = {}
    if ours is not None:
        reloaded = load_model(folder, replace(full, dtype=_name(dtype)))
        found = compare(ours, evidence(reloaded, tokenizer, rows), len(rows))
        report.progress("rows", 2 * len(rows), 2 * len(rows))
        parity = asdict(found) | {"warning": check(found, spec.verify, _BITS[dtype])}
        if held.is_quantized:
            base, _ = models.base_model(base_folder, held)
            with answering_model(base, lora_adapter) as quantised:
                apart = compare(evidence(quantised, tokenizer, rows), ours, len(rows))
            parity["kl_to_quantized"] = apart.mean_kl
            models.forget()
        if spec.verify.tokenizer_parity:
            saved = load_tokenizer(folder, replace(full, use_tokenizer_chat_template=True))
            check_tokenizer(tokenizer, saved, Path(job.inputs["prepared"]), spec.verify.rows)
    card = {**job.options.get("card", {}), "library": "transformers"}
    how_to_load = merged_snippet(str(job.options.get("folder", ".")))
    write_papers(folder, card, parity, how_to_load=how_to_load)
    return Result(outputs={"files": "files"}, values=parity)


def _save(model: PreTrainedModel, dtype: torch.dtype, folder: Path) -> None:
    model.to(dtype)
    model.config.dtype = dtype
    model.save_pretrained(str(folder))


def _base_dtype(folder: Path) -> torch.dtype:
    found = AutoConfig.from_pretrained(str(folder), local_files_only=True).dtype
    return found if isinstance(found, torch.dtype) and found in _BITS else torch.float32


def _name(dtype: torch.dtype) -> str:
    return next(name for name, value in DTYPES.items() if value is dtype)
