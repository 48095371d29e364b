"""The apply stream: one JSON object a line, numbered without gaps, at most 64 KiB each."""

import json
import math
import threading
from collections.abc import Callable
from typing import Any, TextIO

from brewslm.events import Event, Listener

_MAX_LINE_BYTES = 64 * 1024
_MAX_KEPT = 1000


class EventStream:
    """A listener that writes NDJSON, flushed line by line."""

    def __init__(self, out: TextIO, now: Callable[[], str]) -> None:
        """now: returns the time as RFC 3339 text in UTC."""
        self._out = out
        self._now = now
        self._sequence = 0
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Write one event."""
        with self._lock:
            self._sequence += 1
            document = {
                **event.model_dump(mode="json"),
                "seq": self._sequence,
                "ts": self._now(),
            }
            self._out.write(_line(document) + "\n")
            self._out.flush()


def told_to_all(listeners: list[Listener]) -> Listener:
    """Return a listener that passes every event on to all of these, in order."""

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return tell


def _line(document: dict[str, Any]) -> str:
    """Return one line of JSON; numbers that JSON lacks are null, bytes that are no text marked."""
    text = _json(document)
    if len(text.encode()) < _MAX_LINE_BYTES:
        return text
    kept: dict[str, Any] = {
        key: _cut(document[key])
        for key in ("type", "seq", "ts", "level", "operation_id", "address")
        if key in document
    }
    kept["message"] = f"{_cut(document['message'])} (cut: the line was over 64 KiB)"
    return _json(kept)


def _json(document: dict[str, Any]) -> str:
    text = json.dumps(
        _finite(document),
        ensure_ascii=False,
        separators=(",", ":"),
        sort_keys=True,
        allow_nan=False,
    )
    return text.encode(errors="replace").decode()


def _finite(value: Any) -> Any:
    """Return a JSON value whose infinities and NaN are null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value


def _cut(value: Any) -> Any:
    return value[:_MAX_KEPT] if isinstance(value, str) else value
