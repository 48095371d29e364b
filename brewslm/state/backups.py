"""Copies of the state that are kept before it is edited by hand: pulled states, each of which
`brewslm state push --force` puts back. The newest ones stay, and all of the last days.
"""

import re
import stat
import time
from contextlib import suppress
from pathlib import Path

from brewslm.durability import Step, durable
from brewslm.files import make_private_folder, write_atomic
from brewslm.state.portable import pulled_bytes
from brewslm.state.store import StateReader

BACKUPS = "backups"
KEPT = 10
"""How many of the newest stay, whatever their age."""
KEPT_S = 7 * 86_400.0
"""The age up to which all stay."""
_NAME = re.compile(r"state-\d+-\d+\.json")


def back_up(home: Path, state: StateReader) -> Path:
    """Keep the state as it is below .brewslm/backups and return the file, whose name holds serial
    and fence. Once it is durable, what is too old goes.

    Raises: OSError of the step that failed.
    """
    meta = state.meta()
    name = f"state-{meta.serial}-{meta.fence}.json"
    path = make_private_folder(home / BACKUPS) / name
    write_atomic(path, pulled_bytes(state))
    prune(path, time.time())
    return path


def prune(newest: Path, now_s: float) -> list[Path]:
    """Remove the copies beside the newest one that are neither among the newest nor young, oldest
    first; return them. Other files stay, and what the system does not let go stays too.

    newest: is the newest whatever the clock said when it was written.
    """
    written = {
        path: status.st_mtime
        for path in newest.parent.iterdir()
        if _NAME.fullmatch(path.name) and stat.S_ISREG((status := path.lstat()).st_mode)
    }
    newest_first = sorted(written, key=lambda path: (path == newest, written[path]), reverse=True)
    removed = []
    for path in reversed(newest_first[KEPT:]):
        if now_s - written[path] <= KEPT_S:
            continue
        with suppress(OSError), durable(Step.REMOVE, path):
            path.unlink()
            removed.append(path)
    return removed
