"""Connections that another thread can cut, and the watch that cuts those which are late.

A socket's own timeout bounds one receive, so a peer that drips a byte now and then is never late by it.
Here each request has one deadline: when it passes, the socket is shut down, and whoever waits for it fails at
once.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

__all__ = ["POOLS", "Line", "Watch"]

_current = threading.local()
_IDLE = 30.0
"""Seconds after which the thread of a watch with nothing to do ends."""


class Line:
    """What one request goes over, whatever connection that turns out to be.

    Attributes:
        allowed: Seconds that it was given last.
        late: It was cut because its time was over.
    """

    __slots__ = ("_connection", "_cut", "_lock", "allowed", "late")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: HTTPConnection | None = None
        self._cut = self.late = False
        self.allowed = 0.0

    @contextmanager
    def used(self) -> Iterator[None]:
        """Every connection that this thread uses meanwhile is this line's."""
        _current.line = self
        try:
            yield
        finally:
            _current.line = None

    def hold(self, connection: HTTPConnection) -> None:
        """Remember the connection; OSError if the line was cut already."""
        with self._lock:
            if self._cut:
                raise ConnectionAbortedError("the request was given up")
            self._connection = connection

    @property
    def given_up(self) -> bool:
        """It was cut before its time was over: nobody wants the answer any more."""
        return self._cut and not self.late

    def done(self) -> None:
        """The connection belongs to others from now on."""
        with self._lock:
            self._connection = None

    def cut(self, *, late: bool = False) -> None:
        """Shut the connection down: whoever waits for it fails at once."""
        with self._lock:
            if self._cut:
                return
            self._cut, self.late = True, late
            sock = self._connection.sock if self._connection is not None else None
            self._connection = None
        while sock is not None and not isinstance(sock, socket.socket):
            sock = getattr(sock, "socket", None)  # TLS within TLS, to a proxy
        if sock is not None:
            try:
                # Not SSLSocket.shutdown, which takes the TLS state away under a reader's feet.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                return


def _held(connection: HTTPConnection) -> None:
    line: Line | None = getattr(_current, "line", None)
    if line is not None:
        line.hold(connection)


class _Connection(HTTPConnection):
    def connect(self) -> None:
        _held(self)
        super().connect()
        _held(self)  # cut while it connected

    def request(self, *args: Any, **more: Any) -> None:
        _held(self)
        super().request(*args, **more)


class _SecureConnection(HTTPSConnection):
    def connect(self) -> None:
        _held(self)
        super().connect()
        _held(self)

    def request(self, *args: Any, **more: Any) -> None:
        _held(self)
        super().request(*args, **more)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


POOLS: dict[str, type[HTTPConnectionPool]] = {"http": _Pool, "https": _SecurePool}
"""What a `urllib3.PoolManager` needs as its ``pool_classes_by_scheme``."""


class Watch:
    """Cuts lines whose time is over; one thread, which ends when there was nothing to do for a while."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._until: dict[Line, float] = {}
        self._running = self._leave = False

    def limit(self, line: Line, seconds: float) -> None:
        """Give a line so many seconds from now, instead of what it had."""
        until = time.monotonic() + seconds
        line.allowed = seconds
        with self._changed:
            sooner = not self._until or until < min(self._until.values())
            self._until[line] = until
            self._leave = False
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="ziggurat-gateway-watch", daemon=True).start()
            elif sooner:
                self._changed.notify()

    def free(self, line: Line) -> None:
        """Take a line's limit away."""
        with self._changed:
            self._until.pop(line, None)

    def cut_all(self) -> None:
        """Cut every line that has a limit, and let the thread end."""
        with self._changed:
            lines = list(self._until)
            self._until.clear()
            self._leave = self._running
            self._changed.notify()
        for line in lines:
            line.cut()

    def _run(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                late = [line for line, until in self._until.items() if until <= now]
                for line in late:
                    del self._until[line]
                if not late:
                    wait = min(self._until.values()) - now if self._until else _IDLE
                    idle = not self._leave and not self._changed.wait(wait)
                    if (idle or self._leave) and not self._until:
                        self._running = self._leave = False
                        return
            for line in late:
                line.cut(late=True)
