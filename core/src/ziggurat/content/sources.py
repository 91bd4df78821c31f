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

from attrs import frozen

from ziggurat.content.cid import Cid
from ziggurat.content.directory import MAX_PATH_DEPTH
from ziggurat.content.importer import FileDag, Leaf, Read, file_reader, import_file
from ziggurat.content.leaves import proves_leaf
from ziggurat.content.parcel import Parcel, Source
from ziggurat.content.profile import PROFILES, Profile
from ziggurat.content.tree import TreeItem, open_regular
from ziggurat.errors import ContentMismatch, MalformedContent, UnsupportedContent

__all__ = ["PutSource", "parcel_of", "parcel_of_tree"]

Buffer: TypeAlias = bytes | bytearray | memoryview
PutSource: TypeAlias = "Buffer | os.PathLike[str] | BinaryIO | Iterable[Buffer]"
Progress: TypeAlias = Callable[[int], None]

_AHEAD = 8
_PIECE = 1 << 20
_IN_MEMORY = 8 << 20


@contextmanager
def parcel_of(
    source: PutSource,
    profile: Profile,
    *,
    spool: Callable[[], Path],
    pool: Executor,
    expect: Cid | None = None,
    progress: Progress | None = None,
) -> Iterator[Parcel]:
    """The parcel of a file's content, valid inside the block.

    Args:
        source: Bytes-like; a path; a binary file, read from where it stands; or an iterable of bytes.
        profile: How to cut and name it.
        spool: Gives the folder for what cannot be read twice.
        pool: Threads that read and hash leaves.
        expect: The CID that must come out; the named profiles are tried too.
        progress: Told the bytes of each leaf that is read for the first store.

    Raises:
        TypeError: `source` is text, or nothing that has bytes.
        ContentMismatch: The source changed while it was read, or is not what `expect` names.
        OSError: The source cannot be read.
    """
    if isinstance(source, str):
        raise TypeError(
            "a str is neither a path nor bytes: pass pathlib.Path(text) for the file, "
            "or text.encode() for the text"
        )
    how = _Naming(profile, expect, pool)
    with ExitStack() as open_files:
        if isinstance(source, bytes | bytearray | memoryview):
            yield _fixed(bytes(source), how, progress)
            return
        if isinstance(source, os.PathLike):
            opened: int | bytes = open_files.enter_context(_regular(Path(source), spool))
        else:
            opened = open_files.enter_context(_spooled(source, spool))
        yield (
            _fixed(opened, how, progress) if isinstance(opened, bytes) else _from_file(opened, how, progress)
        )


@frozen
class _Naming:
    """How a source is cut and named."""

    profile: Profile
    expect: Cid | None
    pool: Executor

    def build(self, read: Read, size: int) -> FileDag:
        """Import it, with the profile that gives the expected CID where there is one."""
        pool = self.pool if size > _PIECE else None
        built = import_file(read, size, self.profile, pool=pool)
        if self.expect is None or built.root == self.expect:
            return built
        for other in PROFILES.values():
            if other != self.profile:
                again = import_file(read, size, other, pool=pool)
                if again.root == self.expect:
                    return again
        raise ContentMismatch(
            f"the content is {built.root}, not the expected {self.expect}; nothing was kept", cid=self.expect
        )


def _fixed(data: bytes, how: _Naming, progress: Progress | None) -> Parcel:
    """The parcel of bytes that are in memory and cannot change."""
    view = memoryview(data)
    built = how.build(lambda offset, length: view[offset : offset + length], len(data))
    if progress is not None:
        progress(len(data))
    return Parcel.of_file(built, data=data)


def _from_file(handle: int, how: _Naming, progress: Progress | None) -> Parcel:
    size = os.fstat(handle).st_size
    if size <= _PIECE:
        data = os.pread(handle, size + 1, 0)
        if len(data) != size:
            raise ContentMismatch("the source changed while it was read; put it again when it is at rest")
        return _fixed(data, how, progress)
    built = how.build(file_reader(handle), size)
    return Parcel.of_file(built, source=_counted(lambda: _second_pass(handle, built, how.pool), progress))


def parcel_of_tree(
    items: Iterable[TreeItem], pool: Executor, on_item: Callable[[TreeItem], None] | None = None
) -> Parcel:
    """The parcel of a walked directory, with those of everything beneath it.

    Files are opened again when they are stored, and compared with what the walk found.

    Args:
        items: Children before the directory that holds them, the root last.
        pool: Threads that read and prove.
        on_item: Called with each item once its parcel is made.

    Raises:
        UnsupportedContent: Directories nested deeper than `MAX_PATH_DEPTH`.
    """
    waiting: dict[str, dict[Cid, Parcel]] = {}
    parcel: Parcel | None = None
    for item in items:
        if item.path.count("/") >= MAX_PATH_DEPTH:
            raise UnsupportedContent(
                f"{str(item.source)!r} is nested deeper than {MAX_PATH_DEPTH} directories, and could not be "
                "given back; put parts of the tree apart"
            )
        parcel = _of_item(item, waiting.pop(item.path, {}), pool)
        if item.path:
            waiting.setdefault(item.path.rpartition("/")[0], {})[parcel.cid] = parcel
        if on_item is not None:
            on_item(item)
    if parcel is None:  # pragma: no cover - a walk gives the root at least
        raise MalformedContent("the tree is empty")
    return parcel


def _of_item(item: TreeItem, children: dict[Cid, Parcel], pool: Executor) -> Parcel:
    dag = item.dag
    if isinstance(dag, FileDag):
        return Parcel.of_file(dag, source=lambda: _reopened(item.source, dag, pool))
    return Parcel(
        item.cid,
        item.type,
        item.size,
        dag.nodes,
        children=tuple(children.values()),
        links=tuple(children),
        tsize=dag.tsize,
    )


def _reopened(path: Path, built: FileDag, pool: Executor) -> Iterator[tuple[Leaf, Buffer]]:
    with open_regular(path) as file:
        try:
            yield from _second_pass(file.fileno(), built, pool)
        except ContentMismatch as error:
            raise ContentMismatch(f"{str(path)!r}: {error.message}", cid=error.cid) from error


def _second_pass(handle: int, built: FileDag, pool: Executor) -> Iterator[tuple[Leaf, Buffer]]:
    """Read the leaves again, several at once, each compared with what the first pass found."""

    def read(leaf: Leaf) -> tuple[Leaf, bytes]:
        data = os.pread(handle, leaf.size, leaf.offset)
        if len(data) != leaf.size or not proves_leaf(leaf.cid, data):
            raise ContentMismatch(
                f"the source changed while it was read, at byte {leaf.offset}; put it again at rest",
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
        raise TypeError(
            f"cannot put a {type(source).__name__}: give bytes, a path, a binary file or an iterable of bytes"
        )
    for piece in iter(lambda: read(_PIECE), b"") if read is not None else source:
        if not isinstance(piece, bytes | bytearray | memoryview):
            raise TypeError(f"the source gave {type(piece).__name__}, not bytes; open files in binary mode")
        yield piece


def _pour(pieces: Iterable[Buffer], target: BinaryIO) -> None:
    for piece in pieces:
        target.write(piece)
    target.flush()
