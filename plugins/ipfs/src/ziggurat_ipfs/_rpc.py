"""One node's RPC: commands with small answers, bodies that stream, uploads that stream.

Source: https://docs.ipfs.tech/reference/kubo/rpc/. Every command is a POST; every failure becomes a
`TierError` here, and absence is an answer.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import urllib3

from ziggurat.backend import Timeouts
from ziggurat.errors import TierError, TierUnavailable
from ziggurat_ipfs._address import Address
from ziggurat_ipfs._errors import Refused, message_of, one_line, refusal, unreachable
from ziggurat_ipfs._http import make_pool, trailers_of

__all__ = ["Body", "Rpc", "Unreached", "authorization", "multipart"]

_CONNECTIONS = 32
_MAX_SMALL = 64 << 20  # bytes of an answer that is read at once
_MAX_ERROR = 65536
_PIECE = 1 << 18
_AGENT = "ziggurat-ipfs/0.1"  # one that begins with Mozilla is taken for a browser and refused
_BROKEN = (urllib3.exceptions.HTTPError, OSError)
_UNREACHED = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)


def authorization(token: str, user: str, password: str) -> str:
    """The value of the header Authorization, "" for none."""
    if token:
        return f"Bearer {token}"
    if user:
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    return ""


class Unreached(Exception):
    """No connection to a node was made, so nothing was asked of it; never leaves the plugin.

    Attributes:
        error: What to raise when there is no other node.
    """

    def __init__(self, error: TierError) -> None:
        super().__init__(str(error))
        self.error = error


class Body:
    """The body of an answer, read in pieces; a failure that comes late is raised where it comes.

    Attributes:
        failure: What the node said in the trailer once the end was reached, "" for nothing.
    """

    def __init__(self, answer: urllib3.BaseHTTPResponse, command: str, api: str) -> None:
        self._answer, self._command, self._api = answer, command, api
        self._ended = False
        self.failure = ""

    def read(self, size: int = _PIECE) -> bytes:
        """The next bytes, at most `size`; b"" at the end, when `failure` is set.

        Raises:
            TierError: The connection broke.
        """
        try:
            piece = self._answer.read(size)
        except _BROKEN as error:
            self.close()
            raise unreachable(error, f"{self._command} at {self._api}") from error
        if not piece and not self._ended:
            self._ended = True
            self.failure = one_line(trailers_of(self._answer).get("x-stream-error", ""))
            self._answer.release_conn()
        return piece

    def pieces(self) -> Iterator[bytes]:
        """All bytes; a late failure of the node ends them without an error, see `failure`."""
        while piece := self.read():
            yield piece

    def lines(self) -> Iterator[bytes]:
        """All lines, without their ends."""
        rest = b""
        for piece in self.pieces():
            *whole, rest = (rest + piece).split(b"\n")
            yield from whole
        if rest:
            yield rest

    def refused(self) -> Refused:
        """The late failure."""
        return Refused(200, self.failure, self._command, self._api)

    def rows(self) -> Iterator[Any]:
        """All lines, each a JSON object; ends normally only when the node says that this was all.

        Raises:
            TierError: The node failed late, the connection broke, or a line is no JSON.
        """
        for line in self.lines():
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                self.close()
                raise TierUnavailable(
                    f"what answers at {self._api} is not the RPC of a Kubo node: {self._command} gave no JSON"
                ) from error
            if isinstance(row, dict) and row.get("Type") == "error" and isinstance(row.get("Message"), str):
                self.close()
                raise refusal(Refused(200, one_line(row["Message"]), self._command, self._api))
            yield row
        if self.failure:
            raise refusal(self.refused())

    def close(self) -> None:
        """Drop the connection, unless all was read and it was given back; harmless when repeated."""
        if not self._ended:
            self._ended = True
            self._answer.close()


class Rpc:
    """The RPC of one node.

    Args:
        address: Where it is.
        authorization: Value of the header, or "".
        timeouts: Seconds to connect and to wait for the next byte.

    Attributes:
        peer: The node's peer ID once it was asked, "" before and after a lost connection.
    """

    def __init__(self, address: Address, authorization: str, timeouts: Timeouts) -> None:
        self.peer = ""
        self._api = str(address)
        self._prefix = f"{address.prefix}/api/v0/"
        self._pool = make_pool(address, _CONNECTIONS)
        self._timeouts = timeouts
        self._headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
        self._secret = authorization.rpartition(" ")[2]
        if authorization:
            self._headers["Authorization"] = authorization

    def __str__(self) -> str:
        return self._api

    def call(self, command: str, *args: str, patience: float | None = None, **options: str) -> list[Any]:
        """Ask a command with a small answer.

        Args:
            command: Such as "pin/ls".
            args: Its arguments.
            patience: Seconds to wait for the next byte, None for the tier's.
            options: Its options, "-" in their names written as "_".

        Returns:
            The rows of its answer.

        Raises:
            Refused: The node refused; the caller looks whether that is an answer.
            TierError: It could not be asked.
        """
        body = self.open(command, args, options, patience=patience)
        try:
            return list(body.rows())
        finally:
            body.close()

    def block(
        self, command: str, *args: str, limit: int, patience: float | None = None, **options: str
    ) -> bytes:
        """Ask a command whose answer is bytes: at most `limit` of them, and one more to tell.

        Raises:
            Refused, TierError: As `call`; a late failure too.
        """
        body = self.open(command, args, options, patience=patience)
        try:
            data = body.read(limit + 1)
            if len(data) <= limit:
                while piece := body.read(limit + 1 - len(data) or 1):
                    data += piece
                    if len(data) > limit:
                        break
            if body.failure:
                raise body.refused()
            return data
        finally:
            body.close()

    def open(
        self,
        command: str,
        args: Sequence[str] = (),
        options: Mapping[str, str] | None = None,
        *,
        patience: float | None = None,
        upload: tuple[Iterable[bytes], dict[str, str]] | None = None,
    ) -> Body:
        """Ask a command and leave its answer open.

        Args:
            command: Such as "dag/export".
            args: Its arguments.
            options: Its options, "-" in their names written as "_".
            patience: Seconds to wait for the next byte, None for the tier's.
            upload: A body with its headers; what its iteration raises passes unchanged.

        Raises:
            Refused: The node refused.
            Unreached: There was no connection.
            TierError: It could not be asked.
        """
        query = [(name.replace("_", "-"), value) for name, value in (options or {}).items()]
        query += [("arg", arg) for arg in args]
        pieces, headers = upload if upload is not None else (None, {})
        source = None if pieces is None else _Source(pieces)
        timeout = urllib3.Timeout(
            connect=self._timeouts.connect, read=self._timeouts.idle if patience is None else patience
        )
        try:
            answer = self._pool.urlopen(
                "POST",
                f"{self._prefix}{command}?{urlencode(query)}",
                body=source,
                headers={**self._headers, **headers},
                timeout=timeout,
                preload_content=False,
                redirect=False,
            )
        except _BROKEN as error:
            if source is not None and source.error is not None:
                raise source.error from None
            self.peer = ""
            told = unreachable(error, f"{command} at {self._api}")
            if isinstance(
                error, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError
            ):
                raise Unreached(told) from error
            raise told from error
        if source is not None and source.error is not None:
            answer.close()
            raise source.error
        if answer.status != 200:
            raise self._refused(command, answer)
        if not {"transfer-encoding", "content-length"} & {name.lower() for name in answer.headers}:
            answer.close()
            raise TierUnavailable(
                f"{command} at {self._api}: an answer that does not tell its end, perhaps cut off; try again",
                retryable=True,
            )
        return Body(answer, command, self._api)

    def ask_peer(self) -> str:
        """The node's peer ID.

        Raises:
            TierError: It could not be asked, or what answers is no node.
        """
        if not self.peer:
            try:
                rows = self.call("id")
            except Refused as refused:
                raise refusal(refused) from refused
            peer = rows[0].get("ID") if rows and isinstance(rows[0], dict) else None
            if not isinstance(peer, str) or not peer:
                raise TierUnavailable(f"what answers at {self._api} is not a Kubo node: it has no peer ID")
            self.peer = peer
        return self.peer

    def close(self) -> None:
        """Close the kept connections."""
        self._pool.close()

    def _refused(self, command: str, answer: urllib3.BaseHTTPResponse) -> Refused:
        try:
            body = answer.read(_MAX_ERROR)
            answer.drain_conn() if len(body) < _MAX_ERROR else answer.close()
            answer.release_conn()
        except _BROKEN:
            body = b""
        said = message_of(body)
        if self._secret:  # a proxy may repeat the request
            said = said.replace(self._secret, "***")
        return Refused(answer.status, said, command, self._api)


class _Source:
    """A body on its way out, which remembers an error of its own so that no node is blamed."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.error: Exception | None = None
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._pieces
        except Exception as error:
            self.error = error
            raise


def multipart(name: str, kind: str) -> tuple[bytes, bytes, str]:
    """What stands before and behind one file of a multipart body, and the body's content type.

    Args:
        name: Name of the file.
        kind: Media type of the file.
    """
    boundary = f"ziggurat-{secrets.token_hex(16)}"
    head = (
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n'
        f"Content-Type: {kind}\r\n\r\n"
    )
    return head.encode(), f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
