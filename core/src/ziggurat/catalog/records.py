"""The rows of the catalog as frozen records; sizes in bytes, times in seconds since the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from operator import add, sub

from attrs import Factory, astuple, frozen

from ziggurat.content.parcel import BlobType

__all__ = [
    "Access",
    "Admission",
    "CacheRow",
    "CopyRow",
    "Counts",
    "Freed",
    "MediumRow",
    "Reservation",
    "RootRow",
    "Tally",
    "Usage",
]


@frozen
class RootRow:
    """What a put, an import or an adoption made a root.

    Attributes:
        key: Plain key.
        cid: The CID's text as it was given, so that a version 0 stays one.
        size: Plain bytes; of a directory the sum beneath.
        type: "file", "directory", "symlink" or "block".
        encoding: How its nodes are built again from its bytes, None when unknown.
        created: When it first became a root; 0 for now.
    """

    key: str
    cid: str
    size: int
    type: BlobType = "file"
    encoding: str | None = None
    created: float = 0.0


@frozen
class CopyRow:
    """A blob's presence on one medium.

    Attributes:
        key: Plain key.
        medium: Identity of the medium.
        stored: Payload bytes it occupies there, nodes included; 0 for a copy that `under` carries.
        note: What the put of the plain key returned.
        nodes_note: What the put of the ``.nodes`` key returned.
        encoding: How its nodes are built again from its bytes, None when unknown.
        under: Plain key of the root whose closure carries it in a dag store, None for a copy of its own.
    """

    key: str
    medium: str
    stored: int
    note: bytes | None = None
    nodes_note: bytes | None = None
    encoding: str | None = None
    under: str | None = None


@frozen
class MediumRow:
    """A medium that this catalog put something on, or was told of.

    Attributes:
        identity: What the medium calls itself.
        tier: Name of the tier that was last seen on it.
        used: Payload bytes of its copies.
        entries: Its copies, those under a root not counted.
    """

    identity: str
    tier: str
    used: int
    entries: int


@frozen
class Reservation:
    """Room on a medium that a put under way may use.

    Attributes:
        id: Its row, 0 where the medium has no limit and nothing was recorded.
        medium: Identity of the medium.
        size: Bytes.
        key: Plain key of the blob, "" when there is none.
        limited: The medium has a limit, so the room is given back at once.
    """

    id: int
    medium: str
    size: int
    key: str = ""
    limited: bool = False


@frozen
class Usage:
    """What is accounted on one medium: bytes and entries."""

    used: int
    entries: int


@frozen
class Freed:
    """What the removal of a root would let `gc` free: blobs, and payload bytes of their copies."""

    blobs: int
    size: int


@frozen
class Counts:
    """How much the catalog knows: roots, pinned blobs, catalogued copies."""

    roots: int
    pins: int
    copies: int


@frozen
class CacheRow:
    """One block in a persistent cache, as a ranker sees it.

    Attributes:
        key: The block's key.
        size: Bytes.
        last: Last access.
        count: Accesses known, also from before it was evicted and came back.
        first: First access known.
        gap: What its policy's `Observer.seen` returned last.
        since: When it was admitted.
    """

    key: str
    size: int
    last: float
    count: int
    first: float = 0.0
    gap: float = 0.0
    since: float = 0.0


@frozen
class Access:
    """How often and when a blob was asked for: accesses, the last one and the first one known."""

    count: int
    last: float
    first: float


@frozen
class Admission:
    """An admission under way: evict the bytes of `victims`, then call `finish_admit`.

    Attributes:
        medium: Identity of the cache's medium.
        capacity: Bytes that it may hold.
        wanted: Key and size of the blocks that may be admitted.
        victims: Keys whose bytes must go first; no other process touches them meanwhile.
        ages: Of those that the policy chose, for room: seconds since their admission.
    """

    medium: str
    capacity: int
    wanted: tuple[tuple[str, int], ...]
    victims: tuple[str, ...]
    ages: Mapping[str, float] = Factory(dict)


@frozen
class Tally:
    """What was done on one tier, added up.

    Attributes:
        hits, misses: Answers to reads.
        bytes_read, bytes_written: Payload bytes moved.
        evictions: Blocks or copies given up.
        errors: Failed calls.
        aged: Of a cache, how many of the blocks that were evicted for room have a known age: all of few in
            memory, a sample of many.
        age: The sum of their ages in seconds, from admission to eviction.
    """

    hits: int = 0
    misses: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    evictions: int = 0
    errors: int = 0
    aged: int = 0
    age: float = 0.0

    @property
    def evicted_age(self) -> float | None:
        """Mean seconds from admission to eviction, None if nothing was evicted for room."""
        return self.age / self.aged if self.aged else None

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(*map(add, astuple(self), astuple(other)))

    def minus(self, other: Tally) -> Tally:
        """What there is beyond the other."""
        return Tally(*map(sub, astuple(self), astuple(other)))
