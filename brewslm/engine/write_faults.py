"""How a write that the disk refused shows: an OSError, or only words of a library.

Imports no library, so that the worker can ask before any is loaded.
"""

import errno
import os
import re
from pathlib import Path
from tempfile import TemporaryFile

from brewslm.errors import WorkerError
from brewslm.files import is_refused_write, unwritable

_OS_ERROR = re.compile(r"\(os error (\d+)\)")
"""Rust's words, as safetensors and tokenizers pass them on."""
_TORCH_WORDS = ("PytorchStreamWriter failed", "file write failed", "unexpected pos")
"""Torch's archive writer names no error number."""
_PROBE_BYTES = 1 << 20


def find_write_fault(error: BaseException, folder: Path) -> OSError | None:
    """Return the error of the disk behind an exception, None where it is about something else.

    folder: where the write was tried; what torch does not say is found by writing there again.
    """
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, OSError) and is_refused_write(cause):
            return cause
        text = str(cause)
        named = _OS_ERROR.search(text)
        if named is not None:
            found = OSError(int(named.group(1)), os.strerror(int(named.group(1))), str(folder))
            if is_refused_write(found):
                return found
        if isinstance(cause, RuntimeError) and any(word in text for word in _TORCH_WORDS):
            return _probed(folder)
        cause = cause.__cause__ or cause.__context__
    return None


def write_error(fault: OSError) -> WorkerError:
    """Return the error of a worker whose write was refused: disk_full, permission_denied, ..."""
    told = unwritable(fault)
    return WorkerError(told.message, code=told.code, found=told.found, remedy=told.remedy)


def _probed(folder: Path) -> OSError:
    try:
        with TemporaryFile(dir=folder) as stream:
            stream.write(os.urandom(_PROBE_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        return error
    return OSError(errno.EIO, os.strerror(errno.EIO), str(folder))
