"""Export format `adapter`: the LoRA adapter as a PEFT folder, with tokenizer, card, checksums."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from brewslm.contracts import Job, Reporter, Result
from brewslm.engine.base import Loading, load_tokenizer
from brewslm.engine.card import write_papers
from brewslm.engine.loading_snippet import adapter_snippet
from brewslm.engine.models import answering_model, base_model
from brewslm.engine.parity import check, check_tokenizer, compare, evidence, rows_to_compare
from brewslm.engine.tokens import Renderer
from brewslm.files import write_atomic
from brewslm.stages.export import ExportFormatSpec

_BITS = 32
_CONFIG = "adapter_config.json"
_FILES = (_CONFIG, "adapter_model.safetensors", "brewslm.json")
"""What is taken of a LoRA adapter; one that was imported may bring a tokenizer of its own."""


def run(job: Job, report: Reporter) -> Result:
    """Write files/ and prove that the base model with it answers like the candidate.

    Raises: WorkerError with export_parity_failed or export_tokenizer_mismatch.
    """
    spec = ExportFormatSpec.model_validate(job.spec, strict=False)
    folder = Path(job.folder) / "files"
    shutil.rmtree(folder, ignore_errors=True)
    source = Path(job.inputs["lora_adapter"])
    folder.mkdir(parents=True)
    for name in _FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    _name_base(folder / _CONFIG, job.options)
    loading = Loading.of(job.options["loading"], job.options.get("host", {}))
    base_folder = Path(job.inputs["model"])
    tokenizer = load_tokenizer(base_folder, loading)
    tokenizer.save_pretrained(str(folder))
    parity: dict[str, Any] = {}
    if spec.verify.enabled:
        model, _ = base_model(base_folder, loading)
        prepared = Path(job.inputs["prepared"])
        rows = rows_to_compare(prepared, Renderer(tokenizer), spec.verify.rows)
        with answering_model(model, source) as trained:
            ours = evidence(trained, tokenizer, rows)
        report.progress("rows", len(rows), 2 * len(rows))
        with answering_model(model, folder) as exported:
            theirs = evidence(exported, tokenizer, rows)
        report.progress("rows", 2 * len(rows), 2 * len(rows))
        found = compare(ours, theirs, len(rows))
        parity = asdict(found) | {"warning": check(found, spec.verify, _BITS)}
        if spec.verify.tokenizer_parity:
            saved = load_tokenizer(folder, replace(loading, use_tokenizer_chat_template=True))
            check_tokenizer(tokenizer, saved, prepared, spec.verify.rows)
    card = dict(job.options.get("card", {}))
    how_to_load = adapter_snippet(card.get("base", {}), str(job.options.get("folder", ".")))
    write_papers(folder, card, parity, how_to_load=how_to_load)
    return Result(outputs={"files": "files"}, values=parity)


def _name_base(path: Path, options: Mapping[str, Any]) -> None:
    """Make an adapter's configuration name its base as libraries load it in the project folder."""
    if "base_path" not in options:
        return
    config = json.loads(path.read_bytes())
    config["base_model_name_or_path"] = options["base_path"]
    config["revision"] = options["card"]["base"]["revision"]
    text = json.dumps(config, indent=2, sort_keys=True)
    write_atomic(path, text.encode(), mode=0o644)
