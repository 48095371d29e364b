"""One file out of an artifact of an earlier run, of which nothing but its size is trusted.

    fetch_artifact.py --run ID            NAME MEMBER FILE
    fetch_artifact.py --workflow FILENAME NAME MEMBER FILE

With --workflow it is the newest run of that workflow for a push to the default branch that left
such an artifact: a pull request can upload one under the same name, but not for that event. Output
`file` is the path of the file, empty where no run left one, which is no error.
"""

import argparse
import io
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Iterable
from http.client import HTTPException
from pathlib import Path

from github_api import GitHub, NotThereError
from runner import RecipeError, ended, read_event, say, write_output

_TIMEOUT_S = 60
_MAX_FILE_BYTES = 64 << 20
"""As much as brewslm reads of a plan."""
_MAX_RUNS = 20


def main() -> int:
    """Write the file and say whether there was one."""
    parser = argparse.ArgumentParser()
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--run", type=int)
    place.add_argument("--workflow")
    for name in ("name", "member", "file"):
        parser.add_argument(name)
    given = parser.parse_args()
    api = GitHub(os.environ)
    runs = [given.run] if given.run is not None else _pushed(api, given.workflow)
    data = _newest(api, runs, given.name, given.member)
    if data is not None:
        Path(given.file).write_bytes(data)
    say(f"{given.member}: {'no run left one' if data is None else f'{len(data)} bytes'}")
    write_output("file", "" if data is None else given.file)
    return 0


def _pushed(api: GitHub, workflow: str) -> Iterable[int]:
    """Yield the newest runs of a workflow for pushes to the default branch."""
    branch = str(read_event(os.environ)["repository"]["default_branch"])
    path = f"/actions/workflows/{urllib.parse.quote(workflow, safe='')}/runs"
    query = {"branch": branch, "event": "push", "status": "completed"}
    try:
        for _, run in zip(
            range(_MAX_RUNS), api.listed(path, key="workflow_runs", **query), strict=False
        ):
            if run["event"] == "push" and run["head_branch"] == branch:
                yield int(run["id"])
    except NotThereError:
        return


def _newest(api: GitHub, runs: Iterable[int], name: str, member: str) -> bytes | None:
    for run in runs:
        path = f"/actions/runs/{run}/artifacts"
        for artifact in api.listed(path, key="artifacts", name=name):
            if artifact["name"] == name and not artifact["expired"]:
                address = api.download_address(f"/actions/artifacts/{int(artifact['id'])}/zip")
                return _unpacked(_downloaded(address), member)
    return None


def _downloaded(address: str) -> bytes:
    """Return a download, fetched without the token."""
    if urllib.parse.urlsplit(address).scheme not in ("https", "http"):
        raise RecipeError("the artifact stands at no web address")
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer:  # noqa: S310  the API names it
            data: bytes = answer.read(_MAX_FILE_BYTES + 1)
    except (OSError, HTTPException) as error:
        raise RecipeError(f"the artifact can't be downloaded ({type(error).__name__})") from error
    return _bounded(data, "the artifact")


def _unpacked(data: bytes, member: str) -> bytes:
    """Return one file of an archive; other names in it are never looked at."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(member) as stream:
            return _bounded(stream.read(_MAX_FILE_BYTES + 1), member)
    except KeyError as error:
        raise RecipeError(f"the artifact holds no {member}") from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise RecipeError("the artifact is no readable archive") from error


def _bounded(data: bytes, what: str) -> bytes:
    if len(data) > _MAX_FILE_BYTES:
        raise RecipeError(f"{what} is larger than {_MAX_FILE_BYTES} bytes")
    return data


if __name__ == "__main__":
    sys.exit(ended(main))
