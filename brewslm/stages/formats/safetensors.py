"""Base and adapter merged, as a folder that transformers loads."""

from brewslm.stages.export_format import Format

FORMAT = Format(
    name="safetensors",
    aliases=("huggingface", "hf", "merged"),
    targets=("vllm_server", "edge_gpu", "cpu_local"),
    is_written=True,
)
