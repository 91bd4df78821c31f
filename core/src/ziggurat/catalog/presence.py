"""Which processes use a catalog: one at a time opens or closes it, and each can tell whether it is alone.

Two empty files carry `flock` locks, which the system drops with the process that held them.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ziggurat.errors import StoreError

__all__ = ["Presence"]

_PATIENCE = 30.0


class Presence:
    """One user of a catalog folder.

    Args:
        folder: The catalog's folder; it exists.

    Raises:
        StoreError: The lock files cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._turn = self._users = -1
        try:
            self._turn = self._file("catalog.turn")
            self._users = self._file("catalog.users")
        except OSError as error:
            self.leave()
            raise StoreError(
                f"catalog folder {folder} cannot be used ({error.strerror}): make it writable, "
                "or set another path in [store]"
            ) from error

    def _file(self, name: str) -> int:
        return os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the right to open or close the catalog.

        Raises:
            StoreError: Another process holds it for too long.
        """
        deadline = time.monotonic() + _PATIENCE
        while not _take(self._turn, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise StoreError(
                    f"catalog folder {self._folder} is being opened by another process that does not finish: "
                    "end that process and try again"
                )
            time.sleep(0.005)
        try:
            yield
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)

    def join(self) -> bool:
        """Be a user, within `turn`; may be repeated.

        Returns:
            True if there is no other one.
        """
        alone = _take(self._users, fcntl.LOCK_EX)
        fcntl.flock(self._users, fcntl.LOCK_SH)  # nobody else holds it alone: that needs the turn
        return alone

    def leave(self) -> None:
        """Stop being a user; harmless when repeated."""
        for handle in (self._users, self._turn):
            if handle >= 0:
                # unlocked by hand: a forked child that still has the file open would keep the lock
                fcntl.flock(handle, fcntl.LOCK_UN)
                os.close(handle)
        self._users = self._turn = -1


def _take(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
