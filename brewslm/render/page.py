"""What every HTML page has: a policy that forbids scripts and loads, one inline style, and tables.

A page is one file. It works from a disk, on a phone, in the dark and without colours.
"""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256

from brewslm.render.markup import Markup, breakable, document, element, joined, style

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #5b6068; --paper: #ffffff;
  --line: #d5d8dd; --band: #f4f5f7; --good: #176b35; --bad: #a8201a; --open: #855600;
  --first: #1f5fa8; --second: #b4500a; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --soft: #a2a8b0; --paper: #16181b; --line: #3a3f45; --band: #1f2226;
    --good: #6fcf8e; --bad: #ff8a80; --open: #f0c060;
    --first: #7fb4f0; --second: #f2a25c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; margin: 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 .25rem; }
p { margin: .4rem 0; }
.verdict { border-left: .4rem solid; padding: .4rem .8rem; background: var(--band); }
.verdict strong { font-size: 1.3rem; margin-right: .6rem; }
.soft, caption { color: var(--soft); }
.good { color: var(--good); } .bad { color: var(--bad); } .open { color: var(--open); }
.good, .bad, .open { font-weight: 600; }
.table { overflow-x: auto; position: relative; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .3rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .7rem .3rem 0; text-align: left;
  vertical-align: top; overflow-wrap: normal; }
thead th { border-bottom-width: 2px; vertical-align: bottom; }
tbody th { font-weight: 500; min-width: 10rem; max-width: 22rem; overflow-wrap: break-word; }
.number { text-align: right; }
.whole, td.number { white-space: nowrap; }
svg { width: 9rem; height: 1.1rem; color: var(--ink); vertical-align: middle; }
svg .bar { stroke: var(--bad); }
svg.chart { width: 100%; max-width: 60rem; height: auto; display: block; margin: .6rem 0; }
.chart .label { fill: var(--soft); font-size: 12px; }
.chart .end { text-anchor: end; } .chart .middle { text-anchor: middle; }
.chart .grid { stroke: var(--line); stroke-width: 1; }
.chart .axis { stroke: var(--soft); stroke-width: 1; }
.chart .curve { fill: none; stroke-width: 2; stroke-linejoin: round; }
.chart .trained { stroke: var(--first); } .chart .evaluated { stroke: var(--second); }
.chart .rate { stroke: var(--soft); }
.chart .baseline { stroke: var(--soft); stroke-dasharray: 6 4; stroke-width: 1.5; }
.chart .dot { stroke: none; } .chart .dot.trained { fill: var(--first); }
.chart .dot.evaluated { fill: var(--second); } .chart .dot.rate { fill: var(--soft); }
summary { cursor: pointer; padding: .3rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; }
dd { margin: 0; } dt { color: var(--soft); }
article { border-top: 1px solid var(--line); padding: .6rem 0; }
pre { margin: .2rem 0 .6rem; padding: .5rem; background: var(--band); white-space: pre-wrap; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; } }
@media print { body { max-width: none; } }
@media print { details::details-content { content-visibility: visible; } }
"""
_POLICY = (
    "default-src 'none'; "
    f"style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'"
)
_PLOT_WIDTH, _PLOT_HEIGHT = 120, 14


def page(title: str, body: Iterable[Markup]) -> str:
    """Return a whole page."""
    return document(
        [
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="referrer", content="no-referrer"),
            element("title", title),
            style(_STYLE),
        ],
        body,
    )


def section(title: str, *content: Markup) -> Markup:
    """Return content under a heading, nothing where there is none."""
    kept = [item for item in content if item]
    return element("section", element("h2", title), *kept) if kept else Markup()


def folded(title: str, *content: Markup) -> Markup:
    """Return content that is unfolded on a click, nothing where there is none."""
    kept = [item for item in content if item]
    return element("details", element("summary", title), *kept) if kept else Markup()


def named(value: str) -> Markup:
    """Return a name from outside, whose direction of writing is its own alone."""
    return element("bdi", breakable(value))


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], numbers: int) -> Markup:
    """Return a table whose rows begin with what they are about; nothing without rows.

    numbers: how many columns at the end hold numbers.
    """
    if not rows:
        return Markup()
    first = len(head) - numbers
    return element(
        "div",
        element(
            "table",
            element("caption", caption),
            element("thead", element("tr", *_cells("th", head, first, scope="col"))),
            element("tbody", *(_row(row, first) for row in rows)),
        ),
        class_="table",
        role="region",
        tabindex="0",
        aria_label=caption,
    )


def facts(entries: Iterable[tuple[str, str]]) -> Markup:
    """Return names and what they stand for."""
    pairs = [joined([element("dt", name), element("dd", value)]) for name, value in entries]
    return element("dl", *pairs) if pairs else Markup()


def bullets(items: Iterable[Markup]) -> Markup:
    """Return a list, nothing without entries."""
    entries = [element("li", item) for item in items]
    return element("ul", *entries) if entries else Markup()


def interval_plot(value: float, ends: tuple[float, float], bar: float) -> Markup:
    """Return a picture of a share, its interval and the threshold; nothing outside of 0 to 1."""
    if not all(0 <= item <= 1 for item in (value, *ends, bar)):
        return Markup()
    low, high, at, limit = (str(_across(item)) for item in (*ends, value, bar))
    middle = str(_PLOT_HEIGHT // 2)
    return element(
        "svg",
        element(
            "line",
            x1="4",
            x2=str(_PLOT_WIDTH - 4),
            y1="13",
            y2="13",
            stroke="currentColor",
            stroke_width="0.5",
        ),
        element(
            "line", x1=low, x2=high, y1=middle, y2=middle, stroke="currentColor", stroke_width="2"
        ),
        element("circle", cx=at, cy=middle, r="3.5", fill="currentColor"),
        element("line", x1=limit, x2=limit, y1="0", y2="14", stroke_width="2", class_="bar"),
        viewBox=f"0 0 {_PLOT_WIDTH} {_PLOT_HEIGHT}",
        role="img",
        aria_label=f"from 0 to 1: value {value:.3f}, interval {ends[0]:.3f} to {ends[1]:.3f}, "
        f"threshold {bar:g}",
    )


def _across(share: float) -> float:
    return round(4 + share * (_PLOT_WIDTH - 8), 1)


def _row(row: Sequence[str], first: int) -> Markup:
    head = element("th", row[0], scope="row")
    return element("tr", head, *_cells("td", row[1:], first - 1))


def _cells(name: str, cells: Sequence[str], first: int, **attributes: str) -> list[Markup]:
    """Return cells; those from `first` on hold numbers."""
    return [
        element(name, cell, **attributes)
        if index < first
        else element(name, cell, **attributes, class_="number")
        for index, cell in enumerate(cells)
    ]
