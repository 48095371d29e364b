"""Starts a program of this package in an interpreter that knows no packages but those it is told.

Called with the name of the program's module and the folders that hold what it imports. The exit
status is NO_LIBRARY where an import fails.
"""

import signal
import sys
from importlib import import_module

NO_LIBRARY = 3


def main() -> None:
    """Run the program; an interrupt is the parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    name, *folders = sys.argv[1:]
    sys.path += folders
    try:
        import_module(name).main()
    except ImportError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(NO_LIBRARY)


if __name__ == "__main__":
    main()
