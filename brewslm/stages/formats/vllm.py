"""A merged folder, with the settings that vLLM starts with."""

from brewslm.stages.export_format import Format

FORMAT = Format(
    name="vllm",
    targets=("vllm_server",),
)
