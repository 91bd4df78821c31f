"""What a cache policy is: an `Index` for a cache in the process, a `Ranker` for one that outlives it.

A policy decides and does nothing else: no I/O, no clock of its own, no randomness but what it is given. A
distribution offers policies as `PolicyType` records, each an entry point of the group ``ziggurat.policies``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from attrs import frozen

__all__ = [
    "POLICIES",
    "STATE_LIMIT",
    "Forecast",
    "Forecaster",
    "Index",
    "Learner",
    "Observer",
    "PolicyType",
    "Ranker",
    "Row",
]

POLICIES = "ziggurat.policies"
"""The group of entry points; each loads to a `PolicyType` whose `name` is the entry point's."""

STATE_LIMIT = 65_536
"""Bytes that `Learner.exchange` may return at most."""


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
        """Accesses known, the first included."""

    @property
    def first(self) -> float:
        """First access known, seconds since the epoch."""

    @property
    def gap(self) -> float:
        """What `Observer.seen` returned last for it; 0.0 before."""


R = TypeVar("R", bound=Row)


@frozen
class Forecast:
    """What a policy expects of a block.

    Attributes:
        value: What it is worth to keep; the lowest goes first. Only values that one object gave at one
            moment compare.
        next_use: Time within which its next use is as likely as not, or None if the policy expects none or
            does not estimate it.
        unit: What `next_use` counts: an index knows accesses to its cache, a ranker seconds.
    """

    value: float
    next_use: float | None
    unit: Literal["accesses", "seconds"]


class Index(Protocol):
    """What is resident in one volatile cache, and who goes when room is needed.

    An index holds keys and sizes, never bytes. Its methods may be called from any thread; the numbers are
    exact at each return. The order "evict the victims' bytes, then put the new ones" is the caller's: it
    holds one lock per cache around `admit`, the evictions and the put (or the `drop` after a failed put), and
    around a `drop` with its eviction. Then a victim cannot be admitted again before its bytes are gone, and
    the cache never holds more than its capacity.

    Its clock is the number of accesses: hits and admissions. Every access costs the same, however many
    blocks are resident, if not each then on average.
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

    @property
    def ghosts(self) -> int:
        """Blocks remembered that are not resident; at most sixteen for each resident, and 256."""

    def admit(self, key: str, size: int) -> tuple[str, ...] | None:
        """Make a block resident.

        A block that is resident with the same size counts as hit. One that is resident with another
        size is its own first victim.

        Args:
            key: The block's key.
            size: Its bytes.

        Returns:
            The keys that are no longer resident, whose bytes go before the new ones come; or None, with
            nothing changed in what is resident, if the block is larger than the cache or the policy lets it
            pass by.
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
            The same rows, or fewer to spare the rest. It may not spare all for ever: of a few samples
            one gives a victim.
        """

    def forecast(self, row: Row, now: float) -> Forecast:
        """Tell what is expected of a row; `rank` orders by rising `Forecast.value`.

        Args:
            row: A row of the cache.
            now: Seconds since the epoch.
        """


@runtime_checkable
class Observer(Protocol):
    """A ranker that learns from accesses; its caller tells it of them, without delay or in batches.

    History lives in the catalog: rows outlive the eviction of their block, bounded in number (about four for
    each resident), the oldest access forgotten first. A block that is admitted again takes its old row.
    """

    def seen(self, row: Row, now: float) -> float:
        """Learn of an access: a hit, or the admission of a block, with an old row or without.

        Args:
            row: The row as it was before this access; of a block without one a row whose `count` is 0.
            now: When it was accessed, seconds since the epoch.

        Returns:
            What to keep as the row's new `gap`; its `count` goes up by one and its `last` becomes `now`.
        """

    def watch(
        self, residents: Sequence[Row], entries: int, ghosts: Sequence[Row], gone: int, now: float
    ) -> None:
        """Look at what waits for its next use. Called at each eviction, before `rank`, or now and then.

        Args:
            residents: A random sample of resident rows; the one for `rank` will do.
            entries: How many rows are resident.
            ghosts: A random sample of rows whose block was evicted; two or more.
            gone: How many such rows there are.
            now: Seconds since the epoch.
        """


@runtime_checkable
class Learner(Protocol):
    """An index or a ranker whose experience is worth keeping."""

    def exchange(self, kept: bytes | None) -> bytes:
        """Join what others learned with what this one learned since its last exchange.

        Processes that share a cache call it now and then, and at the end, in one transaction: read what is
        kept, exchange, keep what is returned. What cannot be read (another version) counts as nothing.

        Args:
            kept: What is kept, or None.

        Returns:
            What to keep instead, at most `STATE_LIMIT` bytes. This object works with it from now on.
        """


@runtime_checkable
class Forecaster(Protocol):
    """An index that can say what it expects."""

    def forecast(self, key: str) -> Forecast | None:
        """Tell what is expected of a block, or None if it is not resident."""


@frozen
class PolicyType:
    """A policy, as an entry point of the group ``ziggurat.policies`` offers it.

    Attributes:
        name: What a configuration calls it.
        summary: One line for lists.
        parameters: A frozen attrs class: its fields are the keys of the policy's table, each with a default,
            a validator that raises ValueError or TypeError, and a line of help in ``metadata["help"]``.
        index: Makes the index of a volatile cache, or None if the policy has none. Takes the bytes that fit,
            the parameters, the source of randomness, and what `Learner.exchange` returned once, or None.
        ranker: The same for the ranker of a persistent cache, without the capacity.
    """

    name: str
    summary: str
    parameters: type[Any]
    index: Callable[[int, Any, random.Random, bytes | None], Index] | None = None
    ranker: Callable[[Any, random.Random, bytes | None], Ranker] | None = None
