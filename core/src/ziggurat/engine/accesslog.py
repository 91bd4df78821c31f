"""The access log of a store: time, key, size and operation of every read; bounded, rotated, shared.

Lines are those of a trace: ``time,key,size,op``. Nothing else is recorded: no path, no user, no content.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

__all__ = ["LOG_NAME", "AccessLog", "log_files"]

LOG_NAME = "access.log"

_LIMIT = 16_000_000
_OLD = 3
_BUFFER = 512
_WAITING = 65_536


def log_files(folder: Path) -> list[Path]:
    """The files of a store's log, oldest first."""
    names = [f"{LOG_NAME}.{number}" for number in range(_OLD, 0, -1)]
    return [path for name in (*names, LOG_NAME) if (path := folder / name).is_file()]


class AccessLog:
    """Appends to the log of a store. Processes share it: each batch is one write.

    Args:
        folder: Where the log is kept, beside the catalog.
        soon: Runs a chore in another thread: a reader never waits for the disk.
        limit: Bytes of one file; with three older ones beside it, four times as many are kept.
    """

    def __init__(
        self, folder: Path, soon: Callable[[Callable[[], object]], object], limit: int = _LIMIT
    ) -> None:
        self._folder, self._soon, self._limit = folder, soon, limit
        self._waiting: deque[tuple[float, str, int]] = deque(maxlen=_WAITING)
        self._lock = threading.Lock()

    def note(self, key: str, size: int) -> None:
        """Record one read of a block."""
        self._waiting.append((time.time(), key, size))
        if len(self._waiting) >= _BUFFER:
            self._soon(self.flush)

    def flush(self) -> None:
        """Write what waits.

        Raises:
            OSError: The disk took no more; what was waiting is given up.
        """
        import fcntl

        with self._lock:
            rows = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if not rows:
                return
            text = "".join(f"{at:.3f},{key},{size},get\n" for at, key, size in rows).encode()
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / LOG_NAME
            # The lock is a file of its own, because the log itself is renamed.
            with (self._folder / f"{LOG_NAME}.lock").open("ab") as turn:
                fcntl.flock(turn, fcntl.LOCK_EX)
                if path.exists() and path.stat().st_size + len(text) > self._limit:
                    self._rotate(path)
                handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                try:
                    os.write(handle, text)
                finally:
                    os.close(handle)

    def _rotate(self, path: Path) -> None:
        for number in range(_OLD - 1, 0, -1):
            older = path.with_name(f"{LOG_NAME}.{number}")
            if older.exists():
                older.replace(path.with_name(f"{LOG_NAME}.{number + 1}"))
        path.replace(path.with_name(f"{LOG_NAME}.1"))
