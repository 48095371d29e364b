"""What the index of prepared rows says of them."""

from operator import itemgetter

from brewslm.rows.index import first_occurrences


def test_the_first_occurrence_of_a_row_counts() -> None:
    index = [
        {"row_id": "b", "source": "left", "line": 3},
        {"row_id": "a", "source": "left", "line": 4},
        {"row_id": "b", "source": "right", "line": 1},
    ]
    assert first_occurrences(index, itemgetter("source")) == {"b": "left", "a": "left"}
    assert first_occurrences(iter(index), itemgetter("source", "line"))["b"] == ("left", 3)
