"""What goes into every export beside the weights: a model card, the run's record, a list of
checksums.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brewslm.files import write_atomic
from brewslm.fingerprint import canonical_json, digest_file

SUMS = "SHA256SUMS"
_READABLE = 0o644


def write_papers(
    folder: Path, facts: Mapping[str, Any], parity: Mapping[str, Any], *, how_to_load: str
) -> None:
    """Write README.md, run.json and SHA256SUMS into an export folder."""
    text = card(facts, parity, how_to_load)
    write_atomic(folder / "README.md", text.encode(), mode=_READABLE)
    record = {"facts": dict(facts), "parity": dict(parity)}
    write_atomic(folder / "run.json", canonical_json(record) + b"\n", mode=_READABLE)
    lines = [
        f"{digest_file(path).removeprefix('sha256:')}  {path.relative_to(folder).as_posix()}\n"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != SUMS
    ]
    write_atomic(folder / SUMS, "".join(lines).encode(), mode=_READABLE)


def card(facts: Mapping[str, Any], parity: Mapping[str, Any], how_to_load: str) -> str:
    """Return the model card as Markdown with the metadata block that model hubs read."""
    project = facts.get("project", {})
    model = facts.get("model", {})
    plan = facts.get("training_plan", {})
    config = plan.get("config", {})
    run = facts.get("training_plan_values", {})
    data = facts.get("dataset_values", {})
    base = model.get("base_model", "")
    lines = [
        "---",
        f"base_model: {base}",
        "library_name: peft",
        "pipeline_tag: text-generation",
        "tags:",
        "- lora",
        "- brewslm",
        "---",
        "",
        f"# {project.get('name') or 'A fine-tuned model'}",
        "",
        str(project.get("description") or "").strip(),
        "",
        f"`{base}`, fine-tuned by {plan.get('training_mode', 'sft')} with LoRA.",
        "",
        "## Training",
        "",
        "| | |",
        "|---|---|",
        f"| rows | {run.get('rows')} of {_count(data, 'train')} prepared |",
        f"| steps | {run.get('steps')} ({run.get('epochs')} epochs), kept step"
        f" {run.get('kept_step')}: {run.get('kept_because')} |",
        f"| LoRA | r {config.get('lora_r')}, alpha {config.get('lora_alpha')},"
        f" {config.get('target_modules')} |",
        f"| learning rate | {config.get('learning_rate')}, {config.get('lr_scheduler')} |",
        f"| base while training | {config.get('quantization')}, {config.get('dtype')} |",
        f"| validation loss | {_number(run.get('eval_loss'))}, base model"
        f" {_number(run.get('baseline_eval_loss'))} |",
        f"| seed | {config.get('seed')} |",
        "",
        "## Loading",
        "",
        "```python",
        how_to_load,
        "```",
        "",
        "## Checked",
        "",
        _checked(parity),
        "",
        f"`{SUMS}` lists the checksums of all files: `sha256sum -c {SUMS}`.",
        "",
    ]
    return "\n".join(lines).replace("\n\n\n", "\n\n")


def _checked(parity: Mapping[str, Any]) -> str:
    if not parity.get("rows"):
        return "This export was not compared with the trained model."
    return (
        f"Reloaded and compared with the trained model on {parity['rows']} rows: mean KL"
        f" {parity['mean_kl']:.2g} nats, equal top tokens {parity['top1']:.1%}, equal greedy texts"
        f" {parity['texts_equal']:.0%}."
    )


def _count(data: Mapping[str, Any], name: str) -> Any:
    return (data.get("splits") or {}).get(name, "?")


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "none"
