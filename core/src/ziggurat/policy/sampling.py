"""Residents of one cache in columns, and the sampled choice of who goes."""

from __future__ import annotations

import random
from array import array
from operator import itemgetter
from typing import Generic, Literal, TypeVar

from ziggurat.policy.ghosts import Ghosts
from ziggurat.policy.hazards import Hazards
from ziggurat.policy.history import CELLS, NEW, STATE, STATE_BITS, USES, state_after

__all__ = ["Residents", "Rule"]

K = TypeVar("K", str, int)
Rule = Literal["heat", "slru"]

_SAMPLE = 16
_ROUND = 2  # victims of one sample
_KEPT = 8  # best of a sample that stand again in the next
_TRIES = 8  # to find a ghost in its table
_EVERY = 2  # admissions from one look at what waits to the next
_STEADY = 1e15  # more than any clock says: sorts by count first, then by last access
_SLRU = [min(uses, 4) * _STEADY for uses in USES]
_DRAWN = 1_024  # random numbers made at once
_VALUE = itemgetter(0)


class Residents(Generic[K]):
    """Who is resident, with what a decision needs: about 35 bytes each besides the dictionary.

    The victim is the worst of some residents drawn at random and of the best that were left from the draw
    before; two go for each draw. Its `rule` is `heat`, the lowest Gittins index, or `slru`, the fewest
    accesses up to four and among equals the oldest.

    Slots are dense, so that a random slot is a random resident. What an entry is: `ziggurat.policy.history`.

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
        "_best", "_drawn", "_exposed", "_left", "_misses", "_quiet", "_rng", "_rule", "_sample", "_turns",
        "bytes", "capacity", "entries", "ghosts", "hashes", "hazards", "keys", "learn", "quiet", "sizes",
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
        self._misses, self._quiet, self._rng = misses, quiet, rng
        self._sample = 2 * _SAMPLE if misses > 0 else _SAMPLE
        self._rule: Rule = "heat"
        self.bytes = self.quiet = 0
        self.slots: dict[K, int] = {}
        self.keys: list[K] = []
        self.hashes, self.sizes, self.entries = array("q"), array("q"), array("q")
        self.ghosts = Ghosts()
        self._best: list[tuple[float, int, int]] = []  # value, entry and slot; the worst is the last
        self._left = 0
        self._drawn: list[int] = []
        self._exposed = self._turns = 0

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
            if now - (self.entries[slot] >> STATE_BITS) >= self.quiet:
                self.touch(slot, now)
            return True
        if size <= self.capacity:
            self.admit(key, hashed, size, now)
        return False

    def touch(self, slot: int, now: int) -> None:
        """A reuse of a resident."""
        entry = self.entries[slot]
        state, octave = entry & STATE, (now - (entry >> STATE_BITS)).bit_length()
        if self.learn:
            self.hazards.reuses[CELLS[state] + octave] += 1.0
        self.entries[slot] = now << STATE_BITS | state_after(state, octave)

    def admit(self, key: K, hashed: int, size: int, now: int) -> list[K]:
        """Make a block resident that is not, and that fits.

        Returns:
            Who is not resident any more.
        """
        entry = self.ghosts.take(hashed)
        if entry < 0:
            state = NEW
        else:
            state, octave = entry & STATE, (now - (entry >> STATE_BITS)).bit_length()
            if self.learn:
                self.hazards.reuses[CELLS[state] + octave] += 1.0
            state = state_after(state, octave)
        victims: list[K] = []
        keys, room = self.keys, self.capacity - size
        while self.bytes > room:
            slot = self._victim(now)
            victims.append(keys[slot])
            if self.bytes - self.sizes[slot] > room:
                self.remove(slot)
                continue
            self._bury(slot)  # the last one: the new block takes its slot
            keys[slot], self.hashes[slot], self.sizes[slot] = key, hashed, size
            self.entries[slot] = now << STATE_BITS | state
            break
        else:
            slot = len(keys)
            keys.append(key)
            self.hashes.append(hashed)
            self.sizes.append(size)
            self.entries.append(now << STATE_BITS | state)
            self.quiet = int(self._quiet * len(keys))
        self.slots[key] = slot
        self.bytes += size
        return victims

    def remove(self, slot: int) -> None:
        """Make a block not resident and remember it; the last slot's block moves to its slot."""
        self._bury(slot)
        mover = self.keys.pop()
        hashed, size, entry = self.hashes.pop(), self.sizes.pop(), self.entries.pop()
        if slot < len(self.keys):
            self.keys[slot], self.hashes[slot], self.sizes[slot] = mover, hashed, size
            self.entries[slot] = entry
            self.slots[mover] = slot

    def _bury(self, slot: int) -> None:
        """Remember who is in a slot, and count it out."""
        del self.slots[self.keys[slot]]
        self.bytes -= self.sizes[slot]
        self.ghosts.put(self.hashes[slot], self.entries[slot], len(self.keys))

    def shrink(self, now: int) -> None:
        """Let go what is over the capacity, which was lowered."""
        while self.bytes > self.capacity:
            self.remove(self._victim(now))

    def expose(self, now: int) -> None:
        """Learn from what waits, at every second call: two residents and two ghosts at random stand for all.

        Args:
            now: The time.
        """
        self._turns += 1
        if self._turns < _EVERY:
            return
        time, risks, entries = now - self._exposed, self.hazards.risks, self.entries
        self._turns, self._exposed = 0, now
        if number := len(entries):
            weight = time * number * 0.5
            for drawn in self._random(2):
                entry = entries[drawn * number >> 32]
                risks[CELLS[entry & STATE] + (now - (entry >> STATE_BITS)).bit_length()] += weight
        if gone := self.ghosts.number:
            weight, entries = time * gone * 0.5, self.ghosts.entries
            number = len(entries)
            for _ in range(2):
                for drawn in self._random(_TRIES):
                    if (entry := entries[drawn * number >> 32]) >= 0:
                        risks[CELLS[entry & STATE] + (now - (entry >> STATE_BITS)).bit_length()] += weight
                        break

    def cell(self, slot: int) -> int:
        """The first cell of a resident's class in the tables."""
        return CELLS[self.entries[slot] & STATE]

    def last(self, slot: int) -> int:
        """When a resident was accessed last."""
        return self.entries[slot] >> STATE_BITS

    def value(self, slot: int, now: int) -> float:
        """What a resident is worth; the lowest goes first."""
        state, last = self.entries[slot] & STATE, self.entries[slot] >> STATE_BITS
        if self._rule == "slru":
            return _SLRU[state] + last
        value = self.hazards.values[CELLS[state] + (now - last).bit_length()]
        if self._misses:
            mean = self.bytes / len(self.keys)
            value *= 1 - self._misses + self._misses * mean / max(1, self.sizes[slot])
        return value

    def _random(self, number: int) -> list[int]:
        """So many random numbers of 32 bits: made by the thousand, they cost a tenth."""
        drawn = self._drawn
        if len(drawn) < number:
            drawn += array("I", self._rng.randbytes(4 * _DRAWN))
        taken = drawn[-number:]
        del drawn[-number:]
        return taken

    def _victim(self, now: int) -> int:
        """The slot of who goes next."""
        entries = self.entries
        while True:
            best = self._best
            while self._left and best:
                self._left -= 1
                _, entry, slot = best.pop()
                if slot < len(entries) and entries[slot] == entry:
                    return slot
            self._draw(now)

    def _draw(self, now: int) -> None:
        """Rank some at random with the best left from before; these may have changed since."""
        entries = self.entries
        number = len(entries)
        slots = {drawn * number >> 32 for drawn in self._random(self._sample)}
        ranked = [
            known
            for known in self._best
            if (slot := known[2]) < number and entries[slot] == known[1] and slot not in slots
        ]
        if self._rule == "slru":
            steady = _SLRU
            ranked += [
                (steady[(entry := entries[slot]) & STATE] + (entry >> STATE_BITS), entry, slot)
                for slot in slots
            ]
        elif self._misses:
            ranked += [(self.value(slot, now), entries[slot], slot) for slot in slots]
        else:  # the common case, in line
            values, cells = self.hazards.values, CELLS
            ranked += [
                (
                    values[
                        cells[(entry := entries[slot]) & STATE] + (now - (entry >> STATE_BITS)).bit_length()
                    ],
                    entry,
                    slot,
                )
                for slot in slots
            ]
        ranked.sort(key=_VALUE, reverse=True)
        self._best = ranked[-_KEPT:]
        self._left = _ROUND
