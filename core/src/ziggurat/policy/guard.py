"""The guard: while the tables have seen too little, a rule that needs none decides."""

from __future__ import annotations

import random

from ziggurat.policy.hazards import Hazards
from ziggurat.policy.order import Rule
from ziggurat.policy.residents import Residents
from ziggurat.policy.segments import Segments

__all__ = ["Guard"]

_MOST = 768  # residents of a shadow that stands for a quarter of the keys, or less
_MOST_EARLY = 128  # of one that stands for more
_FEWEST, _FEWEST_EARLY = 192, 32
_LEAD = 0.98


class Guard:
    """Two small caches in the shadow of one, over a hashed share of its keys: one by heat, one by SLRU.

    They duel by missed bytes, the older ones counting less. One rule begins, SLRU unless told otherwise; the
    other takes over with a lead of 2 %, and the first takes back with any. The share halves when a shadow
    outgrows 768 residents, and doubles when it is full with fewer than 192.

    Args:
        capacity: Bytes of the guarded cache.
        hazards: Its tables; the shadows use them and never learn.
        rng: For samples.
        misses: Weight of `Residents`; with it the duel is by missed bytes and missed blocks likewise.
        quiet: Share of `Residents`.
        first: The rule that begins.
    """

    __slots__ = (
        "_capacity", "_first", "_heat", "_missed", "_missed_bytes", "_misses", "_slru", "mask", "rule",
    )  # fmt: skip

    def __init__(
        self,
        capacity: int,
        hazards: Hazards,
        rng: random.Random,
        misses: float,
        quiet: float,
        first: Rule = "slru",
    ) -> None:
        self._capacity, self._misses = capacity, misses
        self._heat = Residents[int](capacity, hazards, rng, misses, quiet, learn=False)
        self._slru = Segments(capacity)
        self._missed, self._missed_bytes = [0.0, 0.0], [0.0, 0.0]
        self.rule: Rule = first
        self._first = first
        self.mask = 0
        """An access whose key's hash has no bit of it is for `access`."""

    @property
    def residents(self) -> int:
        """Blocks in both shadows."""
        return len(self._heat.slots) + len(self._slru)

    @property
    def capacity(self) -> int:
        """Bytes of the guarded cache."""
        return self._capacity

    def resize(self, capacity: int, now: int) -> None:
        """The guarded cache holds so many bytes."""
        self._capacity = capacity
        self._share(self.mask, now)

    def access(self, hashed: int, size: int, level: int, now: int) -> Rule:
        """An access of the share.

        Args:
            hashed: Hash of the block's key.
            size: Its bytes.
            level: Of its use, this time counted; see `ziggurat.policy.history.level_of`.
            now: The time.

        Returns:
            The rule that decides from now on.
        """
        heat = self._heat
        number = len(heat.slots)
        fade = 1 - 1 / (number + 8)
        hits = heat.access(hashed, hashed, size, now), self._slru.access(hashed, size, level)
        for at, hit in enumerate(hits):
            self._missed[at] = self._missed[at] * fade + (not hit)
            self._missed_bytes[at] = self._missed_bytes[at] * fade + (0 if hit else size)
        if number > (_MOST if self.mask > 1 else _MOST_EARLY):
            self._share(self.mask * 2 + 1, now)
        elif heat.ghosts.number:
            if (
                self.mask
                and number < (_FEWEST if self.mask > 3 else _FEWEST_EARLY)
                and heat.bytes > heat.capacity // 2
            ):
                self._share(self.mask >> 1, now)
            by_heat, by_slru = (self._lost(at) for at in (0, 1))
            slru_lead, heat_lead = (1.0, _LEAD) if self._first == "slru" else (_LEAD, 1.0)
            if by_slru < by_heat * slru_lead:
                self.rule = "slru"
            elif by_heat < by_slru * heat_lead:
                self.rule = "heat"
        return self.rule

    def _lost(self, at: int) -> float:
        if not self._misses:
            return self._missed_bytes[at]
        mean = sum(self._missed_bytes) / max(1e-9, sum(self._missed))
        return (1 - self._misses) * self._missed_bytes[at] + self._misses * mean * self._missed[at]

    def _share(self, mask: int, now: int) -> None:
        self.mask = mask
        capacity = max(1, self._capacity // (mask + 1))
        self._slru.capacity = self._heat.capacity = capacity
        self._slru.keep(mask)
        self._slru.shrink()
        for key in [key for key in self._heat.slots if key & mask]:
            self._heat.remove(self._heat.slots[key])
        self._heat.ghosts.keep(mask)
        self._heat.shrink(now)
