"""What is remembered of blocks that are gone: 16 bytes each, in a table of eight to a bucket."""

from __future__ import annotations

from array import array

__all__ = ["Ghosts"]

_WAYS = 8
_LEAST = 64
_ROOM = 5  # slots for each resident: buckets fill unevenly, and about four stay
_FREE = -1


class Ghosts:
    """History of blocks that are not resident, by the hash of their key.

    A full bucket forgets the one whose last access is the oldest, so that the table as a whole forgets
    roughly in order. It is bounded by the number of residents, and grows and shrinks with it.

    Attributes:
        number: How many are remembered.
        entries: By slot of the table (what an entry is: `ziggurat.policy.history`); negative in a free one.
            The smallest of a bucket is free, or the oldest.
    """

    __slots__ = ("_buckets", "_fewest", "_hashes", "_most", "entries", "number")

    def __init__(self) -> None:
        self._clear(_LEAST // _WAYS)

    def _clear(self, buckets: int) -> None:
        self._buckets, self.number = buckets, 0
        slots = buckets * _WAYS
        self._fewest, self._most = (slots - 2 * _LEAST) // (3 * _ROOM), slots // _ROOM
        self._hashes = array("q", bytes(8 * slots))
        self.entries = array("q", [_FREE]) * slots

    @property
    def nbytes(self) -> int:
        """Bytes of the table."""
        return len(self._hashes) * 16

    def put(self, hashed: int, entry: int, residents: int) -> None:
        """Remember one.

        Args:
            hashed: Hash of its key, 1 to 2^63 - 1.
            entry: What is known of its accesses, not negative.
            residents: How many are resident now.
        """
        if not self._fewest <= residents <= self._most:
            self._resize(residents)
        entries = self.entries
        base = (hashed >> 20) % self._buckets * _WAYS
        bucket = entries[base : base + _WAYS]
        oldest = min(bucket)
        if oldest < 0:
            self.number += 1
        slot = base + bucket.index(oldest)
        self._hashes[slot], entries[slot] = hashed, entry

    def take(self, hashed: int) -> int:
        """Take one out: its entry, or a negative number if it is not remembered."""
        base = (hashed >> 20) % self._buckets * _WAYS
        bucket = self._hashes[base : base + _WAYS]
        if hashed not in bucket:
            return _FREE
        slot = base + bucket.index(hashed)
        entry = self.entries[slot]
        self._hashes[slot], self.entries[slot] = 0, _FREE  # 0 is no key's hash
        self.number -= 1
        return entry

    def keep(self, mask: int) -> None:
        """Forget all whose hash has a bit of `mask`."""
        for slot, hashed in enumerate(self._hashes):
            if hashed & mask:
                self._hashes[slot], self.entries[slot] = 0, _FREE
                self.number -= 1

    def _resize(self, residents: int) -> None:
        old = zip(self.entries, self._hashes, strict=True)
        want = max(_LEAST, _ROOM * residents)
        self._clear(-(-(want + want // 4) // _WAYS))
        hashes, entries = self._hashes, self.entries
        for entry, hashed in old:
            base = (hashed >> 20) % self._buckets * _WAYS
            bucket = entries[base : base + _WAYS]
            oldest = min(bucket)
            if entry > oldest:  # and so not free
                self.number += oldest < 0
                slot = base + bucket.index(oldest)
                hashes[slot], entries[slot] = hashed, entry
