"""`python -m brewslm` is the console script."""

import sys

from brewslm.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
