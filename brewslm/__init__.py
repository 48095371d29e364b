"""brewslm plans, trains, gates and promotes fine-tuned small language models from one reviewed
file.

The public names below are loaded on first use, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Action": "brewslm.plan.action",
    "BrewError": "brewslm.errors",
    "Finding": "brewslm.diagnostics",
    "Manifest": "brewslm.manifest.project",
    "Plan": "brewslm.plan.plan",
    "apply_plan": "brewslm.apply.executor",
    "build_plan": "brewslm.plan.build",
    "load_manifest": "brewslm.manifest.load",
}

__all__ = [*sorted(_PUBLIC), "__version__"]


def __getattr__(name: str) -> Any:
    """Load a public name from its room the first time it is asked for."""
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'brewslm' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return list(__all__)
