"""The command line: ``ziggurat``.

One module holds a group of commands. What start-up needs is here and in `_app`; everything that is slow to
import (the engine, rich, apsw) waits until a command that needs it runs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ziggurat.cli._session import Session

__all__ = ["main"]


def main(argv: Sequence[str] | None = None, *, session: Session | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name, None for those of the process.
        session: For tests: a session that opens another store.

    Returns:
        The exit code; see `ziggurat.cli._exit`.
    """
    try:
        # Here, because an interrupt during the imports is an interrupt like any other.
        from ziggurat.cli._app import main as run

        return run(argv, session=session)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
