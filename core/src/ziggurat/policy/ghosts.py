"""What is remembered of blocks that are gone: 21 bytes each, in a table of eight to a bucket."""

from __future__ import annotations

from array import array

__all__ = ["GHOSTS", "Ghosts"]

GHOSTS = 4
"""Ghosts for each resident."""

_WAYS = 8
_LEAST = 64
_SPARE = 1.25  # buckets fill unevenly: room for a quarter more, so that about GHOSTS stay


class Ghosts:
    """History of blocks that are not resident, by the hash of their key.

    A full bucket forgets the one whose last access is the oldest, so that the table as a whole forgets
    roughly in order. It is bounded by the number of residents, and grows and shrinks with it.

    Attributes:
        number: How many are remembered.
        counts: Accesses, by slot of the table.
        gaps: Mean of log2 of the gaps, by slot.
        lasts: Last access, by slot; -1 in a free one.
    """

    __slots__ = ("_buckets", "_hashes", "counts", "gaps", "lasts", "number")

    def __init__(self) -> None:
        self._clear(_LEAST // _WAYS)

    def _clear(self, buckets: int) -> None:
        slots = buckets * _WAYS
        self._buckets, self.number = buckets, 0
        self._hashes = array("q", bytes(8 * slots))
        self.lasts = array("q", [-1]) * slots  # -1: free
        self.counts = array("B", bytes(slots))
        self.gaps = array("f", bytes(4 * slots))

    @property
    def nbytes(self) -> int:
        """Bytes of the table."""
        return len(self._hashes) * 21

    def put(self, hashed: int, count: int, gap: float, last: int, residents: int) -> None:
        """Remember one.

        Args:
            hashed: Hash of its key, 0 to 2^63.
            count: Accesses, at most 255.
            gap: Mean of log2 of its gaps.
            last: Its last access, not negative.
            residents: How many are resident now.
        """
        want = max(_LEAST, int(GHOSTS * _SPARE * residents))
        slots = len(self._hashes)
        if want > slots or slots > 2 * want + _LEAST:
            self._resize(want + want // 8)
        self._insert(hashed, count, gap, last)

    def _insert(self, hashed: int, count: int, gap: float, last: int) -> None:
        base = (hashed >> 20) % self._buckets * _WAYS
        lasts = self.lasts[base : base + _WAYS]
        oldest = min(lasts)
        slot = base + lasts.index(oldest)
        if oldest < 0:
            self.number += 1
        self._hashes[slot], self.lasts[slot], self.counts[slot], self.gaps[slot] = hashed, last, count, gap

    def take(self, hashed: int) -> tuple[int, float, int] | None:
        """Take one out: count, gap and last access, or None."""
        base = (hashed >> 20) % self._buckets * _WAYS
        bucket = self._hashes[base : base + _WAYS]
        if hashed not in bucket:
            return None
        slot = base + bucket.index(hashed)
        found = self.counts[slot], self.gaps[slot], self.lasts[slot]
        if found[2] < 0:
            return None
        # The others of the bucket may hold the same hash in a freed slot: 0 is no key's.
        self._hashes[slot], self.lasts[slot] = 0, -1
        self.number -= 1
        return found

    def keep(self, mask: int) -> None:
        """Forget all whose hash has a bit of `mask`."""
        for slot, hashed in enumerate(self._hashes):
            if hashed & mask and self.lasts[slot] >= 0:
                self._hashes[slot], self.lasts[slot] = 0, -1
                self.number -= 1

    def _resize(self, slots: int) -> None:
        rows = sorted(
            (last, hashed, count, gap)
            for last, hashed, count, gap in zip(self.lasts, self._hashes, self.counts, self.gaps, strict=True)
            if last >= 0
        )
        self._clear(-(-slots // _WAYS))
        for last, hashed, count, gap in rows:
            self._insert(hashed, count, gap, last)
