"""One strict YAML dialect: bytes into plain values with positions, or findings.

YAML 1.2 core types, one document, no tags beyond the core ones, no merge keys, no repeated keys.
Limits are counted on parser events before any value is built, and nothing here recurses on the
depth of the input.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from msgspec import Struct, field
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from brewslm.diagnostics import Finding, FindingCode, Place, Severity

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_ALIASES = 100
MAX_NODES = 50_000

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_ODD_NUMBER = re.compile(r"[-+]?(0[0-9_]+|0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*_[0-9_]*)")
_NON_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?")
_MAX_INTEGER = 2**53 - 1
_CORE_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")
)

Path = tuple[str | int, ...]


class UnquotedDate(Struct, frozen=True):
    """A plain scalar that looks like a date; text only when it is quoted."""

    text: str


class RefusedNumber(Struct, frozen=True):
    """Stands where a number was refused; a finding says why."""


class YamlFile(Struct):
    """Plain values of a file, and where each key and value stands."""

    value: Any = None
    is_whole: bool = False
    """Whether the file was read to its end and is a mapping, with findings or without."""
    places: dict[Path, Place] = field(default_factory=dict)
    """Position of each value; of its key where it has one."""
    texts: dict[Path, str] = field(default_factory=dict)
    """What was written where a plain scalar is no text."""
    findings: list[Finding] = field(default_factory=list)

    def place(self, path: Path) -> Place:
        """Return the position of a path, or of the nearest enclosing thing that has one."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place())


class _StopReadingError(Exception):
    """The file cannot be read further; a finding says why."""


class _Open(Struct):
    """A mapping or sequence under construction."""

    path: Path
    container: dict[str, Any] | list[Any]
    anchor: str | None
    nodes: int = 1
    key: str | None = None
    has_key: bool = False
    key_places: dict[str, Place] = field(default_factory=dict)
    ignored: bool = False


def read_yaml(data: bytes, file: str) -> YamlFile:
    """Read bytes as one YAML document of the strict dialect; findings are in the result."""
    reader = _Reader(file)
    try:
        reader.read(data)
    except _StopReadingError:
        pass
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)
        reader.report(
            FindingCode.YAML_SYNTAX,
            place,
            f"this is no well-formed YAML: {error.problem or error.context}",
            "correct the syntax at this place",
        )
    except (YAMLError, ValueError) as error:
        reader.report(
            FindingCode.YAML_SYNTAX,
            Place(file, 1, 1),
            f"this is no well-formed YAML: {str(error).splitlines()[0]}",
            "correct the syntax",
        )
    return reader.result


