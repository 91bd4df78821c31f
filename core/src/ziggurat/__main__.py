"""``python -m ziggurat``: the same as the command ``ziggurat``."""

import sys

from ziggurat.cli import main

if __name__ == "__main__":
    sys.exit(main())
