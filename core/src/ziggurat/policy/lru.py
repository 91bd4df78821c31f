"""Least recently used: the policy that everything else is measured against."""

from __future__ import annotations

import random
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from operator import attrgetter

from attrs import frozen

from ziggurat.policy.protocols import Forecast, Index, PolicyType, R, Ranker, Row

__all__ = ["LruIndex", "LruParameters", "LruRanker", "make_index", "make_ranker", "policy"]

_HITS = 16_384
_SIZES = 4_096


class LruIndex:
    """Least recently used, exact by bytes.

    A hit is one `deque.append`: the order is brought up to date under the lock at the next admission. Only
    the last 16,384 hits are remembered until then; a cache that takes more without an admission evicts
    nothing meanwhile, and orders those before them by their earlier use.

    Args:
        capacity: Bytes that fit.

    Attributes:
        hit: Called with the key at every hit.
    """

    __slots__ = ("_bytes", "_capacity", "_hits", "_lock", "_order", "_sizes", "hit")

    def __init__(self, capacity: int) -> None:
        self._capacity, self._bytes = capacity, 0
        self._lock = threading.Lock()
        self._order: OrderedDict[str, int] = OrderedDict()  # coldest first
        self._hits: deque[str] = deque(maxlen=_HITS)
        self._sizes: dict[int, int] = {}
        self.hit: Callable[[str], object] = self._hits.append

    @property
    def capacity(self) -> int:
        """Bytes that fit."""
        return self._capacity

    @property
    def bytes(self) -> int:
        """Bytes resident."""
        return self._bytes

    @property
    def ghosts(self) -> int:
        """None: it remembers nothing that is gone."""
        return 0

    def admit(self, key: str, size: int) -> tuple[str, ...] | None:
        """See `Index.admit`."""
        if size > self._capacity:
            return None
        with self._lock:
            self._apply()
            order = self._order
            old = order.get(key)
            if old == size:
                order.move_to_end(key)
                return ()
            victims = []
            if old is not None:
                del order[key]
                self._bytes -= old
                victims.append(key)
            while self._bytes + size > self._capacity:
                victim, freed = order.popitem(last=False)
                self._bytes -= freed
                victims.append(victim)
            order[key] = self._share(size)
            self._bytes += size
            return tuple(victims)

    def drop(self, key: str) -> bool:
        """See `Index.drop`."""
        with self._lock:
            size = self._order.pop(key, None)
            if size is None:
                return False
            self._bytes -= size
            return True

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, key: object) -> bool:
        return key in self._order

    def _apply(self) -> None:
        """Bring the order up to date with the hits so far."""
        hits, order = self._hits, self._order
        for _ in range(len(hits)):
            key = hits.popleft()
            if key in order:
                order.move_to_end(key)

    def _share(self, size: int) -> int:
        """One int object for each common size: 28 bytes an entry less."""
        sizes = self._sizes
        return sizes.setdefault(size, size) if len(sizes) < _SIZES else sizes.get(size, size)


class LruRanker:
    """Least recently used first."""

    def rank(self, rows: Sequence[R], now: float) -> Sequence[R]:  # noqa: ARG002 - of the protocol
        """See `Ranker.rank`."""
        return sorted(rows, key=attrgetter("last"))

    def forecast(self, row: Row, now: float) -> Forecast:  # noqa: ARG002 - of the protocol
        """See `Ranker.forecast`; the value is the time of the last access."""
        return Forecast(row.last, None, "seconds")


@frozen
class LruParameters:
    """It has none."""


def make_index(
    capacity: int,
    parameters: LruParameters | None = None,  # noqa: ARG001 - of `PolicyType`
    rng: random.Random | None = None,  # noqa: ARG001 - of `PolicyType`
    state: bytes | None = None,  # noqa: ARG001 - of `PolicyType`
) -> Index:
    """Make the index of a volatile cache.

    Args:
        capacity: Bytes that fit.
        parameters: None matter.
        rng: Not used.
        state: Not used.
    """
    return LruIndex(capacity)


def make_ranker(
    parameters: LruParameters | None = None,  # noqa: ARG001 - of `PolicyType`
    rng: random.Random | None = None,  # noqa: ARG001 - of `PolicyType`
    state: bytes | None = None,  # noqa: ARG001 - of `PolicyType`
) -> Ranker:
    """Make the ranker of a persistent cache; the arguments are not used."""
    return LruRanker()


policy = PolicyType(
    "lru", "the least recently used block goes first", LruParameters, index=make_index, ranker=make_ranker
)
