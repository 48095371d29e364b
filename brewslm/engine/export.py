"""The door of exports: a format writes; comparison, card and checksums are the same for all."""

import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from brewslm.contracts import Job, Reporter, Result
from brewslm.engine import models
from brewslm.engine.base import Loading, load_tokenizer
from brewslm.engine.card import write_papers
from brewslm.engine.format_writer import WRITERS, Export, FormatWriter
from brewslm.engine.models import answering_model
from brewslm.engine.parity import (
    Evidence,
    check,
    check_tokenizer,
    compare,
    evidence,
    rows_to_compare,
)
from brewslm.engine.token_row import TokenRow
from brewslm.engine.tokens import Renderer
from brewslm.stages.export import ExportFormatSpec

_FILES = "files"


def run(job: Job, report: Reporter) -> Result:
    """Write files/ and prove that the written model, opened again, answers like the candidate.

    Where a format needs the base in full precision and training held it quantised, how far the two
    are apart is told as `kl_to_quantized`. Raises: WorkerError with export_parity_failed or
    export_tokenizer_mismatch.
    """
    spec = ExportFormatSpec.model_validate(job.spec, strict=False)
    writer = WRITERS.load(spec.format)
    held = Loading.of(job.options["loading"], job.options.get("host", {}))
    folder = Path(job.folder) / _FILES
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    export = Export(
        Path(job.inputs["model"]),
        Path(job.inputs["lora_adapter"]),
        writer.loading(held),
        folder,
        job.options,
    )
    parity = _written(export, writer, held, spec, Path(job.inputs["prepared"]), report)
    card: Mapping[str, Any] = {**job.options.get("card", {}), "library": writer.library}
    write_papers(folder, card, parity, how_to_load=writer.snippet(export))
    return Result(outputs={_FILES: _FILES}, values=parity)


def _written(
    export: Export,
    writer: FormatWriter,
    held: Loading,
    spec: ExportFormatSpec,
    prepared: Path,
    report: Reporter,
) -> dict[str, Any]:
    """Write the files; return how the written model differs, empty if it is not compared."""
    verify = spec.verify
    tokenizer = load_tokenizer(export.base, export.loading)
    rows: list[TokenRow] = []
    if verify.enabled:
        rows = rows_to_compare(prepared, Renderer(tokenizer), verify.rows)

    def shown(model: Any) -> Evidence:
        return evidence(model, tokenizer, rows)

    ours: Evidence | None = None
    with ExitStack() as stack:
        is_needed = verify.enabled or writer.needs_model
        trained = stack.enter_context(writer.open(export)) if is_needed else None
        if verify.enabled:
            ours = shown(trained)
            report.progress("rows", len(rows), 2 * len(rows))
        writer.write(export, trained)
    tokenizer.save_pretrained(str(export.folder))
    if ours is None:
        return {}
    with writer.reopen(export) as exported:
        found = compare(ours, shown(exported), len(rows))
    report.progress("rows", 2 * len(rows), 2 * len(rows))
    parity = asdict(found) | {"warning": check(found, verify, writer.bits(export))}
    if held.is_quantized and export.loading != held:
        parity["kl_to_quantized"] = _kl_to_quantized(export, held, shown, ours, len(rows))
    if verify.tokenizer_parity:
        _check_saved(tokenizer, export, prepared, verify.rows)
    return parity


def _kl_to_quantized(
    export: Export, held: Loading, shown: Callable[[Any], Evidence], ours: Evidence, rows: int
) -> float:
    base, _ = models.base_model(export.base, held)
    with answering_model(base, export.lora_adapter) as quantised:
        apart = compare(shown(quantised), ours, rows)
    models.forget()
    return apart.mean_kl


def _check_saved(
    tokenizer: PreTrainedTokenizerBase, export: Export, prepared: Path, rows: int
) -> None:
    saved = load_tokenizer(export.folder, replace(export.loading, use_tokenizer_chat_template=True))
    check_tokenizer(tokenizer, saved, prepared, rows)
