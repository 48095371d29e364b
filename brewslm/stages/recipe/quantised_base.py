"""The quantised base, as QLoRA has it."""

from typing import Annotated, Literal

from brewslm.contracts import Category, Spec
from brewslm.stages.recipe.loading_mark import LoadingMark


class QuantisedBaseFields(Spec):
    """How frozen base weights are held."""

    quantization: Annotated[
        Literal["none", "nf4", "fp4", "int8"], Category.RECIPE, LoadingMark.COUNTS
    ] = "none"
    """How frozen base weights are held while training."""
    bnb_4bit_use_double_quant: Annotated[bool, Category.RECIPE, LoadingMark.COUNTS] = True
    """nf4, fp4: quantise the scales too."""
    bnb_4bit_compute_dtype: Annotated[
        Literal["auto", "bfloat16", "float16", "float32"],
        Category.RECIPE,
        LoadingMark.COUNTS_UNLESS_DEFAULT,
    ] = "auto"
    """auto is the training dtype."""
