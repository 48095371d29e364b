"""Starts a program of this package in an interpreter that knows no packages but those it is told.

Called with the name of the program's module and the folders that hold what it imports. The exit
status is NO_LIBRARY where an import fails.
"""

import sys
from importlib import import_module

NO_LIBRARY = 3


def main() -> None:
    """Run the program."""
    name, *folders = sys.argv[1:]
    sys.path += folders
    try:
        import_module(name).main()
    except ImportError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(NO_LIBRARY)


if __name__ == "__main__":
    main()
