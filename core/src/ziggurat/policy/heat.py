"""Heat: keep what will be asked for again soon, by what was learned of reuse.

`HeatIndex` for a cache in the process, `ziggurat.policy.heatranker.HeatRanker` for one in the catalog; both
judge by the tables of `ziggurat.policy.hazards`.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable

from attrs import field, frozen, validators

from ziggurat.policy.guard import Guard
from ziggurat.policy.hazards import Hazards
from ziggurat.policy.heatranker import HeatRanker, hash_of
from ziggurat.policy.history import STATE_BITS
from ziggurat.policy.protocols import Forecast, Index, PolicyType, Ranker
from ziggurat.policy.residents import Residents

__all__ = ["HeatIndex", "HeatParameters", "HeatRanker", "make_index", "make_ranker", "policy"]

_HITS = 16_384
_QUIET = 0.1
_HALVE = 20_000
_FIT = 2_048


@frozen
class HeatParameters:
    """What a user may choose; all else is learned.

    Attributes:
        misses: From 0, the fewest bytes are fetched again, to 1, the fewest blocks are.
        guard: A simple rule decides while too little is learned.
    """

    misses: float = field(
        default=0.0,
        validator=[validators.instance_of((int, float)), validators.ge(0), validators.le(1)],
        metadata={"help": "0 misses the fewest bytes, 1 the fewest blocks; 0.5 is a good middle"},
    )
    guard: bool = field(
        default=True,
        validator=validators.instance_of(bool),
        metadata={"help": "let a simple rule decide while too little is learned"},
    )


class HeatIndex:
    """Learned eviction, exact by bytes.

    A hit is one `deque.append`, applied in order at the next admission; only the last 16,384 hits are
    remembered until then. The clock counts accesses.

    Args:
        capacity: Bytes that fit.
        parameters: What the user chose.
        rng: For samples.
        state: What `exchange` returned once.

    Attributes:
        hit: Called with the key at every hit.
    """

    __slots__ = (
        "_guard", "_hazards", "_hits", "_lock", "_next_fit", "_next_halving", "_now",
        "_residents", "hit",
    )  # fmt: skip

    def __init__(
        self, capacity: int, parameters: HeatParameters, rng: random.Random, state: bytes | None = None
    ) -> None:
        self._lock = threading.Lock()
        self._hazards = Hazards(b"a", state)
        self._residents = Residents[str](capacity, self._hazards, rng, parameters.misses, _QUIET, learn=True)
        self._guard: Guard | None = None
        if parameters.guard:
            self._guard = Guard(capacity, self._hazards, rng, parameters.misses, _QUIET)
            self._residents.rule = self._guard.rule
        self._now = 0
        self._next_fit, self._next_halving = 64, _HALVE
        self._hits: deque[str] = deque(maxlen=_HITS)
        self.hit: Callable[[str], object] = self._hits.append

    def exchange(self, kept: bytes | None) -> bytes:
        """See `Learner.exchange`."""
        with self._lock:
            return self._hazards.exchange(kept)

    @property
    def capacity(self) -> int:
        """Bytes that fit."""
        return self._residents.capacity

    @property
    def bytes(self) -> int:
        """Bytes resident."""
        return self._residents.bytes

    @property
    def ghosts(self) -> int:
        """Blocks remembered: about four for each resident."""
        return self._residents.ghosts.number

    @property
    def rule(self) -> str:
        """Which rule decides now: `heat`, or `slru` while the guard holds."""
        return self._residents.rule

    def admit(self, key: str, size: int) -> tuple[str, ...] | None:
        """See `Index.admit`."""
        if size > self._residents.capacity:
            return None
        with self._lock:
            if self._hits:
                self._apply()
            self._now = now = self._now + 1
            residents = self._residents
            slot = residents.slots.get(key)
            if slot is not None and residents.sizes[slot] == size:
                if now - residents.last(slot) >= residents.quiet:
                    self._hit(slot, now)
                return ()
            victims = []
            if slot is not None:
                residents.remove(slot)
                victims.append(key)
            hashed = hash_of(key)
            self._learn(now)
            victims += residents.admit(key, hashed, size, now)
            guard = self._guard
            if guard is not None and not hashed & guard.mask:
                residents.rule = guard.access(hashed, size, residents.level(residents.slots[key]), now)
            return tuple(victims)

    def drop(self, key: str) -> bool:
        """See `Index.drop`; its history is kept."""
        with self._lock:
            slot = self._residents.slots.get(key)
            if slot is None:
                return False
            self._residents.remove(slot)
            return True

    def forecast(self, key: str) -> Forecast | None:
        """See `Forecaster.forecast`."""
        with self._lock:
            residents = self._residents
            slot = residents.slots.get(key)
            if slot is None:
                return None
            age = self._now - residents.last(slot)
            next_use = self._hazards.next_use(residents.cell(slot), age)
            return Forecast(residents.value(slot, self._now), next_use, "accesses")

    def __len__(self) -> int:
        return len(self._residents.slots)

    def __contains__(self, key: object) -> bool:
        return key in self._residents.slots

    def _apply(self) -> None:
        """Bring what is known up to date with the hits so far."""
        hits, residents = self._hits, self._residents
        slots, entries, quiet, now = residents.slots, residents.entries, residents.quiet, self._now
        for _ in range(len(hits)):
            slot = slots.get(hits.popleft())
            if slot is not None:
                now += 1
                if now - (entries[slot] >> STATE_BITS) >= quiet:
                    self._hit(slot, now)
        self._now = now

    def _hit(self, slot: int, now: int) -> None:
        residents, guard = self._residents, self._guard
        residents.touch(slot, now)
        if guard is not None:
            hashed = residents.hashes[slot]
            if not hashed & guard.mask:
                residents.rule = guard.access(hashed, residents.sizes[slot], residents.level(slot), now)

    def _learn(self, now: int) -> None:
        residents, hazards = self._residents, self._hazards
        residents.expose(now)
        hazards.step()
        if now >= self._next_fit:
            hazards.start()
            self._next_fit = now + max(256, min(max(_FIT, len(residents.slots) // 10), now // 8))
        if now >= self._next_halving:
            hazards.halve()
            self._next_halving = now + max(_HALVE, 8 * (len(residents.slots) + residents.ghosts.number))


def make_index(
    capacity: int, parameters: HeatParameters, rng: random.Random, state: bytes | None = None
) -> Index:
    """Make the index of a volatile cache; the arguments are those of `HeatIndex`."""
    return HeatIndex(capacity, parameters, rng, state)


def make_ranker(parameters: HeatParameters, rng: random.Random, state: bytes | None = None) -> Ranker:
    """Make the ranker of a persistent cache; the arguments are those of `HeatRanker`."""
    return HeatRanker(parameters.misses, parameters.guard, rng, state)


policy = PolicyType(
    "heat",
    "learns how soon a block is asked for again, and keeps the soonest",
    HeatParameters,
    index=make_index,
    ranker=make_ranker,
)
