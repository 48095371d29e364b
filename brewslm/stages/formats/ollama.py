"""A GGUF file with the recipe that Ollama imports."""

from brewslm.stages.export_format import Format

FORMAT = Format(
    name="ollama",
    targets=("mobile_cpu", "cpu_local"),
    quantizations=("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0"),
)
