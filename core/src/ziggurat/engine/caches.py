"""The caches of a stack, hottest first: proved blocks looked up, admitted, and filled in the background."""

from __future__ import annotations

import random
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from ziggurat.content import Cid
from ziggurat.engine.events import Failures
from ziggurat.engine.policies import Ages, Experience
from ziggurat.engine.records import Expectation
from ziggurat.errors import CorruptBlob, ZigguratError
from ziggurat.policy import Forecaster, Index
from ziggurat.tiers import CacheTier

__all__ = ["BlockCache", "CacheStack", "VolatileCache"]

T = TypeVar("T")

_WARM = 65_536
"""Hits in memory that are remembered until the next admission, or until somebody asks."""

_NEIGHBOURS = 200


class BlockCache(Protocol):
    """One cache tier with its residency.

    Attributes:
        tier: The tier.
        capacity: Payload bytes that it may hold.
        policy: Name of its policy.
    """

    tier: CacheTier
    capacity: int
    policy: str

    def lookup(self, key: str) -> tuple[bytes, bool] | None:
        """The block and whether it is proved already; None if it is not here."""

    def admit(self, key: str, block: bytes) -> None:
        """Keep a proved block now or soon, or not at all; never delays or fails a reader."""

    def drop(self, key: str) -> bool:
        """Forget a block and its bytes; True if it was here."""

    def usage(self) -> tuple[int, int]:
        """Payload bytes and blocks accounted."""

    @property
    def evicted_ages(self) -> tuple[int, float]:
        """How many blocks of known age were evicted for room, and how many seconds they had been here."""

    def expectations(self, keys: Sequence[str]) -> list[Expectation]:
        """What the policy expects of those of the blocks that are here."""

    def rest(self) -> None:
        """Keep what the policy learned, and what is known of accesses; at the end."""


class VolatileCache:
    """A cache of this process; its residency lives in its policy's index.

    Args:
        tier: The tier, capacity included.
        index: Decides what stays.
        failures: Where failures are noted.
        experience: What its policy learns; None to keep nothing of it.
        policy: The policy's name.
    """

    def __init__(
        self,
        tier: CacheTier,
        index: Index,
        failures: Failures,
        experience: Experience | None = None,
        policy: str = "",
    ) -> None:
        self.tier, self.capacity, self.index = tier, tier.capacity, index
        self.policy = policy
        self._experience, self._ages = experience, Ages()
        self._failures = failures
        # Room is made before bytes arrive, so admission, eviction and put are one step.
        self._step = threading.Lock()
        self._get, self._hit = tier.get_block, index.hit
        self._warm: deque[str] = deque(maxlen=_WARM)
        self._served: Counter[str] = Counter()
        self.warm: Callable[[str], object] = self._warm.append
        """Called with the key at every hit that did not come through `lookup`."""
        self.peek = tier.hooks.get_whole
        """The backend's own look-up, for the store's hit path."""

    def lookup(self, key: str) -> tuple[bytes, bool] | None:
        """`BlockCache.lookup`; a hit is noted for the policy."""
        block = self._get(key)
        if block is None:
            return None
        self._note((key,))
        return block, self.tier.proved

    def _note(self, keys: Iterable[str]) -> None:
        """Tell the policy of hits."""
        self._ask(deque, map(self._hit, keys), 0)

    def _ask(self, call: Callable[..., T], *arguments: object) -> T | None:
        """What the policy answers; None, and a note, where it fails."""
        try:
            return call(*arguments)
        except Exception as error:  # noqa: BLE001 - a policy may be a plugin's, and a cache fails no read
            self._failures.note(error)
            return None

    def size_of(self, key: str) -> int | None:
        """Bytes of a block that is here, without a trace in the policy or the counts."""
        try:
            block = self.peek(key)
        except Exception as error:  # noqa: BLE001 - a backend's; its own path tells
            self._failures.note(error)
            return None
        return len(block) if isinstance(block, bytes) else None

    def settle(self) -> Counter[str]:
        """Tell the policy of the hits so far; gives those that did not come through `lookup`, by key."""
        with self._step:
            self._tell()
            served, self._served = self._served, Counter()
            return served

    def _tell(self) -> None:
        take = self._warm.popleft
        keys = [take() for _ in range(len(self._warm))]
        self._note(keys)
        self._served.update(keys)

    def admit(self, key: str, block: bytes) -> None:
        """`BlockCache.admit`, at once."""
        if len(block) > self.capacity:
            return
        with self._step:
            if self._warm:
                self._tell()
            victims = self._ask(self.index.admit, key, len(block))
            if victims is None:
                return
            if victims and self._experience is not None:
                self._experience.exchange()
            for index, victim in enumerate(victims):
                try:
                    self.tier.evict_block(victim)
                    self._ages.evicted(victim)
                except ZigguratError as error:
                    self._failures.note(error)
                    self._undo(key, victims[index:])
                    return
            try:
                self.tier.put_block(key, block)
                self._ages.admitted(key)
            except ZigguratError as error:
                self._failures.note(error)
                try:
                    self.tier.evict_block(key)
                except ZigguratError as left:
                    self._failures.note(left)  # its bytes may be there: they go on counting
                else:
                    self._ask(self.index.drop, key)

    def _undo(self, key: str, still_there: Sequence[str]) -> None:
        """A victim that cannot be evicted still takes room: account it again instead of the new block."""
        self._ask(self.index.drop, key)
        for victim in still_there:
            try:
                stat = self.tier.stat_key(victim)
            except ZigguratError as error:
                self._failures.note(error)
                continue
            if stat is not None and stat.stored is not None:
                self._ask(self.index.admit, victim, stat.stored)

    def drop(self, key: str) -> bool:
        """`BlockCache.drop`."""
        with self._step:
            gone = self.tier.evict_block(key)
            self._ask(self.index.drop, key)
            self._ages.forget(key)
            return gone

    def usage(self) -> tuple[int, int]:
        """`BlockCache.usage`."""
        return self.index.bytes, len(self.index)

    @property
    def evicted_ages(self) -> tuple[int, float]:
        """`BlockCache.evicted_ages`; of many blocks, a sample."""
        return self._ages.count, self._ages.total

    def expectations(self, keys: Sequence[str]) -> list[Expectation]:
        """`BlockCache.expectations`; the rank is among random blocks, where the backend can list."""
        index = self.index
        here = [key for key in keys if key in index]
        if not isinstance(index, Forecaster):
            return [Expectation(self.tier.name, self.policy, key) for key in here]
        neighbours = self._neighbours(index) if here else []
        found = []
        for key in here:
            each = index.forecast(key)
            if each is not None:
                rank = sum(1 for value in neighbours if value < each.value) if neighbours else None
                found.append(
                    Expectation(
                        self.tier.name,
                        self.policy,
                        key,
                        each.value,
                        each.next_use,
                        each.unit,
                        rank,
                        len(neighbours),
                    )
                )
        return found

    def _neighbours(self, index: Forecaster) -> list[float]:
        """What random blocks are worth; nothing if the backend cannot list what it keeps."""
        if self.tier.hooks.scan is None:
            return []
        try:
            keys = [key for key, _ in self.tier.contents()]
        except ZigguratError as error:
            self._failures.note(error)
            return []
        drawn = random.sample(keys, min(len(keys), _NEIGHBOURS))
        return [each.value for key in drawn if (each := index.forecast(key)) is not None]

    def rest(self) -> None:
        """`BlockCache.rest`."""
        if self._experience is not None:
            self._experience.exchange(now=True)


