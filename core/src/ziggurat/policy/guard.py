"""The guard: while the tables have seen too little, a rule that needs none decides."""

from __future__ import annotations

import random

from ziggurat.policy.hazards import Hazards
from ziggurat.policy.sampling import Residents, Rule

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

    __slots__ = ("_capacity", "_first", "_missed", "_missed_bytes", "_misses", "_shadows", "mask", "rule")

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
        self._shadows = [
            Residents[int](capacity, hazards, random.Random(rng.random()), misses, quiet, learn=False)  # noqa: S311 - it samples
            for _ in range(2)
        ]
        self._shadows[1].rule = "slru"
        self._missed, self._missed_bytes = [0.0, 0.0], [0.0, 0.0]
        self.rule: Rule = first
        self._first = first
        self.mask = 0
        """An access whose key's hash has no bit of it is for `access`."""

    @property
    def residents(self) -> int:
        """Blocks in both shadows."""
        return sum(len(shadow.keys) for shadow in self._shadows)

    @property
    def capacity(self) -> int:
        """Bytes of the guarded cache."""
        return self._capacity

    def resize(self, capacity: int, now: int) -> None:
        """The guarded cache holds so many bytes."""
        self._capacity = capacity
        self._share(self.mask, now)

    def access(self, hashed: int, size: int, now: int) -> Rule:
        """An access of the share: the rule that decides from now on."""
        shadows = self._shadows
        heat = shadows[0]
        number = len(heat.keys)
        fade = 1 - 1 / (number + 8)
        for at in (0, 1):
            missed = not shadows[at].access(hashed, hashed, size, now)
            self._missed[at] = self._missed[at] * fade + missed
            self._missed_bytes[at] = self._missed_bytes[at] * fade + missed * size
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
        for shadow in self._shadows:
            shadow.capacity = max(1, self._capacity // (mask + 1))
            for key in [key for key in shadow.slots if key & mask]:
                shadow.remove(shadow.slots[key])
            shadow.ghosts.keep(mask)
            shadow.shrink(now)
