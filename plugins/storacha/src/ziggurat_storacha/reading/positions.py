"""What is known of where blocks lie: indexes that were read or made, the latest used kept."""

from __future__ import annotations

import threading
from collections import OrderedDict

from ziggurat.content import Cid
from ziggurat_storacha.uploads.index import Index, Position

__all__ = ["Positions"]


class Positions:
    """Indexes by the multihash of their blob. Safe to use from several threads.

    Args:
        most: Blocks that are remembered in all; the index that came last is kept whatever it holds.
    """

    def __init__(self, most: int = 300_000) -> None:
        self._most, self._count = most, 0
        self._lock = threading.Lock()
        self._held: OrderedDict[bytes, Index] = OrderedDict()

    def add(self, name: bytes, index: Index) -> None:
        """Remember an index."""
        with self._lock:
            self._drop(name)
            self._held[name] = index
            self._count += len(index.positions)
            while self._count > self._most and len(self._held) > 1:
                self._drop(next(iter(self._held)))

    def index(self, name: bytes) -> Index | None:
        """An index, None if it is not remembered."""
        with self._lock:
            found = self._held.get(name)
            if found is not None:
                self._held.move_to_end(name)
            return found

    def of(self, digest: bytes) -> Position | None:
        """Where a block lies, None if no index that is remembered says so; the latest used is asked first."""
        with self._lock:
            for name in reversed(self._held):
                found = self._held[name].positions.get(digest)
                if found is not None:
                    self._held.move_to_end(name)
                    return found
        return None

    def forget(self, root: Cid) -> None:
        """Forget the indexes of an upload."""
        with self._lock:
            for name in [name for name, index in self._held.items() if index.content == root]:
                self._drop(name)

    def _drop(self, name: bytes) -> None:
        gone = self._held.pop(name, None)
        if gone is not None:
            self._count -= len(gone.positions)
