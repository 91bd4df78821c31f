"""Who goes next: residents in queues, and the parts of all queues in the order of their worth."""

from __future__ import annotations

import heapq
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Literal

from ziggurat.policy.hazards import Hazards
from ziggurat.policy.history import CELLS, STATE, STATE_BITS, level_of

__all__ = ["Order", "Rule", "factor"]

Rule = Literal["heat", "slru"]

_PARTS = 16  # accesses by a sixteenth of the residents, and the order is made anew
_LEAST = 16
_SPARE = 64
_STALE = 1_024  # places of the past that no search for a victim minds


def factor(misses: float, size: float, mean: float) -> float:
    """How much more a block is worth for its size, when missed blocks count and not only missed bytes.

    Args:
        misses: Weight from 0 (fewer bytes are missed) to 1 (fewer blocks are).
        size: Of the block, in bytes.
        mean: Size of the residents.
    """
    return 1 - misses + misses * mean / max(1, size)


class _Queue:
    """Residents of one class: entries, which rise with the time of the last access, and their slots."""

    __slots__ = ("cell", "entries", "size", "slots")

    def __init__(self, cell: int, size: float) -> None:
        self.cell, self.size = cell, size
        self.entries, self.slots = array("q"), array("i")

    def tidy(self, known: Sequence[int]) -> int:
        """Forget those that stand elsewhere by now, or nowhere; how many stay."""
        places = dict.fromkeys(  # each once: while a clock stands, one place is taken again and again
            (entry, slot)
            for entry, slot in zip(self.entries, self.slots, strict=True)
            if known[slot] == entry
        )
        self.entries, self.slots = array("q", [e for e, _ in places]), array("i", [s for _, s in places])
        return len(places)


class Order:
    """Residents in the order in which they go.

    Each class of blocks has a queue, in the order of the last access; there those of one octave of age stand
    together, and they are worth the same. The order of these parts is made anew after accesses by a sixteenth
    of the residents. Who is asked for again gets a new place, at the end of a queue. Its old place, like that
    of one who left, is passed over when its turn comes, and all these are forgotten when they are more than
    the residents. So an access costs the same however many blocks are resident.

    When missed blocks count, not only missed bytes, each octave of sizes has queues of its own.

    Not for several threads: its owner locks.

    Args:
        entries: Of the residents, by slot, negative in a free one; see `ziggurat.policy.history`.
        hazards: The tables.
        misses: See `factor`.
    """

    __slots__ = (
        "_entries", "_hazards", "_made", "_misses", "_most", "_next", "_places", "_queues", "_rule",
    )  # fmt: skip

    def __init__(self, entries: Sequence[int], hazards: Hazards, misses: float) -> None:
        self._entries, self._hazards, self._misses = entries, hazards, misses
        self._queues: dict[tuple[int, int], _Queue] = {}
        self._next: Iterator[int] = iter(())
        self._places = self._made = 0
        self._most = _SPARE
        self._rule: Rule = "heat"

    @property
    def rule(self) -> Rule:
        """Who goes first: by `heat` the lowest Gittins index, by `slru` the lowest level, then the oldest."""
        return self._rule

    @rule.setter
    def rule(self, rule: Rule) -> None:
        if rule != self._rule:
            self._rule, self._next = rule, iter(())

    def add(self, slot: int, entry: int, size: int) -> None:
        """Place a resident that has this entry now, whose time is not before any other's."""
        kind = CELLS[entry & STATE], size.bit_length() if self._misses else 0
        queue = self._queues.get(kind)
        if queue is None:
            queue = self._queues[kind] = _Queue(kind[0], 0.75 * (1 << kind[1]))
        queue.entries.append(entry)
        queue.slots.append(slot)
        self._places += 1
        if self._places > self._most:
            self._tidy()

    def next(self, residents: int, held: int, now: int) -> int:
        """The slot of who goes next.

        Args:
            residents: How many there are, one at least.
            held: Their bytes.
            now: The time.
        """
        slot = None
        if self._places - self._made <= max(_LEAST, residents // _PARTS):
            slot = next(self._next, None)
        while slot is None:
            self._make(residents, held, now)
            slot = next(self._next, None)
        return slot

    def _make(self, residents: int, held: int, now: int) -> None:
        if self._places > 4 * residents + _STALE:
            self._tidy()  # many small ones made room for a few large ones
        self._made = self._places
        self._next = self._by_heat(held / residents, now) if self._rule == "heat" else self._by_slru()

    def _tidy(self) -> None:
        self._places = 0
        for kind, queue in list(self._queues.items()):
            stay = queue.tidy(self._entries)
            self._places += stay
            if not stay:
                del self._queues[kind]
        self._most = 2 * self._places + _SPARE
        self._next = iter(())  # it knew the places by number

    def _by_heat(self, mean: float, now: int) -> Iterator[int]:
        values, misses, known = self._hazards.values, self._misses, self._entries
        parts: list[tuple[float, int, int, int]] = []
        queues = list(self._queues.values())
        for number, queue in enumerate(queues):
            entries, cell, start = queue.entries, queue.cell, 0
            end = len(entries)
            weight = factor(misses, queue.size, mean) if misses else 1.0
            while start < end:
                octave = (now - (entries[start] >> STATE_BITS)).bit_length()
                younger = (
                    now + 1 - (1 << octave >> 1)
                )  # the first time that is in no octave as old as this one
                stop = bisect_left(entries, younger << STATE_BITS, start + 1, end)
                parts.append((values[cell + octave] * weight, number, start, stop))
                start = stop
        parts.sort()
        for _, number, start, stop in parts:
            entries, slots = queues[number].entries, queues[number].slots
            for at in range(start, stop):
                if known[slots[at]] == entries[at]:
                    yield slots[at]

    def _by_slru(self) -> Iterator[int]:
        known = self._entries
        levels: dict[int, list[_Queue]] = {}
        for queue in self._queues.values():
            levels.setdefault(level_of(queue.cell), []).append(queue)
        for _, queues in sorted(levels.items()):
            for entry, slot in heapq.merge(*(zip(queue.entries, queue.slots) for queue in queues)):  # noqa: B905 - they grow
                if known[slot] == entry:
                    yield slot
