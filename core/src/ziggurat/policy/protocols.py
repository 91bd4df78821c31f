"""What a cache policy is: an `Index` for a cache in the process, a `Ranker` for one that outlives it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

__all__ = ["Index", "Ranker", "Row"]


class Row(Protocol):
    """What a policy knows of a block, or later of a copy; the catalog's rows have this shape."""

    @property
    def key(self) -> str:
        """Its key."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def last(self) -> float:
        """Last access, seconds since the epoch."""

    @property
    def count(self) -> int:
        """Accesses known."""


R = TypeVar("R", bound=Row)


class Index(Protocol):
    """What is resident in one volatile cache, and who goes when room is needed.

    An index holds keys and sizes, never bytes. Its methods may be called from any thread; the numbers are
    exact at each return. The order "evict the victims' bytes, then put the new ones" is the caller's: it
    holds one lock per cache around `admit`, the evictions and the put (or the `drop` after a failed put), and
    around a `drop` with its eviction. Then a victim cannot be admitted again before its bytes are gone, and
    the cache never holds more than its capacity.
    """

    @property
    def hit(self) -> Callable[[str], object]:
        """Called with the key at every hit: a bound callable to keep, without a lock.

        A key that is not resident is ignored. Hits may be applied late, and some forgotten.
        """

    @property
    def capacity(self) -> int:
        """Bytes that fit."""

    @property
    def bytes(self) -> int:
        """Bytes resident, never more than `capacity`."""

    def admit(self, key: str, size: int) -> tuple[str, ...] | None:
        """Make a block resident.

        A block that is resident with the same size counts as hit. One that is resident with another
        size is its own first victim.

        Args:
            key: The block's key.
            size: Its bytes.

        Returns:
            The keys that are no longer resident, whose bytes go before the new ones come; or None, with
            nothing changed, if the block is larger than the cache or the policy lets it pass by.
        """

    def drop(self, key: str) -> bool:
        """Make a block not resident; its history may be kept.

        Returns:
            True if it was resident.
        """

    def __len__(self) -> int: ...

    def __contains__(self, key: object) -> bool: ...


class Ranker(Protocol):
    """Orders a random sample of what a persistent cache holds."""

    def rank(self, rows: Sequence[R], now: float) -> Sequence[R]:
        """Order rows, the first to go first.

        Args:
            rows: A sample; not to be changed.
            now: Seconds since the epoch.

        Returns:
            The same rows, or fewer to spare the rest.
        """
