"""domain: domain pack and profile of the project; a record."""

from typing import Annotated

from brewslm.contracts import Category, Kind, Spec, Work


class DomainSpec(Spec):
    """The manifest's `spec.domain`."""

    pack_id: Annotated[str | None, Category.METADATA] = None
    """Domain pack of the project."""
    profile_id: Annotated[str | None, Category.METADATA] = None
    """Domain profile."""


KIND = Kind("domain", DomainSpec, Category.METADATA, 1, Work.RECORD)
