"""CAR archives: version 1 written and read, version 2 read, both as streams.

Source: https://ipld.io/specs/transport/car/. Blocks are not proved here: whoever reads them does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ziggurat.content.carheader import MAX_HEADER, decode_header, encode_header
from ziggurat.content.cid import MAX_BLOCK, Cid
from ziggurat.content.varint import encode_varint
from ziggurat.errors import InvalidCid, MalformedContent

__all__ = ["Car", "car_header", "car_header_size", "car_section_size", "read_car", "write_car"]

Buffer = bytes | bytearray | memoryview

_MAX_CID = 192
"""No CID of the allow-list is longer: 128 inlined bytes, or a 64-byte digest, after four varints."""

_V2_HEADER: Final = 40
_NOTHING = memoryview(b"")
_JOIN = 65536
"""Blocks up to here leave in one piece with their section's header; larger ones are not copied."""


def car_header(roots: Iterable[Cid]) -> bytes:
    """The header of a CARv1, its length in front."""
    body = encode_header(tuple(roots))
    return encode_varint(len(body)) + body


def car_header_size(roots: Iterable[Cid]) -> int:
    """Bytes of `car_header`."""
    return len(car_header(roots))


def car_section_size(cid: Cid, size: int) -> int:
    """Bytes of a section of a CARv1.

    Args:
        cid: The CID of its block.
        size: Bytes of its block.
    """
    length = len(cid.bytes) + size
    return len(encode_varint(length)) + length


def write_car(roots: Iterable[Cid], pairs: Iterable[tuple[Cid, bytes]]) -> Iterator[bytes]:
    """Write a CARv1.

    Args:
        roots: The roots that the header names.
        pairs: CID and block of each section, in order; nothing is proved or left out.

    Yields:
        The bytes, in pieces of any length.
    """
    yield car_header(roots)
    for cid, block in pairs:
        head = encode_varint(len(cid.bytes) + len(block)) + cid.bytes
        if len(block) <= _JOIN:
            yield head + block
        else:
            yield head
            yield block


class _Source:
    """Bytes out of pieces of any length, counted; never holds more than is asked for and one piece."""

    __slots__ = ("_at", "_limit", "_pieces", "_view", "position")

    def __init__(self, pieces: Iterable[Buffer]) -> None:
        self._pieces = iter(pieces)
        self._view = _NOTHING
        self._at = 0
        self._limit: int | None = None
        self.position = 0

    def end_at(self, limit: int) -> None:
        """Make `position` = `limit` the end of the source."""
        self._limit = limit

    def _more(self) -> bool:
        """Make sure that a byte is at hand; False at the end."""
        if self._limit is not None and self.position >= self._limit:
            return False
        while self._at >= len(self._view):
            self._view, self._at = _NOTHING, 0
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._view = memoryview(piece).cast("B")
        return True

    def take(self, size: int) -> bytes | bytearray | memoryview:
        """The next `size` bytes, or fewer at the end; good until the next call."""
        if self._limit is not None:
            size = min(size, self._limit - self.position)
        if len(self._view) - self._at >= size:
            part = self._view[self._at : self._at + size]
            self._at += size
            self.position += size
            return part
        out = bytearray()
        while len(out) < size and self._more():
            part = self._view[self._at : self._at + size - len(out)]
            out += part
            self._at += len(part)
            self.position += len(part)
        return out

    def skip(self, size: int) -> bool:
        """Pass over `size` bytes; False if the end came first."""
        while size and self._more():
            step = min(size, len(self._view) - self._at)
            self._at += step
            self.position += step
            size -= step
        return not size

    def varint(self) -> int | None:
        """The next varint, None at the end of the source."""
        value = shift = 0
        while self._more():
            byte = self._view[self._at]
            self._at += 1
            self.position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if not byte and shift:
                    raise MalformedContent(
                        f"not a CAR: a length at byte {self.position} is longer than needed"
                    )
                return value
            shift += 7
            if shift > 56:
                raise MalformedContent(f"not a CAR: no length at byte {self.position}")
        if shift or (self._limit is not None and self.position < self._limit):
            raise MalformedContent(f"the CAR is cut short at byte {self.position}")
        return None


class Car:
    """A CAR that is being read: iterate it once over (CID, block); nothing of it is proved.

    Iteration raises `MalformedContent` where the archive is cut short, is not a CAR, or has a block above
    the limit; what the source of the bytes raises passes through.

    Attributes:
        version: 1 or 2.
        roots: What its header names as roots, perhaps nothing.
    """

    __slots__ = ("_max_block", "_source", "roots", "version")

    def __init__(self, version: int, roots: Sequence[Cid], source: _Source, max_block: int) -> None:
        self.version = version
        self.roots = tuple(roots)
        self._source = source
        self._max_block = max_block

    def __iter__(self) -> Iterator[tuple[Cid, bytes]]:
        source, limit = self._source, self._max_block
        while (length := source.varint()) is not None:
            place = source.position
            if length > limit + _MAX_CID:
                raise MalformedContent(
                    f"a section of {length} bytes at byte {place} of a CAR is above the limit"
                )
            if not length:
                raise MalformedContent(f"an empty section at byte {place} of a CAR")
            section = source.take(length)
            if len(section) < length:
                raise MalformedContent(f"the CAR is cut short at byte {source.position}, in a block")
            view = memoryview(section)
            try:
                cid, end = Cid.read(bytes(view[:_MAX_CID]), 0)
            except InvalidCid as error:
                raise MalformedContent(f"the section at byte {place} of a CAR: {error.message}") from error
            if length - end > limit:
                raise MalformedContent(
                    f"a block of {length - end} bytes in a CAR is above the limit of {limit}", cid=cid
                )
            block = bytes(view[end:])
            del section, view  # a piece may be large: it is not held while the caller works
            yield cid, block


def read_car(chunks: Iterable[Buffer], *, max_block: int = MAX_BLOCK) -> Car:
    """Read a CAR, version 1 or 2, as its bytes come.

    At most one block and one piece are held. The index of a version 2 archive is not needed and not read.

    Args:
        chunks: The bytes, in pieces of any length. A piece may be filled again once the next is asked for.
        max_block: Largest block taken, bytes.

    Returns:
        The archive, its header read.

    Raises:
        MalformedContent: No CAR begins here.
    """
    source = _Source(chunks)
    version, roots = _read_header(source)
    if version == 1:
        return Car(1, roots, source, max_block)
    place = source.position
    fields = bytes(source.take(_V2_HEADER))
    if len(fields) < _V2_HEADER:
        raise MalformedContent("the CAR is cut short in its version 2 header")
    offset, size, index = (int.from_bytes(fields[at : at + 8], "little") for at in (16, 24, 32))
    if offset < place + _V2_HEADER or not size or (index and index < offset + size):
        raise MalformedContent("the version 2 header of a CAR contradicts itself")
    if not source.skip(offset - source.position):
        raise MalformedContent("the CAR is cut short before its data")
    source.end_at(offset + size)
    version, roots = _read_header(source)
    if version != 1:
        raise MalformedContent("a version 2 CAR holds something else than a version 1 CAR")
    return Car(2, roots, source, max_block)


def _read_header(source: _Source) -> tuple[int, tuple[Cid, ...]]:
    length = source.varint()
    if not length:
        raise MalformedContent("not a CAR: it has no header")
    if length > MAX_HEADER:
        raise MalformedContent(f"not a CAR, or a header of {length} bytes, above the limit of {MAX_HEADER}")
    body = bytes(source.take(length))
    if len(body) < length:
        raise MalformedContent("the CAR is cut short in its header")
    return decode_header(body)
