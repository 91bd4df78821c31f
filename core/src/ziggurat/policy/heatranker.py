"""Heat for a cache whose rows are in the catalog: the clock is the wall's, in milliseconds."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence

import mmh3

from ziggurat.policy.guard import Guard
from ziggurat.policy.hazards import Hazards
from ziggurat.policy.history import OCTAVES, gap_after, level_of
from ziggurat.policy.order import factor
from ziggurat.policy.protocols import Forecast, R, Row

__all__ = ["HeatRanker", "hash_of"]

_HALVE = 20_000
_END = (1 << (OCTAVES - 1)) - 1  # ms, 17 years: where the clock of the shadows stops
_MEAN = 0.02  # weight of a new sample in the running mean of sizes
_RESIZE = 0.1


def hash_of(key: str) -> int:
    """Hash of a key, the same in every process: 1 to 2^62."""
    return mmh3.hash64(key, 0, signed=False)[0] >> 2 or 1


class HeatRanker:
    """Ranks rows by what is learned of reuse.

    Processes that share a cache each learn from what they see, and join it by `exchange`. Its methods may be
    called from any thread.

    Args:
        misses: Weight from 0 (fewer bytes are missed) to 1 (fewer blocks are).
        guard: Whether a simple rule decides while too little is learned.
        rng: For samples.
        state: What `exchange` returned once.
    """

    __slots__ = (
        "_accesses", "_entries", "_exposed", "_guard", "_guarded", "_hazards", "_lock", "_mean", "_misses",
        "_next_fit", "_next_halving", "_now", "_remembered", "_rng", "_start",
    )  # fmt: skip

    def __init__(self, misses: float, guard: bool, rng: random.Random, state: bytes | None = None) -> None:
        self._misses, self._guarded, self._rng = misses, guard, rng
        self._lock = threading.Lock()
        self._hazards = Hazards(b"m", state)
        self._guard: Guard | None = None
        self._start: float | None = None
        self._exposed = 0.0
        self._mean = 0.0
        self._accesses = self._now = self._entries = self._remembered = 0
        self._next_fit, self._next_halving = 64, _HALVE

    @property
    def rule(self) -> str:
        """Which rule decides now: `heat`, or `slru` when the guard found it clearly better.

        Heat begins, other than in an index: rows count every access of a burst, which SLRU takes for use.
        """
        return self._guard.rule if self._guard else "heat"

    def seen(self, row: Row, now: float) -> float:
        """See `Observer.seen`."""
        with self._lock:
            self._accesses += 1
            self._hazards.step()
            octave = _octave(row, now)
            gap = gap_after(row.count, row.gap, octave) if row.count else 0.0
            guard = self._guard
            if guard is not None and not (hashed := hash_of(row.key)) & guard.mask:
                level = level_of(self._hazards.row(row.count + 1, gap))
                guard.access(hashed, row.size, level, self._tick(now))
            if row.count:
                self._hazards.reuses[self._hazards.row(row.count, row.gap) + octave] += 1.0
            return gap

    def watch(
        self, residents: Sequence[Row], entries: int, ghosts: Sequence[Row], gone: int, now: float
    ) -> None:
        """See `Observer.watch`."""
        with self._lock:
            if self._start is None:
                self._start = self._exposed = now
            time = max(0.0, (now - self._exposed) * 1000)
            self._exposed = now
            hazards = self._hazards
            for rows, number in ((residents, entries), (ghosts, gone)):
                if rows:
                    weight = time * number / len(rows)
                    for row in rows:
                        hazards.risks[hazards.row(row.count, row.gap) + _octave(row, now)] += weight
            self._entries, self._remembered = entries, gone
            if residents:
                self._size(residents, entries, now)
            self._refresh()

    def rank(self, rows: Sequence[R], now: float) -> Sequence[R]:
        """See `Ranker.rank`."""
        with self._lock:
            mean = sum(row.size for row in rows) / max(1, len(rows))
            return sorted(rows, key=lambda row: self._value(row, now, mean))

    def forecast(self, row: Row, now: float) -> Forecast:
        """See `Ranker.forecast`; the value is per millisecond while heat decides."""
        with self._lock:
            age = max(0, int((now - row.last) * 1000))
            next_use = self._hazards.next_use(self._hazards.row(row.count, row.gap), age)
            value = self._value(row, now, self._mean or row.size)
            return Forecast(value, None if next_use is None else next_use / 1000, "seconds")

    def exchange(self, kept: bytes | None) -> bytes:
        """See `Learner.exchange`."""
        with self._lock:
            return self._hazards.exchange(kept)

    def _value(self, row: Row, now: float, mean: float) -> float:
        cell = self._hazards.row(row.count, row.gap)
        if self.rule == "slru":
            return row.last + level_of(cell) * 1e12  # by level first: more than any time in seconds
        value = self._hazards.values[cell + _octave(row, now)]
        return value * factor(self._misses, row.size, mean)

    def _size(self, residents: Sequence[Row], entries: int, now: float) -> None:
        """Keep the guard's size in step with the cache's: entries times their mean size."""
        mean = sum(row.size for row in residents) / len(residents)
        self._mean = mean if not self._mean else self._mean + _MEAN * (mean - self._mean)
        if not self._guarded:
            return
        capacity = max(1, int(entries * self._mean))
        if self._guard is None:
            self._guard = Guard(capacity, self._hazards, self._rng, self._misses, 0.0, "heat")
        elif abs(capacity - self._guard.capacity) > _RESIZE * self._guard.capacity:
            self._guard.resize(capacity, self._tick(now))

    def _refresh(self) -> None:
        if self._accesses >= self._next_fit:
            self._hazards.start()
            pause = max(1024, self._entries // 10)
            self._next_fit = self._accesses + max(256, min(pause, self._accesses // 4))
        if self._accesses >= self._next_halving:
            self._hazards.halve()
            self._next_halving = self._accesses + max(_HALVE, 8 * (self._entries + self._remembered))

    def _tick(self, now: float) -> int:
        """Milliseconds on a clock that never goes back, for the shadows."""
        start = now if self._start is None else self._start
        self._now = max(self._now, min(int((now - start) * 1000), _END))
        return self._now


def _octave(row: Row, now: float) -> int:
    age = max(0, int((now - row.last) * 1000))
    return min(age.bit_length(), OCTAVES - 1)
