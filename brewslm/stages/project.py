"""project: the name and description of the whole; a record."""

from typing import Annotated

from pydantic import Field

from brewslm.contracts import Category, Kind, Spec, Work


class ProjectSpec(Spec):
    """The manifest's `metadata`."""

    name: Annotated[str, Field(min_length=1, max_length=255), Category.METADATA]
    """Display name; identity is the lineage kept in the state."""
    description: Annotated[str, Field(max_length=4000), Category.METADATA] = ""
    """Free text."""
    labels: Annotated[dict[str, str], Category.METADATA] = {}
    """Free labels."""


KIND = Kind("project", ProjectSpec, Category.METADATA, 1, Work.RECORD)
