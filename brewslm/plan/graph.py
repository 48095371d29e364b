"""The order of resources: what is consumed comes first, then by address."""

from collections.abc import Mapping
from heapq import heapify, heappop, heappush

from brewslm.address import Address
from brewslm.contracts import Spec
from brewslm.stages.kinds import KINDS

_FLOW = {name: index for index, name in enumerate(KINDS)}


def ordered(specs: Mapping[Address, Spec]) -> list[Address]:
    """Return all addresses so that each stands after everything it consumes.

    Raises: ValueError when resources consume each other.
    """
    missing = {address: upstream(address, specs) for address in specs}
    consumers: dict[Address, list[Address]] = {address: [] for address in specs}
    for address, needs in missing.items():
        for needed in needs:
            consumers[needed].append(address)
    ready = [_place(address) for address, needs in missing.items() if not needs]
    heapify(ready)
    order: list[Address] = []
    while ready:
        address = heappop(ready)[-1]
        order.append(address)
        for consumer in consumers[address]:
            missing[consumer].discard(address)
            if not missing[consumer]:
                heappush(ready, _place(consumer))
    if len(order) < len(specs):
        raise ValueError("resources consume each other")
    return order


def _place(address: Address) -> tuple[int, str, Address]:
    return _FLOW[address.kind], address.name, address


def upstream(address: Address, specs: Mapping[Address, Spec]) -> set[Address]:
    """Return the resources of the project that a resource consumes."""
    refs = KINDS[address.kind].inputs(address, specs)
    return {ref.address for ref in refs if ref.address in specs}
