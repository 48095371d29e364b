"""Continued pretraining: cross-entropy on every token of a text."""

from brewslm.stages.mode import Mode
from brewslm.tasks.task import Form


def _takes(form: Form) -> bool:
    return not form.text_input


MODE = Mode(
    name="cpt",
    aliases=("domain_pretrain", "pretrain"),
    takes=_takes,
    is_usual=True,
    defaults={
        "lora_r": 64,
        "lora_alpha": 128,
        "target_modules": "all-linear",
        "learning_rate": 1e-4,
        "warmup_ratio": 0.05,
        "sequence_packing": True,
    },
)
