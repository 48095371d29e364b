"""Values of a recipe that follow from the model and the rows: they belong to the identity, and
touch unwritten fields only; a written value that cannot work is an error.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from brewslm.diagnostics import Finding, FindingCode, Severity
from brewslm.manifest.project import Wanted
from brewslm.plan.base_model import BaseModel, target_names
from brewslm.plan.lengths import is_none_within, tokens_of
from brewslm.plan.tokenizer_facts import TokenizerFacts
from brewslm.plan.work import epochs_of, training_work
from brewslm.stages.chat_templates import TEMPLATE_TOKENS
from brewslm.stages.recipe.sequences import MOST_TOKENS
from brewslm.stages.training_config import has_warmup
from brewslm.stages.training_plan import TrainingPlanSpec

_DEFAULT_TARGETS = ("q_proj", "v_proj")


class Fixed(Struct):
    """A recipe that fits its model and rows, and what was changed or is wrong."""

    spec: TrainingPlanSpec
    origins: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def fixed_training(
    spec: TrainingPlanSpec,
    wanted: Wanted,
    base: BaseModel,
    prepared: Mapping[str, Any],
) -> Fixed:
    """Return the recipe with its content fixes."""
    fixer = _Fixer(spec, wanted)
    fixer.length(base)
    fixer.targets(base)
    fixer.quantization(base)
    fixer.template(base)
    fixer.epochs(prepared)
    fixer.validation(prepared)
    fixer.schedule()
    fixer.warmup(prepared)
    fixer.evaluation_steps(prepared)
    fixer.lengths(base, prepared)
    return fixer.result()


def _fits(template: str, tokenizer: TokenizerFacts) -> bool:
    """Return whether a tokenizer has the special tokens of a chat template."""
    tokens = TEMPLATE_TOKENS[template]
    return tokenizer.has_end if not tokens else set(tokens) <= set(tokenizer.markers)


class _Fixer:
    def __init__(self, spec: TrainingPlanSpec, wanted: Wanted) -> None:
        self._spec = spec
        self._config = spec.config
        self._wanted = wanted
        self._fixed = Fixed(spec)

    def result(self) -> Fixed:
        self._fixed.spec = self._spec.model_copy(update={"config": self._config})
        return self._fixed

    def length(self, base: BaseModel) -> None:
        limit = base.context_tokens
        if not limit or self._config.max_seq_length <= limit:
            return
        if self._is_written("max_seq_length"):
            self._error(
                FindingCode.SEQ_LENGTH_EXCEEDS_MODEL,
                "max_seq_length",
                "longer than the model's context",
                f"write max_seq_length: {limit}",
                str(self._config.max_seq_length),
                f"at most {limit}",
            )
        else:
            self._fix(
                "max_seq_length", limit, FindingCode.AUTOFIX_SEQ_LENGTH, "the model's context"
            )

    def targets(self, base: BaseModel) -> None:
        target = self._config.target_modules
        names = target_names(target, base)
        known = ", ".join(sorted(base.modules))
        if isinstance(target, tuple):
            absent = [name for name in target if name not in base.modules]
            if absent and not self._is_written("target_modules") and target == _DEFAULT_TARGETS:
                self._fix(
                    "target_modules",
                    "auto",
                    FindingCode.AUTOFIX_TARGET_MODULES,
                    "the model has other module names",
                )
                return
            if absent:
                self._error(
                    FindingCode.TARGET_MODULE_NOT_FOUND,
                    "target_modules",
                    f"the model has no linear module {absent[0]}",
                    "write names that the model has, or auto",
                    ", ".join(absent),
                    known,
                )
        elif not names:
            self._error(
                FindingCode.TARGET_MODULE_NOT_FOUND,
                "target_modules",
                f"{target} matches no module of the model",
                "write target_modules: auto",
                str(target),
                known,
            )

    def quantization(self, base: BaseModel) -> None:
        """A base whose files are quantised is trained on as it is, and nothing else is possible."""
        held = self._config.quantization
        if base.quantization and held != base.quantization:
            self._error(
                FindingCode.MODEL_QUANTIZED,
                "quantization",
                f"the weights of the base model are quantised to {base.quantization} already",
                f"write quantization: {base.quantization}, or name the base model that they were "
                "made from",
                held,
                base.quantization,
            )

    def template(self, base: BaseModel) -> None:
        """The named chat template is used where the base model has none of its own, or where it is
        asked for; the tokenizer has to have the tokens that it writes.
        """
        config, tokenizer = self._config, base.tokenizer
        is_own = config.use_tokenizer_chat_template and (
            tokenizer is None or tokenizer.has_template
        )
        if tokenizer is None or is_own or _fits(config.chat_template, tokenizer):
            return
        missing = set(TEMPLATE_TOKENS[config.chat_template]) - set(tokenizer.markers)
        found = ", ".join(sorted(missing)) or "no end-of-sequence token"
        why = f"the tokenizer of the base model has no {found}"
        fit = next((name for name in TEMPLATE_TOKENS if _fits(name, tokenizer)), None)
        if fit and not self._is_written("chat_template"):
            self._fix("chat_template", fit, FindingCode.CHAT_TEMPLATE_CHOSEN, why)
            return
        remedies = [f"write chat_template: {fit}"] if fit else []
        if tokenizer.has_template:
            remedies.append("write use_tokenizer_chat_template: true")
        self._error(
            FindingCode.TEMPLATE_TOKENS_MISSING,
            "chat_template",
            f"the chat template {config.chat_template} cannot end an answer: {why}",
            ", or ".join(remedies) or "name a base model that has a chat template",
            config.chat_template,
            fit or "",
        )

    def epochs(self, prepared: Mapping[str, Any]) -> None:
        if not self._config.auto_epochs or self._is_written("num_epochs"):
            return
        rows = int(prepared.get("train_rows_effective") or prepared["splits"]["train"])
        epochs = epochs_of(self._config, rows)
        self._config = self._config.model_copy(update={"num_epochs": epochs, "auto_epochs": True})

    def validation(self, prepared: Mapping[str, Any]) -> None:
        if prepared["splits"].get("validation") or self._config.eval_strategy == "no":
            return
        if self._is_written("eval_strategy") or self._is_written("eval_steps"):
            self._error(
                FindingCode.EVAL_WITHOUT_ROWS,
                "eval_strategy",
                "validation loss is asked for, and the validation set is empty",
                "give validation a share or a source, or write eval_strategy: no",
            )
            return
        code = FindingCode.AUTOFIX_NO_VALIDATION
        self._fix("eval_strategy", "no", code, "the validation set is empty")
        self._fix("early_stopping_patience", 0, code, "")

    def schedule(self) -> None:
        config = self._config
        if config.lr_scheduler == "reduce_lr_on_plateau" and config.eval_strategy == "no":
            self._error(
                FindingCode.EVAL_WITHOUT_ROWS,
                "lr_scheduler",
                "the rate falls when validation loss stays where it is, and none is taken",
                "write lr_scheduler: cosine, or give validation a share",
                config.lr_scheduler,
            )

    def warmup(self, prepared: Mapping[str, Any]) -> None:
        """A warm-up begins at a rate of 0: in a run of one step it would be the only rate."""
        config = self._config
        if training_work(config, prepared).steps != 1 or not has_warmup(config):
            return
        is_told = config.max_steps == 1  # by the check of the manifest alone
        name = "warmup_steps" if config.warmup_steps else "warmup_ratio"
        if not self._is_written(name):
            why = "" if is_told else "the run has 1 step"
            self._fix("warmup_steps", 0, FindingCode.AUTOFIX_WARMUP, "")
            self._fix("warmup_ratio", 0.0, FindingCode.AUTOFIX_WARMUP, why)
        elif not is_told:
            self._say(
                FindingCode.AUTOFIX_WARMUP,
                name,
                f"the run has 1 step, so there is no warm-up: {name} is not used",
                f"write {name}: 0; or, for more steps, a smaller gradient_accumulation_steps or "
                "more num_epochs",
                Severity.INFO,
            )

    def evaluation_steps(self, prepared: Mapping[str, Any]) -> None:
        config = self._config
        if config.eval_strategy != "steps":
            self._saving()
            return
        steps = training_work(config, prepared).steps
        if steps < config.eval_steps:
            if self._is_written("eval_steps"):
                self._say(
                    FindingCode.AUTOFIX_EVAL_STEPS,
                    "eval_steps",
                    f"the run has {steps} steps, so validation loss is never taken",
                    f"write eval_steps: {max(1, steps // 4)}",
                    Severity.INFO,
                )
            else:
                self._fix(
                    "eval_strategy",
                    "epoch",
                    FindingCode.AUTOFIX_EVAL_STEPS,
                    f"the run has {steps} steps",
                )
        self._saving()

    def lengths(self, base: BaseModel, prepared: Mapping[str, Any]) -> None:
        tokens = tokens_of(prepared, "train")
        limit = self._config.max_seq_length
        if tokens.get("max") and tokens["max"] > limit:
            is_none_left = is_none_within(prepared, "train", limit)
            longer = min(tokens["max"] + 32, base.context_tokens or MOST_TOKENS, MOST_TOKENS)
            helps = longer > limit and not is_none_within(prepared, "train", longer)
            self._say(
                FindingCode.ROWS_TOO_LONG,
                "max_seq_length",
                (
                    f"{'all' if is_none_left else 'some'} rows are longer than {limit} tokens "
                    f"and are left out; p50 {tokens['p50']}, p95 {tokens['p95']}, "
                    f"max {tokens['max']}"
                ),
                f"write max_seq_length: {longer}"
                if helps
                else "shorten or split the rows, or use a base model with a longer context",
                Severity.ERROR if is_none_left else Severity.WARNING,
            )

    def _saving(self) -> None:
        config = self._config
        wants_best = config.load_best_model_at_end is True or (
            config.load_best_model_at_end == "auto" and config.eval_strategy != "no"
        )
        if not wants_best or config.save_strategy == "best":
            return
        code = FindingCode.AUTOFIX_SAVE_STEPS
        if config.save_strategy != config.eval_strategy and not self._is_written("save_strategy"):
            self._fix("save_strategy", config.eval_strategy, code, "the best model is wanted")
        config = self._config
        if config.save_strategy == config.eval_strategy == "steps":
            fit = -(-config.save_steps // config.eval_steps) * config.eval_steps
            if fit != config.save_steps and not self._is_written("save_steps"):
                self._fix("save_steps", fit, code, "the best model is wanted")

    def _is_written(self, name: str) -> bool:
        return f"config.{name}" in self._wanted.written

    def _fix(self, name: str, value: Any, code: FindingCode, why: str) -> None:
        before = getattr(self._config, name)
        self._config = self._config.model_copy(update={name: value})
        self._fixed.origins[f"config.{name}"] = f"auto-fix:{code}"
        if why:
            message = f"{name} is {value} instead of {before}: {why}"
            self._say(code, name, message, "nothing, or write the value", Severity.INFO)

    def _error(
        self,
        code: FindingCode,
        name: str,
        message: str,
        fix: str,
        found: str = "",
        expected: str = "",
    ) -> None:
        self._say(code, name, message, fix, Severity.ERROR, found, expected)

    def _say(
        self,
        code: FindingCode,
        name: str,
        message: str,
        fix: str,
        severity: Severity,
        found: str = "",
        expected: str = "",
    ) -> None:
        self._fixed.findings.append(
            Finding(
                code=code,
                severity=severity,
                message=message,
                actionable_fix=fix,
                field=f"spec.training_plan.config.{name}",
                address="training_plan",
                place=self._wanted.place(f"config.{name}"),
                found=found,
                expected=expected,
            )
        )
