"""The trainer of every mode: TRL's on our rows, with own order, sums of losses and checkpoints.

The loss is the sum of the losses of an optimizer step over the number of its items, whatever the
micro-batches; the mode says what an item is and what it costs.
"""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from torch.utils.data import Sampler
from transformers import PreTrainedTokenizerBase, TrainerCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from brewslm.engine.batches import Flattening, RightPadding, RowOrder
from brewslm.engine.devices import (
    check_single,
    dtype_of,
    exact_sum,
    kind,
    pins_memory,
    restore_random_state,
    scales_gradients,
)
from brewslm.engine.lora import set_trained_state, trained_state
from brewslm.engine.mode_work import Losses, Sequences
from brewslm.engine.sequences import SOURCES
from brewslm.engine.write_faults import find_write_fault, write_error
from brewslm.rows.masks import IGNORED
from brewslm.stages.training_config import TrainingConfig

MAKING = ".making"
"""Folder beside the checkpoints in which the next one is written."""


class ModeTrainer(SFTTrainer):
    """TRL's SFTTrainer with own order, losses, evaluation and checkpoints."""

    def __init__(
        self,
        *,
        losses: Losses,
        order: RowOrder,
        compute_dtype: torch.dtype,
        on_checkpoint: Callable[[int, Path], None],
        **given: Any,
    ) -> None:
        """losses: of a micro-batch; on_checkpoint: called with the step and the folder that Trainer
        has written it to.
        """
        before = trained_state(given["model"])
        super().__init__(**given)
        set_trained_state(self.model, before)
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        self.loss_is_scaled_for_ga = True
        self.order = order
        self._losses = losses
        self._compute_dtype = compute_dtype
        self._on_checkpoint = on_checkpoint
        self.trained_tokens = 0
        self.seen_tokens = 0
        self.seen_rows: Counter[int] = Counter()
        """Rows by the number of their source."""

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Return the sum of the losses of this micro-batch over the tokens of the whole step."""
        if return_outputs:
            raise ValueError("outputs are not kept")
        sources = inputs.pop(SOURCES, None)
        losses = self._losses(model, inputs, self._compute_dtype)
        if self.model.training:
            self.trained_tokens += losses.numel()
            self.seen_tokens += inputs["input_ids"].numel()
            self.seen_rows.update([] if sources is None else sources.tolist())
        count = losses.numel() if num_items_in_batch is None else num_items_in_batch
        return losses.sum() / torch.as_tensor(count, device=losses.device).clamp(min=1)

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,  # noqa: ARG002  the library's signature
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Return the loss a trained token of the validation rows."""
        chosen = self.eval_dataset if eval_dataset is None else eval_dataset
        loss = self.mean_loss(chosen)
        metrics = {f"{metric_key_prefix}_loss": loss}
        self.log(dict(metrics))
        handler: Any = self.callback_handler
        self.control: Any = handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def mean_loss(self, sequences: Any) -> float:
        """Return the mean loss of a trained token, in evaluation mode."""
        was_training = self.model.training
        self.model.eval()
        total, count = 0.0, 0
        handler: Any = self.callback_handler
        with torch.no_grad():
            for batch in self.get_eval_dataloader(sequences):
                losses = self._losses(self.model, self._prepare_inputs(batch), self._compute_dtype)
                total += exact_sum(losses)
                count += losses.numel()
                handler.on_prediction_step(self.args, self.state, self.control)
        self.model.train(was_training)
        return total / max(1, count)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Return the schedule of the rate; a run of one step has no warm-up, which begins at 0."""
        if num_training_steps == 1:
            self.args.warmup_steps = 0
        return super().create_scheduler(num_training_steps, optimizer)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:  # noqa: ARG002
        return self.order

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> torch.Tensor | None:
        counts = [batch["labels"][..., 1:].ne(IGNORED).sum() for batch in batch_samples]
        return torch.stack(counts).sum().to(device) if counts else None

    def _load_rng_state(self, checkpoint: str | None) -> None:
        super()._load_rng_state(checkpoint)
        if checkpoint is not None:
            restore_random_state(Path(checkpoint))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Have the checkpoint written beside its place; whoever is told puts it there when it is
        durable, so that a folder of that name is always whole.
        """
        folder, step = Path(self.args.output_dir), self.state.global_step
        making = folder / MAKING
        shutil.rmtree(making, ignore_errors=True)
        self.args.output_dir = str(making)
        try:
            super(SFTTrainer, self)._save_checkpoint(model, trial)
            self._on_checkpoint(step, making / f"checkpoint-{step}")
        except Exception as error:
            fault = find_write_fault(error, folder)
            if fault is None:
                raise
            raise write_error(fault) from error
        finally:
            self.args.output_dir = str(folder)
            shutil.rmtree(making, ignore_errors=True)  # on a full disk the state needs its room


