"""Copies of the state that are kept before it is edited by hand: pulled states, each of which
`brewslm state push --force` puts back. The newest ones stay, and all of the last days before the
one that was made last: what the clock says now is not asked, for it may be wrong.
"""

import re
import stat
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
"""How much older than the last one before the newest a copy may be and stay."""
_NAME = re.compile(r"state-\d+-\d+(-[0-9a-z]{1,8})?\.json")


def back_up(home: Path, state: StateReader) -> Path:
    """Keep the state as it is below .brewslm/backups and return the file, whose name holds serial,
    fence and the beginning of the lineage. Once it is durable, what is too old goes.

    Raises: OSError of the step that failed.
    """
    meta = state.meta()
    lineage = "".join(re.findall(r"[0-9a-z]", meta.lineage))[:8]
    name = "-".join(filter(None, ("state", str(meta.serial), str(meta.fence), lineage)))
    path = make_private_folder(home / BACKUPS) / f"{name}.json"
    write_atomic(path, pulled_bytes(state))
    with suppress(OSError):
        prune(path)
    return path


def prune(newest: Path) -> list[Path]:
    """Remove the copies beside the newest one that are neither among the newest nor young, oldest
    first; return them. Other files stay, and what the system does not let go stays too.

    newest: is the newest whatever the clock said when it was written.
    Raises: OSError where the folder cannot be read.
    """
    written = {
        path: status.st_mtime
        for path in newest.parent.iterdir()
        if _NAME.fullmatch(path.name) and stat.S_ISREG((status := path.lstat()).st_mode)
    }
    last_s = max((at_s for path, at_s in written.items() if path != newest), default=0.0)
    newest_first = sorted(written, key=lambda path: (path == newest, written[path]), reverse=True)
    removed = []
    for path in reversed(newest_first[KEPT:]):
        if last_s - written[path] <= KEPT_S:
            continue
        with suppress(OSError), durable(Step.REMOVE, path):
            path.unlink()
            removed.append(path)
    return removed
