"""An S3 on loopback that keeps objects in memory, one request at a time; ends with its input.

Prints its port. Requests are carried out one by one, so that a condition and its write are one step
as they are in the service. `POST /-/lose?count=N&after=M` has N writes carried out and answered
with an error, once M others went well; `/-/fail` has them refused before they are carried out,
`/-/ignore` drops their conditions; `/-/keep` has removals refused. `/-/ahead?count=S` puts the
clock that answers are dated by S seconds ahead.
"""

import sys
import threading
from collections.abc import Callable, Iterable
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

_DATES = {"date", "last-modified"}
_CONDITIONS = {"HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"}

App = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Troubled:
    """A service behind one lock whose answers get lost on request."""

    def __init__(self, service: App) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._left = {"lose": (0, 0), "fail": (0, 0), "ignore": (0, 0), "keep": (0, 0)}
        self._left["ahead"] = (0, 0)

    def __call__(self, environ: dict[str, Any], respond: Any) -> Iterable[bytes]:
        with self._lock:
            path = str(environ["PATH_INFO"])
            if path.startswith("/-/"):
                asked = parse_qs(environ["QUERY_STRING"])
                after, count = (int(asked.get(name, ["0"])[0]) for name in ("after", "count"))
                self._left[path.removeprefix("/-/")] = after, count
                return _empty(respond, "200 OK")
            respond = partial(_dated, respond, timedelta(seconds=self._left["ahead"][1]))
            if self._takes_away(environ["REQUEST_METHOD"], environ["QUERY_STRING"]):
                return _empty(respond, "503 Slow Down")
            if environ["REQUEST_METHOD"] != "PUT":
                return list(self._service(environ, respond))
            if self._takes("fail"):
                return _empty(respond, "503 Slow Down")
            if self._takes("ignore"):
                environ = {name: environ[name] for name in environ.keys() - _CONDITIONS}
            if self._takes("lose"):
                list(self._service(environ, lambda *_: None))
                return _empty(respond, "500 Internal Server Error")
            return list(self._service(environ, respond))

    def _takes_away(self, method: str, query: str) -> bool:
        is_removal = method == "DELETE" or (method == "POST" and query.startswith("delete"))
        return is_removal and self._takes("keep")

    def _takes(self, name: str) -> bool:
        after, count = self._left[name]
        self._left[name] = max(after - 1, 0), count - (after == 0 < count)
        return after == 0 < count


class Quiet(WSGIRequestHandler):  # type: ignore[misc]  # of an untyped library
    """Keeps connections open and writes no log."""

    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        """Write nothing."""


def _dated(respond: Any, ahead: timedelta, status: str, headers: Any, *rest: Any) -> Any:
    """Begin an answer whose dates are those of another clock."""
    moved = [
        (name, format_datetime(parsedate_to_datetime(value) + ahead, usegmt=True))
        if name.lower() in _DATES
        else (name, value)
        for name, value in headers
    ]
    return respond(status, moved, *rest)


def _empty(respond: Any, status: str) -> list[bytes]:
    respond(status, [("Content-Length", "0")])
    return [b""]


def main() -> None:
    """Serve until standard input ends."""
    app = Troubled(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
