"""What a plan says about data and evaluation, as labelled lines under an action."""

from collections.abc import Iterator, Mapping
from typing import Any

from brewslm.plan.action import Action
from brewslm.render import words

_MAX_CODES = 6


def data_lines(action: Action) -> Iterator[tuple[str, str]]:
    """Return label and text for everything an action's data holds."""
    for key, value in (action.data or {}).items():
        if key == "mix" and value:
            yield from _mix_lines(value)
            continue
        text = _text(value) if value not in (None, {}, []) else ""
        if text:
            yield key, text


def _mix_lines(mix: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield how often an epoch sees the rows of each source."""
    for name, item in mix.items():
        rows, effective = words.number(item["rows"]), words.number(item["effective_rows"])
        share = f"{item['share_ratio']:.1%}".replace("%", " %")
        weight = words.number(item["weight"])
        yield "mix", f"{words.visible(name)}: {rows} x {weight} = {effective} rows, {share}"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        parts = [
            f"{words.visible(str(key))} {_text(item)}"
            for key, item in value.items()
            if item not in (None, {}, [])
        ]
        more = f" and {len(parts) - _MAX_CODES} more" if len(parts) > _MAX_CODES else ""
        return " · ".join(parts[:_MAX_CODES]) + more
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value[:_MAX_CODES])
    return words.visible(words.number(value))
