"""Whether a text says that it will not or cannot answer; list refusal.v1, English.

One list for rows (is the wanted answer a refusal?) and for scoring (is the output one?). Other
languages bring phrases of their own.
"""

import unicodedata
from collections.abc import Sequence

VERSION = "refusal.v1"
WINDOW_CHARACTERS = 200
PHRASES = (
    "can't be answered",
    "cannot be answered",
    "context does not contain",
    "context does not mention",
    "context does not provide",
    "does not contain enough information",
    "does not contain the answer",
    "i am not able to",
    "i am unable to",
    "i can't answer",
    "i can't assist",
    "i can't help",
    "i can't provide",
    "i cannot answer",
    "i cannot assist",
    "i cannot help",
    "i cannot provide",
    "i do not have enough information",
    "i do not know",
    "i don't have enough information",
    "i don't know",
    "i must decline",
    "i won't be able to",
    "i'm not able to",
    "i'm unable to",
    "insufficient information",
    "no answer in the context",
    "no information is given",
    "not enough information",
    "not in the context",
    "not mentioned in the context",
    "the passages do not contain",
    "the passages do not mention",
    "unable to answer",
)
_APOSTROPHES = {0x2018: "'", 0x2019: "'", 0x02BC: "'"}


def is_refusal(text: str, further_phrases: Sequence[str] = ()) -> bool:
    """Return whether the first 200 characters of a text contain a phrase of refusal.

    Case, compatibility forms and white space do not count.
    """
    start = _match_form(text)[:WINDOW_CHARACTERS]
    return any(phrase in start for phrase in PHRASES) or any(
        _match_form(phrase) in start for phrase in further_phrases if phrase.strip()
    )


def _match_form(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).casefold()
    return " ".join(folded.split())
