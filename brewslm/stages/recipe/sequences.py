"""How rows become sequences, and which tokens are learned."""

from typing import Annotated, Literal

from pydantic import Field

from brewslm.contracts import Category, Spec

MOST_TOKENS = 32768


class SequenceFields(Spec):
    """Lengths, packing and masks."""

    max_seq_length: Annotated[int, Field(ge=128, le=MOST_TOKENS), Category.RECIPE] = 2048
    """Tokens; longer rows are left out and counted, never cut."""
    sequence_packing: Annotated[bool, Category.RECIPE] = True
    """Several rows in one sequence."""
    packing_strategy: Annotated[Literal["bfd", "bfd_split", "wrapped"], Category.RECIPE] = "bfd"
    """Best fit, best fit with split rows, or one continuous stream."""
    padding_free: Annotated[bool, Category.RECIPE] = False
    """Flattened batches; needs flash attention."""
    group_by_length: Annotated[bool, Category.RECIPE] = False
    """Similar lengths in a batch; turns an unwritten `sequence_packing` off."""
    completion_only_loss: Annotated[bool | Literal["auto"], Category.RECIPE] = "auto"
    """Loss on answers only; auto where rows have a prompt and an answer."""
    assistant_only_loss: Annotated[bool | Literal["auto"], Category.RECIPE] = "auto"
    """Loss on every assistant turn; auto for chat rows."""
