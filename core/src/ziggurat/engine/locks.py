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

    A second file is the turnstile: who wants the lock alone closes it and waits, so that an endless stream of
    puts cannot keep a collection waiting for ever.

    Args:
        path: The lock file; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._turnstile = path, path.with_name(f"{path.name}.turn")
        self._passing, self._guard = threading.Lock(), threading.Lock()
        self._handles: tuple[int, int] | None = None
        self._sharing = 0
        self._mine = threading.local()

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Held while copies are added; a thread that holds it may take it again."""
        depth = getattr(self._mine, "depth", 0)
        if not depth:
            self._enter()
        self._mine.depth = depth + 1
        try:
            yield
        finally:
            self._mine.depth = depth
            if not depth:
                self._leave()

    def _enter(self) -> None:
        with self._passing:
            if self._handles is None:
                # Kept open: every put comes by here.
                self._handles = (_open(self._turnstile), _open(self._path))
            turn, lock = self._handles
            fcntl.flock(turn, fcntl.LOCK_SH)
            fcntl.flock(turn, fcntl.LOCK_UN)
            with self._guard:
                if self._sharing == 0:
                    fcntl.flock(lock, fcntl.LOCK_SH)
                self._sharing += 1

    def _leave(self) -> None:
        with self._guard:
            self._sharing -= 1
            if self._sharing == 0 and self._handles is not None:
                fcntl.flock(self._handles[1], fcntl.LOCK_UN)

    def close(self) -> None:
        """Release what is kept open; harmless when repeated."""
        with self._guard:
            handles, self._handles = self._handles, None
            for handle in handles or ():
                # Unlocked by hand: a forked child that still has the file open would keep the lock.
                fcntl.flock(handle, fcntl.LOCK_UN)
                os.close(handle)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Held while copies are given up; waits until nobody adds any."""
        with _locked(self._turnstile, fcntl.LOCK_EX), _locked(self._path, fcntl.LOCK_EX):
            yield


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    handle = _take(path, how)
    try:
        yield
    finally:
        _release(handle)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _take(path: Path, how: int) -> int:
    handle = _open(path)
    try:
        fcntl.flock(handle, how)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _release(handle: int) -> None:
    # Unlocked by hand: a forked child that still has the file open would keep the lock.
    fcntl.flock(handle, fcntl.LOCK_UN)
    os.close(handle)
