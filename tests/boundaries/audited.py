"""Runs one command of the program under an audit hook, and prints what it touched as JSON.

Called as `python -I audited.py ROOT ARGUMENT...`; ROOT is where the package lies.
"""

import json
import os
import sys
from typing import Any

_RUNS = ("os.system", "os.exec", "os.fork", "os.forkpty", "os.spawn", "os.posix_spawn", "pty.spawn")
_touched: dict[str, list[str]] = {"open": [], "socket": [], "run": [], "exec": []}
_PLACES = (sys.prefix, sys.base_prefix, sys.argv[1], *sys.path)
"""Isolated, so that no place of the path is the caller's folder."""
_EXPECTED = [os.path.realpath(place) for place in _PLACES]


def _record(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and not isinstance(arguments[0], int):
        path = os.fsdecode(arguments[0])
        if not path.startswith("/") and ("/" in path or path == ".."):
            path = os.path.realpath(path)
        if not path.startswith(tuple(f"{place}/" for place in _EXPECTED)):
            _touched["open"].append(path)
    elif event.startswith("socket."):
        _touched["socket"].append(event)
    elif event == "subprocess.Popen":
        _touched["run"].append(os.fsdecode(arguments[0] or arguments[1][0]))
    elif event in _RUNS:
        _touched["run"].append(f"{event} {arguments[:1]}")
    elif event == "exec" and hasattr(arguments[0], "co_filename"):
        _touched["exec"].append(arguments[0].co_filename)


def _called() -> int:
    from brewslm.cli.main import main  # noqa: PLC0415  the hook comes before the first import

    return main(sys.argv[2:])


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    sys.addaudithook(_record)
    code = _called()
    found = {name: sorted(set(items)) for name, items in _touched.items()}
    sys.stdout.write("\n" + json.dumps({"code": code, **found}) + "\n")
