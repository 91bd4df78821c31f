"""Runs: adjacent missing leaves read as one range, each proved in its place."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, wait

from ziggurat.backend import Blob
from ziggurat.content import proves_leaf
from ziggurat.content.layout import Want
from ziggurat.errors import TierError
from ziggurat.tiers import StoreTier

__all__ = ["proved_leaves", "runs_of"]

_PARALLEL_FROM = 1 << 20
"""Plain bytes above which proving in several threads pays."""
_AHEAD = 4
"""Leaves of a streamed body that may be in proof while the next ones arrive."""

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
        for want, data in _arriving(tier, blob, run, view):
            yield want, data, proves_leaf(want.cid, data)


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
        for future in reading:
            future.cancel()
        wait(reading)


def _pipelined(
    tier: StoreTier, blob: Blob, run: list[Want], view: memoryview, hashers: Executor
) -> Iterator[Proved]:
    """Prove leaves in other threads while the next ones arrive."""
    proving: deque[tuple[Want, memoryview, Future[bool]]] = deque()
    arriving = _arriving(tier, blob, run, view)
    broken: Exception | None = None
    while True:
        try:
            want, data = next(arriving)
        except StopIteration:
            break
        except TierError as error:
            broken = error
            break
        proving.append((want, data, hashers.submit(proves_leaf, want.cid, data)))
        if len(proving) > _AHEAD:
            first, piece, proof = proving.popleft()
            yield first, piece, proof.result()
    for first, piece, proof in proving:
        yield first, piece, proof.result()
    if broken is not None:
        raise broken


def _arriving(
    tier: StoreTier, blob: Blob, run: list[Want], view: memoryview
) -> Iterator[tuple[Want, memoryview]]:
    """Cut a body into the leaves of a run, each copied to its place."""
    start = run[0].offset
    chunks = iter(blob.chunks())
    chunk = memoryview(b"")
    for want in run:
        first, size = want.offset - start, want.size or 0
        filled = 0
        while filled < size:
            if not chunk:
                following = next(chunks, None)
                if following is None:
                    have = first + filled
                    raise tier.corrupt("", f"gave a body that ended after {have} of {len(view)} bytes")
                chunk = memoryview(following)
                continue
            count = min(len(chunk), size - filled)
            view[first + filled : first + filled + count] = chunk[:count]
            chunk = chunk[count:]
            filled += count
        yield want, view[first : first + size]
