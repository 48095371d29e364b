"""Base and adapter merged, as a folder that transformers loads."""

from brewslm.stages.export_format import Format

FORMAT = Format(
    name="safetensors",
    targets=("vllm_server", "edge_gpu", "cpu_local"),
    is_written=True,
)
