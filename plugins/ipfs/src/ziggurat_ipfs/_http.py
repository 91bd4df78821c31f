"""Connections that can be a Unix socket, and that tell the trailers of an answer.

A Kubo command that fails after its first byte says why in the trailer ``X-Stream-Error``; http.client reads
trailers and throws them away, and so do urllib3 and requests (psf/requests#6697).
"""

from __future__ import annotations

import http.client
import socket
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from ziggurat_ipfs._address import Address

__all__ = ["make_pool", "trailers_of"]

_MAX_LINE = 65536
_MAX_TRAILERS = 100


class _Answer(http.client.HTTPResponse):
    """Keeps the trailers instead of throwing them away."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.told: dict[str, str] = {}

    def _read_and_discard_trailer(self) -> None:
        for _ in range(_MAX_TRAILERS):
            line = self.fp.readline(_MAX_LINE + 1)
            if len(line) > _MAX_LINE:
                raise http.client.LineTooLong("trailer line")
            if not line:
                raise http.client.IncompleteRead(b"")  # what failed late would stand here
            if line in (b"\r\n", b"\n"):
                return
            name, _, value = line.decode("latin-1").partition(":")
            self.told[name.strip().lower()] = value.strip()
        raise http.client.HTTPException("too many trailers")


class _Telling(HTTPConnection):
    response_class = _Answer


class _TellingTls(HTTPSConnection):
    response_class = _Answer


class _TellingSocket(_Telling):
    """A connection to a Unix socket; a subclass for each says its path."""

    path = ""

    def _new_conn(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(self.timeout if isinstance(self.timeout, int | float) else None)
        try:
            made.connect(self.path)
        except OSError as error:
            made.close()
            raise urllib3.exceptions.NewConnectionError(self, f"{self.path}: {error.strerror}") from error
        return made


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Telling


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TellingTls


def make_pool(address: Address, connections: int) -> urllib3.HTTPConnectionPool:
    """A pool of kept connections; it connects when first asked, and repeats nothing by itself."""
    if address.scheme == "unix":
        pool = _PlainPool("localhost", maxsize=connections, retries=False)

        class AtPath(_TellingSocket):
            path = address.host

        pool.ConnectionCls = AtPath
        return pool
    kind = _TlsPool if address.scheme == "https" else _PlainPool
    return kind(address.host, address.port, maxsize=connections, retries=False)


def trailers_of(answer: urllib3.BaseHTTPResponse) -> dict[str, str]:
    """The trailers of an answer whose body was read to its end, names in lower case."""
    raw = getattr(answer, "_original_response", None)
    return raw.told if isinstance(raw, _Answer) else {}
