"""A difference is empty exactly for equal JSON values, and names all that has to change."""

import copy
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewslm.plan.diff import changed_paths, value_at

_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-1, 2)
    | st.integers(-2, 4).map(lambda n: n / 2)
    | st.sampled_from(["", "1", "true"])
)
_KEYS = st.sampled_from(["a", "b", "c"])
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=8,
)
_SPECS = st.dictionaries(_KEYS, _VALUES, max_size=3)


@st.composite
def _pairs(draw: st.DrawFn) -> tuple[Any, Any]:
    """Two specs, the second mostly an edit of the first."""
    before = draw(_SPECS)
    if draw(st.integers(0, 3)) == 0:
        return before, draw(_SPECS)
    after: Any = copy.deepcopy(before)
    place: Any = after
    while place and draw(st.booleans()):
        keys = list(range(len(place))) if isinstance(place, list) else sorted(place)
        key = draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or not place[key]:
            swapped = float(place[key]) if isinstance(place[key], bool) else place[key] == 1
            place[key] = swapped if draw(st.booleans()) else draw(_VALUES)
            break
        place = place[key]
    return before, after


def _text(value: Any) -> str:
    """Return the one text of a JSON value: numbers by value, true and 1 apart."""

    def plain(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: plain(value) for key, value in item.items()}
        if isinstance(item, list):
            return [plain(value) for value in item]
        return float(item) if type(item) is int else item

    return json.dumps(plain(value), sort_keys=True)


def _steps(path: str) -> list[str | int]:
    found = re.findall(r"\[(\d+)\]|([^.\[\]]+)", path)
    return [int(number) if number else name for number, name in found]


def _at(document: Any, steps: list[str | int]) -> tuple[bool, Any]:
    for step in steps:
        if isinstance(document, dict) and step not in document:
            return False, None
        document = document[step]
    return True, document


@given(_pairs())
def test_a_difference_is_empty_for_equal_values_only(pair: tuple[Any, Any]) -> None:
    before, after = pair
    assert (changed_paths(before, after) == []) == (_text(before) == _text(after))
    assert changed_paths(before, after) == changed_paths(after, before)


@given(_pairs())
def test_changing_what_a_difference_names_makes_the_other_value(pair: tuple[Any, Any]) -> None:
    before, after = pair
    paths = changed_paths(before, after)
    assert len(set(paths)) == len(paths)
    patched = copy.deepcopy(before)
    for path in paths:
        *rest, last = _steps(path)
        (_, place), (is_there, value) = _at(patched, rest), _at(after, [*rest, last])
        was_there, old = _at(before, [*rest, last])
        assert not (isinstance(old, dict) and isinstance(value, dict)), "not the smallest value"
        assert (was_there, _text(old)) != (is_there, _text(value))
        assert (value_at(before, path), value_at(after, path)) == (old, value)
        if is_there:
            place[last] = value
        else:
            del place[last]
    assert _text(patched) == _text(after)


@pytest.mark.parametrize(
    ("before", "after", "paths"),
    [
        ({"a": True}, {"a": 1}, ["a"]),
        ({"a": False}, {"a": 0.0}, ["a"]),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": "1"}, {"a": 1}, ["a"]),
        ({"a": None}, {}, ["a"]),
        ({"gates": [{"t": 1, "n": 2}]}, {"gates": [{"t": 1, "n": 3}]}, ["gates[0].n"]),
        ({"gates": [{"t": 1}]}, {"gates": [{"t": 1}, {"t": 1}]}, ["gates"]),
        ({"gates": []}, {"gates": [{"t": 1}]}, ["gates"]),
        ({"list": [1, 2]}, {"list": [2, 1]}, ["list"]),
        ({"list": [1]}, {"list": (1,)}, ["list"]),
        ({"list": [1, "a"]}, {"list": [True, "a"]}, ["list"]),
        ({"list": ("a", 0)}, {"list": ("a", False)}, ["list"]),
        ({"list": [[1], 2]}, {"list": [[True], 2]}, ["list"]),
        ({"list": [{"x": 1}, 2]}, {"list": [{"x": True}, 2]}, ["list"]),
        ({"list": [{"x": 1}, 2]}, {"list": [{"x": 1.0}, 2.0]}, []),
        ({"list": [1]}, {"list": [1, 1]}, ["list"]),
        ({"b": 1, "a": {"x": 1}}, {"b": 2, "a": {"y": 1}}, ["a.x", "a.y", "b"]),
        (None, {"a": 1}, [""]),
    ],
)
def test_a_difference_names_the_smallest_values(before: Any, after: Any, paths: list[str]) -> None:
    assert changed_paths(before, after) == paths


@pytest.mark.parametrize("path", ["a.x", "a[3]", "c", "a.x.y", "l[1]", "l[0].x.z"])
def test_there_is_nothing_at_a_path_that_is_not_there(path: str) -> None:
    assert value_at({"a": 1, "l": [{"x": 2}]}, path) is None
