"""The LoRA adapter as a PEFT folder, beside which the base model is needed."""

from brewslm.stages.export_format import Format


def _size(_base_bytes: float, adapter_bytes: float) -> float:
    return adapter_bytes


FORMAT = Format(
    name="adapter",
    aliases=("lora", "peft"),
    targets=("vllm_server", "cpu_local"),
    is_written=True,
    is_merged=False,
    size=_size,
)
