"""The door of training_plan: from prepared rows to a LoRA adapter and the record of its run."""

import gc
import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from brewslm.contracts import Job, Reporter, Result
from brewslm.engine import devices
from brewslm.engine.base import Loading, attention_of, load_model, load_tokenizer
from brewslm.engine.lora import add_lora, check_effect, set_trained_state
from brewslm.engine.micro_batch import MicroBatch
from brewslm.engine.mode_work import WORK
from brewslm.engine.out_of_memory import first_line, is_out_of_memory
from brewslm.engine.row_account import account_of, compare, steps_per_epoch
from brewslm.engine.run_record import data_document, environment
from brewslm.engine.sequences import unpacked
from brewslm.engine.stopping import choose_adapter, loss_of_kept
from brewslm.engine.token_row import Tokenized
from brewslm.engine.tokens import Renderer, read_rows
from brewslm.engine.train_log import TrainLog
from brewslm.engine.trainer import ModeTrainer, make_trainer
from brewslm.engine.watch import Watch, held_in
from brewslm.engine.weights import check_vocabulary
from brewslm.errors import WorkerError
from brewslm.files import swap_folder, sync_file, sync_folder, write_atomic
from brewslm.fingerprint import canonical_json
from brewslm.rows.record import Split
from brewslm.stages.training_config import TrainingConfig
from brewslm.stages.training_plan import TrainingPlanSpec

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
        self._model_folder = Path(job.inputs["model"])
        spec = TrainingPlanSpec.model_validate(job.spec, strict=False)
        self._host = dict(job.options.get("host", {}))
        config = spec.config.model_dump(mode="json") | self._host
        self._config = TrainingConfig.model_validate(config, strict=False)
        self._spec = spec
        self._work = WORK.load(spec.training_mode)
        self._loading = Loading.of(spec.config.model_dump(mode="json"), self._host)
        resume = str(job.options.get("resume_from", ""))
        self._resume = Path(resume) if resume else None
        self._newest_checkpoint: Path | None = None
        held = MicroBatch.of(self._config)
        self._held = held.resumed(held_in(self._resume)) if self._resume else held
        self._planned: Mapping[str, Any] = job.options.get("planned", {})
        """Rows of an epoch and steps of the run, as the plan counted them."""
        self._tries: list[dict[str, Any]] = []
        """Micro-batches that memory did not hold, and what was said."""

    def run(self) -> Result:
        """Load, train, prove, save."""
        transformers.logging.set_verbosity_error()
        tokenizer = load_tokenizer(self._model_folder, self._loading)
        renderer = Renderer(tokenizer)
        lines = read_rows(self._prepared, "train")
        train = self._work.tokenize(renderer, lines, self._config)
        held_out = read_rows(self._prepared, "validation")
        validation = self._work.tokenize(renderer, held_out, self._config)
        if not train.rows:
            raise WorkerError(
                "no row is left to train on",
                code="training_runtime_error",
                found=str({code: len(ids) for code, ids in train.left_out.items()}),
                expected="rows that fit max_seq_length and carry loss",
                remedy="raise max_seq_length, or correct the rows",
            )
        self._account = account_of(self._prepared, lines, train)
        self._account.check_epoch(self._planned)
        self._sequences = self._work.sequence(self._account.rows, self._config)
        (self._folder / _RUN).mkdir(parents=True, exist_ok=True)
        while True:
            try:
                return self._tried(renderer, tokenizer, train, validation)
            except (RuntimeError, MemoryError, OSError) as error:
                if not is_out_of_memory(error):
                    raise
                why = first_line(error) or "the host's memory is used up"
            self._step_down(why)

    def _step_down(self, why: str) -> None:
        """Choose a smaller micro-batch for the next try, and tell about it.

        Raises: WorkerError with training_oom when there is none, or no try is left.
        """
        devices.release_memory()
        failed, smaller = self._held, self._held.smaller()
        self._tries.append({"held": asdict(failed), "why": why})
        if smaller is None or not self._may_try_again:
            raise self._out_of_memory(why, smaller)
        self._held = smaller
        if self._newest_checkpoint is not None:
            self._resume = self._newest_checkpoint
        step = _step_of(self._resume) or 0
        self._report.warn(
            "training_oom",
            f"memory ran out with {failed}; trying {smaller} from step {step}",
            {"failed": asdict(failed), "held": asdict(smaller), "step": step, "why": why},
        )

    @property
    def _may_try_again(self) -> bool:
        config = self._config
        return config.auto_oom_retry and len(self._tries) <= config.max_oom_retries

    def _out_of_memory(self, why: str, smaller: MicroBatch | None) -> WorkerError:
        if smaller is None:
            remedy = "lower max_seq_length, write quantization: nf4, or name a smaller base_model"
        elif self._config.auto_oom_retry:
            remedy = f"raise max_oom_retries, or write {smaller}"
        else:
            remedy = f"write auto_oom_retry: true, or {smaller}"
        tried = "; ".join(str(MicroBatch(**item["held"])) for item in self._tries)
        return WorkerError(
            "memory ran out", code="training_oom", found=f"{why}; tried {tried}", remedy=remedy
        )

    def _tried(
        self,
        renderer: Renderer,
        tokenizer: PreTrainedTokenizerBase,
        train: Tokenized,
        validation: Tokenized,
    ) -> Result:
        """Train with the micro-batch that is held now."""
        torch.manual_seed(self._config.seed)
        record = self._folder / _RUN
        watch, trainer = self._made(tokenizer, validation, record)
        setup_s = time.monotonic() - self._begun_s
        baseline = self._baseline(trainer, validation)
        self._check_steps(trainer)
        self._train(watch, trainer)
        if watch.is_interrupted:
            raise WorkerError(
                f"stopped at step {trainer.state.global_step}, a checkpoint is kept",
                code="interrupted",
                remedy="brewslm apply goes on from there",
            )
        seen = self._checked_rows(watch, trainer)
        kept_step, why = self._choose(watch, trainer)
        effect = check_effect(trainer.model, train.rows[0].input_ids)
        eval_loss = self._validation_loss(watch, trainer, validation, kept_step)
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
            "rows_effective": len(self._account.rows),
            "rows_seen": sum(seen.values()) if seen else None,
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
            "peak_bytes": devices.memory_peak_bytes(),
            "device": devices.facts().name,
            "attn_implementation": attention_of(trainer.model),
            "resumed_from_step": _step_of(self._resume),
            "template_digest": renderer.template_digest,
            "held": asdict(self._held),
            "oom_tries": self._tries,
            **effect,
        }
        self._write_record(record, trainer, train, validation, values, seen)
        del trainer, watch
        gc.collect()
        return Result(
            outputs={_ADAPTER: adapter.name, _RUN: record.name},
            values=values,
        )

    def _check_steps(self, trainer: ModeTrainer) -> None:
        """Check that the run has the steps that were planned, before the first of them.

        Where they follow from lengths in tokens, a difference is told and the run goes on: the plan
        reads the tokenizer file by itself, and transformers may read some files differently.

        Raises: WorkerError with training_data_mismatch.
        """
        steps = self._config.max_steps
        if steps <= 0:
            per_epoch = steps_per_epoch(len(trainer.order), self._held.rows_a_step)
            steps = math.ceil(self._config.num_epochs * per_epoch)
        wanted = self._planned.get("steps", steps)
        is_by_length = self._config.sequence_packing and self._config.max_steps <= 0
        if is_by_length or self._planned.get("rows") != len(self._account.rows):
            if steps != wanted:
                text = f"the run has {steps} steps, the plan counted {wanted}"
                facts = {"steps": steps, "planned": dict(self._planned)}
                self._report.warn("training_data_mismatch", text, facts)
            return
        compare("steps", {"steps": steps}, {"steps": wanted})

    def _checked_rows(self, watch: Watch, trainer: ModeTrainer) -> dict[str, int]:
        """Return the rows that the model saw, by source; empty where not all were counted.

        Raises: WorkerError with training_data_mismatch where they are others than its steps show.
        """
        if not watch.is_counting:
            return {}
        seen = self._account.named(trainer.seen_rows)
        steps = trainer.state.global_step
        self._account.check_run(self._sequences, trainer.order, self._held.rows_a_step, steps, seen)
        return seen

    def _made(
        self,
        tokenizer: PreTrainedTokenizerBase,
        validation: Tokenized,
        record: Path,
    ) -> tuple[Watch, ModeTrainer]:
        config = self._held.applied_to(self._config)
        wrapped = add_lora(self._base(tokenizer), config, self._loading)
        log = TrainLog(record / "train_log.csv", _step_of(self._resume) or 0)
        watch = Watch(config, self._report, log, wrapped, asdict(self._held))
        checkpoints = self._folder / _CHECKPOINTS
        checkpoints.mkdir(exist_ok=True)

        def on_checkpoint(step: int, made: Path) -> None:
            watch.save(made)
            _sync(made)
            path = checkpoints / made.name
            swap_folder(made, path)
            superseded = _older(checkpoints, step)[config.save_total_limit - 1 :]
            self._report.checkpoint(
                step,
                f"{_CHECKPOINTS}/{path.name}",
                [f"{_CHECKPOINTS}/{item.name}" for item in superseded],
            )
            self._newest_checkpoint = path

        trainer = make_trainer(
            self._work.losses,
            wrapped,
            tokenizer,
            config,
            self._sequences,
            unpacked(validation.rows),
            checkpoints,
            watch,
            on_checkpoint,
            self._config.batch_size if self._config.dataloader_drop_last else 1,
        )
        watch.trainer = trainer
        return watch, trainer

    def _base(self, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
        """Return the base model; where not even that fits, no micro-batch helps."""
        try:
            model = load_model(self._model_folder, self._loading)
        except (RuntimeError, MemoryError, OSError) as error:
            if not is_out_of_memory(error):
                raise
            raise WorkerError(
                "memory does not hold the weights of the base model",
                code="training_oom",
                found=first_line(error),
                remedy="write quantization: nf4, or name a smaller base_model",
            ) from error
        check_vocabulary(model, tokenizer)
        return model

    def _baseline(self, trainer: ModeTrainer, validation: Tokenized) -> float | None:
        """Return the base model's loss on the validation rows: the adapter switched off."""
        if not validation.rows:
            return None
        with trainer.model.disable_adapter():
            return trainer.mean_loss(trainer.eval_dataset)

    def _train(self, watch: Watch, trainer: ModeTrainer) -> None:
        if self._resume is not None:
            watch.restore(self._resume)
        watch.begin()
        trainer.train(resume_from_checkpoint=str(self._resume) if self._resume else None)

    def _choose(self, watch: Watch, trainer: ModeTrainer) -> tuple[int, str]:
        """Put the adapter in place that the run keeps; return its step and why."""
        return choose_adapter(
            watch.state,
            trainer.state.global_step,
            self._config,
            has_best=bool(watch.best),
            put_back=lambda: set_trained_state(trainer.model, watch.best),
        )

    def _validation_loss(
        self, watch: Watch, trainer: ModeTrainer, validation: Tokenized, kept_step: int
    ) -> float | None:
        if not validation.rows:
            return None
        return loss_of_kept(watch.state, kept_step, lambda: trainer.mean_loss(trainer.eval_dataset))

    def _save_adapter(self, trainer: ModeTrainer, renderer: Renderer) -> Path:
        folder = self._folder / _ADAPTER
        shutil.rmtree(folder, ignore_errors=True)
        peft_config = trainer.model.peft_config["default"]
        base = self._job.options.get("base") or {"name": self._model_folder.name}
        peft_config.base_model_name_or_path = base["name"]
        peft_config.revision = base.get("revision")
        peft_config.inference_mode = True
        if isinstance(peft_config.target_modules, set):
            peft_config.target_modules = sorted(peft_config.target_modules)
        trainer.model.save_pretrained(str(folder), save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)
        facts = {
            "fingerprint": self._job.fingerprint,
            "template_digest": renderer.template_digest,
            "base_model": base["name"],
        }
        write_atomic(folder / "brewslm.json", canonical_json(facts) + b"\n", mode=0o644)
        return folder

    def _write_record(
        self,
        record: Path,
        trainer: ModeTrainer,
        train: Tokenized,
        validation: Tokenized,
        values: dict[str, Any],
        seen: dict[str, int],
    ) -> None:
        times = {
            name: values[name]
            for name in ("setup_s", "train_s", "wall_s", "steps_per_s", "tokens_per_s")
        }
        documents = {
            "config.resolved": {
                "spec": self._spec.model_dump(mode="json"),
                "host": self._host,
                "held": asdict(self._held),
                "origins": self._job.options.get("origins", {}),
            },
            "environment": environment(),
            "data": data_document(
                self._prepared,
                {Split.TRAIN: train, Split.VALIDATION: validation},
            )
            | {"sources": self._account.document(seen)},
            "baseline_loss": {
                "eval_loss": values["baseline_eval_loss"],
                "rows": len(validation.rows),
                "what": "base model, adapter switched off, same rows and masks",
            },
            "time_metrics": times | {"predicted": self._job.options.get("predicted", {})},
            "result": values,
        }
        for name, document in documents.items():
            data = canonical_json(document) + b"\n"
            write_atomic(record / f"{name}.json", data, mode=0o644)
        trainer.state.save_to_json(str(record / "trainer_state.json"))


def _step_of(checkpoint: Path | None) -> int | None:
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else None


def _last_mean(losses: list[float]) -> float | None:
    window = losses[-10:]
    return sum(window) / len(window) if window else None


def _older(checkpoints: Path, step: int) -> list[Path]:
    """Return the checkpoints before a step, the newest first."""
    found = [path for path in checkpoints.glob("checkpoint-*") if (_step_of(path) or 0) < step]
    return sorted(found, key=lambda path: -(_step_of(path) or 0))


def _sync(folder: Path) -> None:
    """Make a folder that a library wrote durable: its files, then the folders that name them."""
    for path in sorted(folder.rglob("*"), reverse=True):
        sync_folder(path) if path.is_dir() else sync_file(path)
    sync_folder(folder)
