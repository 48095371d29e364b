"""Precision, attention and memory."""

from typing import Annotated, Literal

from pydantic import Field

from brewslm.contracts import Category, Spec
from brewslm.stages.recipe.loading_mark import LoadingMark


class PrecisionFields(Spec):
    """Number formats, kernels, and what happens when memory runs out."""

    dtype: Annotated[
        Literal["auto", "bfloat16", "float16", "float32"], Category.RECIPE, LoadingMark.COUNTS
    ] = "auto"
    """auto: bfloat16 if `bf16`, float16 if `fp16`, else float32."""
    bf16: Annotated[bool, Category.RECIPE] = True
    """bfloat16 mixed precision."""
    fp16: Annotated[bool, Category.RECIPE] = False
    """float16 mixed precision."""
    flash_attention: Annotated[bool, Category.RECIPE] = True
    """Whether flash attention is wanted."""
    attn_implementation: Annotated[
        Literal["auto", "eager", "sdpa", "flash_attention_2", "flash_attention_3"],
        Category.RECIPE,
        LoadingMark.COUNTS_UNLESS_DEFAULT,
    ] = "auto"
    """auto: sdpa where the architecture supports it, else eager; a written value is kept."""
    gradient_checkpointing: Annotated[bool, Category.METADATA] = True
    """Recompute activations: less memory, about a fifth slower."""
    use_liger_kernel: Annotated[bool, Category.RECIPE] = False
    """Fused kernels."""
    torch_compile: Annotated[bool, Category.RECIPE] = False
    """Compiled model."""
    auto_oom_retry: Annotated[bool, Category.METADATA] = True
    """Try again with a smaller micro-batch and more accumulation when memory runs out."""
    max_oom_retries: Annotated[int, Field(ge=0, le=5), Category.METADATA] = 2
    """Tries after the first."""
    oom_retry_seq_shrink: Annotated[float, Field(ge=0.1, lt=1), Category.METADATA] = 0.75
    """Factor on the length at each try; not carried out, lengths never change by themselves."""
