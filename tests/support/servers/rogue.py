"""A gateway of our own on a real socket: honest by itself, and as bad as a test wants it."""

from __future__ import annotations

import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from attrs import define, field, frozen
from tests.support.dag_backend import links_of

from ziggurat.content import Cid, car_header
from ziggurat.errors import InvalidCid

__all__ = [
    "CAR",
    "RAW",
    "Asked",
    "Behaviour",
    "Reply",
    "RogueGateway",
    "car_of",
    "section",
    "slowly",
]

RAW, CAR = "application/vnd.ipld.raw", "application/vnd.ipld.car"


@frozen
class Asked:
    """One request.

    Attributes:
        method, path: Of its first line, the path without its query.
        query: The first value of each name.
        headers: By name in lower case.
        cid: What ``/ipfs/`` or ``/routing/v1/providers/`` is followed by, None for something else.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    cid: Cid | None

    @property
    def car(self) -> bool:
        """A CAR is asked for."""
        return self.query.get("format") == "car"


class Reply:
    """What a behaviour answers with."""

    def __init__(self, write: Callable[[bytes], object], server: RogueGateway) -> None:
        self._write, self._server = write, server

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._write(data)
        self._server.sent += len(data)

    def head(self, status: int = 200, **headers: object) -> None:
        """Send the head of an answer; underscores in names stand for hyphens."""
        lines = [f"HTTP/1.1 {status} Said", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
        self.send("\r\n".join([*lines, "", ""]).encode())

    def whole(self, body: bytes = b"", status: int = 200, type: str = RAW, **headers: object) -> None:  # noqa: A002 - HTTP's word
        """Send a whole answer with its length."""
        self.head(status, Content_Type=type, Content_Length=len(body), **headers)
        self.send(body)

    def chunk(self, data: bytes) -> None:
        """Send one chunk of a chunked body; the empty one ends it."""
        self.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def wait(self, seconds: float) -> None:
        """Sleep, but not longer than the server lives."""
        if self._server.closing.wait(seconds):
            raise ConnectionAbortedError("the test is over")


Behaviour = Callable[[Asked, Reply, "RogueGateway"], object]
"""Answers one request; raising OSError, or returning "close", closes the connection."""


def section(cid: Cid, block: bytes) -> bytes:
    """A section of a CAR."""
    length, out = len(cid.bytes) + len(block), bytearray()
    while length > 127:
        out.append(length & 127 | 128)
        length >>= 7
    return bytes([*out, length]) + cid.bytes + block


def car_of(root: Cid, blocks: Mapping[Cid, bytes]) -> bytes:
    """A CAR of what is there of a DAG, depth first."""
    seen: set[Cid] = set()

    def walk(cid: Cid) -> Iterator[bytes]:
        if cid not in seen and cid in blocks:
            seen.add(cid)
            yield section(cid, blocks[cid])
            for link in links_of(cid, blocks[cid]):
                yield from walk(link)

    return b"".join([car_header([root]), *walk(root)])


@define(eq=False)
class RogueGateway:
    """A gateway over blocks in memory; use it as a context manager.

    Attributes:
        blocks: What it holds.
        tls: Speak TLS, with the certificate of this.
        behave: Answers instead of `honest`; None to be honest.
        asked: Every request, in order.
        connections: How many were made.
        sent: Bytes.
    """

    blocks: dict[Cid, bytes]
    behave: Behaviour | None = None
    tls: ssl.SSLContext | None = None
    asked: list[Asked] = field(factory=list)
    connections: int = 0
    sent: int = 0
    url: str = ""
    closing: threading.Event = field(factory=threading.Event)
    _server: Any = None

    def honest(self, asked: Asked, reply: Reply) -> None:
        """What the specification asks for; ``entity-bytes`` is ignored, as it allows."""
        cid = asked.cid
        if cid is None or cid not in self.blocks:
            cached = asked.headers.get("cache-control") == "only-if-cached"
            text = b"" if asked.method == "HEAD" else b"not here"
            reply.whole(text, 412 if cached else 404, "text/plain")
        elif asked.method == "HEAD":
            reply.head(200, Content_Type=RAW, Content_Length=len(self.blocks[cid]))
        elif asked.car:
            reply.head(200, Content_Type=f"{CAR}; version=1; order=dfs; dups=n", Transfer_Encoding="chunked")
            car = car_of(cid, self.blocks)
            for start in range(0, len(car), 60_000):
                reply.chunk(car[start : start + 60_000])
            reply.chunk(b"")
        else:
            reply.whole(self.blocks[cid])

    def count(self, *, car: bool | None = None) -> int:
        """Requests, of a kind."""
        return sum(1 for one in self.asked if car is None or one.car == car)

    def __enter__(self) -> RogueGateway:
        gateway = self

        class Handler(socketserver.StreamRequestHandler):
            timeout = 30
            disable_nagle_algorithm = True

            def handle(self) -> None:
                gateway.connections += 1
                try:
                    while (asked := _read(self.rfile)) is not None:
                        gateway.asked.append(asked)
                        reply = Reply(self.wfile.write, gateway)
                        if gateway.behave is None:
                            gateway.honest(asked, reply)
                        elif gateway.behave(asked, reply, gateway) == "close":
                            return
                except OSError:
                    return

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True
            request_queue_size = 64

            def get_request(self) -> Any:
                sock, address = super().get_request()
                if gateway.tls is not None:
                    # The handshake comes with the first read, in the connection's own thread.
                    sock = gateway.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                return sock, address

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


def _read(file: Any) -> Asked | None:
    first = file.readline(65536).decode("latin-1").split()
    if len(first) < 2:
        return None
    headers: dict[str, str] = {}
    while (line := file.readline(65536).decode("latin-1").strip()) != "":
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    parts = urlsplit(first[1])
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    cid = None
    for before in ("/ipfs/", "/routing/v1/providers/"):
        if parts.path.startswith(before):
            try:
                cid = Cid.parse(parts.path.removeprefix(before))
            except InvalidCid:
                cid = None
    return Asked(first[0], parts.path, query, headers, cid)


def slowly(reply: Reply, data: bytes, pause: float) -> None:
    """Send byte by byte."""
    for number in range(len(data)):
        reply.send(data[number : number + 1])
        reply.wait(pause)