class CacheStack:
    """All caches of a stack, as one place to look.

    Args:
        caches: Hottest first.
        failures: Where failures are noted: a cache never fails a read.
        order: Names of all tiers of the stack, hottest first.
        admits: False to look without changing what is cached.
    """

    def __init__(
        self,
        caches: Sequence[BlockCache],
        failures: Failures,
        order: Sequence[str] = (),
        *,
        admits: bool = True,
    ) -> None:
        self.caches = tuple(caches)
        self._admitting = self.caches if admits else ()
        self._failures = failures
        self._largest = max((cache.capacity for cache in caches), default=0)
        names = [cache.tier.name for cache in caches]
        self._above = {
            name: sum(1 for above in order[:position] if above in names)
            for position, name in enumerate(order)
        }

    def __bool__(self) -> bool:
        return bool(self.caches)

    @property
    def slow(self) -> bool:
        """True if looking up several blocks at once pays: some cache is not this process's memory."""
        return any(not cache.tier.capabilities.volatile for cache in self.caches)

    def takes(self, size: int) -> bool:
        """True if some cache may keep a block of that size."""
        return size <= self._largest

    def lookup(self, cid: Cid) -> bytes | None:
        """The proved block from the hottest cache that has it; hotter ones are given it."""
        key = cid.cache_key
        for position, cache in enumerate(self.caches):
            try:
                found = cache.lookup(key)
            except ZigguratError as error:
                self._failures.note(error)
                if isinstance(error, CorruptBlob):
                    self._discard(cache, key)
                continue
            if found is None:
                continue
            block, proved = found
            if not proved and not cid.matches(block):
                self._failures.note(
                    CorruptBlob(
                        "holds a block that fails its proof; dropped it",
                        tier=cache.tier.name,
                        op="get",
                        key=key,
                    )
                )
                self._discard(cache, key)
                continue
            for hotter in self._admitting[:position]:
                hotter.admit(key, block)
            return block
        return None

    def expectations(self, keys: Sequence[str]) -> tuple[Expectation, ...]:
        """What the policies expect of blocks; those of a cache that cannot say are left out."""
        found: list[Expectation] = []
        for cache in self.caches:
            try:
                found += cache.expectations(keys)
            except Exception as error:  # noqa: BLE001 - a policy may be a plugin's, and this only looks
                self._failures.note(error)
        return tuple(found)

    def _discard(self, cache: BlockCache, key: str) -> None:
        try:
            cache.drop(key)
        except ZigguratError as error:
            self._failures.note(error)

    def above(self, tier: str) -> int:
        """How many caches stand above a tier: those are given what it gave."""
        return self._above.get(tier, 0)

    def admit(self, key: str, block: bytes, above: int) -> None:
        """Give a proved block to the hottest `above` caches."""
        for cache in self._admitting[:above]:
            cache.admit(key, block)
