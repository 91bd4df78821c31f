"""The command line: ``ziggurat``.

One module holds a group of commands. What start-up needs is here and in `_app`; everything that is slow to
import (the engine, rich, apsw) waits until a command that needs it runs.
"""

from ziggurat.cli._app import main

__all__ = ["main"]
