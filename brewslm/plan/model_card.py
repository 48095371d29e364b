"""What the card in a base model's folder says; it is read for people and decides nothing."""

import re
from pathlib import Path

_CARD = "README.md"
_MAX_BYTES = 64 << 10
_METADATA = re.compile(r"\A---\n(.*?)^---$", re.DOTALL | re.MULTILINE)
_LICENCE = re.compile(r"^license(?:_name)?:[ \t]*[\"']?([\w.+-]{1,64})[\"']?[ \t]*$", re.MULTILINE)


def stated_licence(folder: Path) -> str | None:
    """Return the licence that a model's card states, None where it states none in one word.

    A card that calls the licence other may name it.
    """
    path = folder / _CARD
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        text = stream.read(_MAX_BYTES).decode(errors="replace")
    metadata = _METADATA.search(text.replace("\r\n", "\n"))
    found = _LICENCE.findall(metadata[1]) if metadata else []
    return next((name for name in found if name != "other"), found[0] if found else None)
