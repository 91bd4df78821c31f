"""A blob as a seekable binary file."""

from __future__ import annotations

import io
from typing import BinaryIO, cast

from ziggurat.content import Cid
from ziggurat.engine.reader import Reader
from ziggurat.errors import BlobError, StoreUnavailable

__all__ = ["BlobFile"]

_BUFFER = 1 << 20


class BlobFile(io.RawIOBase):
    """Reads a file of the store at any place; every byte is proved.

    Args:
        reader: Reads ranges.
        cid: The file.

    Raises:
        NotAFile: It is a directory or symlink.
    """

    def __init__(self, reader: Reader, cid: Cid) -> None:
        self._reader, self._cid = reader, cid
        self._layout, self._size = reader.about(cid)
        self._position = 0

    @classmethod
    def buffered(cls, reader: Reader, cid: Cid) -> BinaryIO:
        """The file behind a buffer, so that small reads are cheap."""
        return cast("BinaryIO", io.BufferedReader(cls(reader, cid), _BUFFER))

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, and return the new position; beyond the end is allowed and reads nothing."""
        if self.closed:
            raise ValueError("seek of a closed file")
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}.get(whence)
        if start is None:
            raise ValueError(f"whence must be 0, 1 or 2, not {whence}")
        if start + offset < 0:
            raise ValueError(f"cannot seek to {start + offset}, before the start")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # any writable buffer
        """Fill `buffer` from the position on; 0 at the end."""
        if self.closed:
            raise ValueError("read of a closed file")
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), max(0, self._size - self._position))
        if not wanted:
            return 0
        try:
            view[:wanted] = self._reader.read(self._cid, self._position, wanted, self._layout)
        except (BlobError, StoreUnavailable):
            wanted = self._up_to_failure(view[:wanted])
        self._position += wanted
        return wanted

    def _up_to_failure(self, view: memoryview) -> int:
        """Fill as much as proves; the error comes when nothing is left before its position."""
        filled = 0
        try:
            for piece in self._reader.stream(self._cid, self._position, len(view), self._layout)[1]:
                view[filled : filled + len(piece)] = piece
                filled += len(piece)
        except (BlobError, StoreUnavailable):
            if not filled:
                raise
        return filled
