"""The canonical layout of a manifest: fields in the order of the schema, two blanks a level.

The text itself is moved and never written anew from values: comments, quotes, anchors, numbers and
blocks of text stay as they stand. ruamel.yaml says where each key begins; a value that is written
in a way not foreseen here moves as a whole. Entries keep their order in a mapping that holds an
anchor or alias, because an alias has to stand below its anchor.
"""

import types
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Union, get_args, get_origin

from msgspec import Struct
from pydantic import BaseModel
from ruamel.yaml import YAML
from ruamel.yaml.events import AliasEvent, NodeEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from brewslm.manifest.schema import ManifestFile
from brewslm.manifest.yaml_file import read_yaml

_STEP = 2
_ODD_BREAKS = tuple(char.encode() for char in "\x85\u2028\u2029")
"""Characters that end a line in YAML and nowhere else."""
_Model = type[BaseModel] | None


class _Entry(Struct):
    """A key or an item of a list with all that belongs to it, as if it began in column 0."""

    name: str
    comments: list[str]
    """Lines above it."""
    body: list[str]


class _UnforeseenError(Exception):
    """A block is written in a way that can only be moved as a whole."""


def formatted(data: bytes, file: str) -> bytes:
    """Return a manifest in canonical layout; it means the same, and a second call changes nothing.

    Bytes with findings of syntax, and those whose meaning hangs on their layout, come back as they
    are.
    """
    source = read_yaml(data, file)
    if source.findings or not source.is_whole or any(char in data for char in _ODD_BREAKS):
        return data
    text = data.removeprefix(b"\xef\xbb\xbf").decode().replace("\r\n", "\n").replace("\r", "\n")
    laid_out = _laid_out(text).encode()
    again = read_yaml(laid_out, file)
    return data if again.findings or again.value != source.value else laid_out


def _laid_out(text: str) -> str:
    root = YAML(typ="safe", pure=True).compose(text)
    sheet = _Sheet(text, root)
    try:
        lines = sheet.document(root)
    except _UnforeseenError:
        return text
    return "\n".join(lines) + "\n"


