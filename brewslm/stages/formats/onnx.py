"""One graph for ONNX Runtime."""

from brewslm.stages.export_format import Format

FORMAT = Format(
    name="onnx",
    targets=("edge_gpu", "browser_webgpu", "cpu_local"),
    quantizations=("INT8",),
)
