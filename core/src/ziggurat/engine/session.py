"""The state of one read: what is known of the blob, what came early, and where the bytes go."""

from __future__ import annotations

import threading
from typing import TypeAlias

import cachetools
from attrs import define, field

from ziggurat.content import Cid, Node
from ziggurat.content.layout import Layout

__all__ = ["Buffer", "Layouts", "Session", "Target", "Value"]

Buffer: TypeAlias = bytes | bytearray | memoryview
Value: TypeAlias = Buffer | Node
"""What a wanted block turns out to be: plain bytes of a leaf, or a node."""

_LAYOUT_BYTES = 32 << 20


class Target:
    """The memory that a whole read fills: leaves are fetched and proved in place.

    Args:
        view: Room for the bytes of the read.
        start: Offset in the blob of its first byte.
    """

    __slots__ = ("_placed", "_start", "_view")

    def __init__(self, view: memoryview, start: int) -> None:
        self._view, self._start = view, start
        self._placed: set[int] = set()

    def slot(self, offset: int, size: int) -> memoryview | None:
        """The place of `size` bytes at `offset` of the blob, None unless all of it is inside."""
        first = offset - self._start
        if first < 0 or first + size > len(self._view):
            return None
        return self._view[first : first + size]

    def placed(self, offset: int) -> None:
        """Note that the leaf at `offset` is proved and in its place."""
        self._placed.add(offset)

    def accept(self, offset: int, data: Buffer) -> None:
        """Copy bytes to their place, unless they were proved there; said once of each leaf."""
        if offset in self._placed:
            self._placed.discard(offset)
        else:
            first = offset - self._start
            self._view[first : first + len(data)] = data


@define(eq=False)
class Session:
    """One read of one blob.

    Attributes:
        layout: What is known of its tree; shared with other readers.
        start, stop: The plain bytes that are wanted; `stop` None for "to the end".
        target: Where they go, None for a stream.
        early: Proved blocks that a DAG stream brought before they were wanted.
        streamed: Dag tiers whose stream was taken, so that the rest is asked block by block.
        encoded: Blocks are wanted as they are, so a dag-pb leaf whose block is at hand is given as its node.
    """

    layout: Layout
    start: int = 0
    stop: int | None = None
    target: Target | None = None
    early: dict[Cid, bytes] = field(factory=dict)
    streamed: set[str] = field(factory=set)
    encoded: bool = False

    @property
    def root(self) -> Cid:
        """The blob."""
        return self.layout.root

    @property
    def whole(self) -> bool:
        """True if nothing was said about a range."""
        return self.start == 0 and self.stop is None


class Layouts:
    """Layouts of blobs that were read lately, by root; bounded by the bytes of their nodes."""

    def __init__(self, limit: int = _LAYOUT_BYTES) -> None:
        self._lock = threading.Lock()
        self._known: cachetools.LRUCache[Cid, Layout] = cachetools.LRUCache(limit, getsizeof=_weight)

    def of(self, root: Cid) -> Layout:
        """The layout that is known, or a new one."""
        with self._lock:
            known = self._known.get(root)
        return known if known is not None else Layout(root)

    def keep(self, layout: Layout, *, replace: bool = False) -> None:
        """Remember a complete layout; one that is too large is not kept.

        Args:
            layout: What is known.
            replace: It is better than what may be known.
        """
        if layout.complete and layout.nodes:
            with self._lock:
                if replace:
                    self._known.pop(layout.root, None)
                if layout.root not in self._known and _weight(layout) <= self._known.maxsize:
                    self._known[layout.root] = layout

    def forget(self, root: Cid) -> None:
        """Drop what is known, after it proved wrong."""
        with self._lock:
            self._known.pop(root, None)


def _weight(layout: Layout) -> int:
    return layout.weight * 6  # parsed links take about six times their encoded size
