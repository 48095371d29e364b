"""One file for llama.cpp."""

from brewslm.stages.export_format import Format

FORMAT = Format(
    name="gguf",
    targets=("edge_gpu", "mobile_cpu", "cpu_local"),
    quantizations=("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0"),
)
