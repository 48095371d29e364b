"""Record a project as this version of brewslm leaves it: `python -m tests.recorded.make`.

The archive is written once per published state of the code and never again, so that later versions
are tried on what an earlier one wrote. Needs the `train` extra; takes a minute.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
NANO = ROOT / "brewslm" / "builtin" / "nano"
ARCHIVE = Path(__file__).with_name("labels.tar.xz")
MANIFEST = """\
api_version: brewslm/v1
kind: Project
metadata: {name: recorded, description: Sorts short complaints.}
spec:
  model: {base_model: ./base}
  data_sources:
    - {name: first, type: raw, locator: "jsonl:data/first.jsonl", adapter: labels, weight: 2}
    - {name: second, type: raw, locator: "csv:data/second.csv", adapter: labels}
    - {name: gold, type: gold_test, locator: "jsonl:data/gold.jsonl", adapter: labels}
  adapters:
    - name: labels
      base_adapter_id: label_to_classification
      task_profile: classification
      field_mapping: {text: text, label: label}
  dataset:
    task_profile: classification
    split: {train: 0.8, validation: 0.2, test: 0.0}
    leak_check: {near: null, ngram: 0}
  training_plan:
    training_mode: sft
    config:
      lora_r: 4
      lora_alpha: 8
      learning_rate: 5.0e-3
      num_epochs: 2
      batch_size: 8
      gradient_accumulation_steps: 1
      max_seq_length: 128
      dtype: float32
      optimizer: adamw_torch
  eval_pack:
    datasets: [gold]
    gates:
      - {gate_id: better, metric_id: perplexity, operator: lte, threshold: 2000.0}
  export: {formats: [adapter, safetensors]}
  deployment: {target_profile_id: cpu_local}
"""
LEARNED = "learning_rate: 5.0e-3"
FASTER, TOO_SLOW = "learning_rate: 8.0e-3", "learning_rate: 1.0e-5"
NEVER_APPLIED = "lora_r: 2"
_WORDS = {"late": ("came late", "is late"), "torn": ("is torn", "was torn"), "lost": ("was lost",)}
_NOUNS = ("lamp", "chair", "table", "sofa", "shelf", "stool", "mirror", "carpet")


def main() -> None:
    """Apply the recipes one after another and pack the folder."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        _write_project(project)
        _call(project, "apply", "--auto-approve")
        _edit(project, LEARNED, FASTER)
        _call(project, "apply", "--auto-approve")
        _edit(project, FASTER, TOO_SLOW)
        _call(project, "apply", "--auto-approve", expected=3)
        _edit(project, TOO_SLOW, FASTER)
        _call(project, "apply", "--auto-approve")
        _edit(project, "lora_r: 4", NEVER_APPLIED)
        _call(project, "plan", "--out", "saved.plan.json")
        _edit(project, NEVER_APPLIED, "lora_r: 4")
        shutil.rmtree(project / ".brewslm" / "cache", ignore_errors=True)
        with tarfile.open(ARCHIVE, "w:xz", preset=9) as archive:
            archive.add(project, arcname=".", filter=_anonymous)


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _write_project(project: Path) -> None:
    (project / "data").mkdir(parents=True)
    (project / "brewslm.yaml").write_text(MANIFEST)
    rows = list(_rows())
    first, second, gold = rows[:60], rows[60:80], rows[80:110]
    for name, part in (("first", first), ("gold", gold)):
        lines = [json.dumps({"text": text, "label": label}) for text, label in part]
        (project / "data" / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    lines = [f"{text},{label}" for text, label in second]
    (project / "data" / "second.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    _write_base(project / "base")


def _rows() -> "list[tuple[str, str]]":
    draw = random.Random(7)  # noqa: S311  the same rows each time
    rows: dict[str, str] = {}
    while len(rows) < 110:
        label = draw.choice(sorted(_WORDS))
        text = (
            f"Order {draw.randrange(9999)}: the {draw.choice(_NOUNS)} {draw.choice(_WORDS[label])}."
        )
        rows[text] = label
    return list(rows.items())


def _write_base(folder: Path) -> None:
    import torch
    from transformers import (
        LlamaConfig,
        LlamaForCausalLM,
    )

    torch.manual_seed(0)
    written = json.loads((NANO / "config.json").read_text())
    config = LlamaConfig(
        **{key: written[key] for key in ("vocab_size", "bos_token_id", "eos_token_id")},
        pad_token_id=written.get("pad_token_id"),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(NANO / name, folder / name)


def _edit(project: Path, before: str, after: str) -> None:
    path = project / "brewslm.yaml"
    text = path.read_text()
    assert text.count(before) == 1, before
    path.write_text(text.replace(before, after))


def _call(project: Path, *arguments: str, expected: int = 0) -> None:
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "brewslm", "--chdir", str(project), *arguments]
    done = subprocess.run(command, env=environment, check=False)
    assert done.returncode == expected, (arguments, done.returncode)


if __name__ == "__main__":
    main()
