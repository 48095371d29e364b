"""The canonical layout: same meaning, nothing lost, and nothing left to do the second time."""

import random
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from brewslm.manifest.layout import formatted
from brewslm.manifest.load import check_manifest
from brewslm.manifest.yaml_file import read_yaml
from tests.manifest.writing import HEAD, write

ROOT = Path(__file__).parents[2]
SAMPLES = [
    *sorted((ROOT / "tests/manifest/samples").glob("*.yaml")),
    *sorted((ROOT / "examples").glob("*/brewslm.yaml")),
]
VALUES = {path: read_yaml(path.read_bytes(), "m").value for path in SAMPLES}


def fmt(text: str) -> str:
    """Lay out a text, and see that it means the same and that a second time changes nothing."""
    once = formatted(text.encode(), "brewslm.yaml")
    assert formatted(once, "brewslm.yaml") == once
    assert read_yaml(once, "m").value == read_yaml(text.encode(), "m").value
    return once.decode()


def words_of(text: str) -> list[str]:
    return sorted(text.replace("- ", " ").split())


class Writer:
    """Writes a value as YAML with its keys, indentation, forms and comments left to chance."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311  layouts, no secrets
        self._comments = 0

    def mapping(self, value: dict[str, Any], column: int) -> list[str]:
        lines: list[str] = []
        keys = self._chance.sample(sorted(value), len(value))
        for key in keys:
            lines += self._extra(column)
            lines += self._pair(key, value[key], column)
        return lines

    def _pair(self, key: str, value: Any, column: int) -> list[str]:
        begin = f"{' ' * column}{key}:"
        deeper = column + self._chance.randint(1, 4)
        if isinstance(value, dict) and value and self._chance.random() < 0.8:
            return [begin, *self.mapping(value, deeper)]
        if isinstance(value, list) and value and self._chance.random() < 0.6:
            dash = self._chance.choice((column, deeper))
            return [begin, *(line for item in value for line in self._item(item, dash))]
        if isinstance(value, str) and value.isprintable() and self._chance.random() < 0.3:
            return [f"{begin} |-", *(" " * deeper + line for line in value.split("\n"))]
        return [f"{begin} {orjson.dumps(value).decode()}{self._behind()}"]

    def _item(self, item: Any, dash: int) -> list[str]:
        behind = dash + self._chance.randint(2, 4)
        above = self._extra(dash)
        if isinstance(item, dict) and item:
            first, *rest = self.bare(item, behind)
            return [*above, f"{' ' * dash}-{first[dash + 1 :]}", *rest]
        return [*above, f"{' ' * dash}- {orjson.dumps(item).decode()}{self._behind()}"]

    def bare(self, item: dict[str, Any], column: int) -> list[str]:
        """Return a mapping whose first line is its first key."""
        lines = self.mapping(item, column)
        while lines[0].lstrip().startswith("#") or not lines[0].strip():
            lines.pop(0)
        return lines

    def _extra(self, column: int) -> list[str]:
        if self._chance.random() < 0.8:
            return []
        self._comments += 1
        shift = self._chance.choice((0, 0, 0, 1, 3, -column))
        return [*[""] * self._chance.randint(0, 2), f"{' ' * (column + shift)}# c{self._comments}"]

    def _behind(self) -> str:
        return self._chance.choice(("", "", "", "   # behind", "  "))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.parent.name + path.stem)
def test_samples_keep_every_word(path: Path) -> None:
    text = path.read_text()
    assert words_of(fmt(text)) == words_of(text)


@pytest.mark.case("YAM-16")
@settings(deadline=None, max_examples=30)
@given(sample=st.sampled_from(SAMPLES), seed=st.integers(0, 2**32))
def test_any_layout_keeps_its_meaning_and_words(sample: Path, seed: int) -> None:
    text = "\n".join(Writer(seed).mapping(VALUES[sample], 0)) + "\n"
    assert words_of(fmt(text)) == words_of(text)


@settings(deadline=None, max_examples=25)
@given(
    sample=st.sampled_from([p for p in SAMPLES if p.parent.name != "samples"]), seed=st.integers()
)
def test_effective_manifest_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, sample: Path, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("layout")
    text = "\n".join(Writer(seed).mapping(VALUES[sample], 0)) + "\n"
    write(folder, text)
    before, _ = check_manifest(folder)
    assume(before is not None)  # a comment may have become part of a block of text
    write(folder, fmt(text))
    after, _ = check_manifest(folder)
    assert before is not None
    assert after is not None
    assert before.digest == after.digest


@settings(deadline=None, max_examples=200)
@given(st.text(st.sampled_from("ab:-#|>+ \n{}[]'\"&*\t?,\r"), max_size=40))
def test_any_text_is_left_meaning_what_it_did(text: str) -> None:
    data = text.encode()
    once = formatted(data, "m")
    assert formatted(once, "m") == once
    if read_yaml(data, "m").findings:
        assert once == data
    else:
        assert read_yaml(once, "m").value == read_yaml(data, "m").value


def test_two_layouts_of_one_value_become_one() -> None:
    flat = {"kind": "Project", "metadata": {"name": "x"}, "spec": {"model": {"revision": None}}}
    one = fmt("spec:\n   model:\n     revision: null\nkind: Project\nmetadata:\n  name: x\n")
    two = fmt("kind: Project\nspec:\n model:\n  revision: null\nmetadata:\n    name: x\n")
    assert one == two
    assert read_yaml(one.encode(), "m").value == flat


def test_comments_move_with_what_they_are_about() -> None:
    text = """\
# what this is
kind: Project
api_version: brewslm/v1 # the schema
spec:
    data_sources:
    # the second

    - type: raw
      # its name
      name: rows
    # behind the list
metadata:
      # and this
      name: x
"""
    assert (
        fmt(text)
        == """\
# what this is
api_version: brewslm/v1 # the schema
kind: Project
metadata:
  # and this
  name: x
spec:
  data_sources:
    # the second

    # its name
    - name: rows
      type: raw
  # behind the list
"""
    )


@pytest.mark.case("YAM-16")
def test_blocks_of_text_stay_as_they_are() -> None:
    text = (
        f"{HEAD}spec:\n    dataset:\n        system_prompt: |+\n            # no comment\n"
        "\n              deeper  \n\n    model: {base_model: builtin:nano}\n"
    )
    laid_out = fmt(text)
    assert "    system_prompt: |+\n        # no comment\n\n          deeper  \n\n" in laid_out
    assert laid_out.index("model") < laid_out.index("dataset")


def test_an_anchor_stays_above_its_alias() -> None:
    text = f"{HEAD}spec:\n  dataset: {{system_prompt: &said hello}}\n  blueprint: {{a: *said}}\n"
    assert fmt(text) == text


@pytest.mark.parametrize(
    "lines",
    [
        "data_sources:\n    - &a # kept\n      type: raw\n      name: x\n    - *a\n",
        "data_sources:\n    - &a {name: x}\n    - *a\n    # between\n    - *a\n",
        "data_sources:\n    - &unused\n      type: raw\n      name: x\n",
        "data_sources:\n    -\n      type: raw\n      name: x\n",
        "dataset: &a\n      seed: 1\n      name: x\n",
        "dataset:\n    ? seed\n    : 1\n    ? name\n    : x\n",
        "dataset: # why\n     # more\n     seed: 'one\n\n        two'\n     name: x\n",
        "adapters:\n  - - a\n    - b\n  -   - c\n",
    ],
)
def test_rare_forms_lose_nothing(lines: str) -> None:
    text = f"spec:\n  {lines}kind: Project\n"
    assert words_of(fmt(text)) == words_of(text)


def test_open_maps_keep_the_order_they_were_written_in() -> None:
    lines = "spec:\n  adapters:\n    - name: x\n      field_map:\n        z: 1\n        a: 2\n"
    assert fmt(HEAD + lines) == HEAD + lines


@pytest.mark.parametrize(
    "text",
    [
        "kind: [\n",
        "kind: a\nkind: b\n",
        "a: &x [*x]\n",
        "a: 1\n---\nb: 2\n",
        "",
        "- a\n",
        "x: \x85y\n",
    ],
)
def test_what_is_no_manifest_comes_back_untouched(text: str) -> None:
    assert formatted(text.encode(), "m") == text.encode()


def test_line_ends_and_blanks_behind_lines_are_made_alike() -> None:
    assert fmt("kind: a  \r\nspec: {}\r\n\r\n\r\n") == "kind: a\nspec: {}\n"
