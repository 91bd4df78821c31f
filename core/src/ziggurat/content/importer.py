"""Files to DAGs: cutting, hashing in parallel, and the inner nodes; the leaves themselves are not kept."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import NamedTuple, TypeVar

from attrs import frozen

from ziggurat.content.balanced import LeafHasher, Tree, leaf_hasher
from ziggurat.content.cid import Cid
from ziggurat.content.leaves import Buffer
from ziggurat.content.profile import Profile
from ziggurat.content.unixfs import parse_node
from ziggurat.errors import ContentMismatch

__all__ = ["FileDag", "Leaf", "Progress", "Read", "file_reader", "import_file", "import_stream"]

_A = TypeVar("_A")
_R = TypeVar("_R")

Read = Callable[[int, int], Buffer]
"""``read(offset, size)`` gives those bytes, or fewer at the end of the source. It is called from threads;
what it returned is used up before the same thread calls it again."""

Progress = Callable[[int], None]
"""Told how many more plain bytes are done, from the calling thread."""

_BATCH = 2 << 20
"""Bytes hashed in one go by a thread: enough that handing out the work costs nothing."""

_BATCH_LEAVES = 1024
_CPUS = os.cpu_count() or 1  # asked once: the system reads a file for it
_STREAM_WINDOW = 8
"""Batches of a stream that may be in memory at once: 16 MiB."""


class Leaf(NamedTuple):
    """One leaf of a file: where its plain bytes begin, how many they are, and its CID."""

    offset: int
    size: int
    cid: Cid


@frozen(eq=False)
class FileDag:
    """A file as a DAG, without its leaves' bytes.

    Attributes:
        root: Its CID.
        size: Plain bytes.
        tsize: Bytes of all blocks, as the link of a directory counts them.
        nodes: Every inner node, depth first from the root; empty for a file of one leaf.
        profile: How it was made.
    """

    root: Cid
    size: int
    tsize: int
    nodes: dict[Cid, bytes]
    profile: Profile

    def leaves(self) -> Iterator[Leaf]:
        """The leaves in order, read out of the nodes as the iteration goes on."""
        return self._walk(self.root, 0, self.size)

    def _walk(self, cid: Cid, offset: int, size: int) -> Iterator[Leaf]:
        block = self.nodes.get(cid)
        if block is None:
            yield Leaf(offset, size, cid)
            return
        node = parse_node(block)
        for link, below in zip(node.links, node.block_sizes, strict=True):
            yield from self._walk(link.cid, offset, below)
            offset += below


def file_reader(fd: int) -> Read:
    """Make a `Read` of an open regular file: one buffer for each thread, filled again at each call.

    Args:
        fd: Its descriptor, which must stay open; its own position is neither used nor moved.
    """
    local = threading.local()

    def read(offset: int, size: int) -> memoryview:
        buffer: bytearray | None = getattr(local, "buffer", None)
        if buffer is None or len(buffer) < size:
            buffer = local.buffer = bytearray(size)
        view = memoryview(buffer)[:size]
        have = 0
        while have < size:
            count = os.preadv(fd, [view[have:]], offset + have)
            if not count:
                break
            have += count
        return view[:have]

    return read


def import_file(
    read: Read,
    size: int,
    profile: Profile,
    *,
    pool: Executor | None = None,
    progress: Progress | None = None,
) -> FileDag:
    """Make the DAG of a source with random access.

    Args:
        read: Gives the bytes; called from the pool's threads.
        size: Plain bytes of the source.
        profile: How to cut, link and name.
        pool: Threads that read and hash leaves; None to do it in the calling thread, which must not be one
            of the pool's.
        progress: Told of bytes that are done.

    Raises:
        ContentMismatch: The source gave fewer or more bytes than asked: it changed meanwhile.
        Exception: Whatever `read` raised.
    """
    hasher = leaf_hasher(profile)
    chunk = profile.chunk_size
    if size <= chunk:
        return _one_leaf(read, size, hasher, profile, progress)
    tree = Tree(profile)
    span = chunk * max(1, min(_BATCH // chunk, _BATCH_LEAVES))

    def digests(start: int) -> list[bytes]:
        found = []
        for offset in range(start, min(start + span, size), chunk):
            want = min(chunk, size - offset)
            piece = read(offset, want)
            if len(piece) != want:
                raise ContentMismatch("the source changed while it was read; put it again")
            found.append(hasher.digest(piece))
        return found

    starts = iter(range(0, size, span))
    # The tasks hold no content, so the window only has to keep every thread busy.
    window = 2 * _CPUS + 2
    done = 0
    for batch in _run(pool, window, ((digests, start) for start in starts)):
        before = done
        for digest in batch:
            piece = min(chunk, size - done)
            tree.add(hasher.prefix + digest, piece, hasher.block_size(piece))
            done += piece
        if progress is not None:
            progress(done - before)
    return _finish(tree, hasher, profile, empty=False)


def import_stream(
    chunks: Iterable[Buffer],
    profile: Profile,
    *,
    pool: Executor | None = None,
    progress: Progress | None = None,
) -> FileDag:
    """Make the DAG of bytes that come in pieces of any length; about 20 MiB of them are held at a time.

    Args:
        chunks: The pieces. A piece that is not `bytes` may be filled again once the next one is asked for.
        profile: How to cut, link and name.
        pool: Threads that hash leaves; None to do it in the calling thread, which must not be one of the
            pool's.
        progress: Told of bytes that are done.

    Raises:
        Exception: Whatever iterating `chunks` raised.
    """
    hasher = leaf_hasher(profile)
    tree = Tree(profile)
    empty = True

    def digests(leaves: list[Buffer]) -> list[tuple[bytes, int]]:
        return [(hasher.digest(leaf), len(leaf)) for leaf in leaves]

    batches = _batches(_recut(chunks, profile.chunk_size), profile.chunk_size)
    window = min(_CPUS, _STREAM_WINDOW - 2) + 2
    for batch in _run(pool, window, ((digests, leaves) for leaves in batches)):
        empty = False
        for digest, size in batch:
            tree.add(hasher.prefix + digest, size, hasher.block_size(size))
        if progress is not None:
            progress(sum(size for _, size in batch))
    return _finish(tree, hasher, profile, empty=empty)


def _one_leaf(
    read: Read, size: int, hasher: LeafHasher, profile: Profile, progress: Progress | None
) -> FileDag:
    """A file that is its own leaf, without a tree: most files of most stores."""
    piece = read(0, size) if size else b""
    if len(piece) != size:
        raise ContentMismatch("the source changed while it was read; put it again")
    root = Cid.from_bytes(hasher.prefix + hasher.digest(piece))
    if size and progress is not None:
        progress(size)
    return FileDag(root, size, hasher.block_size(size), {}, profile)


def _finish(tree: Tree, hasher: LeafHasher, profile: Profile, *, empty: bool) -> FileDag:
    if empty:
        tree.add(hasher.prefix + hasher.digest(b""), 0, hasher.block_size(0))
    return FileDag(*tree.finish(), profile)


def _recut(chunks: Iterable[Buffer], size: int) -> Iterator[Buffer]:
    """Cut pieces of any length into leaves; a leaf inside one `bytes` piece is not copied."""
    filling: bytearray | None = None
    have = 0
    for piece in chunks:
        view = memoryview(piece).cast("B")
        constant = isinstance(piece, bytes)
        at = 0
        while at < len(view):
            part = view[at : at + size - have]
            at += len(part)
            if filling is None:
                if len(part) == size:
                    yield part if constant else bytes(part)
                    continue
                filling = bytearray()
            filling += part
            have += len(part)
            if have == size:
                yield filling
                filling, have = None, 0
    if filling is not None:
        yield filling


def _batches(leaves: Iterable[Buffer], chunk: int) -> Iterator[list[Buffer]]:
    count = max(1, min(_BATCH // chunk, _BATCH_LEAVES))
    batch: list[Buffer] = []
    for leaf in leaves:
        batch.append(leaf)
        if len(batch) == count:
            yield batch
            batch = []
    if batch:
        yield batch


def _run(pool: Executor | None, window: int, tasks: Iterable[tuple[Callable[[_A], _R], _A]]) -> Iterator[_R]:
    """Run tasks in a pool, at most `window` at once, and give their results in order."""
    if pool is None:
        for call, argument in tasks:
            yield call(argument)
        return
    pending: deque[Future[_R]] = deque()
    try:
        for call, argument in tasks:
            pending.append(pool.submit(call, argument))
            if len(pending) >= window:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        # After a failure nothing may go on reading a source that its owner is about to close.
        for future in pending:
            future.cancel()
        for future in pending:
            if not future.cancelled():
                future.exception()
