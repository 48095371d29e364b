"""An HTML page as a browser takes it apart, and what no page of ours may hold."""

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from xml.etree import ElementTree

_VOID = frozenset({"meta", "line", "circle", "wbr"})
_KNOWN = frozenset(
    [
        "html",
        "head",
        "meta",
        "title",
        "text",
        "polyline",
        "style",
        "body",
        "header",
        "section",
        "article",
        "h1",
        "h2",
        "h3",
        "p",
        "strong",
        "span",
        "bdi",
        "wbr",
        "ul",
        "li",
        "dl",
        "dt",
        "dd",
        "div",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "details",
        "summary",
        "pre",
        "svg",
        "line",
        "circle",
    ]
)
_HARMLESS = frozenset(
    [
        "lang",
        "charset",
        "http-equiv",
        "content",
        "name",
        "class",
        "role",
        "tabindex",
        "aria-label",
        "scope",
        "dir",
        "viewbox",
        "x1",
        "x2",
        "y1",
        "y2",
        "cx",
        "cy",
        "r",
        "x",
        "y",
        "dy",
        "points",
        "fill",
        "stroke",
        "stroke-width",
    ]
)


class Reading(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[tuple[str, str]] = []
        """Tag and what stands in it, parts of one text together."""
        self.unclosed: list[str] = []
        self.oddities: list[str] = []
        self._goes_on = False
        """Whether the next text belongs to the last one, as it may only break there."""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._goes_on = tag == "wbr"
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in _VOID:
            self.unclosed.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self._goes_on = self._goes_on and tag in _VOID
        if tag not in _VOID and (not self.unclosed or self.unclosed.pop() != tag):
            self.oddities.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if self._goes_on:
            data = self.texts.pop()[1] + data
            self._goes_on = False
        self.texts.append((self.unclosed[-1] if self.unclosed else "", data))

    def handle_comment(self, data: str) -> None:
        self.oddities.append(f"<!--{data}-->")

    def unknown_decl(self, data: str) -> None:
        self.oddities.append(f"<!{data}>")

    def handle_pi(self, data: str) -> None:
        self.oddities.append(f"<?{data}>")

    def of(self, tag: str) -> list[str]:
        """Return the texts that stand in a tag, in order."""
        return [text for name, text in self.texts if name == tag]

    @property
    def shown(self) -> str:
        """All that a reader sees."""
        return "\n".join(text for name, text in self.texts if name != "style")


def assert_inert(page: str) -> Reading:
    """Check that a page runs nothing, loads nothing and is closed; return it taken apart."""
    reading = Reading(page)
    assert reading.oddities == []
    assert reading.unclosed == []
    assert set(reading.tags) <= _KNOWN
    assert {name for _, name, _ in reading.attributes} <= _HARMLESS
    ElementTree.fromstring(page.removeprefix("<!doctype html>\n"))  # noqa: S314  made here
    styles = reading.of("style")
    assert reading.tags.count("style") == len(styles) == 1
    assert not re.search(r"url\(|@import|expression|http", styles[0])
    allowed = b64encode(sha256(styles[0].encode()).digest()).decode()
    policies = [value for _, name, value in reading.attributes if name == "content"]
    assert policies[0] == (
        f"default-src 'none'; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"
    )
    assert all(char.isprintable() or char == "\n" for char in page)
    return reading
