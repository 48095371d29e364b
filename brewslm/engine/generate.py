"""The door of predictions: a model's answers to the rows of prepared sets, and how likely it finds
the references.
"""

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import torch

from brewslm.contracts import Job, Reporter, Result
from brewslm.engine.answers import Answer, Answerer, Sampling
from brewslm.engine.base import Loading
from brewslm.engine.batches import RightPadding
from brewslm.engine.losses import token_losses
from brewslm.engine.models import answering_model, base_model
from brewslm.engine.token_row import TokenRow
from brewslm.engine.tokens import Renderer, read_rows
from brewslm.errors import WorkerError
from brewslm.files import write_atomic
from brewslm.rows.masks import IGNORED, RowFault
from brewslm.stages.eval_pack import EvalPackContentSpec
from brewslm.tasks.task import TASKS

_PARITY_ROWS = 32
_SPARE_TOKENS = 4
_LONGER = 1.25


def run(job: Job, report: Reporter) -> Result:
    """Write predictions.<role>.<set>.jsonl for one role, a line a row, ordered by row_id.

    options: role; sets, the names of prepared sets; loading, the training config's values that say
    how the base is held; host. Raises: WorkerError.
    """
    begun_s = time.monotonic()
    spec = EvalPackContentSpec.model_validate(job.spec, strict=False)
    options = job.options
    loading = Loading.of(options["loading"], options.get("host", {}))
    model, tokenizer = base_model(Path(job.inputs["model"]), loading)
    renderer = Renderer(tokenizer)
    adapter = job.inputs.get("lora_adapter")
    sets = {name: _rows(Path(job.inputs["prepared"]), name) for name in sorted(options["sets"])}
    total = sum(map(len, sets.values()))
    outputs: dict[str, str] = {}
    values: dict[str, Any] = {"rows": total, "max_new_tokens": {}}
    tokens, parity = 0, []
    done = 0
    with answering_model(model, Path(adapter) if adapter else None) as answering:
        for name, rows in sets.items():
            made = _Set(answering, renderer, spec, rows, str(options["role"]), name)
            lines = made.lines(report, done, total)
            done += len(rows)
            tokens += made.new_tokens
            if loading.is_quantized or loading.dtype != "float32":
                parity.append(made.parity_rate())
            output = f"predictions.{options['role']}.{name}"
            path = Path(job.folder) / f"{output}.jsonl"
            write_atomic(path, b"".join(orjson.dumps(line) + b"\n" for line in lines))
            outputs[output] = path.name
            values["max_new_tokens"][name] = made.max_new_tokens
    wall_s = time.monotonic() - begun_s
    values |= {
        "new_tokens": tokens,
        "wall_s": round(wall_s, 3),
        "tokens_per_s": round(tokens / wall_s, 1) if wall_s else None,
        "batch_parity_rate": min(parity) if parity else None,
        "template_digest": renderer.template_digest,
    }
    return Result(outputs=outputs, values=values)


