"""A small GitHub on loopback: the endpoints that the recipes call, their pages and refusals."""

import io
import json
import re
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

REPOSITORY = "acme/parcels"
TOKEN = "ghs_t0ken-of-the-job"  # noqa: S105  known to this server alone
BOT = "github-actions[bot]"
_PAGE = 2
_ID = re.compile(r"/(\d+)(?:/|$)")
_LONGEST_BODY = 65_536


@dataclass(frozen=True)
class Refusal:
    """One answer that comes before the usual one."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "no"
    document: Any = None


@dataclass
class Forge:
    """What the repository holds, and what was asked of it."""

    url: str = ""
    pulls: list[dict[str, Any]] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    runs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    artifacts: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    archives: dict[int, bytes] = field(default_factory=dict)
    heads: dict[int, str] = field(default_factory=dict)
    """Head commit by run."""
    refusals: dict[str, list[Refusal]] = field(default_factory=dict)
    """By method and last words of the path, such as `PATCH comments/3`."""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path and Authorization of each request."""

    @property
    def said(self) -> list[str]:
        """The bodies of all comments, oldest first."""
        return [str(comment["body"]) for comment in self.comments]

    def pulls_now(self) -> list[dict[str, Any]]:
        """Return the open pull requests, asked each time."""
        return self.pulls

    def pull(self, number: int, commit: str, head: str = "ana:lower-rate") -> None:
        """Open a pull request."""
        owner, _, branch = head.partition(":")
        self.pulls.append(
            {"number": number, "head": {"sha": commit, "ref": branch, "user": {"login": owner}}}
        )

    def comment(self, login: str, body: str) -> int:
        """Let somebody write a comment."""
        number = len(self.comments) + 1
        self.comments.append({"id": number, "user": {"login": login}, "body": body})
        return number

    def upload(self, run: int, name: str, files: dict[str, bytes], *, expired: bool = False) -> int:
        """Keep an artifact of a run."""
        number = len(self.archives) + 100
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, data in files.items():
                archive.writestr(member, data)
        self.archives[number] = packed.getvalue()
        self.artifacts.setdefault(run, []).append({"id": number, "name": name, "expired": expired})
        return number

    def refuse(self, request: str, *refusals: Refusal) -> None:
        """Answer the next requests of a kind with refusals."""
        self.refusals.setdefault(request, []).extend(refusals)

    def calls(self, method: str) -> list[str]:
        """Return the paths asked with a method."""
        return [path for name, path, _ in self.asked if name == method]


@contextmanager
def running_forge() -> Iterator[Forge]:
    """Run a forge and lend it."""
    forge = Forge()

    class Handler(_Handler):
        held = forge

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    forge.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield forge
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    held: Forge

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test's output quiet."""

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_PATCH(self) -> None:
        self._serve("PATCH")

    def _serve(self, method: str) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        authorization = self.headers.get("Authorization", "")
        self.held.asked.append((method, self.path, authorization))
        for request, waiting in self.held.refusals.items():
            if waiting and f"{method} {parts.path}".endswith(request.split(" ")[1]):
                if request.startswith(method):
                    refusal = waiting.pop(0)
                    document = refusal.document or {"message": refusal.message}
                    return self._answer(refusal.status, document, refusal.headers)
        if parts.path.startswith("/blob/"):
            return self._blob(int(parts.path.removeprefix("/blob/")), authorization)
        if authorization != f"Bearer {TOKEN}":
            return self._answer(401, {"message": "Bad credentials"})
        path = parts.path.removeprefix(f"/repos/{REPOSITORY}")
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return self._route(method, path, query, json.loads(body) if body else {})

    def _route(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> None:
        forge = self.held
        if (method, path) == ("GET", "/pulls"):
            owner, _, branch = query["head"].partition(":")
            heads = [
                pull
                for pull in forge.pulls_now()
                if (pull["head"]["user"]["login"], pull["head"]["ref"]) == (owner, branch)
            ]
            return self._page(heads, query)
        if re.fullmatch(r"/issues/\d+/comments", path):
            if method == "GET":
                return self._page(forge.comments, query)
            return self._written(BOT, body)
        if method == "PATCH" and path.startswith("/issues/comments/"):
            return self._changed(_number(path), body)
        if method == "POST" and path.startswith("/statuses/"):
            forge.statuses.append({"commit": path.removeprefix("/statuses/"), **body})
            return self._answer(201, {"id": len(forge.statuses)})
        if method == "GET" and path.startswith("/actions/workflows/"):
            return self._runs(path.split("/")[3], query)
        if method == "GET" and re.fullmatch(r"/actions/runs/\d+", path):
            run = _number(path)
            if run in forge.heads:
                return self._answer(200, {"id": run, "head_sha": forge.heads[run]})
        if method == "GET" and re.fullmatch(r"/actions/runs/\d+/artifacts", path):
            named = [
                item
                for item in forge.artifacts.get(_number(path), [])
                if item["name"] == query.get("name", item["name"])
            ]
            return self._page(named, query, "artifacts")
        if method == "GET" and re.fullmatch(r"/actions/artifacts/\d+/zip", path):
            return self._answer(302, {}, {"Location": f"{forge.url}/blob/{_number(path)}"})
        return self._answer(404, {"message": "Not Found"})

    def _runs(self, workflow: str, query: dict[str, str]) -> None:
        if workflow not in self.held.runs:
            return self._answer(404, {"message": "Not Found"})
        found = [
            run
            for run in self.held.runs[workflow]
            if run["event"] == query["event"] and run["head_branch"] == query["branch"]
        ]
        return self._page(found, query, "workflow_runs")

    def _written(self, login: str, body: dict[str, Any]) -> None:
        if len(body["body"]) > _LONGEST_BODY:
            return self._answer(422, {"message": "body is too long"})
        number = self.held.comment(login, body["body"])
        return self._answer(201, self.held.comments[number - 1])

    def _changed(self, number: int, body: dict[str, Any]) -> None:
        found = [comment for comment in self.held.comments if comment["id"] == number]
        if not found:
            return self._answer(404, {"message": "Not Found"})
        if found[0]["user"]["login"] != BOT:
            return self._answer(403, {"message": "Resource not accessible by integration"})
        found[0]["body"] = body["body"]
        return self._answer(200, found[0])

    def _page(self, items: list[dict[str, Any]], query: dict[str, str], key: str = "") -> None:
        number = int(query.get("page", "1"))
        shown = items[(number - 1) * _PAGE : number * _PAGE]
        headers = {}
        if number * _PAGE < len(items):
            base = self.path.partition("&page=")[0]
            last = f'<{self.held.url}{base}&page=1>; rel="first"'
            headers["Link"] = f'<{self.held.url}{base}&page={number + 1}>; rel="next", {last}'
        self._answer(200, {key: shown, "total_count": len(items)} if key else shown, headers)

    def _blob(self, number: int, authorization: str) -> None:
        if authorization:
            return self._answer(400, {"message": "a signed address takes no token"})
        data = self.held.archives[number]
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        return None

    def _answer(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def _number(path: str) -> int:
    match = _ID.search(path)
    assert match is not None
    return int(match[1])