class _Sheet:
    """The lines of a file, and which of them are text of a value, whatever they look like."""

    def __init__(self, text: str, root: Node) -> None:
        self._lines = text.removesuffix("\n").split("\n")
        self._texts: set[int] = set()
        self._tied = {
            event.start_mark.line
            for event in YAML(typ="safe", pure=True).parse(text)
            if isinstance(event, AliasEvent) or (isinstance(event, NodeEvent) and event.anchor)
        }
        self._note_texts(root, set())

    def document(self, root: Node) -> list[str]:
        """Return the whole file; comments at its top stay there."""
        if not isinstance(root, MappingNode) or root.flow_style or not root.value:
            raise _UnforeseenError
        first = root.value[0][0].start_mark.line
        header = [line.rstrip() for line in self._lines[:first]]
        return header + self._mapping(root, first, len(self._lines), ManifestFile)

    # Blocks

    def _mapping(self, node: MappingNode, start: int, stop: int, model: _Model) -> list[str]:
        column = node.value[0][0].start_mark.column
        starts = [self._key_line(key, column) for key, _ in node.value]
        fields = dict(model.model_fields) if model is not None else {}

        def body(index: int, until: int) -> list[str]:
            key, value = node.value[index]
            field = fields.get(str(key.value))
            inner = _model_of(field.annotation) if field is not None else None
            return self._pair(starts[index], column, value, until, inner)

        names = [str(key.value) for key, _ in node.value]
        entries, blanks, tail = self._entries(names, starts, column, (start, stop), body)
        if self._tied.isdisjoint(range(starts[0], stop)):
            rank = {name: place for place, name in enumerate(fields)}
            entries.sort(key=lambda entry: rank.get(entry.name, len(rank)))
        return _joined(entries, blanks, tail)

    def _sequence(self, node: SequenceNode, start: int, stop: int, model: _Model) -> list[str]:
        places = [self._dash(item) for item in node.value]
        column = places[0][1]
        if any(place[1] != column for place in places):
            raise _UnforeseenError
        starts = [line for line, _ in places]

        def body(index: int, until: int) -> list[str]:
            return self._item(node.value[index], starts[index], column, until, model)

        names = [""] * len(starts)
        entries, blanks, tail = self._entries(names, starts, column, (start, stop), body)
        for entry in entries:
            lifted = _leading_comments(entry.body)
            entry.comments += entry.body[:lifted]
            first, *rest = entry.body[lifted:]
            entry.body = [f"- {first}".rstrip(), *_indented(rest)]
        return _joined(entries, blanks, tail)

    def _entries(
        self,
        names: Sequence[str],
        starts: Sequence[int],
        column: int,
        span: tuple[int, int],
        body: Callable[[int, int], list[str]],
    ) -> tuple[list[_Entry], list[bool], list[str]]:
        """Return the entries of a block, whether a blank line stands above each place, and the
        comments below the last.
        """
        if starts[0] < span[0] or list(starts) != sorted(set(starts)):
            raise _UnforeseenError
        entries, blanks = [], []
        above = span[0]
        for index, line in enumerate(starts):
            following = starts[index + 1] if index + 1 < len(starts) else span[1]
            comments, is_apart = self._comments(above, line)
            above = self._end(line, following, column)
            entries.append(_Entry(names[index], comments, body(index, above)))
            blanks.append(is_apart and index > 0)
        tail, is_apart = self._comments(above, span[1])
        while tail and not tail[-1]:
            tail.pop()
        return entries, blanks, ["", *tail] if tail and is_apart else tail

    def _pair(self, line: int, column: int, value: Node, stop: int, model: _Model) -> list[str]:
        child = self._child(value, line, stop)
        if child is None:
            return self._stripped(line, stop, column)
        try:
            return [self._lines[line][column:].rstrip(), *_indented(child(line + 1, stop, model))]
        except _UnforeseenError:
            return self._stripped(line, stop, column)

    def _item(self, item: Node, line: int, column: int, stop: int, model: _Model) -> list[str]:
        is_block = isinstance(item, MappingNode) and not item.flow_style and bool(item.value)
        if isinstance(item, MappingNode) and is_block:
            if item.value[0][0].start_mark.line != line:
                raise _UnforeseenError
            return self._mapping(item, line, stop, model)
        first = self._lines[line][column + 1 :]
        shift = len(first) - len(first.lstrip(" ")) + column + 1
        return [first.strip(), *self._stripped(line, stop, shift)[1:]]

    def _child(
        self, value: Node, line: int, stop: int
    ) -> Callable[[int, int, _Model], list[str]] | None:
        """Return what lays out a value that is a block of its own below its key, else None."""
        if not isinstance(value, (MappingNode, SequenceNode)):
            return None
        if value.flow_style or not value.value:
            return None
        first = value.value[0][0] if isinstance(value, MappingNode) else value.value[0]
        if not line < first.start_mark.line < stop:
            return None
        if isinstance(value, MappingNode):
            return partial(self._mapping, value)
        return partial(self._sequence, value)

    # Lines

    def _key_line(self, key: Node, column: int) -> int:
        line = int(key.start_mark.line)
        before = self._lines[line][:column]
        if key.start_mark.column != column or before.strip(" -"):
            raise _UnforeseenError
        return line

    def _dash(self, item: Node) -> tuple[int, int]:
        """Return line and column of the dash that an item stands behind."""
        line = int(item.start_mark.line)
        before = self._lines[line][: item.start_mark.column].rstrip(" ")
        if before.strip(" ") != "-":
            raise _UnforeseenError
        return line, len(before) - 1

    def _is_comment(self, line: int) -> bool:
        return line not in self._texts and self._lines[line].lstrip(" ").startswith("#")

    def _is_blank(self, line: int) -> bool:
        return line not in self._texts and not self._lines[line].strip()

    def _indent(self, line: int) -> int:
        return len(self._lines[line]) - len(self._lines[line].lstrip(" "))

    def _end(self, start: int, stop: int, column: int) -> int:
        """Return the line after an entry: after its value and after comments that stand deeper than
        its key.
        """
        end = stop
        while end > start + 1 and (self._is_blank(end - 1) or self._is_comment(end - 1)):
            end -= 1
        for line in range(end, stop):
            if self._is_comment(line) and self._indent(line) <= column:
                break
            if self._is_comment(line):
                end = line + 1
        return end

    def _comments(self, start: int, stop: int) -> tuple[list[str], bool]:
        """Return the comments of some lines, and whether a blank line stands above them."""
        found: list[str] = []
        is_apart = False
        for line in range(start, stop):
            if self._is_comment(line):
                found.append(self._lines[line].strip())
            elif not self._is_blank(line):
                raise _UnforeseenError
            elif not found:
                is_apart = True
            elif found[-1]:
                found.append("")
        return found, is_apart

    def _stripped(self, start: int, stop: int, column: int) -> list[str]:
        """Return lines as they are but for their first `column` blanks."""
        lines = [self._lines[start][column:], *self._lines[start + 1 : stop]]
        for index in range(1, len(lines)):
            cut = min(column, self._indent(start + index))
            lines[index] = lines[index][cut:]
        return [
            line if start + index in self._texts else line.rstrip()
            for index, line in enumerate(lines)
        ]

    def _note_texts(self, node: Node, seen: set[int]) -> None:
        """Remember the lines of values that go over several lines."""
        if id(node) in seen:
            return
        seen.add(id(node))
        if isinstance(node, MappingNode):
            for pair in node.value:
                for inner in pair:
                    self._note_texts(inner, seen)
        elif isinstance(node, SequenceNode):
            for inner in node.value:
                self._note_texts(inner, seen)
        elif isinstance(node, ScalarNode) and node.style is not None:
            first, last = node.start_mark.line, node.end_mark.line
            if node.style in "|>":
                last = self._last_of_block(first, last - (node.end_mark.column == 0))
                self._texts.update(range(first + 1, last + 1))
            else:
                self._texts.update(range(first, last + (last > first)))

    def _last_of_block(self, first: int, last: int) -> int:
        """Return the last line of a block of text; blank ones at its end count where it keeps
        them.
        """
        last = min(last, len(self._lines) - 1)
        header = self._lines[first].partition(" #")[0].rstrip()
        if not header.endswith("+"):
            while last > first and not self._lines[last].strip():
                last -= 1
        return last


def _joined(entries: Sequence[_Entry], blanks: Sequence[bool], tail: Sequence[str]) -> list[str]:
    lines: list[str] = []
    for entry, is_apart in zip(entries, blanks, strict=True):
        lines += ["", *entry.comments] if is_apart else entry.comments
        lines += entry.body
    return [*lines, *tail]


def _indented(lines: Sequence[str]) -> list[str]:
    return [" " * _STEP + line if line else line for line in lines]


def _leading_comments(lines: Sequence[str]) -> int:
    for index, line in enumerate(lines):
        if line and not line.startswith("#"):
            return index
    return 0


def _model_of(annotation: Any) -> _Model:
    """Return the model whose fields a value or the items of a list have, None for open ones."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Annotated, Union, types.UnionType, tuple):
        for inner in get_args(annotation):
            if (model := _model_of(inner)) is not None:
                return model
    return None
