"""Whole trees: put with their children, adopted, copied, imported from a CAR and exported to one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

from ziggurat.backend import Info
from ziggurat.catalog import CopyRow
from ziggurat.content import Cid, read_car
from ziggurat.content.assemble import assemble
from ziggurat.content.parcel import Parcel
from ziggurat.engine.records import Receipt
from ziggurat.engine.writer import Placement, Writer
from ziggurat.errors import ContentMismatch, MalformedContent
from ziggurat.tiers import StoreTier

__all__ = ["CarSource", "TreeWriter", "car_blocks", "closure_of", "edges_of"]

CarSource: TypeAlias = "os.PathLike[str] | BinaryIO | Iterable[bytes]"
Progress: TypeAlias = Callable[[int], None]

_ROWS = 500
"""Rows that may wait for their commit: a crash leaves at most so many copies that gc does not know."""
_PIECE = 1 << 20


def closure_of(root: Parcel) -> list[Parcel]:
    """A parcel and all beneath it, each once, children before parents."""
    ordered: dict[Cid, Parcel] = {}
    stack = [(root, False)]
    while stack:
        parcel, expanded = stack.pop()
        if parcel.cid in ordered:
            continue
        if expanded or not parcel.children:
            ordered[parcel.cid] = parcel
        else:
            stack.append((parcel, True))
            stack.extend((child, False) for child in reversed(parcel.children))
    return list(ordered.values())


def edges_of(closure: Iterable[Parcel]) -> list[tuple[str, str]]:
    """Parent and child keys of every link between blobs."""
    return [(str(parcel.cid.key), str(link.key)) for parcel in closure for link in parcel.links]


class TreeWriter:
    """Puts parcels with all that they link to.

    Args:
        writer: Puts single parcels.
        pool: Threads that put several children at once, so that their syncs are shared.
    """

    def __init__(self, writer: Writer, pool: Executor) -> None:
        self._writer, self._pool = writer, pool

    def put(self, root: Parcel, info: Info | None = None) -> Receipt:
        """Put a tree on as many stores as the stack promises.

        Every store that counts holds all of it: a store that refuses a part is passed over for the whole.

        Raises:
            StoreFull, NotDurable: Too few stores took it; copies that were made stay without a root.
        """
        closure = closure_of(root)
        with self._writer.adding():
            done, carried = Placement(), list[CopyRow]()
            for tier in self._writer.targets:
                if len(done.copies) >= self._writer.min_copies:
                    break
                carried += self._put_on(tier, root, closure, done, info)
            self._writer.acknowledge(root, done, edges=edges_of(closure), info=info, carried=carried)
        return receipt_of(root, done)

    def copy(self, root: Parcel, tier: StoreTier, *, make_root: bool) -> Receipt:
        """Put a tree on one named store.

        Args:
            root: The tree.
            tier: Where.
            make_root: Keep it from gc, because nothing else does.

        Raises:
            TierError: The store refused it.
        """
        closure = closure_of(root)
        with self._writer.adding():
            done = Placement()
            carried = self._put_on(tier, root, closure, done, None)
            if not done.copies:
                raise done.failures[0]
            self._writer.keep(root, done, edges=edges_of(closure), carried=carried, make_root=make_root)
        return receipt_of(root, done)

    def _put_on(
        self, tier: StoreTier, root: Parcel, closure: list[Parcel], done: Placement, info: Info | None
    ) -> list[CopyRow]:
        """Put a tree on one store; returns the rows of children that the root's copy carries."""
        if tier.is_dag:
            made = len(done.copies)
            self._writer.copy_to(tier, root, done, info)
            if len(done.copies) == made:
                return []
            medium, under = done.copies[-1].medium, str(root.cid.key)
            return [
                CopyRow(str(child.cid.key), medium, 0, encoding=child.encoding or None, under=under)
                for child in closure[:-1]
            ]
        if not self._children_on(tier, closure[:-1], done):
            return []
        self._writer.copy_to(tier, root, done, info)
        return []

    def _children_on(self, tier: StoreTier, children: list[Parcel], done: Placement) -> bool:
        """Put all children on a bytes store; False if one was refused (the reason is in `done`)."""

        def put(child: Parcel) -> Placement:
            placed = Placement()
            self._writer.copy_to(tier, child, placed)
            return placed

        for first in range(0, len(children), _ROWS):
            rows: list[CopyRow] = []
            failures: list[Exception] = []
            try:
                for placed in self._pool.map(put, children[first : first + _ROWS]):
                    rows += placed.copies
                    failures += placed.failures
            finally:
                self._writer.record(None, rows)
            if failures:
                done.failures.append(failures[0])
                return False
        return True


def receipt_of(parcel: Parcel, done: Placement) -> Receipt:
    """What a put of this parcel acknowledges."""
    return Receipt(parcel.cid, parcel.size, tuple(done.tiers), parcel.type)


class car_blocks:  # noqa: N801 - a context manager, used like a function
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

    def __enter__(self) -> car_blocks:
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
                raise ContentMismatch(f"the CAR holds a block that is not {cid}; nothing was imported", cid=cid)
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
        pieces = iter(lambda: read(_PIECE), b"") if read is not None else cast("Iterable[bytes]", self._source)
        yield from self._told(pieces)

    def _told(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            if self._progress is not None:
                self._progress(len(piece))

    def get(self, cid: Cid, root: Cid) -> bytes:
        """A block of the CAR.

        Raises:
            MalformedContent: The CAR lacks it.
        """
        place = self._places.get(cid)
        if place is None:
            raise MalformedContent(
                f"the CAR lacks the block {cid}, which {root} needs; nothing was imported", cid=root
            )
        offset, length = place
        return os.pread(self._file.fileno(), length, offset)

    def parcels(self) -> list[Parcel]:
        """A parcel for each root of the CAR, whole.

        Raises:
            MalformedContent: The CAR has no roots, or lacks blocks of one.
        """
        if not self.roots:
            raise MalformedContent("the CAR names no root, so nothing would keep its blocks")
        return [assemble(root, self.get) for root in dict.fromkeys(self.roots)]


