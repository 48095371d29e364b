"""The door of training_plan: from prepared rows to a LoRA adapter and the record of its run."""

import gc
import os
import platform
import shutil
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedTokenizerBase

from brewslm.contracts import Job, Reporter, Result
from brewslm.engine.base import Loading, load_model, load_tokenizer, memory_peak_bytes, threads
from brewslm.engine.batches import packed, unpacked
from brewslm.engine.lora import add_lora, check_effect, set_trained_state
from brewslm.engine.sft import CompletionTrainer, Sequences, make_trainer
from brewslm.engine.tokens import Renderer, Tokenized, read_rows
from brewslm.engine.train_log import TrainLog
from brewslm.engine.watch import Watch
from brewslm.errors import WorkerError
from brewslm.files import write_atomic
from brewslm.fingerprint import canonical_json, digest_file
from brewslm.stages.training_config import TrainingConfig
from brewslm.stages.training_plan import TrainingPlanSpec

_LIBRARIES = ("torch", "transformers", "peft", "trl", "bitsandbytes", "datasets", "accelerate")
_ADAPTER = "lora_adapter"
_RUN = "run"
_CHECKPOINTS = "checkpoints"


def run(job: Job, report: Reporter) -> Result:
    """Train a candidate, going on from `options.resume_from` if it names a checkpoint folder.

    Writes lora_adapter/ in PEFT's format, run/ with everything that the run leaves behind, and
    checkpoints/. Raises: WorkerError with a training_* reason code.
    """
    return _Training(job, report).run()


