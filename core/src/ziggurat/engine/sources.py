"""What a user hands to `put`, turned into a parcel: read once for the CID, and again for each store."""

from __future__ import annotations

import os
import stat
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

from ziggurat.content import FileDag, Leaf, Profile, import_file, proves_leaf
from ziggurat.content.parcel import Parcel, Source
from ziggurat.errors import ContentMismatch

__all__ = ["PutSource", "fixed", "from_path", "parcel_of"]

Buffer: TypeAlias = bytes | bytearray | memoryview
PutSource: TypeAlias = "Buffer | os.PathLike[str] | BinaryIO | Iterable[Buffer]"
Progress: TypeAlias = Callable[[int], None]

_AHEAD = 8
_PIECE = 1 << 20
_IN_MEMORY = 8 << 20


@contextmanager
def parcel_of(
    source: PutSource, profile: Profile, *, spool: Callable[[], Path], pool: Executor, progress: Progress | None = None
) -> Iterator[Parcel]:
    """The parcel of a file's content, valid inside the block.

    Args:
        source: Bytes-like; a path; a binary file, read from where it stands; or an iterable of bytes.
        profile: How to cut and name it.
        spool: Gives the folder for what cannot be read twice.
        pool: Threads that read and hash leaves.
        progress: Told the bytes of each leaf that is read for the first store.

    Raises:
        TypeError: `source` is text, or nothing that has bytes.
        ContentMismatch: The source changed while it was read.
        OSError: The source cannot be read.
    """
    if isinstance(source, str):
        raise TypeError(
            "a str is neither a path nor bytes: pass pathlib.Path(text) for the file, or text.encode() for the text"
        )
    with ExitStack() as open_files:
        if isinstance(source, bytes | bytearray | memoryview):
            yield fixed(bytes(source), profile, pool, progress)
        elif isinstance(source, os.PathLike):
            yield _from_descriptor(
                open_files.enter_context(_regular(Path(source), spool)), profile, pool, progress
            )
        else:
            spooled = open_files.enter_context(_spooled(source, spool))
            if isinstance(spooled, bytes):
                yield fixed(spooled, profile, pool, progress)
            else:
                yield _from_descriptor(spooled, profile, pool, progress)


def fixed(data: bytes, profile: Profile, pool: Executor, progress: Progress | None = None) -> Parcel:
    """The parcel of bytes that are in memory and cannot change."""
    view = memoryview(data)
    built = import_file(
        lambda offset, length: view[offset : offset + length],
        len(data),
        profile,
        pool=pool if len(data) > _PIECE else None,
        progress=progress,
    )
    return Parcel.of_file(built, data=data)


def from_path(path: Path, built: FileDag, pool: Executor, progress: Progress | None = None) -> Parcel:
    """The parcel of a file that was imported before; opened again at each pass, and compared with the first."""

    def start() -> Iterator[tuple[Leaf, Buffer]]:
        with path.open("rb", buffering=0) as file:
            yield from _second_pass(file.fileno(), built, pool)

    return Parcel.of_file(built, source=_counted(start, progress))


def _from_descriptor(handle: int, profile: Profile, pool: Executor, progress: Progress | None) -> Parcel:
    size = os.fstat(handle).st_size
    if size <= _PIECE:
        data = os.pread(handle, size + 1, 0)
        if len(data) != size:
            raise ContentMismatch("the source changed while it was read; put it again when it is at rest")
        return fixed(data, profile, pool, progress)
    built = import_file(lambda offset, length: os.pread(handle, length, offset), size, profile, pool=pool)
    return Parcel.of_file(built, source=_counted(lambda: _second_pass(handle, built, pool), progress))


def _second_pass(handle: int, built: FileDag, pool: Executor) -> Iterator[tuple[Leaf, Buffer]]:
    """Read the leaves again, several at once, each compared with what the first pass found."""

    def read(leaf: Leaf) -> tuple[Leaf, bytes]:
        data = os.pread(handle, leaf.size, leaf.offset)
        if len(data) != leaf.size or not proves_leaf(leaf.cid, data):
            raise ContentMismatch(
                f"the source changed while it was read, at byte {leaf.offset}; put it again when it is at rest",
                cid=built.root,
            )
        return leaf, data

    reading: deque[Future[tuple[Leaf, bytes]]] = deque()
    try:
        for leaf in built.leaves():
            reading.append(pool.submit(read, leaf))
            if len(reading) >= _AHEAD:
                yield reading.popleft().result()
        while reading:
            yield reading.popleft().result()
    finally:
        # The descriptor must outlive every read of it.
        for future in reading:
            future.cancel()
        for future in reading:
            if not future.cancelled():
                future.exception()


def _counted(start: Source, progress: Progress | None) -> Source:
    """The same passes; the first one tells how far it is."""
    if progress is None:
        return start
    told = 0

    def counted() -> Iterator[tuple[Leaf, Buffer]]:
        nonlocal told
        for leaf, data in start():
            yield leaf, data
            end = leaf.offset + leaf.size
            if end > told:
                progress(end - told)
                told = end

    return counted


@contextmanager
def _regular(path: Path, spool: Callable[[], Path]) -> Iterator[int]:
    """A descriptor of a file that can be read at any place; what is no regular file is spooled."""
    with path.open("rb", buffering=0) as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            yield file.fileno()
            return
        with tempfile.TemporaryFile(dir=spool()) as copy:
            _pour(iter(lambda: file.read(_PIECE), b""), cast("BinaryIO", copy))
            yield copy.fileno()


@contextmanager
def _spooled(source: BinaryIO | Iterable[Buffer], spool: Callable[[], Path]) -> Iterator[int | bytes]:
    """What can be read only once: in memory when it is small, else in a file without a name."""
    pieces = _pieces(source)
    first: list[bytes] = []
    size = 0
    for piece in pieces:
        first.append(bytes(piece))
        size += len(piece)
        if size > _IN_MEMORY:
            break
    else:
        yield b"".join(first)
        return
    with tempfile.TemporaryFile(dir=spool()) as copy:
        _pour(first, cast("BinaryIO", copy))
        first.clear()
        _pour(pieces, cast("BinaryIO", copy))
        yield copy.fileno()


def _pieces(source: BinaryIO | Iterable[Buffer]) -> Iterator[Buffer]:
    read = getattr(source, "read", None)
    if read is None and not isinstance(source, Iterable):
        raise TypeError(f"cannot put a {type(source).__name__}: give bytes, a path, a binary file or an iterable of bytes")
    for piece in iter(lambda: read(_PIECE), b"") if read is not None else source:
        if not isinstance(piece, bytes | bytearray | memoryview):
            raise TypeError(f"the source gave {type(piece).__name__}, not bytes; open files in binary mode")
        yield piece


def _pour(pieces: Iterable[Buffer], target: BinaryIO) -> None:
    for piece in pieces:
        target.write(piece)
    target.flush()
