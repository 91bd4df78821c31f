"""A trace of requests replayed against the policies themselves: the objects that decide in production.

Pure: requests come in, counts go out. A cache of the process is its `Index`; one that outlives the process is
its `Ranker` over rows that are sampled here as the catalog samples them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from attrs import define, field, frozen

from ziggurat.policy.protocols import Index, Observer, Ranker
from ziggurat.policy.rounds import GHOSTS, LEAST_GHOSTS, SAMPLE, TAKE

__all__ = ["IndexCache", "RankedCache", "Request", "SimulatedCache", "Tally", "replay"]

Request = tuple[float, str, int]
"""Time in seconds, key, bytes of the block."""

_TOLD = 16_384
_DRAWS = 4


@define
class Tally:
    """What one cache was asked and answered.

    Attributes:
        requests: Requests that came to it.
        bytes: Bytes that they wanted.
        hits: Requests that it answered.
        hit_bytes: Bytes of those.
    """

    requests: int = 0
    bytes: int = 0
    hits: int = 0
    hit_bytes: int = 0

    @property
    def object_miss_ratio(self) -> float:
        """Misses by requests; 0 without any."""
        return (self.requests - self.hits) / self.requests if self.requests else 0.0

    @property
    def byte_miss_ratio(self) -> float:
        """Bytes missed by bytes wanted; 0 without any."""
        return self.bytes_fetched / self.bytes if self.bytes else 0.0

    @property
    def bytes_fetched(self) -> int:
        """Bytes that had to come from beneath it."""
        return self.bytes - self.hit_bytes


class SimulatedCache(Protocol):
    """One cache of a simulated stack."""

    @property
    def held(self) -> int:
        """Bytes resident."""

    def get(self, key: str, size: int, now: float) -> bool:
        """Ask for a block; True if it is a hit."""

    def admit(self, key: str, size: int, now: float) -> None:
        """Give it a block that it missed."""


class IndexCache:
    """A cache of the process: its index, and the sizes of what is resident.

    Args:
        index: The policy.
    """

    def __init__(self, index: Index) -> None:
        self.index = index
        self.sizes: dict[str, int] = {}
        self._hit = index.hit

    @property
    def held(self) -> int:
        """Bytes resident."""
        return self.index.bytes

    def get(self, key: str, size: int, now: float) -> bool:  # noqa: ARG002 - an index counts accesses
        """See `SimulatedCache.get`."""
        if self.sizes.get(key) != size:
            return False
        self._hit(key)
        return True

    def admit(self, key: str, size: int, now: float) -> None:  # noqa: ARG002 - an index counts accesses
        """See `SimulatedCache.admit`."""
        victims = self.index.admit(key, size)
        if victims is not None:
            for victim in victims:
                del self.sizes[victim]
            self.sizes[key] = size


@define(eq=False)
class _Row:
    """A row as the catalog has it, changed in place."""

    key: str
    size: int
    last: float
    count: int
    first: float
    gap: float
    slot: int


class _Rows:
    """Rows in dense slots, so that a random slot is a random row."""

    def __init__(self) -> None:
        self.rows: list[_Row] = []
        self.by_key: dict[str, _Row] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, row: _Row) -> None:
        row.slot = len(self.rows)
        self.rows.append(row)
        self.by_key[row.key] = row

    def pop(self, key: str) -> _Row | None:
        row = self.by_key.pop(key, None)
        if row is not None:
            last = self.rows.pop()
            if last is not row:
                last.slot = row.slot
                self.rows[row.slot] = last
        return row


class RankedCache:
    """A persistent cache: rows sampled, ranked and evicted as the catalog does.

    Args:
        ranker: The policy.
        capacity: Bytes that fit.
        rng: Draws the samples.
    """

    def __init__(self, ranker: Ranker, capacity: int, rng: random.Random) -> None:
        self.ranker, self.capacity, self._random = ranker, capacity, rng
        self._observer = ranker if isinstance(ranker, Observer) else None
        self._rows, self._ghosts = _Rows(), _Rows()
        self._order: dict[str, None] = {}  # ghosts, the first evicted first
        self.held = 0

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: str, size: int, now: float) -> bool:
        """See `SimulatedCache.get`."""
        row = self._rows.by_key.get(key)
        if row is None or row.size != size:
            return False
        if self._observer is not None:
            row.gap = self._observer.seen(row, now)
        row.count += 1
        row.last = now
        return True

    def admit(self, key: str, size: int, now: float) -> None:
        """See `SimulatedCache.admit`."""
        if size > self.capacity:
            return
        old = self._rows.pop(key)
        if old is not None:
            self.held -= old.size
        while self.held + size > self.capacity:
            if not self._make_room(self.held + size - self.capacity, now):
                return
        self._order.pop(key, None)
        before = self._ghosts.pop(key) or _Row(key, size, now, 0, now, 0.0, 0)
        gap = self._observer.seen(before, now) if self._observer is not None else before.gap
        self._rows.add(_Row(key, size, now, before.count + 1, before.first, gap, 0))
        self.held += size

    def _make_room(self, short: int, now: float) -> bool:
        entries, draw = len(self._rows), self._random
        everything = entries <= 2 * SAMPLE
        rows = list(self._rows.rows) if everything else draw.sample(self._rows.rows, SAMPLE)
        if self._observer is not None:
            ghosts = self._ghosts.rows
            drawn = draw.sample(ghosts, min(len(ghosts), _DRAWS))
            self._observer.watch(rows, entries, drawn, len(ghosts), now)
        ranked = self.ranker.rank(rows, now)
        freed = 0
        for row in ranked if everything else ranked[:TAKE]:
            if freed >= short:
                break
            freed += row.size
            self._rows.pop(row.key)
            self.held -= row.size
            if self._observer is not None:
                self._ghosts.add(row)
                self._order[row.key] = None
        while len(self._order) > max(LEAST_GHOSTS, GHOSTS * len(self._rows)):
            oldest = next(iter(self._order))
            del self._order[oldest]
            self._ghosts.pop(oldest)
        return freed > 0


@frozen
class _Told:
    """Tells how far a replay is, now and then."""

    progress: Callable[[int], object] | None
    every: int = field(default=_TOLD)

    def __call__(self, done: int) -> None:
        if self.progress is not None:
            self.progress(done)


def replay(
    requests: Iterable[Request],
    caches: Sequence[SimulatedCache],
    progress: Callable[[int], object] | None = None,
) -> list[Tally]:
    """Replay a trace against a stack of caches.

    A request asks the caches in their order. The first that has the block answers it, and hotter ones are
    given it, as a store does; a block that none has is given to all.

    Args:
        requests: In the order of time.
        caches: Hottest first.
        progress: Told now and then how many requests were done since.

    Returns:
        What each cache was asked and answered.
    """
    told = _Told(progress)
    if len(caches) == 1:
        return [_alone(requests, caches[0], told)]
    tallies = [Tally() for _ in caches]
    done = 0
    for now, key, size in requests:
        done += 1
        if done == _TOLD:
            told(done)
            done = 0
        above = len(caches)
        for position, cache in enumerate(caches):
            tally = tallies[position]
            tally.requests += 1
            tally.bytes += size
            if cache.get(key, size, now):
                tally.hits += 1
                tally.hit_bytes += size
                above = position
                break
        for cache in caches[:above]:
            cache.admit(key, size, now)
    told(done)
    return tallies


def _alone(requests: Iterable[Request], cache: SimulatedCache, told: _Told) -> Tally:
    """The same for one cache, without what only several need."""
    get, admit = cache.get, cache.admit
    tally = Tally()
    done = count = size_sum = hits = hit_bytes = 0
    if isinstance(cache, IndexCache):
        sizes, hit, index_admit = cache.sizes, cache.index.hit, cache.index.admit
        held, forget = sizes.get, sizes.__delitem__
        for _, key, size in requests:
            count += 1
            size_sum += size
            if held(key) == size:
                hit(key)
                hits += 1
                hit_bytes += size
                continue
            victims = index_admit(key, size)
            if victims is not None:
                for victim in victims:
                    forget(victim)
                sizes[key] = size
            if count - done >= _TOLD:
                told(count - done)
                done = count
    else:
        for now, key, size in requests:
            count += 1
            size_sum += size
            if get(key, size, now):
                hits += 1
                hit_bytes += size
                continue
            admit(key, size, now)
            if count - done >= _TOLD:
                told(count - done)
                done = count
    told(count - done)
    tally.requests, tally.bytes, tally.hits, tally.hit_bytes = count, size_sum, hits, hit_bytes
    return tally
