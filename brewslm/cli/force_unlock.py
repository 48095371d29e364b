"""`brewslm force-unlock`, under its own name."""

from brewslm.cli.lock import force_unlock as command

__all__ = ["command"]
