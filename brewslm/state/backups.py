"""Copies of the state that are kept before it is edited by hand: pulled states, each of which
`brewslm state push --force` puts back.
"""

from pathlib import Path

from brewslm.files import make_private_folder, write_atomic
from brewslm.state.portable import pulled_bytes
from brewslm.state.store import StateReader

BACKUPS = "backups"


def back_up(home: Path, state: StateReader) -> Path:
    """Keep the state as it is below .brewslm/backups and return the file, whose name holds serial
    and fence.

    Raises: OSError of the step that failed.
    """
    meta = state.meta()
    name = f"state-{meta.serial}-{meta.fence}.json"
    path = make_private_folder(home / BACKUPS) / name
    write_atomic(path, pulled_bytes(state))
    return path
