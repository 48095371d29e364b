"""HTML that is safe by the way it is built: what is no Markup is text, and text is escaped.

Control, bidirectional and invisible characters of texts are shown as escapes.
"""

import html
from collections.abc import Iterable

from brewslm.render import words

_VOID = frozenset({"meta", "line", "circle", "wbr"})


class Markup(str):
    """Text that is HTML already; only this module makes any."""

    __slots__ = ()


def text(value: str) -> Markup:
    """Return a text as HTML that shows it and means nothing."""
    return Markup(html.escape(words.visible(value)))


def breakable(value: str) -> Markup:
    """Return a text that may go on in the next line after each underscore."""
    *parts, last = value.split("_")
    return joined([*(joined([f"{part}_", element("wbr")]) for part in parts), last])


def lines(value: str) -> Markup:
    """Return a text for a `pre` element, which drops the first line end: its own are kept."""
    return Markup("\n" + "\n".join(map(text, value.split("\n"))))


def joined(parts: Iterable[str]) -> Markup:
    """Return parts one after the other, those that are no Markup as texts."""
    return Markup("".join(part if isinstance(part, Markup) else text(part) for part in parts))


def element(name: str, /, *children: str, **attributes: str) -> Markup:
    """Return an element; `_` ends names that Python keeps for itself and stands for `-` inside."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"' for key, value in attributes.items()
    )
    if name in _VOID:
        return Markup(f"<{name}{told}/>")
    return Markup(f"<{name}{told}>{joined(children)}</{name}>")


def style(rules: str) -> Markup:
    """Return rules of this program's own as a style element.

    Raises: ValueError for rules that could end it.
    """
    if set(rules) & set("<&"):
        raise ValueError("rules with markup")
    return Markup(f"<style>{rules}</style>")


def document(head: Iterable[Markup], body: Iterable[Markup]) -> str:
    """Return a whole page in English, each part of its body on a line of its own."""
    ended = (joined([part, _LINE_END]) for part in body)
    page = element("html", element("head", *head), element("body", _LINE_END, *ended), lang="en")
    return f"<!doctype html>\n{page}\n"


_LINE_END = Markup("\n")