class _Set:
    """The rows of one prepared set, answered by one model."""

    def __init__(
        self,
        model: Any,
        renderer: Renderer,
        spec: EvalPackContentSpec,
        rows: Sequence[Mapping[str, Any]],
        role: str,
        name: str,
    ) -> None:
        self._model = model
        self._renderer = renderer
        self._spec = spec
        self._role = role
        self._name = name
        self._rows: list[Mapping[str, Any]] = []
        """Those that can be put before the model."""
        self._refused: list[tuple[Mapping[str, Any], RowFault]] = []
        self._prompts: list[list[int]] = []
        self._references: list[TokenRow] = []
        for row in rows:
            self._take(row)
        self.max_new_tokens = spec.generation.max_new_tokens or self._longest()
        self._answerer = Answerer(model, renderer.tokenizer, self._sampling())
        self._answers: list[Answer] = []
        self.new_tokens = 0

    def lines(self, report: Reporter, done: int, total: int) -> list[dict[str, Any]]:
        """Return the prediction lines.

        Raises: WorkerError with interrupted when the parent asked to stop.
        """
        begun_s = time.monotonic()

        def on_progress(rows: int, tokens: int) -> None:
            elapsed_s = time.monotonic() - begun_s
            speed = tokens / elapsed_s if elapsed_s else None
            report.progress("rows", done + rows, total, {"tokens_per_s": speed})

        try:
            self._answers = self._answerer.answer(
                self._prompts,
                self._spec.generation.batch_size,
                on_progress,
                report.is_stop_requested,
            )
        except InterruptedError as error:
            raise WorkerError(
                "stopped while answering",
                code="interrupted",
                remedy="brewslm apply answers these rows again",
            ) from error
        self.new_tokens = sum(len(answer.token_ids) for answer in self._answers)
        likelihoods = self._likelihoods()
        lines = [
            {
                "row_id": row["row_id"],
                "dataset": self._name,
                "role": self._role,
                "epoch": 0,
                "prompt_digest": _digest(prompt),
                "prompt_tokens": len(prompt),
                "output": answer.text,
                "new_tokens": len(answer.token_ids),
                "finish": answer.finish,
                "nll_sum": nll,
                "nll_tokens": count,
                "error_code": answer.error_code or None,
                "attempts": 1,
            }
            for row, prompt, answer, (nll, count) in zip(
                self._rows, self._prompts, self._answers, likelihoods, strict=True
            )
        ]
        lines += [self._refused_line(row, fault) for row, fault in self._refused]
        return sorted(lines, key=lambda line: str(line["row_id"]))

    def _take(self, row: Mapping[str, Any]) -> None:
        """Keep a row with its prompt and its reference, or why there are none."""
        try:
            prompt, reference = self._renderer.prompt(row), self._renderer.completion(row)
        except RowFault as fault:
            self._refused.append((row, fault))
            return
        self._rows.append(row)
        self._prompts.append(prompt)
        self._references.append(reference)

    def _refused_line(self, row: Mapping[str, Any], fault: RowFault) -> dict[str, Any]:
        """Return the prediction of a row that the model never saw: an error, never an answer."""
        return {
            "row_id": row["row_id"],
            "dataset": self._name,
            "role": self._role,
            "epoch": 0,
            "prompt_digest": None,
            "prompt_tokens": 0,
            "output": "",
            "new_tokens": 0,
            "finish": "error",
            "nll_sum": None,
            "nll_tokens": 0,
            "error_code": str(fault.code),
            "attempts": 1,
        }

    def parity_rate(self) -> float:
        """Return the share of the first rows whose text is the same when answered alone."""
        prompts = self._prompts[:_PARITY_ROWS]
        if not prompts:
            return 1.0
        alone = self._answerer.answer(prompts, 1, lambda _rows, _tokens: None)
        same = [one.text == many.text for one, many in zip(alone, self._answers, strict=False)]
        return sum(same) / len(same)

    def _sampling(self) -> Sampling:
        generation = self._spec.generation
        return Sampling(
            max_new_tokens=self.max_new_tokens,
            end_ids=self._renderer.end_ids,
            temperature=generation.temperature,
            top_p=generation.top_p,
            seed=self._spec.seeds[0] if self._spec.seeds else 0,
            stop=generation.stop,
        )

    def _longest(self) -> int:
        """Return the tokens that an answer may have: a quarter more than the longest reference of
        the set, within the limits of the task.
        """
        longest = max((row.trained_tokens for row in self._references), default=0)
        task = TASKS.load(str(self._rows[0]["task_profile"])) if self._rows else None
        floor, cap = (task.answer_tokens_floor, task.answer_tokens_cap) if task else (1, 1)
        return min(max(math.ceil(_LONGER * longest) + _SPARE_TOKENS, floor), cap)

    def _likelihoods(self) -> list[tuple[float, int]]:
        """Return the negative log-likelihood of each reference and its tokens, teacher-forced."""
        padding = RightPadding(self._renderer.tokenizer.pad_token_id)
        device = next(self._model.parameters()).device
        order = sorted(
            range(len(self._references)), key=lambda i: -len(self._references[i].input_ids)
        )
        found: dict[int, tuple[float, int]] = {}
        size = self._spec.generation.batch_size
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            rows = [self._references[index] for index in chosen]
            batch = padding([_sequence(row) for row in rows])
            moved = {name: value.to(device) for name, value in batch.items()}
            with torch.inference_mode():
                losses = token_losses(self._model, moved, torch.float32).cpu().double()
            at = 0
            for index, row in zip(chosen, rows, strict=True):
                count = sum(label != IGNORED for label in row.labels[1:])
                found[index] = (float(losses[at : at + count].sum()), count)
                at += count
        return [found[index] for index in range(len(self._references))]


def _rows(prepared: Path, name: str) -> list[dict[str, Any]]:
    return sorted(read_rows(prepared, name), key=lambda row: str(row["row_id"]))


def _sequence(row: TokenRow) -> dict[str, list[int]]:
    return {"input_ids": row.input_ids, "labels": row.labels}


def _digest(prompt: list[int]) -> str:
    return "sha256:" + hashlib.sha256(orjson.dumps(prompt)).hexdigest()
