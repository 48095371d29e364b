"""Secrets kept out of what is said and kept: their values, in every spelling, become their names.

It is the second line: values stay out of what is written in the first place. Libraries may still
put a URL or a key into the text of an error. A text is searched as it is and with percent codes,
HTML entities and backslash escapes decoded, as often as they were applied, each time with and
without its blanks; base64 and hex are searched as they are. All of it takes linear time.
"""

import base64
import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html.entities import html5
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus, unquote

SHORTEST = 8
"""Characters of a value; shorter ones are parts of ordinary words."""
_LEAST_PREFIX = 4
"""Characters of a secret that a text may end with before they count as its beginning."""
_ROUNDS = 4
"""How many encodings on top of each other are undone."""
_LONGEST_CODE = 10
"""Characters that one byte may take in a text, as in `&amp;#x2f;`."""
_CODED = re.compile(
    r"(?:%[0-9A-Fa-f]{2})+"
    r"|&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});?"
    r"|\\u[dD][89abAB][0-9A-Fa-f]{2}\\u[dD][c-fC-F][0-9A-Fa-f]{2}"
    r"|\\(?:u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|x[0-9A-Fa-f]{2}|[ -/:-@\[-`{-~bfnrtv])"
)
_CUT_CODE = re.compile(
    r"(?:%[CDcd][0-9A-Fa-f]|%[Ee][0-9A-Fa-f](?:%[89ABab][0-9A-Fa-f])?"
    r"|%[Ff][0-9A-Fa-f](?:%[89ABab][0-9A-Fa-f]){0,2})?(?:%[0-9A-Fa-f]?)?\Z"
    r"|&[#A-Za-z0-9]{0,32}\Z"
    r"|(?:\\u[dD][89abAB][0-9A-Fa-f]{2})?(?:\\(?:[uU][0-9A-Fa-f]{0,7}|x[0-9A-Fa-f]?)?)?\Z"
)
"""The end of a text that may be a part of a code, or of a character in several codes."""
_BLANKS = re.compile(
    r"(?:\s|\x1b\[[0-9;?]*[ -/]*[@-~]|[\u00ad\u180e\u200b-\u200f\u2060-\u2064\ufeff])+"
)
"""Blanks, and what a terminal shows nothing of: colours, and characters without a width."""
_LETTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_USERINFO = re.compile(
    r"(?<=://)[^\s/?#@'\"<>:]*:[^\s/?#'\"<>]*(?=@)|(?<=https://)[^\s/?#@'\"<>]{8,}(?=@)"
)
_ARMOUR = "-----"
"""Begins the first and the last line of a PEM block, which are no secret."""


def credentials_in(url: str) -> Iterator[str]:
    """Yield what in a URL may be a credential: user and password, the values of its query, and its
    fragment.
    """
    _, found, rest = url.partition("://")
    if not found:
        return
    address, _, query = rest.partition("?")
    userinfo, at, _ = address.rpartition("@")
    if at:
        user, _, password = userinfo.partition(":")
        yield from (user, unquote(user), password, unquote(password))
    for pair in query.partition("#")[0].split("&"):
        value = pair.partition("=")[2]
        yield from (value, unquote(value))
    fragment = rest.rpartition("@")[2].partition("#")[2]
    yield from (fragment, unquote(fragment))


class _Span(NamedTuple):
    start: int
    end: int
    name: str


class _Decoded(NamedTuple):
    """A text after one step of decoding, and where its characters come from."""

    text: str
    out: list[int]
    """Where each piece begins in `text`, rising."""
    pieces: list[tuple[int, int, bool]]
    """Where it begins and ends in the text before, and whether it was decoded."""

    def back(self, start: int, end: int) -> tuple[int, int]:
        """Return the part of the text before that gave this part."""
        return self._at(start, is_end=False), self._at(end - 1, is_end=True)

    def _at(self, place: int, *, is_end: bool) -> int:
        index = bisect_right(self.out, place) - 1
        begin, end, is_decoded = self.pieces[index]
        if is_decoded:
            return end if is_end else begin
        return begin + place - self.out[index] + is_end


