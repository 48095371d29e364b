"""What identifies a resource's result: the readable facts whose digest is its fingerprint."""

from collections.abc import Mapping
from typing import Any

from brewslm.address import Address
from brewslm.contracts import Kind, Output, Spec, counting_values


def input_digests(
    kind: Kind,
    address: Address,
    specs: Mapping[Address, Spec],
    outputs: Mapping[Address, Mapping[str, Output]],
) -> dict[str, str | None]:
    """Return `{input name: digest}`, None for inputs that are not known yet; ordering inputs left
    out.
    """
    digests: dict[str, str | None] = {}
    for ref in kind.inputs(address, specs):
        if not ref.is_ordering:
            output = outputs.get(ref.address, {}).get(ref.output)
            digests[ref.name] = output.digest if output else None
    return digests


def facts_from(kind: Kind, spec: Spec, digests: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the facts of a resource whose inputs are all known.

    Raises: KeyError naming an input that is not known.
    """
    unknown = [name for name, digest in digests.items() if digest is None]
    if unknown:
        raise KeyError(unknown[0])
    return {
        "kind": kind.name,
        "version": kind.version,
        "spec": counting_values(spec),
        "inputs": dict(digests),
    }


def resource_facts(
    kind: Kind,
    address: Address,
    specs: Mapping[Address, Spec],
    outputs: Mapping[Address, Mapping[str, Output]],
) -> dict[str, Any]:
    """Return the facts of a resource from the specs of the project and the outputs known so far.

    Raises: KeyError naming an input that is not known.
    """
    return facts_from(kind, specs[address], input_digests(kind, address, specs, outputs))
