"""Storage nodes: ranges of shards.

A node that ignores Range sends the whole shard, which is then kept for a while.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ziggurat.errors import TierUnavailable
from ziggurat_storacha.client.transport import Transport

if TYPE_CHECKING:
    import requests

__all__ = ["Nodes"]

_OPTION = "indexer_url"
_KEPT = 256 << 20


class Nodes:
    """Reads shards. Safe to use from several threads.

    Args:
        transport: How to ask.
        spool: Folder for shards that had to be read whole; its files have no name.
        kept: Bytes of them that are kept.
    """

    def __init__(self, transport: Transport, spool: Path | None = None, kept: int = _KEPT) -> None:
        self._transport, self._spool, self._kept = transport, spool, kept
        self._lock = threading.Lock()
        self._whole: OrderedDict[str, _Whole] = OrderedDict()
        self._turns: dict[str, tuple[threading.Lock, int]] = {}
        self._ignoring: set[str] = set()

    def read(self, url: str, offset: int, length: int) -> bytes:
        """A range of what is at a URL; fewer bytes where it is shorter.

        Raises:
            TierError: It could not be read.
        """
        if length == 0:
            return b""
        if (found := self._held(url, offset, length)) is not None:
            return found
        if _host(url) in self._ignoring:
            with self._turn(url):
                if (found := self._held(url, offset, length)) is not None:
                    return found
                return self._ask(url, offset, length)
        return self._ask(url, offset, length)

    @contextmanager
    def stream(self, url: str) -> Iterator[Iterator[bytes]]:
        """All of what is at a URL, as it comes; the request was answered when this gives the pieces.

        Raises:
            TierError: It could not be read; the pieces too, where it broke off.
        """
        with self._transport.open("GET", url, option=_OPTION, redirects=True) as response:
            yield self._transport.pieces(response, _OPTION, 1 << 18)

    def close(self) -> None:
        """Drop what is kept."""
        with self._lock:
            held, self._whole = self._whole, OrderedDict()
        for one in held.values():
            one.close()

    def _ask(self, url: str, offset: int, length: int) -> bytes:
        headers = {"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"}
        with self._transport.open(
            "GET", url, option=_OPTION, headers=headers, expect=(200, 206), redirects=True
        ) as response:
            pieces = self._transport.pieces(response, _OPTION, 1 << 18)
            if response.status_code == 206:
                if not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
                    raise TierUnavailable(f"{_host(url)} answered with another range than was asked for")
                return _first(pieces, length)
            self._ignoring.add(_host(url))
            if max(_length(response), offset + length) > self._kept:
                return _first(_after(pieces, offset), length)
            # Who says no length may never end.
            whole = _Whole(self._spool, _until(pieces, self._kept))
        found = whole.read(offset, length)
        if whole.size > self._kept:
            whole.close()
        else:
            self._keep(url, whole)
        return found

    def _held(self, url: str, offset: int, length: int) -> bytes | None:
        with self._lock:
            whole = self._whole.get(url)
            if whole is None:
                return None
            self._whole.move_to_end(url)
            return whole.read(offset, length)

    def _keep(self, url: str, whole: _Whole) -> None:
        with self._lock:
            gone = [old] if (old := self._whole.pop(url, None)) is not None else []
            self._whole[url] = whole
            while len(self._whole) > 1 and sum(one.size for one in self._whole.values()) > self._kept:
                gone.append(self._whole.popitem(last=False)[1])
            for one in gone:
                one.close()

    @contextmanager
    def _turn(self, url: str) -> Iterator[None]:
        """One thread at a time reads a shard whole."""
        with self._lock:
            lock, waiting = self._turns.get(url, (threading.Lock(), 0))
            self._turns[url] = lock, waiting + 1
        try:
            with lock:
                yield
        finally:
            with self._lock:
                lock, waiting = self._turns[url]
                if waiting > 1:
                    self._turns[url] = lock, waiting - 1
                else:
                    del self._turns[url]


class _Whole:
    """A shard that was read whole, in a file without a name."""

    def __init__(self, spool: Path | None, pieces: Iterator[bytes]) -> None:
        self.size = 0
        with _spooling(spool):
            if spool is not None:
                spool.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = tempfile.TemporaryFile(dir=spool)  # noqa: SIM115 - closed by close()
        try:
            for piece in pieces:
                with _spooling(spool):
                    self._file.write(piece)
                self.size += len(piece)
            with _spooling(spool):
                self._file.flush()
        except BaseException:
            with suppress(OSError):
                self._file.close()
            raise

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._file.fileno(), length, offset)

    def close(self) -> None:
        self._file.close()


@contextmanager
def _spooling(spool: Path | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TierUnavailable(
            f"a shard cannot be kept for a while in {spool or tempfile.gettempdir()} ({error.strerror}): make"
            " room there"
        ) from error


def _host(url: str) -> str:
    return "/".join(url.split("/", 3)[:3])


def _length(response: requests.Response) -> int:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else 0


def _until(pieces: Iterator[bytes], most: int) -> Iterator[bytes]:
    """The pieces up to the one that goes beyond so many bytes."""
    size = 0
    for piece in pieces:
        yield piece
        size += len(piece)
        if size > most:
            return


def _after(pieces: Iterator[bytes], offset: int) -> Iterator[bytes]:
    at = 0
    for piece in pieces:
        if at + len(piece) > offset:
            yield piece[max(0, offset - at) :]
        at += len(piece)


def _first(pieces: Iterator[bytes], length: int) -> bytes:
    out = bytearray()
    for piece in pieces:
        out += piece
        if len(out) >= length:
            break
    return bytes(out[:length])
