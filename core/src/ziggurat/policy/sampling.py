"""Residents of one cache in columns, and the sampled choice of who goes."""

from __future__ import annotations

import random
from array import array
from operator import itemgetter
from typing import Any, Generic, Literal, TypeVar

from ziggurat.policy.ghosts import Ghosts
from ziggurat.policy.hazards import OCTAVES, Hazards, next_gap

__all__ = ["Residents", "Rule"]

K = TypeVar("K", str, int)
Rule = Literal["heat", "slru"]

_ROUND = 2  # victims of one sample
_KEPT = 8  # best of a sample that stand again in the next
_TOP = 255
_TRIES = 8  # to find a ghost in its table
_STEADY = 1e15  # more than any clock says: sorts by count first, then by last access
_VALUE = itemgetter(0)


class Residents(Generic[K]):
    """Who is resident, with what a decision needs: about 45 bytes each besides the dictionary.

    The victim is the worst of some residents drawn at random and of the best that were left from the draw
    before; two go for each draw. Its `rule` is `heat`, the lowest Gittins index, or `slru`, the fewest
    accesses up to four and among equals the oldest.

    Not for several threads: its owner locks.

    Args:
        capacity: Bytes that fit.
        hazards: The tables.
        rng: For samples.
        misses: Weight from 0 (fewer bytes are missed) to 1 (fewer blocks are).
        quiet: Share of the residents; an access sooner than so many accesses after the last changes nothing.
        learn: False for a shadow: it uses the tables and leaves them alone.
    """

    __slots__ = (
        "_best", "_left", "_misses", "_quiet", "_rnd", "_rule", "_sample", "bytes", "capacity",
        "counts", "gaps", "ghosts", "hashes", "hazards", "keys", "lasts", "learn", "quiet", "rows", "sizes",
        "slots",
    )  # fmt: skip

    def __init__(
        self,
        capacity: int,
        hazards: Hazards,
        rng: random.Random,
        misses: float,
        quiet: float,
        *,
        learn: bool,
    ) -> None:
        self.capacity, self.hazards, self.learn = capacity, hazards, learn
        self._misses, self._quiet, self._rnd = misses, quiet, rng.random
        self._sample = 32 if misses > 0 else 16
        self._rule: Rule = "heat"
        self.bytes = self.quiet = 0
        self.slots: dict[K, int] = {}
        self.keys: list[K] = []
        self.hashes, self.sizes, self.lasts = array("q"), array("q"), array("q")
        self.counts, self.gaps, self.rows = array("B"), array("f"), array("H")
        self.ghosts = Ghosts()
        self._best: list[tuple[float, int, K]] = []
        self._left = 0

    @property
    def rule(self) -> Rule:
        """Who goes."""
        return self._rule

    @rule.setter
    def rule(self, rule: Rule) -> None:
        if rule != self._rule:
            self._rule, self._best, self._left = rule, [], 0  # values of two rules do not compare

    def access(self, key: K, hashed: int, size: int, now: int) -> bool:
        """A whole access, for shadows.

        Returns:
            True if it was a hit.
        """
        slot = self.slots.get(key)
        if slot is not None:
            if now - self.lasts[slot] >= self.quiet:
                self.touch(slot, now)
            return True
        if size <= self.capacity:
            self.admit(key, hashed, size, now)
        return False

    def touch(self, slot: int, now: int) -> None:
        """A reuse of a resident."""
        last, count, row = self.lasts[slot], self.counts[slot], self.rows[slot]
        octave = (now - last).bit_length()
        if self.learn:
            self.hazards.reuses[row + octave] += 1.0
        gap = next_gap(count, self.gaps[slot], octave)
        if count < _TOP:
            count += 1
            self.counts[slot] = count
        self.gaps[slot], self.lasts[slot] = gap, now
        self.rows[slot] = self.hazards.row(count, gap)

    def admit(self, key: K, hashed: int, size: int, now: int) -> list[K]:
        """Make a block resident that is not, and that fits.

        Returns:
            Who is not resident any more.
        """
        victims: list[K] = []
        old = self.ghosts.take(hashed)
        if old is None:
            count, gap, row = 1, 0.0, 0
        else:
            count, gap, last = old
            octave = (now - last).bit_length()
            if self.learn:
                self.hazards.reuses[self.hazards.row(count, gap) + octave] += 1.0
            gap = next_gap(count, gap, octave)
            count = min(count + 1, _TOP)
            row = self.hazards.row(count, gap)
        room = self.capacity - size
        while self.bytes > room:
            victim = self._victim(now)
            victims.append(victim)
            slot = self.slots[victim]
            if self.bytes - self.sizes[slot] > room:
                self.remove(slot)
                continue
            self._bury(slot)  # the last one: the new block takes its slot
            self.slots[key] = slot
            self.keys[slot], self.hashes[slot], self.sizes[slot] = key, hashed, size
            self.lasts[slot], self.counts[slot], self.gaps[slot], self.rows[slot] = now, count, gap, row
            break
        else:
            self.slots[key] = len(self.keys)
            self.keys.append(key)
            self.hashes.append(hashed)
            self.sizes.append(size)
            self.lasts.append(now)
            self.counts.append(count)
            self.gaps.append(gap)
            self.rows.append(row)
            self.quiet = int(self._quiet * len(self.keys))
        self.bytes += size
        return victims

    def remove(self, slot: int) -> None:
        """Make a block not resident and remember it; the last slot's block moves to its slot."""
        self._bury(slot)
        keys = self.keys
        mover = keys.pop()
        columns: tuple[array[Any], ...] = (
            self.hashes, self.sizes, self.lasts, self.counts, self.gaps, self.rows,
        )  # fmt: skip
        if slot == len(keys):
            for column in columns:
                column.pop()
        else:
            keys[slot] = mover
            self.slots[mover] = slot
            for column in columns:
                column[slot] = column.pop()

    def _bury(self, slot: int) -> None:
        """Remember who is in a slot, and count it out."""
        del self.slots[self.keys[slot]]
        self.bytes -= self.sizes[slot]
        self.ghosts.put(
            self.hashes[slot], self.counts[slot], self.gaps[slot], self.lasts[slot], len(self.keys)
        )

    def shrink(self, now: int) -> None:
        """Let go what is over the capacity, which was lowered."""
        while self.bytes > self.capacity:
            self.remove(self.slots[self._victim(now)])

    def expose(self, time: int, now: int) -> None:
        """Learn from what waits: two residents and two ghosts at random stand for all.

        Args:
            time: Since the last call.
            now: The time.
        """
        risks, rnd, row = self.hazards.risks, self._rnd, self.hazards.row
        number = len(self.keys)
        if number:
            weight = time * number * 0.5
            for _ in range(2):
                slot = int(rnd() * number)
                risks[self.rows[slot] + (now - self.lasts[slot]).bit_length()] += weight
        ghosts = self.ghosts
        if ghosts.number:
            weight = time * ghosts.number * 0.5
            lasts, slots = ghosts.lasts, len(ghosts.lasts)
            for _ in range(2):
                for _ in range(_TRIES):
                    slot = int(rnd() * slots)
                    if (last := lasts[slot]) >= 0:
                        cell = row(ghosts.counts[slot], ghosts.gaps[slot]) + (now - last).bit_length()
                        risks[cell] += weight
                        break

    def value(self, slot: int, now: int) -> float:
        """What a resident is worth; the lowest goes first."""
        last = self.lasts[slot]
        if self._rule == "slru":
            return last + min(self.counts[slot], 4) * _STEADY
        value: float = self.hazards.values[self.rows[slot] + min((now - last).bit_length(), OCTAVES - 1)]
        if self._misses:
            mean = self.bytes / len(self.keys)
            value *= 1 - self._misses + self._misses * mean / max(1, self.sizes[slot])
        return value

    def _victim(self, now: int) -> K:
        slots, lasts = self.slots, self.lasts
        while True:
            best = self._best
            while self._left and best:
                self._left -= 1
                _, last, key = best.pop()
                slot = slots.get(key)
                if slot is not None and lasts[slot] == last:
                    return key
            self._draw(now)

    def _draw(self, now: int) -> None:
        """Rank some at random with the best left from before; these may have changed since."""
        slots, lasts, keys, rnd = self.slots, self.lasts, self.keys, self._rnd
        number = len(keys)
        found: dict[K, tuple[float, int, K]] = {}
        for entry in self._best:
            slot = slots.get(entry[2])
            if slot is not None and lasts[slot] == entry[1]:
                found[entry[2]] = entry
        if self._rule == "heat" and not self._misses:  # the common case, in line
            values, rows = self.hazards.values, self.rows
            for _ in range(self._sample):
                slot = int(rnd() * number)
                last, key = lasts[slot], keys[slot]
                found[key] = values[rows[slot] + (now - last).bit_length()], last, key
        elif self._rule == "slru":
            counts = self.counts
            for _ in range(self._sample):
                slot = int(rnd() * number)
                last, key, count = lasts[slot], keys[slot], counts[slot]
                found[key] = last + (count if count < 4 else 4) * _STEADY, last, key
        else:
            for _ in range(self._sample):
                slot = int(rnd() * number)
                key = keys[slot]
                found[key] = self.value(slot, now), lasts[slot], key
        ranked = sorted(found.values(), key=_VALUE, reverse=True)
        self._best = ranked[-_KEPT:]
        self._left = _ROUND
