"""The corpus of `builtin:nano`: an endless stream of documents that a seed determines.

It teaches English about everyday matters, copying, labelling, JSON and turn-taking. What users
will train on top stays out: no record that says how soon somebody must act, none with the keys
category, priority and reason, no intent labels, no house style that is not spelled out in the
conversation itself, and no document with a sentence of the rows that are named to be left out.
"""

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Final

from brewslm.engine.nano import chats, exercises, records
from brewslm.engine.nano.document import Document, Turn, conversation
from brewslm.engine.nano.left_out import LeftOut
from brewslm.engine.nano.writer import Writer

_SHARES: Final[dict[Callable[[Writer], Document], int]] = {
    chats.passage: 9,
    chats.story_questions: 5,
    chats.service_chat: 7,
    chats.fill_in_details: 3,
    exercises.choose_topic: 12,
    exercises.choose_code: 5,
    exercises.name_topic: 12,
    exercises.same_topic: 2,
    exercises.find_line: 3,
    exercises.say_again: 4,
    exercises.judge_mood: 4,
    exercises.copy_text: 6,
    exercises.find_word: 3,
    exercises.find_value: 5,
    exercises.look_up: 5,
    exercises.kinds_of_things: 4,
    exercises.change_words: 2,
    exercises.sort_in_turns: 4,
    records.record_of_facts: 6,
    records.record_of_message: 5,
    records.record_of_choice: 6,
    records.name_in_record: 2,
    records.read_record: 3,
    records.rows_of_records: 1,
}
"""How often each kind of document is drawn; only the proportions matter."""

_LONG_RATIO: Final = 0.04
"""Share of documents that chain several exercises, so that later positions are trained as well."""


def documents(seed: int, left_out: LeftOut) -> Iterator[Document]:
    """An endless stream of documents, the same for the same seed and the same rows left out."""
    return (document for document in _drawn(seed) if not left_out.concerns(document))


def _drawn(seed: int) -> Iterator[Document]:
    writer = Writer(random.Random(seed))  # noqa: S311 - a corpus, nothing to keep secret
    kinds = list(_SHARES)
    bounds = list(itertools.accumulate(_SHARES.values()))
    while True:
        if writer.chance(_LONG_RATIO):
            yield _chain(writer, kinds, bounds)
        else:
            yield writer.rng.choices(kinds, cum_weights=bounds)[0](writer)


def _chain(
    writer: Writer, kinds: list[Callable[[Writer], Document]], bounds: list[int]
) -> Document:
    turns: list[Turn] = []
    while len(turns) < 7:
        link = writer.rng.choices(kinds, cum_weights=bounds)[0](writer)
        if not link.system:
            turns.extend(link.turns[:3])
    return conversation(*turns, system=writer.word("style") if writer.chance(0.3) else "")
