"""The errors that every store gives for the same trouble, so that each is worded once."""

import errno
import resource
import sqlite3

from brewslm.errors import LeaseLostError, StateError, StateVersionError
from brewslm.state.mounts import Mount

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_DENIED_BY_SQLITE = frozenset(
    {sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH}
)
_GREW = frozenset(
    {sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_TRUNCATE, sqlite3.SQLITE_IOERR_SHMSIZE}
)
_UNSYNCED = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})
_OWN_BACKUP = (
    "move the file away, then push a backup or a pulled state: brewslm state push FILE; "
    "without one: brewslm apply"
)
RESTORE = "restore the state from a backup, or name another place in backend.state"
"""The way out of damage in a shared store."""
_SHARED_REMEDIES = {
    "disk_full": "make room in the store, then: brewslm apply",
    "permission_denied": "correct the credentials and their rights, then: brewslm apply",
    "state_write_failed": "see that the store can be reached, then: brewslm apply",
}
_REMEDIES = {
    "disk_full": "free disk space, then: brewslm apply",
    "permission_denied": "correct owner and permissions of .brewslm, then: brewslm apply",
    "state_write_failed": "end the program that has the state open, then: brewslm apply",
    "store_suspect": "check the disk, then: brewslm apply",
}


def already_there(name: str) -> StateError:
    """Return the error of making a state where one is."""
    return StateError(
        "there is a state already",
        code="system_config_invalid",
        found=name,
        expected="no state",
        remedy="brewslm plan",
    )


def not_there(name: str) -> StateError:
    """Return the error of opening a state that was never made."""
    return StateError(
        "there is no state here",
        code="system_config_invalid",
        found=f"no {name}",
        expected="a state",
        remedy="brewslm init",
    )


def not_regular(name: str) -> StateError:
    """Return the error of a state, or its folder, that is a link or no file."""
    return StateError(
        "the state must be a regular file in a folder of its own",
        code="system_config_invalid",
        found=f"{name} is a link or no regular file",
        expected="no links",
        remedy=f"put the thing itself in the place of {name}",
    )


def on_network(folder: str, mount: Mount) -> StateError:
    """Return the error of a state that several hosts would write to through a file."""
    return StateError(
        "the state cannot be kept in a file on a network file system",
        code="system_config_invalid",
        found=f"{folder} on {mount.kind}, {mount.source} at {mount.point}",
        expected="a disk of this machine, whose processes share memory",
        remedy=(
            "move the project to a disk of this machine; or keep the state in PostgreSQL or an "
            "object store: brewslm state pull --out FILE, move .brewslm/state.db away, write "
            "workflow: {backend: {state: secret://NAME}}, then brewslm state push FILE"
        ),
    )


def check_version(version: int, newest: int) -> None:
    """Refuse a state of a newer program; newest: version that this one writes.

    Raises: StateVersionError.
    """
    if version > newest:
        raise StateVersionError(
            "the state was written by a newer program and stays untouched",
            code="state_too_new",
            found=f"version {version}",
            expected=f"version {newest} or older",
            remedy="install the newer release of brewslm",
        )


def not_migrated(error: StateError, before: int, after: int, copy: str) -> StateError:
    """Return the error of a state that stays at its version; copy: where it is kept beside."""
    return StateError(
        "the state could not be brought to the version of this program and is as it was",
        code=error.code,
        found=f"version {before}: {error.found or error.message}",
        expected=f"version {after}",
        remedy=f"go on with the earlier release of brewslm; a copy of the state is {copy}",
    )


def corrupt(found: str, remedy: str = _OWN_BACKUP) -> StateError:
    """Return the error of a state that fails its checks; remedy: for other stores than a file."""
    return StateError(
        "the state cannot be trusted and stays untouched",
        code="state_corrupt",
        found=found,
        expected="a state of this program that passes its integrity check",
        remedy=remedy,
    )


def lease_given_back() -> LeaseLostError:
    """Return the error of a write after the session's own release."""
    return LeaseLostError(
        "the lease was given back; nothing more is written",
        code="lease_lost",
        found="a released lease",
        expected="a lease that is held",
        remedy="brewslm plan",
    )


def lease_free() -> StateError:
    """Return the error of ending a lease that nobody holds."""
    return StateError(
        "the lease is free",
        code="system_config_invalid",
        found="no holder",
        expected="a lease that is held",
        remedy="brewslm apply",
    )


def refused_by_system(error: OSError) -> StateError:
    """Return the error of a file operation that the system refused."""
    if error.errno in _FULL:
        code = "disk_full"
    elif error.errno in _DENIED:
        code = "permission_denied"
    elif error.errno == errno.EIO:
        code = "store_suspect"
    else:
        code = "state_write_failed"
    return _unwritable(code, str(error.strerror))


def suspect(found: str) -> StateError:
    """Return the error of using a connection after one of its syncs failed: what it wrote may be
    lost although the system reports that a later sync succeeded.
    """
    return StateError(
        "a sync of the state failed, so nothing more is read or written before it is opened again",
        code="store_suspect",
        found=found,
        expected="writes that reach the disk",
        remedy=_REMEDIES["store_suspect"],
    )


def refused_by_sqlite(error: sqlite3.Error) -> StateError:
    """Return the error of a statement that SQLite could not carry out.

    Damage is state_corrupt, and so are tables that our fixed statements do not fit; a full disk,
    a quota or a limit on file sizes is disk_full; a failed sync is store_suspect.
    """
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code in _UNSYNCED:
        return suspect(str(error))
    if code & 0xFF == sqlite3.SQLITE_FULL or (code in _GREW and _has_file_size_limit()):
        return _unwritable("disk_full", str(error))
    if code & 0xFF in _DENIED_BY_SQLITE:
        return _unwritable("permission_denied", str(error))
    if isinstance(error, sqlite3.OperationalError) and code != sqlite3.SQLITE_ERROR:
        return _unwritable("state_write_failed", str(error))
    return corrupt(str(error))


def refused_by_store(code: str, place: str, found: str) -> StateError:
    """Return the error of a shared store that cannot be reached or refuses; place: shown to people.

    code: disk_full, permission_denied or state_write_failed.
    """
    return StateError(
        "the shared state cannot be reached or written",
        code=code,
        found=f"{place}: {found}",
        expected="a store that answers and may be written",
        remedy=_SHARED_REMEDIES[code],
    )


def _has_file_size_limit() -> bool:
    return resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY


def _unwritable(code: str, found: str) -> StateError:
    return StateError(
        "the state cannot be opened or written",
        code=code,
        found=found,
        expected="a file that can be written",
        remedy=_REMEDIES[code],
    )
