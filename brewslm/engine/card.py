"""What goes into every export beside the weights: a model card, the run's record, a list of
checksums.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brewslm.files import write_atomic
from brewslm.fingerprint import canonical_json, digest_file
from brewslm.tasks.note import gate_table, inert

SUMS = "SHA256SUMS"
_LICENCE_ID = re.compile(r"[A-Za-z0-9][\w.+-]{0,63}")
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
    base = facts.get("base", {})
    lines = [
        *_metadata(facts),
        "",
        f"# {project.get('name') or 'A fine-tuned model'}",
        "",
        str(project.get("description") or "").strip(),
        "",
        f"{_base_of(base)}, fine-tuned by {_mode(facts)} with LoRA.",
        "",
        f"Licence: {_licence(base, str(facts.get('model', {}).get('license') or ''))}",
        "",
        "## Training",
        "",
        *_training(facts),
        "",
        *_gates(facts.get("evaluation", {})),
        "## Loading",
        "",
        "Run this in the project folder, or set `folder` to where this file is"
        + (f" and {_code(base['name'])} to where that is." if _is_folder(base) else "."),
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


def _metadata(facts: Mapping[str, Any]) -> list[str]:
    """Return what model hubs read; a base that is no model of theirs is not named to them."""
    base = facts.get("base", {})
    licence = str(facts.get("model", {}).get("license") or base.get("license") or "")
    is_hub_id = bool(base.get("name")) and not _is_local(base)
    return [
        "---",
        *([f"base_model: {base['name']}"] if is_hub_id else []),
        *([f"license: {licence.lower()}"] if _LICENCE_ID.fullmatch(licence) else []),
        f"library_name: {facts.get('library', 'peft')}",
        "pipeline_tag: text-generation",
        "tags:",
        "- lora",
        "- brewslm",
        "---",
    ]


def _base_of(base: Mapping[str, Any]) -> str:
    """Return a base model by the name that people load it by."""
    name = str(base.get("name") or "the base model")
    if base.get("revision"):
        return f"{_code(name)} at commit `{base['revision']}`"
    if name.startswith("builtin:"):
        return f"{_code(name)}, the model that the package brewslm holds"
    return f"{_code(name)}, a folder of the project" if _is_local(base) else _code(name)


def _is_local(base: Mapping[str, Any]) -> bool:
    return str(base.get("name") or "").startswith(("builtin:", "./"))


def _is_folder(base: Mapping[str, Any]) -> bool:
    return str(base.get("name") or "").startswith("./")


def _mode(facts: Mapping[str, Any]) -> str:
    return str(facts.get("training_plan", {}).get("training_mode", "sft"))


def _licence(base: Mapping[str, Any], written: str) -> str:
    """Return the licence that the project states, and that of the base model's own card."""
    own = str(base.get("license") or "")
    if written and own and written.lower() != own.lower():
        return (
            f"{inert(written)}, as the project states it; the base model's card says {inert(own)}"
        )
    if written:
        return inert(written)
    return f"{inert(own)}, as the base model's card says" if own else "not stated"


def _training(facts: Mapping[str, Any]) -> list[str]:
    config = facts.get("training_plan", {}).get("config", {})
    run = facts.get("training_plan_values", {})
    if run.get("is_imported"):
        return ["The adapter was trained elsewhere and imported as it is."]
    prepared = facts.get("dataset_values", {}).get("manifest") or {}
    rows = (prepared.get("splits") or {}).get("train", "?")
    targets = config.get("target_modules")
    names = ", ".join(targets) if isinstance(targets, list) else targets
    return [
        "| | |",
        "|---|---|",
        f"| rows | {run.get('rows')} of {rows} |",
        f"| steps | {run.get('steps')} ({run.get('epochs')} epochs), kept step"
        f" {run.get('kept_step')}: {run.get('kept_because')} |",
        f"| LoRA | r {config.get('lora_r')}, alpha {config.get('lora_alpha')}, {names} |",
        f"| learning rate | {config.get('learning_rate')}, {config.get('lr_scheduler')} |",
        f"| base while training | {_held(config)} |",
        f"| validation loss | {_number(run.get('eval_loss'))}, base model"
        f" {_number(run.get('baseline_eval_loss'))} |",
        f"| seed | {config.get('seed')} |",
    ]


def _held(config: Mapping[str, Any]) -> str:
    quantization = config.get("quantization")
    is_whole = quantization in (None, "none")
    return str(config.get("dtype")) if is_whole else f"{quantization}, {config.get('dtype')}"


def _gates(evaluation: Mapping[str, Any]) -> list[str]:
    """Return the gates as they were decided when the export was written.

    The export is identified by its weights: a threshold that changes later decides anew and does
    not write it again.
    """
    gates = evaluation.get("gates") or []
    if not gates:
        return []
    verdict = evaluation.get("verdict", {})
    return [
        "## Gates",
        "",
        f"Decided on {_code(evaluation.get('dataset'))} before this export was written"
        f"{f' (verdict {verdict})' if isinstance(verdict, str) else ''};"
        " `brewslm show eval_pack` shows the newest decision.",
        "",
        *gate_table(gates),
        "",
    ]


def _code(text: object) -> str:
    return f"`{str(text).replace('`', '')}`"


def _checked(parity: Mapping[str, Any]) -> str:
    if not parity.get("rows"):
        return "This export was not compared with the trained model."
    return (
        f"Reloaded and compared with the trained model on {parity['rows']} rows: mean KL"
        f" {parity['mean_kl']:.2g} nats, equal top tokens {parity['top1']:.1%}, equal greedy texts"
        f" {parity['texts_equal']:.0%}."
    )


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "none"
