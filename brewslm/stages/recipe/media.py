"""Media."""

from typing import Annotated

from brewslm.contracts import Category, Spec


class MediaFields(Spec):
    """Recognised; rows are text only."""

    multimodal_require_media: Annotated[bool, Category.METADATA] = False
    """Text only here."""
    multimodal_native_beta: Annotated[bool, Category.METADATA] = False
    """Text only here."""
    multimodal_media_loading: Annotated[bool, Category.METADATA] = False
    """Text only here."""
