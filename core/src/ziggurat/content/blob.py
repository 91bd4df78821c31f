"""What passes between the core and a backend: the bytes of a blob, or the blocks of a DAG."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType

from ziggurat.content.cid import Cid
from ziggurat.errors import ContentMismatch, UnsupportedContent

__all__ = ["Blob", "Buffer", "Dag"]

Buffer = bytes | bytearray | memoryview
"""Bytes-like: what `Blob.chunks` yields."""


class Blob:
    """The bytes of a blob, or of a range of one, in pieces.

    What the core hands to a ``put`` starts afresh at each `chunks`, from any thread. What a ``get`` returns
    is open already and is read once.

    Args:
        size: Bytes in all.
        chunks: Starts an iteration over the bytes, in pieces of any length.
        close: Releases what is behind it; called once at most.
        pread: Fills a view with the bytes from an offset that counts from the blob's start, and returns how
            many it filled; from any thread. None where there is no random access.

    Attributes:
        size: Bytes in all.
        pread: As given.
    """

    __slots__ = ("_chunks", "_close", "pread", "size")

    def __init__(
        self,
        size: int,
        chunks: Callable[[], Iterable[Buffer]],
        *,
        close: Callable[[], object] | None = None,
        pread: Callable[[memoryview, int], int] | None = None,
    ) -> None:
        self.size = size
        self.pread = pread
        self._chunks = chunks
        self._close = close

    @classmethod
    def of(cls, data: Buffer) -> Blob:
        """Wrap bytes that are in memory already; they are not copied."""
        view = memoryview(data).cast("B")

        def pread(into: memoryview, offset: int) -> int:
            part = view[offset : offset + len(into)]
            into[: len(part)] = part
            return len(part)

        return cls(len(view), lambda: (data,) if len(view) else (), pread=pread)

    def chunks(self) -> Iterator[Buffer]:
        """The bytes, in pieces of any length."""
        return iter(self._chunks())

    def read(self) -> bytes:
        """All bytes at once.

        Raises:
            ContentMismatch: There are fewer or more than `size` of them.
        """
        pieces: list[Buffer] = []
        have = 0
        for piece in self.chunks():
            have += len(piece)
            if have > self.size:
                raise ContentMismatch(f"a blob of {self.size} bytes gave more than that")
            # A piece may be a view into a buffer that is filled again for the next one.
            pieces.append(piece if isinstance(piece, bytes) else bytes(piece))
        if have != self.size:
            raise ContentMismatch(f"a blob of {self.size} bytes gave only {have}")
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Release what is behind the blob; harmless when repeated."""
        close, self._close = self._close, None
        if close is not None:
            close()

    def __enter__(self) -> Blob:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Blob(size={self.size})"


class Dag:
    """The blocks of a DAG, root first.

    What the core hands to a ``put`` starts afresh at each `pairs` or `car`, from any thread, depth first and
    without duplicates. What a ``get`` returns is read once; pairs may be missing, extra or repeated, and
    nothing of it is proved.

    Args:
        pairs: Starts an iteration over (CID, block).
        size: Exact bytes of the CARv1, known on a put.
        car: Starts an iteration over the bytes of the CARv1, on a put.
        close: Releases what is behind it; called once at most.

    Attributes:
        size: As given.
    """

    __slots__ = ("_car", "_close", "_pairs", "size")

    def __init__(
        self,
        pairs: Callable[[], Iterable[tuple[Cid, bytes]]],
        *,
        size: int | None = None,
        car: Callable[[], Iterable[bytes]] | None = None,
        close: Callable[[], object] | None = None,
    ) -> None:
        self.size = size
        self._pairs = pairs
        self._car = car
        self._close = close

    def pairs(self) -> Iterator[tuple[Cid, bytes]]:
        """(CID, block) of every block."""
        return iter(self._pairs())

    def car(self) -> Iterator[bytes]:
        """The bytes of the CARv1, `size` of them, in pieces of any length.

        Raises:
            UnsupportedContent: The DAG came from a ``get``: read its `pairs`.
        """
        if self._car is None:
            raise UnsupportedContent("this DAG has no CAR form; read its pairs instead")
        return iter(self._car())

    def close(self) -> None:
        """Release what is behind the DAG; harmless when repeated."""
        close, self._close = self._close, None
        if close is not None:
            close()

    def __enter__(self) -> Dag:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Dag(size={self.size})"