class Redactor:
    """Replaces the values of secrets in texts and documents."""

    def __init__(self, secrets: Mapping[str, Iterable[str]]) -> None:
        """secrets: values by the name that is shown instead; short ones are ignored."""
        self._patterns: dict[str, str] = {}
        self._longest = 0
        for name, values in secrets.items():
            for value in values:
                self._learn(name, value)
        squeezed = ((_BLANKS.sub("", pattern), name) for pattern, name in self._patterns.items())
        self._squeezed = {pattern: name for pattern, name in squeezed if len(pattern) >= SHORTEST}

    def __call__(self, text: str) -> str:
        """Return a text without the values of secrets."""
        return _blanked(text, self.spans(text))

    def document(self, value: Any) -> Any:
        """Return a JSON value whose texts and keys are redacted, also a value in several pieces."""
        found: list[str] = []
        _collect(value, found)
        clean = iter(self._split(found))
        return _rebuilt(value, clean)

    def texts(self) -> "RedactedTexts":
        """Return what redacts texts that follow each other and are shown one by one."""
        return RedactedTexts(self)

    def stream(self, write: Callable[[str], object]) -> "RedactedStream":
        """Return what redacts a text that comes in pieces and writes it on."""
        return RedactedStream(self, write)

    @property
    def window_chars(self) -> int:
        """How many characters one secret may take, however it is spelt."""
        return self._longest * _LONGEST_CODE

    def _learn(self, name: str, value: str) -> None:
        whole = value.strip()
        lines = [line.strip() for line in whole.splitlines()]
        parts = {whole, *(line for line in lines if not line.startswith(_ARMOUR))}
        for part in parts:
            if len(part) < SHORTEST:
                continue
            if part in lines:
                self._longest = max(self._longest, len(part.encode("utf-8", "surrogateescape")))
            for pattern in _patterns_of(part):
                self._patterns.setdefault(pattern, f"[secret://{name}]")

    def _split(self, texts: Sequence[str]) -> list[str]:
        """Redact texts alone and as one, so that a value in two of them is found."""
        joined = "".join(texts)
        spans = self.spans(joined)
        place, clean = 0, []
        for text in texts:
            inside = [
                _Span(max(item.start - place, 0), min(item.end - place, len(text)), item.name)
                for item in spans
                if item.start < place + len(text) and item.end > place
            ]
            clean.append(_blanked(text, _merged([*inside, *self.spans(text)])))
            place += len(text)
        return clean

    def spans(self, text: str) -> list[_Span]:
        """Return where values are written, in order, without overlaps."""
        spans = [_Span(*item.span(), "[credentials]") for item in _USERINFO.finditer(text)]
        for trail, patterns in self._views(text):
            seen = trail[-1].text if trail else text
            for pattern, name in patterns.items():
                start = seen.find(pattern)
                while start >= 0:
                    end = start + len(pattern)
                    spans.append(_Span(*_back(trail, start, end), name))
                    start = seen.find(pattern, end)
        return _merged(spans)

    def begun(self, text: str) -> int:
        """Return where a value begins that goes on after the end of a text; its length if none."""
        return min(self._begun(text), default=len(text))

    def _begun(self, text: str) -> Iterator[int]:
        """Yield where a value may begin.

        A text may end in the middle of a code, or with what only looks like one, in each form that
        decoding gives it: both are tried and decoded further.
        """
        if not self._patterns:
            return
        forms: dict[str, list[_Decoded]] = {text: []}
        for _ in range(_ROUNDS + 1):
            deeper: dict[str, list[_Decoded]] = {}
            for seen, trail in forms.items():
                for end in {seen, _without_cut_code(seen)}:
                    yield from _beginnings(end, trail, self._patterns)
                    squeezed = _decoded(end, _BLANKS, lambda _: [])
                    yield from _beginnings(squeezed.text, [*trail, squeezed], self._squeezed)
                    if _CODED.search(end):
                        decoded = _decoded(end, _CODED, _characters)
                        deeper.setdefault(decoded.text, [*trail, decoded])
            forms = deeper

    def _views(self, text: str) -> Iterator[tuple[list[_Decoded], Mapping[str, str]]]:
        """Yield the steps that lead to each form of a text, and what is looked for in it."""
        if not self._patterns:
            return
        trail: list[_Decoded] = []
        for _ in range(_ROUNDS + 1):
            seen = trail[-1].text if trail else text
            yield trail, self._patterns
            if _BLANKS.search(seen):
                yield [*trail, _decoded(seen, _BLANKS, lambda _: [])], self._squeezed
            else:
                yield trail, self._squeezed
            if not _CODED.search(seen):
                return
            trail = [*trail, _decoded(seen, _CODED, _characters)]


