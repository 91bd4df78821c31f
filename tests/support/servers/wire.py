"""Between a client and an HTTP server: a relay that counts, and a service that answers as it is told."""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlsplit

__all__ = ["Relay", "Scripted", "error_body", "listing_body"]

_REQUEST = re.compile(rb"((?:GET|HEAD|PUT|POST|DELETE) /\S*) HTTP/1\.1\r\n")


class _Threads(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


class _Listening:
    """Listens on a free port of loopback while the block lasts.

    Attributes:
        url: Where clients connect.
    """

    def __init__(self) -> None:
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                outer._serve(self.request)

        self._server = _Threads(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def _serve(self, client: socket.socket) -> None:
        raise AssertionError("a subclass serves")

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class Relay(_Listening):
    """Passes bytes on to a server and counts them.

    Args:
        url: Of the server.

    Attributes:
        sent: Bytes from clients to the server.
        received: Bytes from the server to clients.
        requests: First lines of the requests, without the version.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        parts = urlsplit(url)
        self._upstream = (parts.hostname or "", parts.port or 80)
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Count from nothing."""
        self.sent = self.received = 0
        self.requests: list[str] = []

    def methods(self) -> list[str]:
        """Methods of the requests, in order."""
        return [line.partition(" ")[0] for line in self.requests]

    def _serve(self, client: socket.socket) -> None:
        with socket.create_connection(self._upstream) as server:
            back = threading.Thread(target=self._pass, args=(server, client, False), daemon=True)
            back.start()
            self._pass(client, server, True)
            back.join()

    def _pass(self, source: socket.socket, target: socket.socket, upward: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self._count(data, upward)
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _count(self, data: bytes, upward: bool) -> None:
        with self._lock:
            if not upward:
                self.received += len(data)
                return
            self.sent += len(data)
            if found := _REQUEST.match(data):  # a client waits for the answer before it asks again
                self.requests.append(found[1].decode("latin-1"))


Answer = bytes | list[bytes] | tuple[int, bytes] | tuple[int, bytes, dict[str, str]]


class Scripted(_Listening):
    """Answers every request by a function of method, path and body.

    Args:
        answer: Gives status, body and headers; or bytes that are sent as they are before the connection is
            closed; or a list of bytes after which nothing more is said and nothing is closed.

    Attributes:
        asked: Method and path of each request.
        headers: Headers of each request, names in lower case.
    """

    def __init__(self, answer: Callable[[str, str, bytes], Answer]) -> None:
        super().__init__()
        self._answer = answer
        self.asked: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []

    def _serve(self, client: socket.socket) -> None:
        stream = client.makefile("rb")
        try:
            while line := stream.readline().decode("latin-1").split():
                headers = {}
                while (row := stream.readline().decode("latin-1").strip()) != "":
                    name, _, value = row.partition(":")
                    headers[name.lower()] = value.strip()
                if headers.get("expect") == "100-continue":
                    client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = stream.read(int(headers.get("content-length", 0)))
                self.asked.append((line[0], line[1]))
                self.headers.append(headers)
                given = self._answer(line[0], line[1], body)
                if isinstance(given, bytes | list):
                    for piece in [given] if isinstance(given, bytes) else given:
                        client.sendall(piece)
                    if isinstance(given, list):
                        stream.read(1)  # nothing more is said until the client goes away
                    return
                status, text, *more = given
                told = {"Content-Length": str(len(text)), "Content-Type": "application/xml"}
                told |= more[0] if more else {}
                head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
                said = f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode()
                client.sendall(said if line[0] == "HEAD" else said + text)  # at once: two wait for an ACK
        except OSError:
            pass
        finally:
            stream.close()
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)


def error_body(code: str, message: str = "Said", extra: Sequence[tuple[str, str]] = ()) -> bytes:
    """The body of an error of S3."""
    more = "".join(f"<{name}>{value}</{name}>" for name, value in extra)
    xml = f"<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{xml}'.encode()


def listing_body(keys: list[str], size: int = 4, *, more: bool = False) -> bytes:
    """A page of a listing of S3: keys, of one size."""
    rows = "".join(
        f"<Contents><Key>{quote(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f'<ETag>"{"0" * 32}"</ETag><Size>{size}</Size></Contents>'
        for key in keys
    )
    return (
        '<?xml version="1.0"?><ListBucketResult><EncodingType>url</EncodingType>'
        f"<IsTruncated>{str(more).lower()}</IsTruncated>"
        f"{'<NextContinuationToken>t</NextContinuationToken>' * more}"
        f"{rows}</ListBucketResult>"
    ).encode()
