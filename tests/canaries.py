"""Secrets of nobody, and the search for them in everything that a project says and keeps."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

PASSWORD = 'c4n4ry+p/4ss"w0rd é'  # noqa: S105  of nobody
URL = f"postgresql://ana:{quote(PASSWORD, safe='')}@db.internal/parcels"
TOKEN = "c4n4ry-t0k3n-0123456789"  # noqa: S105  of nobody
NAMES = {"PARCELS_STATE_URL": URL, "PARCELS_TOKEN": TOKEN}


def spellings() -> Iterator[bytes]:
    """Yield what the values look like in the forms that texts are written in."""
    for value in (PASSWORD, URL, TOKEN):
        data = value.encode()
        yield from (
            data,
            data.hex().encode(),
            quote(value).encode(),
            quote(value, safe="").encode(),
        )
        yield from (json.dumps(value)[1:-1].encode(), repr(value)[1:-1].encode())
        for shift in range(3):
            encoded = base64.b64encode(bytes(shift) + data)
            yield encoded[shift + 1 : len(encoded) // 4 * 4 - 4]


def found_in(texts: dict[str, bytes]) -> list[tuple[str, bytes]]:
    """Return in which texts a value is written, also across the ends of lines."""
    wanted = {spelt: b"".join(spelt.split()) for spelt in spellings()}
    return [
        (name, spelt)
        for name, data in texts.items()
        for joined in (b"".join(data.split()),)
        for spelt, squeezed in wanted.items()
        if spelt in data or squeezed in joined
    ]


def kept_below(folder: Path) -> dict[str, bytes]:
    """Return the name and the bytes of everything below a folder."""
    return {
        str(path): str(path).encode() + (path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


def open_below(home: Path) -> list[str]:
    """Return what others than the owner may look at: a folder, and everything in it."""
    return [
        str(path.relative_to(home))
        for path in (home, *sorted(home.rglob("*")))
        if not path.is_symlink() and path.stat().st_mode & 0o077
    ]
