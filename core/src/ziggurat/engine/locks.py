"""Who may change a store's copies: many puts at once, or one collection alone, across processes."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["StoreLock"]


class StoreLock:
    """A shared and an exclusive lock on one file; the system drops them with the process.

    Args:
        path: The lock file; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()
        self._handle = -1
        self._sharing = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Held while copies are added."""
        with self._guard:
            if self._sharing == 0:
                self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(self._handle, fcntl.LOCK_SH)
            self._sharing += 1
        try:
            yield
        finally:
            with self._guard:
                self._sharing -= 1
                if self._sharing == 0:
                    os.close(self._handle)
                    self._handle = -1

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Held while copies are given up; waits until nobody adds any."""
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
