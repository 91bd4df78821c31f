"""ARC by bytes: recency against frequency, the share of each found from what was evicted too early.

N. Megiddo and D. S. Modha, "ARC: A Self-Tuning, Low Overhead Replacement Cache", FAST 2003, with every length
of the paper in bytes. With all sizes 1 it decides as libCacheSim's ARC does, request by request.
"""

from __future__ import annotations

import random
import threading
from collections import OrderedDict, deque
from collections.abc import Callable

from attrs import frozen

from ziggurat.policy.protocols import Index, PolicyType

__all__ = ["ArcIndex", "ArcParameters", "make_index", "policy"]

_HITS = 16_384
_SIZES = 4_096
_GHOSTS, _GHOSTS_AT_LEAST = 8, 128  # of each list: for each resident, and besides


@frozen
class ArcParameters:
    """It has none: it tunes itself."""


class ArcIndex:
    """Adaptive replacement, exact by bytes.

    Two lists hold what is resident, *recent* (asked for once) and *frequent*; two hold the ghosts of what
    each gave up. A hit among the ghosts moves `target`, the bytes that *recent* should have, by the size of
    the block times the ratio of the ghosts, at least its size. Recent blocks and their ghosts never exceed
    the capacity, all four lists never twice that.

    A hit is one `deque.append`, applied in order at the next admission; only the last 16,384 hits are
    remembered until then.

    Args:
        capacity: Bytes that fit.

    Attributes:
        hit: Called with the key at every hit.
    """

    __slots__ = (
        "_capacity",
        "_frequent",
        "_frequent_bytes",
        "_frequent_ghosts",
        "_frequent_gone",
        "_hits",
        "_lock",
        "_recent",
        "_recent_bytes",
        "_recent_ghosts",
        "_recent_gone",
        "_sizes",
        "_target",
        "hit",
    )

    def __init__(self, capacity: int) -> None:
        self._capacity, self._target = capacity, 0.0
        self._lock = threading.Lock()
        self._recent: OrderedDict[str, int] = OrderedDict()  # coldest first, like all four
        self._frequent: OrderedDict[str, int] = OrderedDict()
        self._recent_ghosts: OrderedDict[str, int] = OrderedDict()
        self._frequent_ghosts: OrderedDict[str, int] = OrderedDict()
        self._recent_bytes = self._frequent_bytes = self._recent_gone = self._frequent_gone = 0
        self._sizes: dict[int, int] = {}
        self._hits: deque[str] = deque(maxlen=_HITS)
        self.hit: Callable[[str], object] = self._hits.append

    @property
    def capacity(self) -> int:
        """Bytes that fit."""
        return self._capacity

    @property
    def bytes(self) -> int:
        """Bytes resident."""
        return self._recent_bytes + self._frequent_bytes

    @property
    def ghosts(self) -> int:
        """Blocks remembered; their bytes, when they were resident, are at most twice the capacity."""
        return len(self._recent_ghosts) + len(self._frequent_ghosts)

    @property
    def target(self) -> float:
        """Bytes that blocks asked for once should have."""
        return self._target

    def admit(self, key: str, size: int) -> tuple[str, ...] | None:
        """See `Index.admit`."""
        if size > self._capacity:
            return None
        with self._lock:
            if self._hits:
                self._apply()
            victims: list[str] = []
            if key in self._frequent or key in self._recent:
                if self._size(key) == size:
                    self._promote(key)
                    return ()
                self._remove(key)
                victims.append(key)
                frequent, tie = True, False
            else:
                frequent, tie = self._recall(key, size)
            if self._recent_bytes + self._frequent_bytes + size > self._capacity:
                self._evict(size, tie, victims)
            if len(self._sizes) < _SIZES:
                size = self._sizes.setdefault(size, size)  # one int object for each common size
            if frequent:
                self._frequent[key] = size
                self._frequent_bytes += size
            else:
                self._recent[key] = size
                self._recent_bytes += size
            self._trim()
            return tuple(victims)

    def drop(self, key: str) -> bool:
        """See `Index.drop`; it keeps no history of what is dropped."""
        with self._lock:
            gone = self._remove(key)
            self._trim()
            return gone

    def __len__(self) -> int:
        return len(self._recent) + len(self._frequent)

    def __contains__(self, key: object) -> bool:
        return key in self._recent or key in self._frequent

    def _size(self, key: str) -> int:
        size = self._recent.get(key)
        return self._frequent[key] if size is None else size

    def _apply(self) -> None:
        """Bring the lists up to date with the hits so far."""
        hits, promote = self._hits, self._promote
        for _ in range(len(hits)):
            promote(hits.popleft())

    def _promote(self, key: str) -> None:
        if key in self._frequent:
            self._frequent.move_to_end(key)
        elif (size := self._recent.pop(key, None)) is not None:
            self._recent_bytes -= size
            self._frequent[key] = size
            self._frequent_bytes += size

    def _remove(self, key: str) -> bool:
        if (size := self._recent.pop(key, None)) is not None:
            self._recent_bytes -= size
        elif (size := self._frequent.pop(key, None)) is not None:
            self._frequent_bytes -= size
        else:
            return False
        return True

    def _recall(self, key: str, size: int) -> tuple[bool, bool]:
        """Learn from a ghost of the key: whether there is one, and whether it was a frequent block."""
        if (old := self._recent_ghosts.pop(key, None)) is not None:
            ratio = max(1, self._frequent_gone) / max(1, self._recent_gone)
            self._target = min(self._capacity, self._target + size * max(1.0, ratio))
            self._recent_gone -= old
            return True, False
        if (old := self._frequent_ghosts.pop(key, None)) is not None:
            ratio = max(1, self._recent_gone) / max(1, self._frequent_gone)
            self._target = max(0.0, self._target - size * max(1.0, ratio))
            self._frequent_gone -= old
            return True, True
        return False, False

    def _evict(self, size: int, tie: bool, victims: list[str]) -> None:
        """Make room. `tie`: recent blocks go at exactly their target too, the paper's rule for case III."""
        recent, frequent, room = self._recent, self._frequent, self._capacity - size
        while self._recent_bytes + self._frequent_bytes > room:
            over = self._recent_bytes > self._target or (tie and self._recent_bytes == self._target)
            if recent and (over or not frequent):
                victim, freed = recent.popitem(last=False)
                self._recent_bytes -= freed
                if freed:  # what took no bytes has no ghost: bytes would not bound their number
                    self._recent_ghosts[victim] = freed
                    self._recent_gone += freed
            else:
                victim, freed = frequent.popitem(last=False)
                self._frequent_bytes -= freed
                if freed:
                    self._frequent_ghosts[victim] = freed
                    self._frequent_gone += freed
            victims.append(victim)

    def _trim(self) -> None:
        """Forget the oldest ghosts: by bytes, and by number after one large block came for many small."""
        ghosts, capacity = self._recent_ghosts, self._capacity
        while ghosts and self._recent_bytes + self._recent_gone > capacity:
            self._recent_gone -= ghosts.popitem(last=False)[1]
        ghosts, both = self._frequent_ghosts, 2 * capacity - self._recent_gone
        while ghosts and self._recent_bytes + self._frequent_bytes + self._frequent_gone > both:
            self._frequent_gone -= ghosts.popitem(last=False)[1]
        most = _GHOSTS * (len(self._recent) + len(self._frequent)) + _GHOSTS_AT_LEAST
        while len(self._recent_ghosts) > most:
            self._recent_gone -= self._recent_ghosts.popitem(last=False)[1]
        while len(ghosts) > most:
            self._frequent_gone -= ghosts.popitem(last=False)[1]


def make_index(
    capacity: int,
    parameters: ArcParameters | None = None,  # noqa: ARG001 - of `PolicyType`
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
    return ArcIndex(capacity)


policy = PolicyType(
    "arc", "adaptive replacement: recency against frequency, by bytes", ArcParameters, index=make_index
)
