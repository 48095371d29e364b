"""The LoRA adapter."""

from typing import Annotated, Literal

from pydantic import Field

from brewslm.contracts import Category, Spec

InitName = Annotated[
    str, Field(pattern=r"^(gaussian|orthogonal|olora|pissa|pissa_niter_[1-9][0-9]*)$")
]


class LoraFields(Spec):
    """Rank, scale and places of the adapter."""

    use_lora: Annotated[bool, Category.RECIPE] = True
    """Whether an adapter is trained."""
    lora_r: Annotated[int, Field(ge=1, le=256), Category.RECIPE] = 16
    """Rank; raising it costs memory and time."""
    lora_alpha: Annotated[int, Field(ge=1), Category.RECIPE] = 32
    """Scale; the weight is alpha / r."""
    lora_dropout: Annotated[float, Field(ge=0, le=1), Category.RECIPE] = 0.05
    """Dropout before the adapter."""
    lora_bias: Annotated[Literal["none", "all", "lora_only"], Category.RECIPE] = "none"
    """Biases trained."""
    target_modules: Annotated[
        tuple[str, ...] | Literal["all-linear", "attn", "attn_mlp", "auto"], Category.RECIPE
    ] = ("q_proj", "v_proj")
    """Modules that get an adapter."""
    modules_to_save: Annotated[tuple[str, ...], Category.RECIPE] = ()
    """Modules trained in full and saved."""
    use_dora: Annotated[bool, Category.RECIPE] = False
    """Weight-decomposed LoRA; 10 to 30 % slower."""
    use_rslora: Annotated[bool, Category.RECIPE] = False
    """The weight is alpha / sqrt(r)."""
    init_lora_weights: Annotated[bool | InitName, Category.RECIPE] = True
    """How adapter weights begin."""
