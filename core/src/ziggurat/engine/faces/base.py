"""What every face of a store stands on: its open parts, and the record of accesses."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from itertools import count

from attrs import asdict, evolve

from ziggurat.catalog import Tally
from ziggurat.content import Cid
from ziggurat.engine.assembly import Stack
from ziggurat.engine.caches import VolatileCache
from ziggurat.engine.tallies import Teller
from ziggurat.errors import ConfigError, NotDurable, StoreError, ZigguratError
from ziggurat.tiers import StoreTier

__all__ = ["Face", "Progress", "nothing", "quietly"]

Progress = Callable[[int], None]

_ACCESSES = 65_536


class Face:
    """Base of the faces."""

    _parts: Stack
    _unusable: str
    _accesses: deque[str]
    _noted: Callable[[str], object]
    _hot: Callable[[str], bytes | None]
    _hit: Callable[[str], object]
    _tick: Callable[[], int]
    _teller: Teller

    def _begin(self, stack: Stack) -> None:
        self._parts, self._unusable = stack, ""
        self._accesses = deque(maxlen=_ACCESSES)
        self._noted = self._accesses.append
        self._counting = threading.Lock()
        self._looks = self._weighed = self._weight = 0
        self._tick = count(1).__next__
        self._teller = Teller(stack.catalog, stack.failures, self._note_accesses, self._done)

    def _stack(self) -> Stack:
        """The open parts.

        Raises:
            StoreError: The store is closed, or was opened before a fork.
        """
        if self._unusable:
            raise StoreError(self._unusable)
        if self._teller.idle:  # at first use, so that opening a store starts no thread
            self._teller.start()
        return self._parts

    def _writable(self) -> Stack:
        stack = self._stack()
        if stack.catalog is None or not stack.places.stores:
            raise NotDurable(
                "this stack has no store tier, so nothing can be kept; add one to its configuration"
            )
        return stack

    def _store_tier(self, name: str) -> StoreTier:
        tiers = self._stack().tiers
        for tier in tiers:
            if tier.name == name and isinstance(tier, StoreTier) and tier.role == "store":
                return tier
        known = ", ".join(tier.name for tier in tiers if tier.role == "store")
        raise ConfigError(f"there is no store tier {name!r}; this stack has {known or 'none'}")

    def _note(self, cid: Cid) -> None:
        """Count an access; the catalog is told in batches."""
        self._noted(cid.cache_key)
        if len(self._accesses) >= _ACCESSES // 2:
            self._note_accesses()

    def _hot_hits(self) -> int:
        """Hits in memory so far, exactly: what the tick says, without the looks at it."""
        with self._counting:
            self._looks += 1
            return self._tick() - self._looks

    def _hot_bytes(self, hits: int) -> int:
        """Bytes that so many hits in memory gave; from the mean where more came than are remembered."""
        return round(self._weight * hits / self._weighed) if self._weighed else 0

    def _done(self) -> dict[str, Tally]:
        """What each tier did for this store so far, in file order."""
        done = {tier.name: Tally(**asdict(tier.meter)) for tier in self._parts.tiers}
        caches = self._parts.caches.caches
        for cache in caches:
            aged, age = cache.evicted_ages
            done[cache.tier.name] = evolve(done[cache.tier.name], aged=aged, age=age)
        if caches:  # its hits that never came to the tier's own call
            first = caches[0].tier.name
            hits = self._hot_hits()
            done[first] = done[first].plus(Tally(hits=hits, bytes_read=self._hot_bytes(hits)))
        return done

    def _weigh(self, served: Counter[str], cache: VolatileCache) -> None:
        # After the fact: on the hit itself it would cost a fifth of it.
        for key, times in served.items():
            size = cache.size_of(key)
            if size is not None:
                self._weighed += times
                self._weight += times * size

    def _note_accesses(self) -> None:
        catalog = self._parts.catalog
        with self._counting:
            counts = Counter(self._accesses.popleft() for _ in range(len(self._accesses)))
            for cache in self._parts.caches.caches[:1]:
                if isinstance(cache, VolatileCache):
                    served = cache.settle()
                    self._weigh(served, cache)
                    counts.update(served)
        if catalog is not None and counts:
            now = time.time()
            batch = {key.removesuffix(".block"): (times, now) for key, times in counts.items()}
            quietly(self._parts, lambda: catalog.accesses.count(batch))


def nothing(_key: str) -> None:
    """The look-up of a store without a cache in this process."""
    return


def quietly(stack: Stack, call: Callable[[], object]) -> None:
    """Call what must not fail its caller; a failure is noted."""
    try:
        call()
    except (ZigguratError, OSError) as error:
        stack.failures.note(error)
