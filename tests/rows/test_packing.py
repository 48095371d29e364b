"""Packing is best fit, longest rows first, against the slow way of saying so."""

from hypothesis import given
from hypothesis import strategies as st

from brewslm.rows.packing import packed_rows


def _slowly(rows: list[tuple[int, str]], limit: int) -> list[list[int]]:
    copies = [[row_id for _, row_id in rows[:at]].count(rows[at][1]) for at in range(len(rows))]
    order = sorted(range(len(rows)), key=lambda at: (-rows[at][0], copies[at], rows[at][1], at))
    sequences: list[list[int]] = []
    for at in order:
        spaces = [limit - sum(rows[held][0] for held in sequence) for sequence in sequences]
        fitting = [space for space in spaces if space >= rows[at][0]]
        if fitting:
            sequences[spaces.index(min(fitting))].append(at)
        else:
            sequences.append([at])
    return sequences


@given(
    rows=st.lists(st.tuples(st.integers(1, 32), st.sampled_from("abcdefgh")), max_size=60),
    limit=st.integers(32, 40),
)
def test_sequences_are_those_of_the_slow_way(rows: list[tuple[int, str]], limit: int) -> None:
    assert packed_rows(rows, limit) == _slowly(rows, limit)


def test_copies_of_a_row_part_where_there_is_another_place() -> None:
    rows = [(16, "a"), (16, "a"), (16, "b"), (16, "b")]
    assert sorted(sorted(rows[at][1] for at in held) for held in packed_rows(rows, 32)) == [
        ["a", "b"],
        ["a", "b"],
    ]
