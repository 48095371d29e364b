"""Laying kept bytes into a folder: whole or absent at any time."""

import errno
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from brewslm.contracts import Output
from brewslm.files import make_private_folder, move, temporary_name

Lay = Callable[[Output, Path], None]
"""Writes the verified bytes of a file object into a new file."""


def lay(
    output: Output, target: Path, listing: Callable[[str], Mapping[str, Output]], one: Lay
) -> Path:
    """Build a file or folder beside the target and move it there.

    listing: of a folder's digest; one: writes one file.

    Raises: FileExistsError when the target is there already, and what `listing` and `one` raise.
    """
    if target.exists() or target.is_symlink():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    make_private_folder(target.parent)
    built = temporary_name(target)
    try:
        if output.is_folder:
            _lay_folder(listing(output.digest), built, one)
        else:
            one(output, built)
        move(built, target)
    except BaseException:
        shutil.rmtree(built, ignore_errors=True)
        built.unlink(missing_ok=True)
        raise
    return target


def _lay_folder(files: Mapping[str, Output], folder: Path, one: Lay) -> None:
    folder.mkdir(mode=0o700)
    for name, item in files.items():
        path = folder / name
        make_private_folder(path.parent)
        one(item, path)
