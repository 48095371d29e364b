"""Turning sentence patterns into text with a seeded random source."""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeVar

from brewslm.engine.nano.words import Topic, load_topics, load_words

T = TypeVar("T")

_CHOICE: Final = re.compile(r"\[([^\[\]]*)\]")
_SLOT: Final = re.compile(r"\{(\w+)\}")
_CONSONANTS: Final = "bcdfghjklmnprstvwz"
_VOWELS: Final = "aeiou"
_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ"


class Writer:
    """A random source that knows the words, and the slot values of the sentence it wrote last."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.words = load_words()
        self.topics = load_topics()
        self.slots: dict[str, str] = {}

    def pick(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[int(self.rng.random() * len(options))]

    def pick_some(self, options: Sequence[T], count: int) -> list[T]:
        """Different members of the options, at most as many as there are, in random order."""
        return self.rng.sample(options, min(count, len(options)))

    def chance(self, ratio: float) -> bool:
        """True in that share of calls."""
        return self.rng.random() < ratio

    def between(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return low + int(self.rng.random() * (high - low + 1))

    def word(self, word_class: str) -> str:
        """A word of a class of `words.txt`."""
        return self.pick(self.words[word_class])

    def fill(self, pattern: str, known: Mapping[str, str] = MappingProxyType({})) -> str:
        """The pattern with every choice and slot decided; `slots` then holds this call's values.

        known: values of slots that are already decided.
        """
        self.slots = {}
        chosen = _CHOICE.sub(lambda match: self.pick(match[1].split("|")), pattern)
        filled = _SLOT.sub(lambda match: self._remember(match[1], known), chosen)
        return " ".join(filled.split())

    def report(self, topic: Topic) -> str:
        """Something a person says about the topic, without a capital and without a full stop."""
        return self.fill(self.pick(topic.reports))

    def answer(self, topic: Topic, known: Mapping[str, str] = MappingProxyType({})) -> str:
        """What is answered to a report about the topic, with the values that the report named."""
        return self.fill(self.pick(topic.answers), known)

    def sentence(self, text: str) -> str:
        """The text with a capital at the front and a full stop or question mark behind."""
        if text[-1] in ".!?":
            return text[0].upper() + text[1:]
        asks = text.split(" ", 1)[0] in _QUESTION_WORDS
        return text[0].upper() + text[1:] + ("?" if asks else ".")

    def casual(self, text: str) -> str:
        """The text as people type it: mostly a sentence, sometimes bare, loud or insistent."""
        draw = self.rng.random()
        if draw < 0.60:
            return self.sentence(text)
        if draw < 0.85:
            return text
        if draw < 0.93:
            return text[0].upper() + text[1:] + "!"
        return f"{self.word('hello')}, {text}. {self.word('bye')}"

    def slot(self, name: str) -> str:
        """A fresh value for a slot: a made-up number, date or address, or a word of that class."""
        make = _SLOT_MAKERS.get(name)
        return make(self) if make else self.word(name)

    def non_word(self) -> str:
        """A pronounceable word that means nothing, so that it can only be copied."""
        syllables = self.between(1, 3)
        return "".join(
            self.pick(_CONSONANTS) + self.pick(_VOWELS) + (self.pick(_CONSONANTS + "    ")).strip()
            for _ in range(syllables)
        )

    def _remember(self, name: str, known: Mapping[str, str]) -> str:
        value = known[name] if name in known else self.slot(name)
        self.slots[name] = value
        return value


_QUESTION_WORDS: Final = frozenset(
    ("what", "which", "who", "when", "where", "why", "how", "is", "are", "do", "does", "did", "can")
) | frozenset(("could", "will", "would", "has", "have", "am", "may", "should", "was", "until"))


def _order(writer: Writer) -> str:
    letters = "".join(writer.pick(_LETTERS) for _ in range(writer.between(1, 3)))
    digits = str(writer.between(10, 99_999))
    return writer.pick((f"{letters}-{digits}", f"#{digits}", digits, f"{letters}{digits}"))


def _amount(writer: Writer) -> str:
    whole = writer.between(2, 999)
    cents = f"{writer.between(0, 99):02d}"
    return writer.pick(
        (
            f"${whole}",
            f"${whole}.{cents}",
            f"{whole} dollars",
            f"{whole}.{cents} euros",
            f"€{whole}",
        )
    )


def _date(writer: Writer) -> str:
    day, month = writer.between(1, 28), writer.word("month")
    iso = f"20{writer.between(19, 29)}-{writer.between(1, 12):02d}-{day:02d}"
    return writer.pick((f"{month} {day}", f"{day} {month}", iso, f"the {day}th of {month}"))


def _time(writer: Writer) -> str:
    hour, minute = writer.between(1, 12), writer.pick(("00", "15", "30", "45", "05", "20"))
    return writer.pick(
        (
            f"{hour}:{minute}",
            f"{hour} o'clock",
            f"{hour} am",
            f"{hour} pm",
            f"{hour + 8:02d}:{minute}",
        )
    )


def _email(writer: Writer) -> str:
    user = writer.word("first").lower()
    host = writer.word("company").split()[0].lower()
    ending = writer.pick(("com", "org", "net"))
    return f"{user}{writer.pick(('', '.', '_'))}{writer.between(1, 99)}@{host}.{ending}"


def _phone(writer: Writer) -> str:
    return "-".join(f"{writer.between(0, 999):03d}" for _ in range(writer.between(2, 3)))


_SLOT_MAKERS: Final[dict[str, Callable[[Writer], str]]] = {
    "name": lambda writer: f"{writer.word('first')} {writer.word('last')}",
    "order": _order,
    "amount": _amount,
    "date": _date,
    "time": _time,
    "email": _email,
    "phone": _phone,
    "number": lambda writer: str(writer.between(2, 99)),
    "small": lambda writer: writer.pick(
        ("two", "three", "four", "five", "six", "2", "3", "4", "5")
    ),
    "percent": lambda writer: str(writer.between(1, 20) * 5),
    "year": lambda writer: str(writer.between(1950, 2029)),
}
