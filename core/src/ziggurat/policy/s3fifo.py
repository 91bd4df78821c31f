"""S3-FIFO by bytes: three queues, and only what is asked for again leaves the small one for the main one.

J. Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023, with queues measured in bytes.
"""

from __future__ import annotations

import random
import threading
from collections import OrderedDict, deque
from collections.abc import Callable

from attrs import field, frozen, validators

from ziggurat.policy.protocols import Index, PolicyType

__all__ = ["S3FifoIndex", "S3FifoParameters", "make_index", "policy"]

_HITS = 16_384
_GHOSTS, _GHOSTS_AT_LEAST = 16, 256
_USES = 3  # a counter of two bits


@frozen
class S3FifoParameters:
    """The shares of the queues.

    Attributes:
        small: Share of the capacity for blocks that are new.
        uses: Hits in the small queue that a block needs to enter the main one.
        ghosts: Bytes of blocks remembered after the small queue, as a share of the capacity.
    """

    small: float = field(
        default=0.1,
        validator=[validators.instance_of((int, float)), validators.gt(0), validators.lt(1)],
        metadata={"help": "share of the capacity for blocks that are new"},
    )
    uses: int = field(
        default=2,
        validator=[validators.instance_of(int), validators.ge(1), validators.le(_USES)],
        metadata={"help": "hits that a new block needs to stay, 1 to 3"},
    )
    ghosts: float = field(
        default=0.9,
        validator=[validators.instance_of((int, float)), validators.gt(0), validators.le(4)],
        metadata={"help": "bytes of gone blocks that are remembered, as a share of the capacity"},
    )


class S3FifoIndex:
    """Three queues, exact by bytes.

    A hit is one `deque.append`, counted at the next admission; only the last 16,384 hits are remembered
    until then.

    Args:
        capacity: Bytes that fit.
        parameters: The shares of the queues.

    Attributes:
        hit: Called with the key at every hit.
    """

    __slots__ = (
        "_capacity", "_ghost_bytes", "_ghost_limit", "_ghosts", "_hits", "_lock", "_main", "_main_bytes",
        "_small", "_small_bytes", "_small_limit", "_threshold", "_uses", "hit",
    )  # fmt: skip

    def __init__(self, capacity: int, parameters: S3FifoParameters) -> None:
        self._capacity = capacity
        self._small_limit = int(capacity * parameters.small)
        self._ghost_limit = int(capacity * parameters.ghosts)
        self._threshold = parameters.uses
        self._lock = threading.Lock()
        self._small: OrderedDict[str, int] = OrderedDict()  # oldest first, like all three
        self._main: OrderedDict[str, int] = OrderedDict()
        self._ghosts: OrderedDict[str, int] = OrderedDict()
        self._small_bytes = self._main_bytes = self._ghost_bytes = 0
        self._uses: dict[str, int] = {}  # hits, of those that have any
        self._hits: deque[str] = deque(maxlen=_HITS)
        self.hit: Callable[[str], object] = self._hits.append

    @property
    def capacity(self) -> int:
        """Bytes that fit."""
        return self._capacity

    @property
    def bytes(self) -> int:
        """Bytes resident."""
        return self._small_bytes + self._main_bytes

    @property
    def ghosts(self) -> int:
        """Blocks remembered."""
        return len(self._ghosts)

    def admit(self, key: str, size: int) -> tuple[str, ...] | None:
        """See `Index.admit`."""
        if size > self._capacity:
            return None
        with self._lock:
            self._apply()
            victims: list[str] = []
            old = self._small.get(key, self._main.get(key))
            if old is not None:
                if old == size:
                    self._count(key)
                    return ()
                self._remove(key)
                victims.append(key)
            ghost = self._ghosts.pop(key, None)
            self._ghost_bytes -= ghost or 0
            while self._small_bytes + self._main_bytes + size > self._capacity:
                # A small queue within its limit gives way too when the main one is empty.
                if self._small and (self._small_bytes > self._small_limit or not self._main):
                    self._leave_small(victims)
                else:
                    self._leave_main(victims)
            if old is not None or ghost is not None:
                self._main[key] = size
                self._main_bytes += size
            else:
                self._small[key] = size
                self._small_bytes += size
            return tuple(victims)

    def drop(self, key: str) -> bool:
        """See `Index.drop`; it keeps no history of what is dropped."""
        with self._lock:
            return self._remove(key)

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    def __contains__(self, key: object) -> bool:
        return key in self._small or key in self._main

    def _apply(self) -> None:
        hits = self._hits
        for _ in range(len(hits)):
            self._count(hits.popleft())

    def _count(self, key: str) -> None:
        if key in self._small or key in self._main:
            self._uses[key] = min(self._uses.get(key, 0) + 1, _USES)

    def _remove(self, key: str) -> bool:
        if (size := self._small.pop(key, None)) is not None:
            self._small_bytes -= size
        elif (size := self._main.pop(key, None)) is not None:
            self._main_bytes -= size
        else:
            return False
        self._uses.pop(key, None)
        return True

    def _leave_small(self, victims: list[str]) -> None:
        """The oldest new block: to the main queue, or out, remembered."""
        key, size = self._small.popitem(last=False)
        self._small_bytes -= size
        if self._uses.pop(key, 0) >= self._threshold:
            self._main[key] = size
            self._main_bytes += size
            return
        victims.append(key)
        if size:  # what took no bytes has no ghost: bytes would not bound their number
            self._ghosts[key] = size
            self._ghost_bytes += size
            # By number too: one large block may come for many small ones.
            most = _GHOSTS * (len(self._small) + len(self._main)) + _GHOSTS_AT_LEAST
            while self._ghost_bytes > self._ghost_limit or len(self._ghosts) > most:
                self._ghost_bytes -= self._ghosts.popitem(last=False)[1]

    def _leave_main(self, victims: list[str]) -> None:
        """The oldest of the main queue: around again with one use less, or out."""
        key, size = self._main.popitem(last=False)
        if uses := self._uses.pop(key, 0):
            self._main[key] = size
            if uses > 1:
                self._uses[key] = uses - 1
            return
        self._main_bytes -= size
        victims.append(key)


def make_index(
    capacity: int,
    parameters: S3FifoParameters,
    rng: random.Random | None = None,  # noqa: ARG001 - of `PolicyType`
    state: bytes | None = None,  # noqa: ARG001 - of `PolicyType`
) -> Index:
    """Make the index of a volatile cache.

    Args:
        capacity: Bytes that fit.
        parameters: The shares of the queues.
        rng: Not used.
        state: Not used.
    """
    return S3FifoIndex(capacity, parameters)


policy = PolicyType(
    "s3fifo", "three queues: only what is asked for again stays", S3FifoParameters, index=make_index
)
