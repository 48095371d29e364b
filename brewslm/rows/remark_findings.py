"""Findings about what was accepted in another form and what nothing reads, once per source."""

from collections.abc import Mapping, Sequence

from brewslm.diagnostics import Finding, FindingCode, Place, Severity
from brewslm.rows.adjustments import WORDS, Adjustment
from brewslm.rows.binding import Binding
from brewslm.rows.mapper import HISTORY_FIELD, SYSTEM_FIELD
from brewslm.rows.source import Feed

_SHOWN = 12
_TOOLS_FIELD = "tools"
_FIELDS: Mapping[str, str] = {
    "tools": _TOOLS_FIELD,
    "functions": _TOOLS_FIELD,
    "available_tools": _TOOLS_FIELD,
    "system": SYSTEM_FIELD,
    "system_prompt": SYSTEM_FIELD,
    "system_message": SYSTEM_FIELD,
    "history": HISTORY_FIELD,
    "chat_history": HISTORY_FIELD,
    "conversation_history": HISTORY_FIELD,
}
"""Names under which other tools write a field that changes what a conversation means."""
_MEDIA = frozenset({"image", "images", "audio", "audios", "video", "videos"})
"""Keys of what text cannot hold, although the text of the row may speak of it."""


def remark_findings(feed: Feed, binding: Binding, address: str) -> list[Finding]:
    """Return what was accepted in another form and what nothing reads."""
    remarks = binding.remarks
    found = [
        Finding(
            FindingCode.ROWS_ADJUSTED,
            Severity.INFO,
            f"{_rows(count)}: {WORDS[Adjustment(name)]}",
            "nothing, or write the rows in the form that they are read as",
            address=address,
            place=Place(feed.locator.path, remarks.first_lines[name]),
            found=name,
        )
        for name, count in sorted(remarks.adjustments.items())
    ]
    remedies = {name: _remedy(name, binding) for name in sorted(remarks.unread)}
    if idle := [name for name, remedy in remedies.items() if not remedy]:
        remedy = "nothing, or bind them in field_mapping"
        message = "columns or keys that nothing reads"
        found.append(_unread(idle, Severity.INFO, message, remedy, feed, binding, address))
    message = "a column or key that changes what a conversation means is not read"
    found += [
        _unread([name], Severity.WARNING, message, remedy, feed, binding, address)
        for name, remedy in remedies.items()
        if remedy
    ]
    return found


def _remedy(name: str, binding: Binding) -> str:
    """Return what to do about an unread key of a conversation, empty where it changes nothing."""
    fields = binding.mapper.field_names
    if SYSTEM_FIELD not in fields:
        return ""
    key = name.rpartition("/")[2].lower()
    if key in _MEDIA:
        return "remove the rows that are about it, or remove it from the rows"
    field = _FIELDS.get(key)
    if field is None:
        return ""
    if field in fields and "/" not in name:
        return f"write {field}: {name} in field_mapping, or remove it from the rows"
    return "write it in the turns or in a column of its own, or remove it from the rows"


def _unread(
    names: Sequence[str],
    severity: Severity,
    message: str,
    remedy: str,
    feed: Feed,
    binding: Binding,
    address: str,
) -> Finding:
    remarks = binding.remarks
    shown = [f"{name} ({_rows(remarks.unread[name])})" for name in names]
    more = len(shown) - _SHOWN
    return Finding(
        FindingCode.COLUMNS_UNREAD,
        severity,
        message,
        remedy,
        address=address,
        place=Place(feed.locator.path, min(remarks.first_lines[name] for name in names)),
        found=", ".join(shown[:_SHOWN]) + (f" and {more} more" if more > 0 else ""),
    )


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"
