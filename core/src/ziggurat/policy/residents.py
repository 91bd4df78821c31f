"""Residents of one cache in columns, and what is learned from how they wait."""

from __future__ import annotations

import random
from array import array
from typing import Generic, TypeVar

from ziggurat.policy.ghosts import Ghosts
from ziggurat.policy.hazards import Hazards
from ziggurat.policy.history import CELLS, NEW, STATE, STATE_BITS, level_of, state_after
from ziggurat.policy.order import Order, Rule, factor

__all__ = ["Residents"]

K = TypeVar("K", str, int)

_FREE = -1  # the entry of a slot where nobody is
_EVERY = 8  # admissions from one look at what waits to the next, and who is looked at
_DRAWN = 1_024  # random numbers made at once


class Residents(Generic[K]):
    """Who is resident, with what a decision needs: about 65 bytes each besides the dictionary.

    A block keeps its slot as long as it is resident; a slot that became free is taken by the next one. What
    an entry is: `ziggurat.policy.history`.

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
        "_drawn", "_exposed", "_free", "_keys", "_misses", "_order", "_quiet", "_rng", "_turns", "bytes",
        "capacity", "entries", "ghosts", "hashes", "hazards", "learn", "quiet", "sizes", "slots",
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
        self.bytes = self.quiet = 0
        self.slots: dict[K, int] = {}
        self._keys: list[K] = []
        self.hashes, self.sizes, self.entries = array("q"), array("q"), array("q")
        self._free = array("q")
        self.ghosts = Ghosts()
        self._order = Order(self.entries, hazards, misses)
        self._drawn: list[int] = []
        self._exposed = self._turns = 0

    @property
    def rule(self) -> Rule:
        """Who goes first."""
        return self._order.rule

    @rule.setter
    def rule(self, rule: Rule) -> None:
        self._order.rule = rule

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
        self.entries[slot] = entry = now << STATE_BITS | state_after(state, octave)
        self._order.add(slot, entry, self.sizes[slot])

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
        room = self.capacity - size
        victims = self._make_room(room, now) if self.bytes > room else []
        entry = now << STATE_BITS | state
        if self._free:
            slot = self._free.pop()
            self._keys[slot], self.hashes[slot], self.sizes[slot] = key, hashed, size
            self.entries[slot] = entry
        else:
            slot = len(self._keys)
            self._keys.append(key)
            self.hashes.append(hashed)
            self.sizes.append(size)
            self.entries.append(entry)
        self.slots[key] = slot
        self.bytes += size
        self.quiet = int(self._quiet * len(self.slots))
        self._order.add(slot, entry, size)
        return victims

    def remove(self, slot: int) -> None:
        """Make a block not resident and remember it."""
        del self.slots[self._keys[slot]]
        self.bytes -= self.sizes[slot]
        self.ghosts.put(self.hashes[slot], self.entries[slot], len(self.slots))
        self.entries[slot] = _FREE
        self._free.append(slot)

    def shrink(self, now: int) -> None:
        """Let go what is over the capacity, which was lowered."""
        self._make_room(self.capacity, now)

    def _make_room(self, room: int, now: int) -> list[K]:
        """Let residents go until they have no more than so many bytes: who went."""
        victims = []
        while self.bytes > room:
            slot = self._order.next(len(self.slots), self.bytes, now)
            victims.append(self._keys[slot])
            self.remove(slot)
        return victims

    def expose(self, now: int) -> None:
        """Learn from what waits, at every eighth call: some residents and ghosts at random stand for all.

        Args:
            now: The time.
        """
        self._turns += 1
        if self._turns < _EVERY:
            return
        time, risks, cells = now - self._exposed, self.hazards.risks, CELLS
        self._turns, self._exposed = 0, now
        for entries, number in ((self.entries, len(self.slots)), (self.ghosts.entries, self.ghosts.number)):
            among = len(entries)
            seen = [
                cells[entry & STATE] + (now - (entry >> STATE_BITS)).bit_length()
                for drawn in self._random(_EVERY)
                if number and (entry := entries[drawn * among >> 32]) >= 0
            ]
            if seen:
                weight = time * number / len(seen)
                for cell in seen:
                    risks[cell] += weight

    def cell(self, slot: int) -> int:
        """The first cell of a resident's class in the tables."""
        return CELLS[self.entries[slot] & STATE]

    def level(self, slot: int) -> int:
        """The level of a resident's use."""
        return level_of(self.cell(slot))

    def last(self, slot: int) -> int:
        """When a resident was accessed last."""
        return self.entries[slot] >> STATE_BITS

    def value(self, slot: int, now: int) -> float:
        """What a resident is worth; the lowest goes first."""
        if self.rule == "slru":
            return self.last(slot) + self.level(slot) * float(now + 1)
        value = self.hazards.values[self.cell(slot) + (now - self.last(slot)).bit_length()]
        return value * factor(self._misses, self.sizes[slot], self.bytes / len(self.slots))

    def _random(self, number: int) -> list[int]:
        """So many random numbers of 32 bits: made by the thousand, they cost a tenth."""
        drawn = self._drawn
        if len(drawn) < number:
            drawn += array("I", self._rng.randbytes(4 * _DRAWN))
        taken = drawn[-number:]
        del drawn[-number:]
        return taken