class _Reader:
    def __init__(self, file: str) -> None:
        self._file = file
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._open_anchors: set[str] = set()
        self._nodes = 0
        self._aliases = 0
        self.result = YamlFile()

    def report(
        self,
        code: FindingCode,
        place: Place,
        message: str,
        fix: str,
        found: str = "",
        expected: str = "",
    ) -> None:
        path = self._stack[-1].path if self._stack else ()
        self.result.findings.append(
            Finding(
                code=code,
                severity=Severity.ERROR,
                message=message,
                actionable_fix=fix,
                field=dotted(path),
                place=place,
                found=found,
                expected=expected,
            )
        )

    def read(self, data: bytes) -> None:
        text = self._decoded(data)
        yaml = YAML(typ="safe", pure=True)
        documents = 0
        for event in yaml.parse(text):
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.report(
                        FindingCode.YAML_MULTIPLE_DOCUMENTS,
                        self._place(event),
                        "a second document begins here",
                        "keep one document a file",
                    )
                    raise _StopReadingError
            else:
                self._take(event)
        if documents == 0:
            self._empty()
        else:
            self._check_root()

    def _decoded(self, data: bytes) -> str:
        if len(data) > MAX_BYTES:
            self.report(
                FindingCode.YAML_TOO_LARGE,
                Place(self._file, 1, 1),
                "the file is larger than 1 MiB",
                "move examples and schemas into files of their own",
                f"more than {MAX_BYTES} bytes",
                f"at most {MAX_BYTES} bytes",
            )
            raise _StopReadingError
        try:
            text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
            self.report(
                FindingCode.YAML_ENCODING,
                Place(self._file, line, column),
                "this byte is not UTF-8",
                "save the file as UTF-8",
                f"byte 0x{data[error.start]:02X}",
            )
            raise _StopReadingError from error
        control = _CONTROL.search(text)
        if control is not None:
            start = control.start()
            line = text.count("\n", 0, start) + 1
            column = start - (text.rfind("\n", 0, start) + 1) + 1
            self.report(
                FindingCode.YAML_ENCODING,
                Place(self._file, line, column),
                "a control character stands here",
                "remove it",
                f"U+{ord(control.group()):04X}",
            )
            raise _StopReadingError
        return text

    def _take(self, event: Event) -> None:
        match event:
            case MappingStartEvent() | SequenceStartEvent():
                self._open(event)
            case MappingEndEvent() | SequenceEndEvent():
                self._close()
            case ScalarEvent():
                self._scalar(event)
            case AliasEvent():
                self._alias(event)

    def _open(self, event: MappingStartEvent | SequenceStartEvent) -> None:
        self._count(1, event)
        self._check_tag(event)
        if self._awaits_key():
            self.report(
                FindingCode.YAML_KEY_NOT_STRING,
                self._place(event),
                "a key has to be a text",
                "write a plain name as the key",
            )
            raise _StopReadingError
        if len(self._stack) >= MAX_DEPTH:
            self.report(
                FindingCode.YAML_TOO_DEEP,
                self._place(event),
                "the file nests deeper than 32 levels",
                "move examples and schemas into files of their own",
            )
            raise _StopReadingError
        path = self._next_path()
        self._remember_place(path, event)
        container: dict[str, Any] | list[Any] = {} if isinstance(event, MappingStartEvent) else []
        if event.anchor:
            self._open_anchors.add(event.anchor)
        self._stack.append(_Open(path, container, event.anchor))

    def _close(self) -> None:
        closed = self._stack.pop()
        if closed.anchor:
            self._open_anchors.discard(closed.anchor)
            self._anchors[closed.anchor] = (closed.container, closed.nodes)
        if self._stack:
            self._stack[-1].nodes += closed.nodes
        self._put(closed.container)

    def _scalar(self, event: ScalarEvent) -> None:
        self._count(1, event)
        self._check_tag(event)
        self._check_characters(event)
        if self._awaits_key():
            self._take_key(event)
            return
        value = self._resolved(event)
        path = self._next_path()
        self._remember_place(path, event)
        if not isinstance(value, str):
            self.result.texts[path] = event.value
        if event.anchor:
            self._anchors[event.anchor] = (value, 1)
        if self._stack:
            self._stack[-1].nodes += 1
        self._put(value)

    def _check_characters(self, event: ScalarEvent) -> None:
        """Refuse escapes of half a character, which no file can hold."""
        if event.value.isascii() or not any("\ud800" <= char <= "\udfff" for char in event.value):
            return
        self.report(
            FindingCode.YAML_ENCODING,
            self._place(event),
            "an escape in this text stands for half a character",
            "write the character itself",
        )
        raise _StopReadingError

    def _take_key(self, event: ScalarEvent) -> None:
        top = self._stack[-1]
        place = self._place(event)
        is_plain = event.style is None and event.tag is None
        if is_plain and event.value == "<<":
            self.report(
                FindingCode.YAML_MERGE_KEY,
                place,
                "merge keys are not used here",
                "alias a whole value, or repeat the keys",
            )
        elif is_plain and not isinstance(_plain_value(event.value), str):
            self.report(
                FindingCode.YAML_KEY_NOT_STRING,
                place,
                "a key has to be a text",
                f'quote the key: "{event.value}"',
                event.value,
            )
        folded = unicodedata.normalize("NFC", event.value)
        first = top.key_places.get(folded)
        top.ignored = first is not None
        if first is not None:
            self.report(
                FindingCode.YAML_DUPLICATE_KEY,
                place,
                f'the key "{event.value}" stands in this mapping twice',
                "keep one of the two",
                f"lines {first.line} and {place.line}",
                "each key once",
            )
        else:
            top.key_places[folded] = place
        top.key = event.value
        top.has_key = True

    def _alias(self, event: AliasEvent) -> None:
        place = self._place(event)
        self._aliases += 1
        if event.anchor in self._open_anchors:
            self.report(
                FindingCode.YAML_ALIAS_LIMIT,
                place,
                f'the alias "*{event.anchor}" stands inside its own anchor',
                "write the value out",
            )
            raise _StopReadingError
        if event.anchor not in self._anchors:
            self.report(
                FindingCode.YAML_SYNTAX,
                place,
                f'there is no anchor "&{event.anchor}" above this alias',
                "write the value out",
            )
            raise _StopReadingError
        if self._aliases > MAX_ALIASES:
            self.report(
                FindingCode.YAML_ALIAS_LIMIT,
                place,
                "the file has more than 100 aliases",
                "write the values out",
            )
            raise _StopReadingError
        if self._awaits_key():
            self.report(
                FindingCode.YAML_KEY_NOT_STRING,
                place,
                "a key has to be a text",
                "write the key out",
            )
            raise _StopReadingError
        value, nodes = self._anchors[event.anchor]
        self._count(nodes, event)
        self._remember_place(self._next_path(), event)
        if self._stack:
            self._stack[-1].nodes += nodes
        self._put(value)

    def _resolved(self, event: ScalarEvent) -> Any:
        tag = event.tag
        is_plain = event.style is None
        if tag is not None and str(tag).endswith(":str"):
            return event.value
        if not is_plain and tag is None:
            return event.value
        value = _plain_value(event.value)
        place = self._place(event)
        if value is _ODD:
            self.report(
                FindingCode.NUMBER_FORMAT,
                place,
                f'"{event.value[:40]}" is no plain number',
                "write plain digits, or quote it if it is a text",
                event.value[:40],
                "digits without underscore, leading zero or base prefix, within ±(2^53 - 1)",
            )
            return RefusedNumber()
        if value is _ENDLESS:
            self.report(
                FindingCode.NON_FINITE_NUMBER,
                place,
                f'"{event.value[:40]}" is no finite number',
                "write a finite number, or leave the key out",
                event.value[:40],
                "a finite number",
            )
            return RefusedNumber()
        return value

    # Placing values

    def _awaits_key(self) -> bool:
        return (
            bool(self._stack)
            and isinstance(self._stack[-1].container, dict)
            and not self._stack[-1].has_key
        )

    def _next_path(self) -> Path:
        if not self._stack:
            return ()
        top = self._stack[-1]
        step = top.key if isinstance(top.container, dict) else len(top.container)
        return (*top.path, step if step is not None else "")

    def _put(self, value: Any) -> None:
        if not self._stack:
            self.result.value = value
            return
        top = self._stack[-1]
        if isinstance(top.container, list):
            top.container.append(value)
            return
        if not top.ignored and top.key is not None:
            top.container[top.key] = value
        top.key, top.has_key, top.ignored = None, False, False

    def _remember_place(self, path: Path, event: Event) -> None:
        top = self._stack[-1] if self._stack else None
        if top is not None and isinstance(top.container, dict) and top.key is not None:
            if not top.ignored:
                folded = unicodedata.normalize("NFC", top.key)
                self.result.places[path] = top.key_places[folded]
        else:
            self.result.places[path] = self._place(event)

    def _count(self, nodes: int, event: Event) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            self.report(
                FindingCode.YAML_ALIAS_LIMIT,
                self._place(event),
                "the file has more than 50,000 nodes after its aliases are expanded",
                "write less, or move data into files",
            )
            raise _StopReadingError

    def _check_tag(self, event: Any) -> None:
        tag = event.tag
        if tag is not None and str(tag) not in _CORE_TAGS and str(tag) != "!":
            self.report(
                FindingCode.YAML_TAG,
                self._place(event),
                "a tag that is none of the core ones",
                "remove the tag",
                str(tag)[:80],
            )

    def _check_root(self) -> None:
        value = self.result.value
        self.result.is_whole = isinstance(value, dict)
        if self.result.is_whole or self.result.findings:
            return
        if value is None:
            self._empty()
        else:
            self.report(
                FindingCode.MANIFEST_NOT_A_MAPPING,
                Place(self._file, 1, 1),
                "the file is no mapping",
                "begin with api_version, kind, metadata and spec",
                "a list" if isinstance(value, list) else "a single value",
                "a mapping",
            )

    def _empty(self) -> None:
        self.report(
            FindingCode.MANIFEST_EMPTY,
            Place(self._file, 1, 1),
            "there is nothing in this file",
            "brewslm init writes a starter manifest",
        )

    def _place(self, event: Event) -> Place:
        mark = event.start_mark
        return Place(self._file, mark.line + 1, mark.column + 1)


_ODD = object()
_ENDLESS = object()


def _plain_value(text: str) -> Any:
    """Return what a plain scalar means in the core schema, or one of the two refusals."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if _NON_FINITE.fullmatch(text):
        return _ENDLESS
    if _INTEGER.fullmatch(text):
        if len(text) > 17:
            return _ODD
        number = int(text)
        return number if abs(number) <= _MAX_INTEGER else _ODD
    if _ODD_NUMBER.fullmatch(text):
        return _ODD
    if _FLOAT.fullmatch(text):
        real = float(text)
        return _ENDLESS if real in (float("inf"), float("-inf")) else real
    if _DATE.fullmatch(text):
        return UnquotedDate(text)
    return text


def dotted(path: Path) -> str:
    """Return a path as people write it: spec.data_sources[0].name."""
    return "".join(_steps(path))


def _steps(path: Path) -> Iterator[str]:
    for index, step in enumerate(path):
        if isinstance(step, int):
            yield f"[{step}]"
        else:
            yield f".{step}" if index else step
