"""Segmented LRU, exact: the rule that the guard measures heat against."""

from __future__ import annotations

from collections import OrderedDict

from ziggurat.policy.history import LEVELS

__all__ = ["Segments"]


class Segments:
    """A cache of keys and sizes: the lowest level of use goes first, and of one level the oldest access.

    It keeps no history: its owner knows how often a block was asked for (`ziggurat.policy.history.level_of`).

    Args:
        capacity: Bytes that fit.

    Attributes:
        capacity: Bytes that fit; `shrink` after lowering it.
        bytes: Bytes resident.
    """

    __slots__ = ("_segments", "_where", "bytes", "capacity")

    def __init__(self, capacity: int) -> None:
        self.capacity, self.bytes = capacity, 0
        self._segments: tuple[OrderedDict[int, int], ...] = tuple(OrderedDict() for _ in range(LEVELS))
        self._where: dict[int, OrderedDict[int, int]] = {}

    def __len__(self) -> int:
        return len(self._where)

    def access(self, key: int, size: int, level: int) -> bool:
        """Ask for a block, which is resident afterwards if it fits.

        Args:
            key: Its key.
            size: Its bytes.
            level: Of its use, this time counted.

        Returns:
            True if it was a hit.
        """
        segment = self._where.pop(key, None)
        hit = segment is not None
        if segment is not None:
            self.bytes -= segment.pop(key)
        if size <= self.capacity:
            self.bytes += size
            self.shrink()
            segment = self._segments[level]
            segment[key] = size
            self._where[key] = segment
        return hit

    def shrink(self) -> None:
        """Let go what is over the capacity."""
        while self.bytes > self.capacity:
            segment = next(filter(None, self._segments))
            key, size = segment.popitem(last=False)
            del self._where[key]
            self.bytes -= size

    def keep(self, mask: int) -> None:
        """Drop the keys that have a bit of `mask`."""
        for key in [key for key in self._where if key & mask]:
            self.bytes -= self._where.pop(key).pop(key)
