"""What passes between a script and the runner of its job: the event, outputs, and lines in the log.

Text from outside never becomes a command of the runner and never ends the value that it stands in.
"""

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_PREFIX = "| "
_DOUBLED = re.compile(r"#(?=#)")
_MAX_EVENT_BYTES = 16 << 20
_HIDDEN = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


class RecipeError(Exception):
    """A job can't go on; the text says why and what to do."""


def read_event(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the event that started the job.

    Raises: RecipeError.
    """
    path = Path(environment["GITHUB_EVENT_PATH"])
    if path.stat().st_size > _MAX_EVENT_BYTES:
        raise RecipeError(f"the event is larger than {_MAX_EVENT_BYTES} bytes")
    document = json.loads(path.read_bytes())
    if not isinstance(document, dict):
        raise RecipeError("the event is not a JSON object")
    return document


def write_output(
    name: str, value: str, draw: Callable[[], str] = lambda: secrets.token_hex(16)
) -> None:
    """Set an output of the step, whatever lines the value has; outside of a job nothing happens.

    draw: gives delimiters; drawn again for as long as the value contains one.
    """
    target = os.environ.get("GITHUB_OUTPUT")
    if not target:
        return
    delimiter = f"end-{draw()}"
    while delimiter in value:
        delimiter = f"end-{draw()}"
    with Path(target).open("a", encoding="utf-8", newline="\n") as stream:
        stream.write(f"{name}<<{delimiter}\n{value}\n{delimiter}\n")


def say(text: str) -> None:
    """Write lines of our own, with whatever they quote, to the log."""
    sys.stdout.write(inert(text))
    sys.stdout.flush()


def inert(text: str) -> str:
    """Return text as lines that the runner takes for no command.

    A command begins a line with `::`, which the prefix prevents, or holds `##[` anywhere, which is
    pulled apart. Every character that some reader takes for a line break breaks the line here.
    """
    lines = (_DOUBLED.sub("# ", _HIDDEN.sub(_escaped, line)) for line in text.splitlines())
    return "".join(f"{_PREFIX}{line}\n" for line in lines)


def called(python: str, arguments: Sequence[str], folder: Path, run_id: str = "") -> int:
    """Run brewslm in isolation, show what it says as inert lines, and return its exit code.

    python: the interpreter that has brewslm. The program gets the search path and the number of
    the run from the environment, and nothing else: no token, no address of the runner. run_id: of
    the run to name instead of this one.
    """
    done = subprocess.run(
        [python, "-I", "-m", "brewslm", *arguments],
        cwd=folder,
        env=_bare_environment(os.environ) | ({"GITHUB_RUN_ID": run_id} if run_id else {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    say(done.stdout.decode("utf-8", "replace"))
    return done.returncode


def ended(main: Callable[[], int]) -> int:
    """Run the body of a script and return its exit code; errors are told in words."""
    try:
        return main()
    except RecipeError as error:
        say(f"error: {error}")
        return 1


def _bare_environment(environment: Mapping[str, str]) -> dict[str, str]:
    kept = {name: environment[name] for name in ("PATH", "GITHUB_RUN_ID") if name in environment}
    return {**kept, "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"}


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{{{ord(match[0]):04X}}}"
