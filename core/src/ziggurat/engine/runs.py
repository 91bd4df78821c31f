"""Runs: adjacent missing leaves read as one range, each proved in its place."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Executor, Future

from ziggurat.backend import Blob
from ziggurat.content import proves_leaf
from ziggurat.content.layout import Want
from ziggurat.engine.pools import end_all
from ziggurat.errors import TierError
from ziggurat.tiers import StoreTier

__all__ = ["proved_leaves", "runs_of"]

_PARALLEL_FROM = 1 << 20
"""Plain bytes above which proving in several threads pays."""
_AHEAD = 8
"""Leaves of a body that may be under way to their place while the next ones arrive."""

Proved = tuple[Want, memoryview, bool]
"""A leaf, its bytes in their place, and whether they proved."""


def runs_of(wants: Iterable[Want]) -> Iterator[list[Want]]:
    """Leaves, in their order, as runs of adjacent ones, each to be read as one range."""
    run: list[Want] = []
    for want in wants:
        if run and run[-1].offset + (run[-1].size or 0) != want.offset:
            yield run
            run = []
        run.append(want)
    if run:
        yield run


def proved_leaves(
    tier: StoreTier, blob: Blob, run: list[Want], view: memoryview, hashers: Executor
) -> Generator[Proved]:
    """Read a run into its memory and prove each leaf there; in order.

    Leaves that arrived before a body broke off are given before the error.

    Args:
        tier: Whose body it is.
        blob: The bytes of the run, exactly.
        run: Adjacent leaves.
        view: Room for them.
        hashers: Threads that read and prove.
    """
    large = len(view) > _PARALLEL_FROM
    if blob.pread is not None:
        placed = _Placed(blob, run[0].offset, view)
        yield from _all_ended(hashers, placed, run) if large else map(placed.read, run)
    elif large:
        yield from _pipelined(tier, blob, run, view, hashers)
    else:
        for leaf in _arriving(tier, blob, run, view):
            yield leaf.settle()


class _Placed:
    """Reads leaves by random access, from any thread."""

    def __init__(self, blob: Blob, start: int, view: memoryview) -> None:
        self._blob, self._start, self._view = blob, start, view

    def read(self, want: Want) -> Proved:
        pread = self._blob.pread
        first = want.offset - self._start
        data = self._view[first : first + (want.size or 0)]
        filled = 0
        while filled < len(data):
            count = pread(data[filled:], first + filled) if pread is not None else 0
            if not count:
                return want, data, False
            filled += count
        return want, data, proves_leaf(want.cid, data)


def _all_ended(pool: Executor, placed: _Placed, run: list[Want]) -> Iterator[Proved]:
    """`pool.map`, which ends only when no thread is reading any more.

    A read that went on into memory which the next tier fills would undo what was proved there.
    """
    reading = [pool.submit(placed.read, want) for want in run]
    try:
        for future in reading:
            yield future.result()
    finally:
        end_all(reading)


def _pipelined(
    tier: StoreTier, blob: Blob, run: list[Want], view: memoryview, hashers: Executor
) -> Iterator[Proved]:
    """Place and prove leaves in other threads while the next ones arrive; ends when no thread is at work."""
    settling: deque[Future[Proved]] = deque()
    arriving = _arriving(tier, blob, run, view)
    broken: Exception | None = None
    try:
        while True:
            try:
                leaf = next(arriving)
            except StopIteration:
                break
            except TierError as error:
                broken = error
                break
            settling.append(hashers.submit(leaf.settle))
            if len(settling) > _AHEAD:
                yield settling.popleft().result()
        while settling:
            yield settling.popleft().result()
    finally:
        end_all(settling)
    if broken is not None:
        raise broken


class _Arrived:
    """A leaf that arrived in pieces, and its place."""

    __slots__ = ("_pieces", "_place", "_want")

    def __init__(self, want: Want, place: memoryview, pieces: list[memoryview]) -> None:
        self._want, self._place, self._pieces = want, place, pieces

    def settle(self) -> Proved:
        """Copy it to its place and prove it there."""
        filled = 0
        for piece in self._pieces:
            self._place[filled : filled + len(piece)] = piece
            filled += len(piece)
        self._pieces = []
        return self._want, self._place, proves_leaf(self._want.cid, self._place)


def _arriving(tier: StoreTier, blob: Blob, run: list[Want], view: memoryview) -> Iterator[_Arrived]:
    """Cut a body into the leaves of a run."""
    start = run[0].offset
    chunks = iter(blob.chunks())
    chunk = memoryview(b"")
    for want in run:
        first, size = want.offset - start, want.size or 0
        pieces, filled = list[memoryview](), 0
        while filled < size:
            if not chunk:
                following = next(chunks, None)
                if following is None:
                    have = first + filled
                    raise tier.corrupt("", f"gave a body that ended after {have} of {len(view)} bytes")
                chunk = memoryview(following)
                if not chunk.readonly:  # a backend may fill its buffer again for the next chunk
                    chunk = memoryview(bytes(chunk))
                continue
            pieces.append(chunk[: size - filled])
            filled += len(pieces[-1])
            chunk = chunk[len(pieces[-1]) :]
        yield _Arrived(want, view[first : first + size], pieces)
