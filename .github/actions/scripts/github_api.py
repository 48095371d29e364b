"""The few calls of GitHub's REST API that the recipes make, with its limits and refusals in words.

The token goes to the API's own address only: no redirect is followed, and a link to a next page
that leads elsewhere is refused.
"""

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from email.message import Message
from http.client import HTTPException, HTTPMessage
from typing import IO, Any, NamedTuple

from runner import RecipeError

_TIMEOUT_S = 30
_MAX_ANSWER_BYTES = 16 << 20
_MAX_PAGES = 50
_MAX_TRIES = 4
_MAX_WAIT_S = 90
_UNNAMED_WAIT_S = 60
"""GitHub asks for a minute where a limit names no time."""
_RETRY_S = 1
_NEXT = re.compile(r'<([^<>]*)>\s*;[^,]*\brel="next"')
_REPEATABLE = frozenset({"GET", "PATCH"})
"""A comment that was posted although the answer got lost would stand there twice."""


class NotThereError(RecipeError):
    """What was asked for does not exist, or the token may not know that it does."""


class _Answer(NamedTuple):
    status: int
    headers: Message
    data: bytes


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for an answer like any other."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        """Return no further request."""


_OPENER = urllib.request.build_opener(_NoRedirect)


class GitHub:
    """One repository, spoken to with the job's token."""

    def __init__(
        self, environment: Mapping[str, str], sleep: Callable[[float], None] = time.sleep
    ) -> None:
        needed = ("GITHUB_API_URL", "GITHUB_REPOSITORY", "GH_TOKEN")
        if missing := [name for name in needed if not environment.get(name)]:
            raise RecipeError(f"the environment lacks {', '.join(missing)}")
        self._base = f"{environment['GITHUB_API_URL']}/repos/{environment['GITHUB_REPOSITORY']}"
        self._token = environment["GH_TOKEN"]
        self._sleep = sleep

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the JSON object that answers a request.

        Raises: NotThereError, RecipeError.
        """
        answer = self._exchange(method, f"{self._base}{path}", body)
        document = _decoded(answer)
        if not isinstance(document, dict):
            raise RecipeError(f"{method} {path} is answered without a JSON object")
        return document

    def listed(self, path: str, key: str = "", **query: str) -> Iterator[dict[str, Any]]:
        """Yield every entry of a list, page after page; key: where the list stands under a name.

        Raises: NotThereError, RecipeError.
        """
        url: str | None = f"{self._base}{path}?{urllib.parse.urlencode({'per_page': 100, **query})}"
        for _ in range(_MAX_PAGES):
            if url is None:
                return
            answer = self._exchange("GET", url, None)
            document = _decoded(answer)
            entries = document.get(key) if isinstance(document, dict) else document
            if not isinstance(entries, list):
                raise RecipeError(f"GET {path} is answered without a list")
            yield from (entry for entry in entries if isinstance(entry, dict))
            url = self._next(answer)
        raise RecipeError(f"GET {path} has more than {_MAX_PAGES} pages")

    def download_address(self, path: str) -> str:
        """Return the address that a download leads to; it asks for no token.

        Raises: NotThereError, RecipeError.
        """
        url = f"{self._base}{path}"
        answer = self._exchange("GET", url, None)
        target = answer.headers.get("Location")
        if not target:
            raise RecipeError(f"GET {path} leads to no download")
        return urllib.parse.urljoin(url, target)

    def _exchange(self, method: str, url: str, body: Mapping[str, Any] | None) -> _Answer:
        """Send a request, again after a limit or a fault that a while heals."""
        path = urllib.parse.urlsplit(url).path
        for tries_left in reversed(range(_MAX_TRIES)):
            answer = self._send(method, url, body)
            if answer.status < 400:
                return answer
            wait_s = _wait_s(method, answer)
            if wait_s is None or not tries_left:
                raise _refused(method, path, answer)
            if wait_s > _MAX_WAIT_S:
                raise RecipeError(
                    f"{method} {path}: the rate limit is reached for another {wait_s} s; run the "
                    "job again then"
                )
            self._sleep(wait_s)
        raise AssertionError("the last try returns or raises")

    def _send(self, method: str, url: str, body: Mapping[str, Any] | None) -> _Answer:
        """Return any answer, refusals included."""
        request = urllib.request.Request(  # noqa: S310  the runner names the API's address
            url,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
                "User-Agent": "brewslm",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
        try:
            with _OPENER.open(request, timeout=_TIMEOUT_S) as answer:
                return _Answer(answer.status, answer.headers, answer.read(_MAX_ANSWER_BYTES + 1))
        except urllib.error.HTTPError as refused:
            with refused:
                return _Answer(refused.code, refused.headers, refused.read(_MAX_ANSWER_BYTES + 1))
        except (OSError, HTTPException) as error:
            raise RecipeError(f"{method} {url}: no answer ({type(error).__name__})") from error

    def _next(self, answer: _Answer) -> str | None:
        match = _NEXT.search(answer.headers.get("Link", ""))
        if match is None:
            return None
        if _origin(match[1]) != _origin(self._base):
            raise RecipeError("a next page leads away from the API")
        return match[1]


def _wait_s(method: str, answer: _Answer) -> int | None:
    """Return how long to wait before the next try, None when waiting changes nothing."""
    if answer.status in (403, 429):
        after, reset = (
            answer.headers.get(name, "") for name in ("Retry-After", "X-RateLimit-Reset")
        )
        if after.isdecimal():
            return int(after)
        if answer.headers.get("X-RateLimit-Remaining") == "0" and reset.isdecimal():
            return max(0, int(reset) - int(time.time()))
        is_limit = answer.status == 429 or b"rate limit" in answer.data
        return _UNNAMED_WAIT_S if is_limit else None
    return _RETRY_S if answer.status >= 500 and method in _REPEATABLE else None


def _refused(method: str, path: str, answer: _Answer) -> RecipeError:
    said = _message(answer)
    if answer.status == 404:
        return NotThereError(f"{method} {path}: not there, or not for this token{said}")
    advice = {
        401: "; the job passes no valid token",
        403: "; give the job the permissions that the recipe lists",
    }.get(answer.status, "")
    return RecipeError(f"{method} {path} is refused with {answer.status}{said}{advice}")


def _message(answer: _Answer) -> str:
    try:
        return f" ({json.loads(answer.data)['message']})"
    except (ValueError, KeyError, TypeError):
        return ""


def _decoded(answer: _Answer) -> Any:
    if len(answer.data) > _MAX_ANSWER_BYTES:
        raise RecipeError(f"an answer of the API is larger than {_MAX_ANSWER_BYTES} bytes")
    try:
        return json.loads(answer.data)
    except ValueError as error:
        raise RecipeError("an answer of the API is no JSON") from error


def _origin(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc
