"""Rows that resemble each other go where comparing all of them, rule by rule, puts them."""

import json
import random
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any, Literal

import pytest

from brewslm.rows.dataset import LeakCheckSpec, SplitSpec
from brewslm.rows.record import Split
from tests.rows.composing import codes_of, lines_of, prepared, source, write_rows
from tests.rows.test_leaks import grams, words_of
from tests.rows.test_placing import templated
from tests.rows.test_split import SETS, slowly

grams_of = cache(grams)
TRAINED = (Split.TRAIN, Split.VALIDATION)


@dataclass(frozen=True)
class Row:
    """A row as a test writes it, with its number in the file."""

    number: int
    text: str
    site: str

    @property
    def key(self) -> str:
        return f"g:{json.dumps([self.site])}"

    @property
    def folded(self) -> str:
        return " ".join(self.text.lower().split())

    @property
    def is_long(self) -> bool:
        return len(words_of(self.folded)) >= 8

    def resembles(self, other: "Row") -> bool:
        """Whether the texts are similar; it is for the caller to ask how long they are."""
        first, second = grams_of(self.folded), grams_of(other.folded)
        return 10 * len(first & second) >= 7 * len(first | second)


class Way:
    """The rows placed by groups, and which of them then resemble the test set."""

    def __init__(self, rows: list[Row], groups: dict[str, str], request: SplitSpec) -> None:
        """groups: each group key to the group that it is placed with."""
        self.rows, self.request = rows, request
        placement = slowly(dict.fromkeys(sorted(set(groups.values())), ""), request)
        self.empty = placement.empty
        self.sets = {row: placement.sets[groups[row.key]] for row in rows}
        self.forced = {row for row in rows if groups[row.key] in placement.forced}
        tested = [row for row in rows if self.sets[row] is Split.TEST]
        self.trained = [row for row in rows if self.sets[row] in TRAINED]
        self.equal = {row for row in self.trained if row.folded in {own.folded for own in tested}}
        self.similar = {
            row
            for row in self.trained
            if row not in self.equal and any(own.is_long and row.resembles(own) for own in tested)
        }

    @property
    def starves(self) -> bool:
        left = {self.sets[row] for row in self.rows if row not in self.equal | self.similar}
        is_emptied = any(self.sets[row] not in left for row in self.similar)
        return 2 * len(self.similar) > len(self.trained) or is_emptied

    @property
    def is_near_its_shares(self) -> bool:
        amounts = [list(self.sets.values()).count(split) for split in SETS]
        asked = self.request.train, self.request.validation, self.request.test
        wanted = [Fraction(share) * len(self.rows) for share in asked]
        return all(
            own / 4 <= amount <= 3 * own for amount, own in zip(amounts, wanted, strict=True)
        )


def expected_of(rows: list[Row], request: SplitSpec) -> tuple[list[str], Way, set[Row]]:
    """Return the finding, the way that is taken, and the rows that are held."""
    own = Way(rows, {row.key: row.key for row in rows}, request)
    if not own.starves:
        is_told = 10 * len(own.similar) > len(own.trained)
        return ["SIMILAR_ROWS_HELD"] * is_told, own, own.equal | own.similar
    groups = {row.key: row.key for row in rows}
    long = [row for row in rows if row.is_long]
    pairs = [(one.key, other.key) for one, other in permutations(long, 2) if one.resembles(other)]
    for _ in groups:
        for one, other in pairs:
            groups[one] = min(groups[one], groups[other])
    together = Way(rows, groups, request)
    if together.empty or together.starves or not together.is_near_its_shares:
        return ["SIMILAR_ROWS_KEPT"], own, own.equal
    return ["SIMILAR_ROWS_GROUPED"], together, together.equal | together.similar


FRAMES = [
    f"order {{}} of {' '.join(f'{name}{word}' for word in range(9))} is late"
    for name in ("oak", "elm", "fir", "ash", "yew", "box", "fig", "bay", "may", "sloe", "pear")
]
SHORT = "order {} of the harbourmaster wholesale"
UNLIKE = " ".join(f"no{{0}}x{word}" for word in range(9))
SHARES = [(10, 3, 3), (8, 4, 4), (12, 0, 4), (14, 1, 1)]
METHODS: list[Literal["hash", "random"]] = ["hash", "hash", "random"]


def drawn_rows(chance: random.Random) -> list[Row]:
    """Rows of some templates, of which one may be short, and a few that repeat others aloud."""
    frames = chance.sample(FRAMES, chance.choice([1, 8, 11, 11, 11]))
    frames += chance.choice([[], [], [SHORT], [SHORT] * 3, [UNLIKE] * 9])
    sites = chance.choice([14, 99, 999, 999, 999])
    rows: list[Row] = []
    for number in range(chance.randint(14, 44)):
        start = chance.choice(["", "", "&amp; "])
        text = start + chance.choice(frames).format(number)
        rows.append(Row(number, text, f"s{chance.randrange(sites)}"))
    for row in chance.sample(rows, chance.choice([0, 0, 2])):
        rows.append(Row(len(rows), row.text.replace("o", "O"), f"s{chance.randrange(sites)}"))
    return rows


def found_in(root: Path, rows: list[Row], request: SplitSpec) -> tuple[list[str], list[Any]]:
    """Return what is said of similar rows, and the set and the flags of each row."""
    written = [{"text": row.text, "label": "a", "site": row.site} for row in rows]
    write_rows(root / "tickets.jsonl", written)
    check = LeakCheckSpec(ngram=0, near=0.7)
    result = prepared(root, source(), split=request, leak_check=check)
    index = sorted(lines_of(root / "out", "index.jsonl"), key=lambda line: line["line"])
    codes = [code for code in codes_of(result) if code.startswith("SIMILAR")]
    return codes, [(line["split"], line["flags"]) for line in index]


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_similar_rows_are_held_grouped_or_kept_as_the_slow_way_has_it(
    tmp_path: Path, first: int
) -> None:
    for number in range(first, first + 10):
        chance = random.Random(number)  # noqa: S311  planted rows, not secrets
        rows = drawn_rows(chance)
        train, validation, test = chance.choice(SHARES)
        method = chance.choice(METHODS)
        request = SplitSpec(
            train=train / 16,
            validation=validation / 16,
            test=test / 16,
            seed=number,
            method=method,
            group_by="site",
        )
        codes, way, held = expected_of(rows, request)
        found = found_in(tmp_path / str(number), rows, request)
        assert found == (
            codes,
            [
                (
                    "held" if row in held else way.sets[row].value,
                    ["html_entity"] * ("&amp;" in row.text)
                    + ["split_forced"] * (row in way.forced),
                )
                for row in rows
            ],
        ), number


@pytest.mark.parametrize(("most", "code"), [(200, "GROUPED"), (199, "KEPT")])
def test_more_rows_than_can_be_joined_in_seconds_are_not_grouped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, code: str
) -> None:
    monkeypatch.setattr("brewslm.rows.placing._MOST_GROUPED_ROWS", most)
    write_rows(tmp_path / "tickets.jsonl", templated(200, 20))
    found = [item for item in codes_of(prepared(tmp_path, source())) if "SIMILAR" in item]
    assert found == [f"SIMILAR_ROWS_{code}"]
