"""What is learned of reuse: how likely a block is asked for again, by its history and its age.

A *class* of blocks has one range of access counts and one of usual gaps between accesses (a running mean of
their log2, in steps of four octaves). For each class and each octave of age since the last access the tables
keep the reuses seen and the time at risk. From these comes the hazard of reuse; from the hazard the worth of
a block, its Gittins index: the best ratio, over all horizons, of the chance of a reuse within the horizon
to the expected time until the reuse or the horizon. Evicting the lowest keeps the most reuses for the room
(J. Gittins, "Bandit Processes and Dynamic Allocation Indices", 1979).

Ages are whole units of any one clock: accesses to the cache, or milliseconds.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator

from ziggurat.policy.history import CLASSES, GAPS, OCTAVES, WIDTH, class_of

__all__ = ["Hazards"]

_CELLS = CLASSES * OCTAVES
_PRIOR = _PSEUDO = 4.0
_MAGIC = b"ZHZ1"
_TABLE = struct.Struct(f"<{_CELLS}f")


class Hazards:
    """The tables, and what follows from them.

    Attributes:
        reuses: Reuses seen, by cell; a cell is a row of `row` plus the octave (bit length) of the age.
        risks: Time at risk, by cell.
        values: Gittins index, by cell; written in place.
    """

    __slots__ = (
        "_clock",
        "_fitting",
        "_halvings",
        "_kept_reuses",
        "_kept_risks",
        "_rates",
        "reuses",
        "risks",
        "values",
    )

    def __init__(self, clock: bytes, state: bytes | None = None) -> None:
        self._clock = clock
        kept = self._decode(state)
        self.reuses, self.risks = kept or ([0.0] * _CELLS, [0.0] * _CELLS)
        self._kept_reuses, self._kept_risks, self._halvings = self.reuses[:], self.risks[:], 0
        self._rates = [1.0 / (1 << octave) for octave in range(OCTAVES)] * CLASSES
        self.values = self._rates[:]
        self._fitting: Iterator[None] | None = None
        if kept:
            self.fit()

    @staticmethod
    def row(count: int, gap: float) -> int:
        """First cell of the class of a block that was asked for `count` times with a mean gap of `gap`."""
        return class_of(count, gap) * OCTAVES

    def halve(self) -> None:
        """Forget half of all, so that what is new counts more."""
        for table in (self.reuses, self.risks, self._kept_reuses, self._kept_risks):
            table[:] = [x * 0.5 for x in table]
        self._halvings += 1

    def fit(self) -> None:
        """Work out the worth of every class anew."""
        self.start()
        while self.step():
            pass

    def start(self) -> None:
        """Begin a fit, which `step` goes on with."""
        self._fitting = self._fit()

    def step(self) -> bool:
        """Fit one class, if a fit is under way; False if none is."""
        if self._fitting is None:
            return False
        if next(self._fitting, self) is self:
            self._fitting = None
            return False
        return True

    def _fit(self) -> Iterator[None]:
        reuses, risks = self.reuses, self.risks
        oldest = OCTAVES - 1
        while oldest and not any(reuses[oldest::OCTAVES]) and not any(risks[oldest::OCTAVES]):
            oldest -= 1
        octaves = range(min(oldest + 2, OCTAVES))  # one more than was seen: ages grow until the next fit
        rows = [
            row
            for row in range(CLASSES)
            if any(reuses[row * OCTAVES : (row + 1) * OCTAVES])
            or any(risks[row * OCTAVES : (row + 1) * OCTAVES])
        ]
        prior = [0.5 / max(0.5, (1 << octave) / 2) for octave in octaves]
        rates = {row: [p * (row // GAPS + 1) for p in prior] for row in rows}
        # First by count and age, then by age relative to the gap: each group corrects what it shares.
        for by_gap in (False, True):
            seen: dict[int, float] = {}
            due: dict[int, float] = {}
            for row in rows:
                if by_gap and not row % GAPS:
                    continue
                first = -(row % GAPS) * WIDTH if by_gap else row // GAPS * OCTAVES
                cell = row * OCTAVES
                rate = rates[row]
                for octave in octaves:
                    group = first + octave
                    seen[group] = seen.get(group, _PRIOR) + reuses[cell + octave]
                    due[group] = due.get(group, _PRIOR) + risks[cell + octave] * rate[octave]
            for row in rows:
                if by_gap and not row % GAPS:
                    continue
                first = -(row % GAPS) * WIDTH if by_gap else row // GAPS * OCTAVES
                rate = rates[row]
                for octave in octaves:
                    rate[octave] *= seen[first + octave] / due[first + octave]
        yield
        for row in rows:
            cell = row * OCTAVES
            rate = [
                (reuses[cell + octave] + _PSEUDO) / (risks[cell + octave] + _PSEUDO / rates[row][octave])
                for octave in octaves
            ]
            self._rates[cell : cell + len(octaves)] = rate
            self.values[cell : cell + len(octaves)] = _gittins(rate)
            yield

    def next_use(self, row: int, age: int) -> float | None:
        """Time within which a block is as likely as not to be asked for again; None if practically never."""
        octave = min(age.bit_length(), OCTAVES - 1)
        alive, time, width = 1.0, 0.0, max(0, (1 << octave) - age)  # what is left of this octave
        for at in range(octave, OCTAVES):
            rate = self._rates[row + at]
            if alive * math.exp(-rate * width) <= 0.5:
                return time + math.log(2 * alive) / rate
            alive *= math.exp(-rate * width)
            time += width
            width = 1 << at
        return None

    # --- to keep and to share

    def exchange(self, kept: bytes | None) -> bytes:
        """See `Learner.exchange`."""
        share = 0.5**self._halvings
        reuses, risks = self._decode(kept) or ([0.0] * _CELLS, [0.0] * _CELLS)
        for mine, old, theirs in (
            (self.reuses, self._kept_reuses, reuses),
            (self.risks, self._kept_risks, risks),
        ):
            mine[:] = old[:] = [
                b * share + max(0.0, x - a) for x, a, b in zip(mine, old, theirs, strict=True)
            ]
        self._halvings = 0
        self.fit()
        return self._encode()

    def _encode(self) -> bytes:
        most = 3e38  # a float of four bytes
        raw = b"".join(_TABLE.pack(*(min(x, most) for x in table)) for table in (self.reuses, self.risks))
        return _MAGIC + self._clock + zlib.compress(raw)

    def _decode(self, state: bytes | None) -> tuple[list[float], list[float]] | None:
        """The tables, or None if these bytes are not such tables of the same clock."""
        head = _MAGIC + self._clock
        if not state or not state.startswith(head):
            return None
        unpacker = zlib.decompressobj()
        try:
            raw = unpacker.decompress(state[len(head) :], 2 * _TABLE.size)
        except zlib.error:
            return None
        if len(raw) != 2 * _TABLE.size:
            return None
        tables = [list(_TABLE.unpack_from(raw, at)) for at in (0, _TABLE.size)]
        if not all(math.isfinite(x) and x >= 0 for table in tables for x in table):
            return None
        return tables[0], tables[1]


def _gittins(rate: list[float]) -> list[float]:
    """Gittins index at the start of each octave of age, for constant hazards within each."""
    survive = [math.exp(-x * (1 << octave) / 2) for octave, x in enumerate(rate)]
    hold = [
        (1 - s) / x if s < 1 else (1 << octave) / 2  # so rare that one minus it is no number
        for octave, (s, x) in enumerate(zip(survive, rate, strict=True))
    ]
    # From the oldest to the youngest: an octave joins the horizon after it while that makes the ratio better.
    values = [0.0] * len(rate)
    blocks: list[tuple[float, float, float, float]] = []
    for octave in range(len(rate) - 1, -1, -1):
        left = survive[octave]
        chance, time = 1 - left, hold[octave]
        ratio = chance / time
        while blocks and blocks[-1][0] > ratio:
            _, more, longer, rest = blocks.pop()
            chance += left * more
            time += left * longer
            left *= rest
            ratio = chance / time
        blocks.append((ratio, chance, time, left))
        values[octave] = ratio
    return values
