"""Whether an exported model is the candidate: next-token distributions, top tokens, texts."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from brewslm.engine.answers import Answerer, Sampling
from brewslm.engine.batches import RightPadding
from brewslm.engine.devices import exact_sum
from brewslm.engine.token_row import TokenRow
from brewslm.engine.tokens import Renderer, read_rows
from brewslm.errors import WorkerError
from brewslm.rows.masks import IGNORED, RowFault
from brewslm.stages.export import VerifySpec

_SETS = ("gold_test", "gold_dev", "test", "validation", "train")
_TEXTS = 4
_TEXT_TOKENS = 32
_PROBES = ("naïve café Ünder Ÿ", "two  blanks and   three", " before\tand\tafter ", "a\nb\r\n\nc\n")
"""What conversions of a tokenizer get wrong first: accents, blanks, tabs, line ends."""
_BATCH = 8
_MOST_KL = {32: 1e-5, 16: 1e-3, 8: 5e-3}
_LEAST_TOP1 = {32: 0.999, 16: 0.95, 8: 0.95}
_MOST_KL_BELOW = 5e-2
_LEAST_TOP1_BELOW = 0.80


@dataclass(frozen=True)
class Evidence:
    """What a model says about a fixed list of rows."""

    log_probabilities: tuple[torch.Tensor, ...]
    """One tensor a batch, shape (answer positions, vocabulary)."""
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Parity:
    """How far an exported model is from the trained one."""

    mean_kl: float
    """Nats a position, KL(trained || exported)."""
    top1: float
    """Share of positions with the same most likely token."""
    texts_equal: float
    positions: int
    rows: int


def rows_to_compare(prepared: Path, renderer: Renderer, count: int) -> list[TokenRow]:
    """Return the first rows of the evaluation sets, answers included."""
    lines: list[dict[str, Any]] = []
    for name in _SETS:
        lines += sorted(read_rows(prepared, name), key=lambda row: str(row["row_id"]))
        if len(lines) >= count:
            break
    compared: list[TokenRow] = []
    for line in lines:
        if len(compared) == count:
            break
        with suppress(RowFault):
            compared.append(renderer.completion(line))
    return compared


@torch.inference_mode()
def evidence(model: Any, tokenizer: PreTrainedTokenizerBase, rows: Sequence[TokenRow]) -> Evidence:
    """Return the next-token distributions at the answer's positions, and a few greedy texts."""
    padding = RightPadding(tokenizer.pad_token_id)
    device = next(model.parameters()).device
    found = []
    for start in range(0, len(rows), _BATCH):
        chosen = rows[start : start + _BATCH]
        batch = padding([{"input_ids": r.input_ids, "labels": r.labels} for r in chosen])
        at = batch.pop("labels")[:, 1:] != IGNORED
        moved = {name: value.to(device) for name, value in batch.items()}
        logits = model(**moved, use_cache=False).logits[:, :-1][at.to(device)]
        found.append(torch.log_softmax(logits.float(), dim=-1).cpu())
    sampling = Sampling(_TEXT_TOKENS, Renderer(tokenizer).end_ids)
    prompts = [_prompt(row) for row in rows[:_TEXTS]]
    answers = Answerer(model, tokenizer, sampling).answer(prompts, _TEXTS, lambda _rows, _t: None)
    return Evidence(tuple(found), tuple(answer.text for answer in answers))


def compare(trained: Evidence, exported: Evidence, rows: int) -> Parity:
    """Return how far two models are apart on the same rows."""
    divergence, same, count = 0.0, 0, 0
    for ours, theirs in zip(trained.log_probabilities, exported.log_probabilities, strict=True):
        divergence += exact_sum((ours.exp() * (ours - theirs)).sum(-1))
        same += int((ours.argmax(-1) == theirs.argmax(-1)).sum())
        count += len(ours)
    pairs = list(zip(trained.texts, exported.texts, strict=True))
    equal = sum(ours == theirs for ours, theirs in pairs)
    return Parity(
        mean_kl=max(0.0, divergence / max(1, count)),
        top1=same / max(1, count),
        texts_equal=equal / max(1, len(pairs)),
        positions=count,
        rows=rows,
    )


def check(parity: Parity, spec: VerifySpec, bits: int) -> str:
    """Return what is out of bounds, nothing when all is well or the spec only warns.

    Raises: WorkerError with export_parity_failed when the spec blocks.
    """
    most = spec.max_kl if spec.max_kl is not None else _MOST_KL.get(bits, _MOST_KL_BELOW)
    least = spec.min_top1 if spec.min_top1 is not None else _LEAST_TOP1.get(bits, _LEAST_TOP1_BELOW)
    found = []
    if not parity.mean_kl <= most:
        found.append(f"mean KL {parity.mean_kl:.3g} above {most:g}")
    if not parity.top1 >= least:
        found.append(f"equal top tokens {parity.top1:.3f} below {least:g}")
    trouble = ", ".join(found)
    if trouble and spec.action == "block":
        raise WorkerError(
            "the export does not answer like the trained model",
            code="export_parity_failed",
            found=trouble,
            expected=f"KL at most {most:g} and top tokens at least {least:g}",
            remedy="choose another quantization, or widen export.verify",
        )
    return trouble


def check_tokenizer(
    ours: PreTrainedTokenizerBase, theirs: PreTrainedTokenizerBase, prepared: Path, count: int
) -> int:
    """Prove that both tokenizers have one chat template, and turn the compared prompts, and texts
    that are easily read differently, into equal ids; return how many prompts.

    Raises: WorkerError with export_parity_failed or export_tokenizer_mismatch.
    """
    if ours.get_chat_template() != theirs.get_chat_template():
        raise WorkerError(
            "the export has another chat template than the trained model",
            code="export_parity_failed",
            found=Renderer(theirs).template_digest,
            expected=Renderer(ours).template_digest,
            remedy="brewslm apply writes the export again",
        )
    left = rows_to_compare(prepared, Renderer(ours), count)
    right = rows_to_compare(prepared, Renderer(theirs), count)
    for mine, other in zip(left, right, strict=True):
        if mine.input_ids != other.input_ids:
            raise _mismatch(f"row {mine.row_id}")
    for text in _PROBES:
        if ours(text)["input_ids"] != theirs(text)["input_ids"]:
            raise _mismatch(repr(text))
    return len(left)


def _mismatch(found: str) -> WorkerError:
    return WorkerError(
        "the exported tokenizer reads a prompt differently",
        code="export_tokenizer_mismatch",
        found=found,
        expected="equal token ids",
        remedy="report this as a defect",
    )


def _prompt(row: TokenRow) -> list[int]:
    begin = next(at for at, label in enumerate(row.labels) if label != IGNORED)
    return row.input_ids[:begin]
