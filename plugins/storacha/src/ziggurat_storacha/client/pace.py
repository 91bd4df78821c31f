"""When a service may be asked again: one moment for all threads and processes that use it.

A 429 says when; until then nobody asks. The moment stands in a small file of the state folder, so that other
processes wait with us.
"""

from __future__ import annotations

import email.utils
import fcntl
import hashlib
import os
import random
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from ziggurat.errors import TierThrottled

__all__ = ["MAX_WAIT", "Pace", "Waiting", "retry_after"]

MAX_WAIT: Final = 3600.0
"""Longest wait that a service may ask for, seconds; more is cut."""

_FIRST, _DOUBLINGS = 0.5, 7
_SPREAD = 0.1


def retry_after(value: str | None, now: float | None = None) -> float | None:
    """Read a Retry-After header: seconds, or a date.

    Returns:
        Seconds to wait, at most `MAX_WAIT`; None when it says nothing usable.
    """
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        moment = email.utils.parsedate_tz(value)
        if moment is None:
            return None
        seconds = email.utils.mktime_tz(moment) - (time.time() if now is None else now)
    if seconds != seconds:  # NaN
        return None
    return min(max(seconds, 0.0), MAX_WAIT)


class Pace:
    """The moment from which a service may be asked again. Safe to use from several threads and processes.

    Args:
        url: Of the service: each has a moment of its own.
        folder: The state folder, None to share with no other process.
        budget: Seconds that one call may wait in all because of 429.
    """

    def __init__(self, url: str, folder: Path | None = None, budget: float = 60.0) -> None:
        self.url, self.budget = url, budget
        name = hashlib.sha256(url.encode()).hexdigest()[:16]
        self._path = None if folder is None else folder / f"pace-{name}"
        self._lock = threading.Lock()
        self._moment = 0.0

    def waiting(self, cancel: threading.Event | None = None) -> Waiting:
        """Begin a call."""
        return Waiting(self, cancel)

    def moment(self) -> float:
        """Unix seconds from which it may be asked again; 0.0 or a past moment for now."""
        moment = self._moment
        if self._path is not None:
            with suppress(OSError, ValueError):
                moment = max(moment, float(self._path.read_bytes()[:40]))
        # A clock that was set back must not stop everything.
        return moment if moment <= time.time() + MAX_WAIT else 0.0

    def put_off(self, seconds: float) -> None:
        """Note that nobody may ask for some seconds; a later moment that is known already stays."""
        moment = time.time() + seconds
        with self._lock:
            self._moment = max(self._moment, moment)
            if self._path is not None:
                # Where the folder cannot be written, each process learns it by itself.
                with suppress(OSError):
                    _share(self._path, moment)


def _share(path: Path, moment: float) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        known = 0.0
        with suppress(ValueError):
            known = float(os.read(fd, 40))
        if not moment <= known <= time.time() + MAX_WAIT:
            # One write of always the same length: a reader sees the old moment or the new one.
            os.ftruncate(fd, os.pwrite(fd, f"{moment:<24.6f}".encode(), 0))
    finally:
        os.close(fd)


class Waiting:
    """How one call waits; see `Pace`."""

    def __init__(self, pace: Pace, cancel: threading.Event | None) -> None:
        self._pace, self._cancel = pace, cancel or threading.Event()
        self._left = pace.budget
        self._refused = 0

    def turn(self) -> None:
        """Wait until the service may be asked.

        Raises:
            TierThrottled: That is longer than what is left of the budget, or the call was cancelled.
        """
        while (seconds := self._pace.moment() - time.time()) > 0:
            if seconds > self._left:
                raise TierThrottled(
                    f"{self._pace.url} asks to wait {seconds:.0f} s, longer than the budget of"
                    f" {self._pace.budget:.0f} s allows: try again later, or raise wait_budget",
                    retryable=True,
                    retry_after=seconds,
                )
            # All who waited must not come back in one moment.
            seconds += random.uniform(0, _SPREAD)  # noqa: S311 - spreads callers, hides nothing
            self._left -= seconds
            if self._cancel.wait(seconds):
                raise TierThrottled(
                    f"{self._pace.url} asks to wait, and the call was cancelled", retryable=True
                )

    def refused(self, header: str | None) -> None:
        """Note that the service asked to slow down.

        Args:
            header: Its Retry-After, or None.
        """
        asked = retry_after(header)
        if asked is None:
            asked = _FIRST * 2 ** min(self._refused, _DOUBLINGS)
        self._refused += 1
        self._pace.put_off(asked)
