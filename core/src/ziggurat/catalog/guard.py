"""The one boundary between SQLite's errors and ours."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from ziggurat.errors import StoreError, StoreFull

__all__ = ["Guard"]


class Guard:
    """Context manager around every use of a database: state before, translation after.

    Reusable and shared by threads: it keeps nothing between entry and exit.

    Args:
        path: The database file, for messages.
        damaged: Called when the file turns out to be damaged.
    """

    __slots__ = ("_damaged", "_path", "_pid", "closed")

    def __init__(self, path: Path, damaged: Callable[[], None] | None = None) -> None:
        self._path, self._damaged, self._pid = path, damaged, os.getpid()
        self.closed = False

    @property
    def here(self) -> bool:
        """True in the process that made it, False in a fork of it."""
        return os.getpid() == self._pid

    def __enter__(self) -> None:
        if self.closed:
            raise StoreError(f"catalog {self._path} is closed: open a new store")
        if os.getpid() != self._pid:
            raise StoreError(
                f"catalog {self._path} was opened before a fork: open a new store in this process"
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        import apsw

        if isinstance(error, apsw.Error):
            if isinstance(error, (apsw.CorruptError, apsw.NotADBError)) and self._damaged is not None:
                self._damaged()
            failure = StoreFull if isinstance(error, apsw.FullError) else StoreError
            raise failure(self._explain(error)) from error
        if self.closed and isinstance(error, RuntimeError):  # closed by another thread in between
            raise StoreError(f"catalog {self._path} is closed: open a new store") from error

    def _explain(self, error: BaseException) -> str:
        import apsw

        path = self._path
        match error:
            case apsw.BusyError() | apsw.LockedError():
                return f"catalog {path} is locked by another program: close that program and try again"
            case apsw.CorruptError() | apsw.NotADBError() | apsw.FormatError():
                return f"catalog {path} is damaged: restore it from a backup, or move it away to start anew"
            case apsw.ReadOnlyError() | apsw.PermissionsError() | apsw.AuthError():
                return f"catalog {path} cannot be written: make the file and its folder writable"
            case apsw.CantOpenError():
                return f"catalog {path} cannot be opened: check that its folder exists and is writable"
            case apsw.FullError():
                return f"catalog {path} cannot grow: free space on its disk"
            case apsw.IOError():
                return f"catalog {path} could not be read or written: check its disk ({error})"
            case apsw.ConnectionClosedError() | apsw.CursorClosedError():
                return f"catalog {path} is closed: open a new store"
            case _:
                return f"catalog {path} failed: {type(error).__name__}: {error}"
