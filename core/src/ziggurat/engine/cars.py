"""CARs in and out: the blocks of one as parcels, and a parcel written as one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

from ziggurat.content import Cid, read_car
from ziggurat.content.assemble import Asked, assemble, leaves_of
from ziggurat.content.importer import Leaf
from ziggurat.content.layout import Layout, Want
from ziggurat.content.parcel import Parcel
from ziggurat.engine.saver import whole_file
from ziggurat.errors import ContentMismatch, MalformedContent

__all__ = ["CarBlocks", "CarSource", "export_car"]

CarSource: TypeAlias = "os.PathLike[str] | BinaryIO | Iterable[bytes]"
Progress: TypeAlias = Callable[[int], None]

_PIECE = 1 << 20


class CarBlocks:
    """The proved blocks of a CAR, at hand while the block runs; kept in a file without a name.

    Args:
        source: A path, a binary file or pieces of one.
        spool: Folder for the file.
        progress: Told the bytes of the CAR as they are read.

    Raises:
        MalformedContent: Not a CAR, or one that is cut off.
        ContentMismatch: A block that is not its CID's.
    """

    def __init__(self, source: CarSource, spool: Path, progress: Progress | None = None) -> None:
        self._source, self._spool, self._progress = source, spool, progress
        self._places: dict[Cid, tuple[int, int]] = {}
        self.roots: tuple[Cid, ...] = ()

    def __enter__(self) -> CarBlocks:
        self._file = cast("BinaryIO", tempfile.TemporaryFile(dir=self._spool))
        try:
            self._read()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _read(self) -> None:
        car = read_car(self._pieces())
        self.roots = car.roots
        offset = 0
        for cid, block in car:
            if not cid.matches(block):
                raise ContentMismatch(
                    f"the CAR holds a block that is not {cid}; nothing was imported", cid=cid
                )
            if cid not in self._places:
                self._file.write(block)
                self._places[cid] = (offset, len(block))
                offset += len(block)
        self._file.flush()

    def _pieces(self) -> Iterator[bytes]:
        if isinstance(self._source, os.PathLike):
            with Path(self._source).open("rb", buffering=0) as file:
                yield from self._told(iter(lambda: file.read(_PIECE), b""))
            return
        read = getattr(self._source, "read", None)
        pieces = iter(lambda: read(_PIECE), b"") if read is not None else self._source
        yield from self._told(pieces)

    def _told(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            if self._progress is not None:
                self._progress(len(piece))

    def raw_block(self, want: Want, root: Cid) -> bytes:
        """A block of the CAR.

        Raises:
            MalformedContent: The CAR lacks it.
        """
        cid = want.cid
        place = self._places.get(cid)
        if place is None:
            raise MalformedContent(
                f"the CAR lacks the block {cid}, which {root} needs; nothing was imported", cid=root
            )
        offset, length = place
        return os.pread(self._file.fileno(), length, offset)

    def several(self, asked: Sequence[Asked]) -> tuple[()]:  # noqa: ARG002 - the interface's argument
        """Nothing: every block is at hand."""
        return ()

    def known(self, root: Cid) -> None:
        """None: the blocks are at hand, their order is not."""

    def leaves(self, layout: Layout) -> Iterator[tuple[Leaf, bytes]]:
        """`ziggurat.content.assemble.Blocks.leaves`."""
        return leaves_of(layout, self)

    def parcels(self) -> list[Parcel]:
        """A parcel for each root of the CAR, whole.

        Raises:
            MalformedContent: The CAR has no roots, or lacks blocks of one.
        """
        if not self.roots:
            raise MalformedContent("the CAR names no root, so nothing would keep its blocks")
        return [assemble(root, self) for root in dict.fromkeys(self.roots)]


def export_car(
    parcel: Parcel, target: str | os.PathLike[str] | BinaryIO, progress: Progress | None = None
) -> int:
    """Write a parcel's closure as a CARv1.

    Args:
        parcel: What to write.
        target: A path, which appears whole or not at all and replaces a file that is there; or a binary file.
        progress: Told the bytes that were written.

    Returns:
        Bytes written.
    """
    if not isinstance(target, str | os.PathLike):
        return _pour(parcel, target, progress)
    with whole_file(Path(target), overwrite=True) as file:
        return _pour(parcel, file, progress)


def _pour(parcel: Parcel, target: BinaryIO, progress: Progress | None) -> int:
    written = 0
    for piece in parcel.dag().car():
        target.write(piece)
        written += len(piece)
        if progress is not None:
            progress(len(piece))
    return written
