"""Characters that cannot be seen where they are printed: a name or a message that holds one looks
like another.
"""

import re
import unicodedata

_UNSEEN_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp")
_BLANK = re.compile(
    "["
    "\u034f"  # combining grapheme joiner
    "\u115f\u1160\u3164\uffa0"  # Hangul fillers: letters without a shape
    "\u17b4\u17b5"  # Khmer inherent vowels, never drawn
    "\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"  # variation selectors
    "\u2800"  # Braille pattern without a dot
    "\u2065\ufff0-\ufff8\U000e0000-\U000e0fff"  # ignorable by default, most of them unassigned
    "\U0001d159"  # musical null note head
    "]"
)


def is_unseen(char: str) -> bool:
    """Return whether a character has no shape of its own, or is a blank other than the space."""
    if char.isascii():
        return not char.isprintable()
    category = unicodedata.category(char)
    return category in _UNSEEN_CATEGORIES or category == "Zs" or bool(_BLANK.match(char))


def unseen_in(text: str) -> list[str]:
    """Return the characters of a text that cannot be seen, in order."""
    if text.isascii() and text.isprintable():
        return []
    return [char for char in text if is_unseen(char)]