class RedactedTexts:
    """Redacts texts that follow each other: a value that begins in one of them goes on in the next.

    What a text ends with is replaced already where it may be the beginning of a value.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._before = ""

    def next(self, text: str) -> str:
        """Return the next text without the values of secrets."""
        before, redactor = len(self._before), self._redactor
        joined = self._before + text
        spans = redactor.spans(joined)
        begun = redactor.begun(joined)
        if begun < len(joined):
            spans = _merged([*spans, _Span(begun, len(joined), "[secret]")])
        inside = [
            _Span(max(item.start - before, 0), item.end - before, item.name)
            for item in spans
            if item.end > before
        ]
        self._before = joined[-redactor.window_chars :] if redactor.window_chars else ""
        return _blanked(text, inside)


class RedactedStream:
    """Redacts a text that comes in pieces; what may be the beginning of a value waits for more."""

    def __init__(self, redactor: Redactor, write: Callable[[str], object]) -> None:
        self._redactor = redactor
        self._write = write
        self._held = ""

    def feed(self, piece: str) -> None:
        """Take the next piece and write what is certain."""
        self._held += piece
        window = self._redactor.window_chars
        if len(self._held) >= 2 * window:  # so that each character is looked at twice at most
            self._pass_on(len(self._held) - window)

    def end(self) -> None:
        """Write what is left."""
        self._pass_on(len(self._held))

    def _pass_on(self, cut: int) -> None:
        spans = self._redactor.spans(self._held)
        for item in spans:
            if item.start < cut < item.end:
                cut = item.end
        text = _blanked(self._held[:cut], [item for item in spans if item.end <= cut])
        self._held = self._held[cut:]
        if text:
            self._write(text)


def _patterns_of(value: str) -> set[str]:
    """Return how a value may be written, but for what decoding undoes."""
    data = value.encode("utf-8", "surrogateescape")
    found = {value, data.decode("latin-1"), value.replace(" ", "+"), data.hex(), data.hex().upper()}
    found |= {unicodedata.normalize(form, value) for form in ("NFC", "NFD")}
    seen = value
    for _ in range(_ROUNDS):
        seen = _decoded(seen, _CODED, _characters).text
        found.add(seen)
    for raw in {
        data,
        quote(data).encode(),
        quote(data, safe="").encode(),
        quote_plus(data).encode(),
    }:
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found |= {_inner_base64(encode, raw, shift) for shift in range(3)}
    return {spelling for spelling in found if len(spelling) >= SHORTEST}


def _inner_base64(encode: Callable[[bytes], bytes], data: bytes, shift: int) -> str:
    """Return the characters that stand for the data alone, wherever in a longer text it begins."""
    padded = encode(bytes(shift) + data).decode()
    first = (shift * 8 + 5) // 6
    last = (shift + len(data)) * 8 // 6
    return padded[first:last]


def _decoded(
    text: str, pattern: re.Pattern[str], read: Callable[[str], list[tuple[str, int]]]
) -> _Decoded:
    """Replace what a pattern finds; read: gives what it means and how much of it means that."""
    parts: list[str] = []
    out: list[int] = []
    pieces: list[tuple[int, int, bool]] = []
    size = place = 0
    for match in pattern.finditer(text):
        if match.start() > place:
            out.append(size)
            pieces.append((place, match.start(), False))
            parts.append(text[place : match.start()])
            size += match.start() - place
        place = match.start()
        for meant, length in read(match[0]):
            out.append(size)
            pieces.append((place, place + length, True))
            parts.append(meant)
            size += len(meant)
            place += length
        place = match.end()
    out.append(size)
    pieces.append((place, len(text), False))
    parts.append(text[place:])
    return _Decoded("".join(parts), out, pieces)


def _beginnings(seen: str, trail: Sequence[_Decoded], patterns: Iterable[str]) -> Iterator[int]:
    """Yield where a text ends with the beginning of a pattern, as a place in the first text."""
    for pattern in patterns:
        start = seen.find(pattern[:_LEAST_PREFIX], max(0, len(seen) - len(pattern) + 1))
        while start >= 0 and not pattern.startswith(seen[start:]):
            start = seen.find(pattern[:_LEAST_PREFIX], start + 1)
        if start >= 0:
            yield _back(trail, start, len(seen))[0]


def _back(trail: Sequence[_Decoded], start: int, end: int) -> tuple[int, int]:
    for step in reversed(trail):
        start, end = step.back(start, end)
    return start, end


def _characters(code: str) -> list[tuple[str, int]]:
    """Return the characters that a code means, each with the length of its code."""
    if code[0] == "%":
        data = bytes.fromhex(code.replace("%", ""))
        return [(meant, 3 * length) for meant, length in _utf8(data)]
    if code[0] == "&":
        return _entity(code)
    if code[1] in "uU" and len(code) == 12:
        high, low = int(code[2:6], 16), int(code[8:], 16)
        return [(chr(0x10000 + ((high & 0x3FF) << 10 | low & 0x3FF)), 12)]
    if code[1] in "uUx":
        number = int(code[2:], 16)
        return [(chr(number) if number < 0x110000 else code, len(code))]
    return [(_LETTERS.get(code[1], code[1]), 2)]


def _entity(code: str) -> list[tuple[str, int]]:
    """Return the character of an HTML entity, and what only looks like a part of its name."""
    size = len(code)
    if code[1] != "#" and code[1:] not in html5:
        size = next((end for end in range(len(code), 2, -1) if code[1:end] in html5), 0)
    meant = [(html.unescape(code[:size]), size)] if size else []
    return [*meant, *((item, 1) for item in code[size:])]


def _utf8(data: bytes) -> Iterator[tuple[str, int]]:
    """Yield the characters of bytes and how many each takes; a wrong byte is taken for itself."""
    place = 0
    while place < len(data):
        for length in (1, 2, 3, 4):
            try:
                yield data[place : place + length].decode(), length
            except UnicodeDecodeError:
                continue
            place += length
            break
        else:
            yield chr(data[place]), 1
            place += 1


def _merged(spans: Iterable[_Span]) -> list[_Span]:
    """Return spans in order, those that overlap as one."""
    merged: list[_Span] = []
    for item in sorted(spans, key=lambda item: (item.start, -item.end)):
        if merged and item.start < merged[-1].end:
            merged[-1] = merged[-1]._replace(end=max(merged[-1].end, item.end))
        else:
            merged.append(item)
    return merged


def _without_cut_code(text: str) -> str:
    """Return a text without what may be a part of a code at its end."""
    tail = text[-64:]
    found = _CUT_CODE.search(tail)
    return text[: len(text) - len(tail) + found.start()] if found else text


def _blanked(text: str, spans: Sequence[_Span]) -> str:
    if not spans:
        return text
    parts, place = [], 0
    for item in spans:
        parts += [text[place : item.start], item.name]
        place = item.end
    return "".join([*parts, text[place:]])


def _collect(value: Any, found: list[str]) -> None:
    """Gather the texts of a JSON value in order: of a mapping the keys, then the values."""
    if isinstance(value, str):
        found.append(value)
    elif isinstance(value, Mapping):
        found.extend(str(key) for key in value)
        for item in value.values():
            _collect(item, found)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _collect(item, found)


def _rebuilt(value: Any, clean: Iterator[str]) -> Any:
    """Return a value with the next texts in the place of its own, in the order of `_collect`."""
    if isinstance(value, str):
        return next(clean)
    if isinstance(value, Mapping):
        keys = [next(clean) for _ in value]
        return {key: _rebuilt(item, clean) for key, item in zip(keys, value.values(), strict=True)}
    if isinstance(value, (list, tuple)):
        return [_rebuilt(item, clean) for item in value]
    return value
