"""The order of resources: what is consumed comes first, then by address."""

from collections.abc import Mapping

from brewslm.address import Address
from brewslm.contracts import Spec
from brewslm.stages.kinds import KINDS

_FLOW = {name: index for index, name in enumerate(KINDS)}


def ordered(specs: Mapping[Address, Spec]) -> list[Address]:
    """Return all addresses so that each stands after everything it consumes."""
    remaining = {address: upstream(address, specs) for address in specs}
    order: list[Address] = []
    while remaining:
        ready = sorted(
            (address for address, needs in remaining.items() if not needs & set(remaining)),
            key=lambda address: (_FLOW[address.kind], address.name),
        )
        if not ready:
            raise ValueError("resources consume each other")
        order.append(ready[0])
        del remaining[ready[0]]
    return order


def upstream(address: Address, specs: Mapping[Address, Spec]) -> set[Address]:
    """Return the resources of the project that a resource consumes."""
    refs = KINDS[address.kind].inputs(address, specs)
    return {ref.address for ref in refs if ref.address in specs}
