"""The checked manifest: every resource that the project should have, with effective values and
their origins.
"""

from pathlib import Path
from typing import Any

from msgspec import Struct, field

from brewslm.address import Address
from brewslm.contracts import Spec
from brewslm.diagnostics import Finding, Place


class Wanted(Struct, frozen=True):
    """One resource that the manifest asks for.

    `spec` holds effective identity values: defaults, mode, profile and manifest applied, host fixes
    not. `host` holds what this host uses instead. `origins` maps dotted spec paths to default,
    mode:NAME, profile:NAME, manifest or auto-fix:CODE; paths that are missing are defaults.
    `places` maps dotted spec paths to positions in the manifest. `written` are the dotted paths
    that stand in the manifest; `section` is where they stand, such as `spec.adapters[0]`.
    """

    address: Address
    spec: Spec
    host: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    written: frozenset[str] = frozenset()
    section: str = ""

    def place(self, path: str = "") -> Place:
        """Return the position of a field, or of the nearest enclosing thing that has one."""
        while path and path not in self.places:
            path = path.rpartition(".")[0]
        return self.places.get(path, Place())


class Manifest(Struct, frozen=True):
    """A manifest whose only error findings are values that are not supported yet.

    `digest` is that of the effective manifest's canonical JSON: blanks, comments, key order and
    quoting don't count.
    """

    root: Path
    """The project folder."""
    path: str
    """The manifest's path relative to it."""
    name: str
    resources: dict[Address, Wanted]
    effective: dict[str, Any]
    digest: str
    findings: tuple[Finding, ...] = ()

    def specs(self) -> dict[Address, Spec]:
        """Return the effective spec of every resource."""
        return {address: wanted.spec for address, wanted in self.resources.items()}
