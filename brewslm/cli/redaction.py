"""Secrets kept out of what is said and kept: their values, in every spelling, become their names.

It is the second line: values stay out of what is written in the first place. Libraries may still
put a URL or a key into the text of an error.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote

from brewslm.files import PathError, open_inside

Redact = Callable[[str], str]

_SHORTEST = 8
"""Shorter values are parts of ordinary words."""
_MAX_BYTES = 1 << 20
_REFERENCE = re.compile(r"secret://([A-Za-z_][A-Za-z0-9_]*)")
_NAMED = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|API_?KEY|ACCESS_?KEY")
"""Names of variables that hold credentials; an ID beside them is public."""
_PUBLIC = re.compile(r"_(ID|FILE|PATH|URI_TEMPLATE)$")
_USERINFO = re.compile(r"://[^/?#@:]*:([^/?#@]+)@|[?&](?:ssl)?password=([^&#]+)")


def redaction(root: Path, manifest: str, environment: Mapping[str, str]) -> Redact:
    """Return what replaces, in a text, the values of a project's secrets and those variables of the
    environment that look like credentials.
    """
    named = {*_referenced(root, manifest)}
    named |= {name for name, value in environment.items() if _is_credential(name, value)}
    spellings: dict[str, str] = {}
    for name in sorted(named):
        for value in _parts(environment.get(name, "")):
            if len(value) >= _SHORTEST:
                spellings |= dict.fromkeys(_spellings(value), f"[secret://{name}]")
    if not spellings:
        return lambda text: text
    longest_first = sorted(spellings, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest_first)))
    return lambda text: pattern.sub(lambda found: spellings[found[0]], text)


def _is_credential(name: str, value: str) -> bool:
    is_named = _NAMED.search(name) is not None and _PUBLIC.search(name) is None
    return is_named or _USERINFO.search(value) is not None


def _referenced(root: Path, manifest: str) -> Iterator[str]:
    try:
        with open_inside(root, manifest) as stream:
            data = stream.read(_MAX_BYTES)
    except (PathError, OSError):
        return
    yield from _REFERENCE.findall(data.decode("utf-8", "replace"))


def _parts(value: str) -> Iterator[str]:
    """Yield a value and, where it is a URL, the password in it."""
    yield value
    if value != value.strip():
        yield value.strip()
    for found in _USERINFO.finditer(value):
        written = found[1] or found[2]
        yield from (written, unquote(written))


def _spellings(value: str) -> set[str]:
    data = value.encode("utf-8", "surrogateescape")
    found = {value, repr(value)[1:-1], quote(data), quote(data, safe=""), quote_plus(data)}
    found |= {json.dumps(value, ensure_ascii=is_ascii)[1:-1] for is_ascii in (True, False)}
    found |= {data.hex(), data.hex().upper()}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        found |= {_inner_base64(encode, data, shift) for shift in range(3)}
    return {spelling for spelling in found if len(spelling) >= _SHORTEST}


def _inner_base64(encode: Callable[[bytes], bytes], data: bytes, shift: int) -> str:
    """Return the characters that stand for the data alone, wherever in a longer text it begins."""
    padded = encode(bytes(shift) + data).decode()
    first = (shift * 8 + 5) // 6
    last = (shift + len(data)) * 8 // 6
    return padded[first:last]