class _Training:
    """One run of the door."""

    def __init__(self, job: Job, report: Reporter) -> None:
        self._begun_s = time.monotonic()
        self._job = job
        self._report = report
        self._folder = Path(job.folder)
        self._prepared = Path(job.inputs["prepared"])
        spec = TrainingPlanSpec.model_validate(job.spec, strict=False)
        self._host = dict(job.options.get("host", {}))
        config = spec.config.model_dump(mode="json") | self._host
        self._config = TrainingConfig.model_validate(config, strict=False)
        self._spec = spec
        self._loading = Loading.of(spec.config.model_dump(mode="json"), self._host)
        resume = str(job.options.get("resume_from", ""))
        self._resume = Path(resume) if resume else None

    def run(self) -> Result:
        """Load, train, prove, save."""
        transformers.logging.set_verbosity_error()
        torch.manual_seed(self._config.seed)
        model_folder = Path(self._job.inputs["model"])
        tokenizer = load_tokenizer(model_folder, self._loading)
        renderer = Renderer(tokenizer)
        train = self._tokenized(renderer, "train")
        validation = self._tokenized(renderer, "validation")
        if not train.rows:
            raise WorkerError(
                "no row is left to train on",
                code="training_runtime_error",
                found=str({code: len(ids) for code, ids in train.left_out.items()}),
                expected="rows that fit max_seq_length and carry loss",
                remedy="raise max_seq_length, or correct the rows",
            )
        record = self._folder / _RUN
        record.mkdir(parents=True, exist_ok=True)
        watch, trainer = self._made(model_folder, tokenizer, train, validation, record)
        setup_s = time.monotonic() - self._begun_s
        baseline = self._baseline(trainer, validation)
        self._train(watch, trainer)
        if watch.is_interrupted:
            raise WorkerError(
                f"stopped at step {trainer.state.global_step}, a checkpoint is kept",
                code="interrupted",
                remedy="brewslm apply goes on from there",
            )
        kept_step, why = self._choose(watch, trainer)
        effect = check_effect(trainer.model, train.rows[0].input_ids)
        eval_loss = self._validation_loss(watch, trainer, validation)
        adapter = self._save_adapter(trainer, renderer)
        train_s = watch.elapsed_s
        steps = trainer.state.global_step
        values = {
            "steps": steps,
            "epochs": round(float(trainer.state.epoch or 0), 4),
            "kept_step": kept_step,
            "kept_because": why,
            "stop_reason": watch.state.stop_reason or "all_steps",
            "train_loss": _last_mean(watch.state.losses),
            "eval_loss": eval_loss,
            "baseline_eval_loss": baseline,
            "eval_loss_gain": None
            if baseline is None or eval_loss is None
            else baseline - eval_loss,
            "rows": len(train.rows),
            "rows_left_out": {code: len(ids) for code, ids in sorted(train.left_out.items())},
            "trained_parameters": sum(
                parameter.numel()
                for parameter in trainer.model.parameters()
                if parameter.requires_grad
            ),
            "trained_tokens": watch.state.trained_tokens,
            "seen_tokens": watch.state.seen_tokens,
            "tokens_per_s": round(watch.state.seen_tokens / train_s, 1),
            "steps_per_s": round(steps / train_s, 3),
            "setup_s": round(setup_s, 3),
            "train_s": round(train_s, 3),
            "wall_s": round(time.monotonic() - self._begun_s, 3),
            "peak_bytes": memory_peak_bytes(),
            "device": _device_name(),
            "resumed_from_step": _step_of(self._resume),
            "template_digest": renderer.template_digest,
            **effect,
        }
        self._write_record(record, trainer, train, validation, values)
        del trainer, watch
        gc.collect()
        return Result(
            outputs={_ADAPTER: adapter.name, _RUN: record.name},
            values=values,
        )

    def _tokenized(self, renderer: Renderer, name: str) -> Tokenized:
        lines = read_rows(self._prepared, name)
        return renderer.tokenize(map(self._with_loss, lines), self._config.max_seq_length)

    def _with_loss(self, line: dict[str, Any]) -> dict[str, Any]:
        """Return a row with the loss that the config asks for instead of the task's own."""
        turns: object = self._config.assistant_only_loss
        completion: object = self._config.completion_only_loss
        if turns is True:
            return {**line, "loss": "assistant_turns"}
        if completion is True and line["loss"] == "assistant_turns":
            return {**line, "loss": "completion"}
        if completion is False:
            return {**line, "loss": "all_tokens"}
        return line

    def _made(
        self,
        model_folder: Path,
        tokenizer: PreTrainedTokenizerBase,
        train: Tokenized,
        validation: Tokenized,
        record: Path,
    ) -> tuple[Watch, CompletionTrainer]:
        model = load_model(model_folder, self._loading)
        wrapped = add_lora(model, self._config, self._loading)
        log = TrainLog(record / "train_log.csv", _step_of(self._resume) or 0)
        watch = Watch(self._config, self._report, log, wrapped)
        checkpoints = self._folder / _CHECKPOINTS
        checkpoints.mkdir(exist_ok=True)

        def on_checkpoint(step: int, path: Path) -> None:
            watch.save(path)
            _sync(path)
            self._report.checkpoint(step, f"{_CHECKPOINTS}/{path.name}")

        trainer = make_trainer(
            wrapped,
            tokenizer,
            self._config,
            self._sequences(train),
            unpacked(validation.rows),
            checkpoints,
            watch,
            on_checkpoint,
        )
        watch.trainer = trainer
        return watch, trainer

    def _sequences(self, train: Tokenized) -> Sequences:
        if self._config.sequence_packing:
            return packed(train.rows, self._config.max_seq_length)
        return unpacked(train.rows)

    def _baseline(self, trainer: CompletionTrainer, validation: Tokenized) -> float | None:
        """Return the base model's loss on the validation rows: the adapter switched off."""
        if not validation.rows:
            return None
        with trainer.model.disable_adapter():
            return trainer.mean_loss(trainer.eval_dataset)

    def _train(self, watch: Watch, trainer: CompletionTrainer) -> None:
        if self._resume is not None:
            watch.restore(self._resume)
        watch.begin()
        trainer.train(resume_from_checkpoint=str(self._resume) if self._resume else None)

    def _choose(self, watch: Watch, trainer: CompletionTrainer) -> tuple[int, str]:
        """Put the adapter in place that the run keeps; return its step and why."""
        wants_best = self._config.load_best_model_at_end
        if wants_best == "auto":
            wants_best = self._config.eval_strategy != "no"
        state = watch.state
        if wants_best and watch.best and state.best_step is not None:
            set_trained_state(trainer.model, watch.best)
            return state.best_step, f"lowest validation loss {state.best_loss:.4f}"
        return trainer.state.global_step, "last step"

    def _validation_loss(
        self, watch: Watch, trainer: CompletionTrainer, validation: Tokenized
    ) -> float | None:
        if not validation.rows:
            return None
        if watch.state.best_loss is not None and watch.best:
            return watch.state.best_loss
        return trainer.mean_loss(trainer.eval_dataset)

    def _save_adapter(self, trainer: CompletionTrainer, renderer: Renderer) -> Path:
        folder = self._folder / _ADAPTER
        shutil.rmtree(folder, ignore_errors=True)
        peft_config = trainer.model.peft_config["default"]
        peft_config.base_model_name_or_path = self._base_name()
        peft_config.inference_mode = True
        if isinstance(peft_config.target_modules, set):
            peft_config.target_modules = sorted(peft_config.target_modules)
        trainer.model.save_pretrained(str(folder), save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)
        facts = {
            "fingerprint": self._job.fingerprint,
            "template_digest": renderer.template_digest,
            "base_model": self._base_name(),
        }
        write_atomic(folder / "brewslm.json", canonical_json(facts) + b"\n", mode=0o644)
        return folder

    def _base_name(self) -> str:
        return self._config.base_model or Path(self._job.inputs["model"]).name

    def _write_record(
        self,
        record: Path,
        trainer: CompletionTrainer,
        train: Tokenized,
        validation: Tokenized,
        values: dict[str, Any],
    ) -> None:
        origins = self._job.options.get("origins", {})
        resolved = {
            "spec": self._spec.model_dump(mode="json"),
            "host": self._host,
            "origins": origins,
        }
        data = {
            name: {
                "digest": digest_file(self._prepared / file),
                "rows": len(tokenized.rows),
                "left_out": tokenized.left_out,
                "tokens": sum(len(row.input_ids) for row in tokenized.rows),
                "trained_tokens": sum(row.trained_tokens for row in tokenized.rows),
            }
            for name, file, tokenized in (
                ("train", "train.jsonl", train),
                ("validation", "val.jsonl", validation),
            )
            if (self._prepared / file).exists()
        }
        times = {
            name: values[name]
            for name in ("setup_s", "train_s", "wall_s", "steps_per_s", "tokens_per_s")
        } | {"predicted": self._job.options.get("predicted", {})}
        baseline = {
            "eval_loss": values["baseline_eval_loss"],
            "rows": len(validation.rows),
            "what": "base model, adapter switched off, same rows and masks",
        }
        for name, document in (
            ("config.resolved.json", resolved),
            ("environment.json", environment()),
            ("data.json", data),
            ("baseline_loss.json", baseline),
            ("time_metrics.json", times),
            ("result.json", values),
        ):
            write_atomic(record / name, canonical_json(document) + b"\n", mode=0o644)
        trainer.state.save_to_json(str(record / "trainer_state.json"))


def environment() -> dict[str, Any]:
    """Return what a run was made with: libraries, device, threads."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "packages": {name: _version(name) for name in _LIBRARIES},
        "device": _device_name(),
        "has_cuda": torch.cuda.is_available(),
        "has_bf16": torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        "memory_bytes": torch.cuda.get_device_properties(0).total_memory
        if torch.cuda.is_available()
        else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "threads": threads(),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _device_name() -> str:
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"


def _step_of(checkpoint: Path | None) -> int | None:
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else None


def _last_mean(losses: list[float]) -> float | None:
    window = losses[-10:]
    return sum(window) / len(window) if window else None


def _sync(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
