"""What is known of the accesses of one block, and the class that it falls in.

An access count, and a running mean of log2 of the gaps between accesses. The catalog keeps both as numbers in
a row; an index packs them into one small integer, the *state*: four bits of the count, which stops at 9, and
above them the mean in sixteenths of an octave.
"""

from __future__ import annotations

__all__ = [
    "CELLS", "CLASSES", "GAPS", "LEVELS", "NEW", "OCTAVES", "STATE", "STATE_BITS", "WIDTH",
    "class_of", "gap_after", "level_of", "state_after",
]  # fmt: skip

OCTAVES = 40
"""Octaves of age that are told apart; the last one holds all that is older."""

_COUNTS = 5  # classes of access counts: 1, 2, 3-4, 5-8, 9 and more

GAPS = 8
"""Classes of gaps; 0 holds those with none yet."""

WIDTH = 4
"""Octaves of one class of gaps."""

CLASSES = _COUNTS * GAPS
"""Classes of blocks."""

STATE_BITS = 14
"""Bits of a state. An *entry* is the time of the last access, shifted by so many, and the state."""

STATE = (1 << STATE_BITS) - 1
"""Mask of the state in an entry."""

NEW = 1
"""State of a block that was asked for once."""

_MOST = 9  # a count that is not told from higher ones
_BY_COUNT = [n * GAPS for n in (0, 0, 1, 2, 2, 3, 3, 3, 3, 4)]
_BY_OCTAVE = [min(1 + octave // WIDTH, GAPS - 1) for octave in range(OCTAVES + 2)]


def class_of(count: int, gap: float) -> int:
    """The class of a block that was asked for `count` times with a mean gap of `gap` octaves."""
    if count < 2:
        return 0
    octave = int(gap) if 0 <= gap < OCTAVES else OCTAVES - 1  # another policy may have left its own number
    return _BY_COUNT[count if count < _MOST else _MOST] + _BY_OCTAVE[octave]


def gap_after(count: int, gap: float, octave: int) -> float:
    """The running mean of log2 of the gaps after one more.

    Args:
        count: Accesses before.
        gap: The mean before, which counts from the second access on.
        octave: Bit length of the new gap.
    """
    latest = octave - 1 if octave else 0
    return latest if count < 2 else (gap + latest) * 0.5


def state_after(state: int, octave: int) -> int:
    """The state after one more access, whose gap had this bit length."""
    count, latest = state & 15, (octave - 1 << 4 if octave else 0)
    if count < 2:
        return latest << 4 | 2
    return ((state >> 4) + latest >> 1) << 4 | (count + 1 if count < _MOST else _MOST)


_USES = [min(state & 15, _MOST) for state in range(1 << STATE_BITS)]

CELLS = [class_of(uses, min((state >> 4) / 16, OCTAVES)) * OCTAVES for state, uses in enumerate(_USES)]
"""Where the class of each state begins in a table of `OCTAVES` cells for each class."""

LEVELS = 4
"""Levels of use that segmented LRU tells apart."""


def level_of(cell: int) -> int:
    """The level of the class that begins at a cell: 0 after one access, 1 after two, 2 up to four, else 3."""
    return min(cell // (GAPS * OCTAVES), LEVELS - 1)
