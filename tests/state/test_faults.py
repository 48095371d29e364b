"""What the system or SQLite refuses is told by what helps against it."""

import errno
import resource
import sqlite3
from collections.abc import Iterator

import pytest

from brewslm.errors import StateVersionError
from brewslm.state import faults

_SYSTEM = {
    "disk_full": (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    "permission_denied": (errno.EACCES, errno.EPERM, errno.EROFS),
    "store_suspect": (errno.EIO,),
    "state_write_failed": (errno.EBUSY, errno.EINTR),
}
_SQLITE = {
    "disk_full": (sqlite3.SQLITE_FULL,),
    "permission_denied": (
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_READONLY_DBMOVED,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CANTOPEN_ISDIR,
        sqlite3.SQLITE_AUTH,
    ),
    "store_suspect": (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC),
    "state_write_failed": (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR_READ,
        *(_GREW := (sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_TRUNCATE)),
    ),
    "state_corrupt": (sqlite3.SQLITE_ERROR,),
}


@pytest.mark.parametrize(
    ("number", "code"), [(number, code) for code, them in _SYSTEM.items() for number in them]
)
def test_refusal_of_the_system_is_told_by_what_helps(number: int, code: str) -> None:
    assert faults.refused_by_system(OSError(number, "refused")).code == code


def _refused(number: int, kind: type[sqlite3.Error] = sqlite3.OperationalError) -> str:
    error = kind("refused")
    error.sqlite_errorcode = number
    return faults.refused_by_sqlite(error).code


@pytest.mark.parametrize(
    ("number", "code"), [(number, code) for code, them in _SQLITE.items() for number in them]
)
def test_refusal_of_sqlite_is_told_by_what_helps(number: int, code: str) -> None:
    assert _refused(number) == code


def test_damage_is_told_whatever_statement_met_it() -> None:
    for number in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT):
        assert _refused(number, sqlite3.DatabaseError) == "state_corrupt"
    assert faults.refused_by_sqlite(sqlite3.OperationalError("no such table")).code == (
        "state_corrupt"
    )


@pytest.fixture
def limited() -> Iterator[None]:
    """Limit the size of files, far above what any test writes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 40, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("limited")
@pytest.mark.parametrize("number", _GREW)
def test_limit_on_file_sizes_is_a_full_disk(number: int) -> None:
    assert _refused(number) == "disk_full"
    assert _refused(sqlite3.SQLITE_IOERR_READ) == "state_write_failed"


def test_state_of_this_version_and_older_ones_are_taken() -> None:
    for version in (1, 7):
        faults.check_version(version, 7)
    with pytest.raises(StateVersionError):
        faults.check_version(8, 7)


def test_state_that_stays_at_its_version_says_why() -> None:
    full = faults.refused_by_system(OSError(errno.ENOSPC, "no space left"))
    error = faults.not_migrated(full, 1, 2, "copy.db")
    assert (error.code, error.found) == ("disk_full", "version 1: no space left")
    assert "copy.db" in error.remedy