def make_trainer(
    losses: Losses,
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    config: TrainingConfig,
    train: Sequences,
    validation: Sequences,
    folder: Path,
    callback: TrainerCallback,
    on_checkpoint: Callable[[int, Path], None],
    row_multiple: int = 1,
) -> ModeTrainer:
    """Return a trainer that writes its checkpoints below `folder`.

    row_multiple: an epoch has a multiple of that many rows, whatever the micro-batch.
    """
    is_packed = "position_ids" in train[0]
    padding = RightPadding(tokenizer.pad_token_id)
    rows_a_step = config.batch_size * config.gradient_accumulation_steps
    order = RowOrder(
        [len(item["input_ids"]) for item in train],
        config.seed if config.data_seed is None else config.data_seed,
        rows_a_step if config.group_by_length and not is_packed else 0,
        row_multiple,
    )
    trainer = ModeTrainer(
        losses=losses,
        order=order,
        compute_dtype=dtype_of(config.dtype),
        on_checkpoint=on_checkpoint,
        model=model,
        args=_arguments(config, folder, has_validation=bool(validation)),
        data_collator=Flattening(padding) if is_packed else padding,
        train_dataset=_dataset(train),
        eval_dataset=_dataset(validation) if validation else None,
        processing_class=tokenizer,
        callbacks=[callback],
    )
    check_single(trainer.args)
    for name in ("PrinterCallback", "ProgressCallback", "DefaultFlowCallback"):
        for held in list(trainer.callback_handler.callbacks):
            if type(held).__name__ == name and name != "DefaultFlowCallback":
                trainer.remove_callback(type(held))
    return trainer


def _arguments(config: TrainingConfig, folder: Path, *, has_validation: bool) -> SFTConfig:
    scheduler_options = config.lr_scheduler_kwargs.model_dump(exclude_none=True)
    checkpointing = config.gradient_checkpointing
    return SFTConfig(
        output_dir=str(folder),
        seed=config.seed,
        data_seed=config.seed if config.data_seed is None else config.data_seed,
        full_determinism=config.full_determinism,
        num_train_epochs=config.num_epochs,
        max_steps=config.max_steps,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.eval_batch_size or config.batch_size,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        learning_rate=config.learning_rate,
        optim=config.optimizer,
        adam_beta1=config.adam_beta1,
        adam_beta2=config.adam_beta2,
        adam_epsilon=config.adam_epsilon,
        weight_decay=config.weight_decay,
        lr_scheduler_type=config.lr_scheduler,
        lr_scheduler_kwargs=scheduler_options,
        warmup_steps=config.warmup_steps or config.warmup_ratio,
        max_grad_norm=config.max_grad_norm,
        neftune_noise_alpha=config.neftune_noise_alpha,
        max_length=config.max_seq_length,
        packing=False,
        padding_free=False,
        completion_only_loss=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        gradient_checkpointing=checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if checkpointing else None,
        bf16=False,
        fp16=scales_gradients(config.dtype),
        use_cpu=kind() == "cpu",
        eval_strategy=config.eval_strategy if has_validation else "no",
        eval_steps=config.eval_steps,
        save_strategy="no" if config.save_strategy == "best" else config.save_strategy,
        save_steps=config.save_steps,
        save_total_limit=None,  # older ones go once the new one is recorded, and not before
        load_best_model_at_end=False,
        prediction_loss_only=True,
        dataloader_num_workers=config.dataloader_num_workers,
        dataloader_prefetch_factor=config.dataloader_prefetch_factor
        if config.dataloader_num_workers
        else None,
        dataloader_pin_memory=config.dataloader_pin_memory and pins_memory(),
        dataloader_drop_last=config.dataloader_drop_last,
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        use_liger_kernel=False,
    )


def _dataset(sequences: Sequences) -> Dataset:
    return Dataset.from_dict({name: [item[name] for item in sequences] for name in sequences[0]})
