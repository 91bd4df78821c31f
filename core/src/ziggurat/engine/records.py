"""What the methods of `Store` return: frozen records, sizes in bytes."""

from __future__ import annotations

from attrs import frozen

from ziggurat.backend import Info
from ziggurat.catalog import Tally
from ziggurat.content import Cid
from ziggurat.content.parcel import BlobType

__all__ = [
    "BlobStat",
    "BlobType",
    "Candidate",
    "Collected",
    "Copy",
    "Entry",
    "Eviction",
    "Expectation",
    "Explanation",
    "Finding",
    "Heat",
    "Receipt",
    "Removal",
    "RootInfo",
    "Saved",
    "StackStats",
    "Tally",
    "TierStats",
]


@frozen
class Receipt:
    """What a put acknowledges: it is durable when this is returned.

    Attributes:
        cid: The root.
        size: Plain bytes; of a directory the sum beneath.
        copies: Names of the store tiers that keep it.
        type: What the root is.
    """

    cid: Cid
    size: int
    copies: tuple[str, ...]
    type: BlobType = "file"


@frozen
class Entry:
    """One entry of a directory, or of a tree.

    Attributes:
        path: Name in the directory, or path beneath the root with "/" between.
        cid: The entry's own CID.
        type: What it is.
        size: Plain bytes, of a directory the sum beneath, None when unknown without a read.
        target: Where a symlink points, else None.
        mode: Permission bits of UnixFS 1.5, else None.
        mtime: Seconds since the epoch of UnixFS 1.5, else None.
    """

    path: str
    cid: Cid
    type: BlobType
    size: int | None = None
    target: str | None = None
    mode: int | None = None
    mtime: float | None = None


@frozen
class Copy:
    """A blob's presence in one store tier, as catalogued.

    Attributes:
        tier: Name of the tier, or the medium's identity when no configured tier is that medium.
        stored: Payload bytes it occupies there, nodes included.
        under: The root whose closure carries it in a dag store, or None.
    """

    tier: str
    stored: int | None
    under: Cid | None = None


@frozen
class BlobStat:
    """What the store knows of a blob without reading all of it.

    Attributes:
        cid: Its CID.
        type: What it is.
        size: Plain bytes; of a directory the sum beneath.
        copies: Catalogued store copies.
        root: True if a put, import or adopt made it a root.
        pinned: True if a pin keeps it.
        info: What the user said about it, or None.
        mode, mtime: UnixFS 1.5, or None.
    """

    cid: Cid
    type: BlobType
    size: int | None
    copies: tuple[Copy, ...] = ()
    root: bool = False
    pinned: bool = False
    info: Info | None = None
    mode: int | None = None
    mtime: float | None = None


@frozen
class Saved:
    """What was written to the local file system.

    Attributes:
        cid: What was saved.
        path: Where.
        size: Plain bytes written.
        files: Files and symlinks written.
    """

    cid: Cid
    path: str
    size: int
    files: int


@frozen
class Eviction:
    """What giving up a copy or cached blocks did.

    Attributes:
        cid: Of what.
        tier: On which tier.
        had: True if there was something to give up.
        freed: Payload bytes given up.
        kept: What the medium goes on holding for others, "" for nothing.
    """

    cid: Cid
    tier: str
    had: bool
    freed: int = 0
    kept: str = ""


@frozen
class Removal:
    """A root that was dropped.

    Attributes:
        cid: The root.
        blobs: Blobs that `gc` would free now, because no root reaches them any more.
        size: Payload bytes of their copies.
    """

    cid: Cid
    blobs: int
    size: int


@frozen
class RootInfo:
    """A root of the store.

    Attributes:
        cid: The root.
        size: Plain bytes; of a directory the sum beneath.
        type: What it is.
        created: When it first became a root, seconds since the epoch.
    """

    cid: Cid
    size: int
    type: BlobType
    created: float


@frozen
class Collected:
    """What `gc` freed, or would free, on one tier.

    Attributes:
        tier: The tier.
        blobs: Copies given up.
        size: Payload bytes of those copies.
        refused: Why this tier was left alone, "" if it was not.
        failed: One line for each copy that could not be given up; it stays catalogued.
        known: False if the tier was left alone because it could not answer.
        kept: One line for each copy that was given up while its medium goes on holding the blob for others.
    """

    tier: str
    blobs: int = 0
    size: int = 0
    refused: str = ""
    failed: tuple[str, ...] = ()
    known: bool = True
    kept: tuple[str, ...] = ()


@frozen
class Finding:
    """The result of proving one copy.

    Attributes:
        cid: The blob.
        tier: The tier whose copy was read.
        size: Plain bytes proved.
        ok: True if every byte proved.
        problem: "" or what is wrong.
        known: False if the tier could not answer, so that nothing was learnt.
    """

    cid: Cid
    tier: str
    size: int
    ok: bool
    problem: str = ""
    known: bool = True


@frozen
class Candidate:
    """One tier as a read would meet it.

    Attributes:
        tier: The tier.
        role: Its role.
        holds: True, False, or None when it could not tell.
        blocks: On a cache, how many of the blob's blocks it holds.
        size: On a cache, the bytes of those blocks.
        note: A remark for a person, such as why a tier is not asked.
    """

    tier: str
    role: str
    holds: bool | None
    blocks: int | None = None
    size: int | None = None
    note: str = ""


@frozen
class Heat:
    """The documented heat score of a blob, term by term (`ziggurat.policy.score`).

    Attributes:
        frequency_factor, recency, boost_factor, age, age_factor: The terms; `age` in seconds.
        frequency_weight, recency_weight: What the first two are multiplied with.
        score: The whole.
    """

    frequency_factor: float
    recency: float
    boost_factor: float
    age: float
    age_factor: float
    frequency_weight: float
    recency_weight: float
    score: float


@frozen
class Explanation:
    """Where a blob is and which tier would answer.

    Attributes:
        cid: The blob.
        type: What it is, or None if nothing could tell.
        size: Plain bytes, or None.
        blocks: Blocks of the blob itself, or None.
        tiers: In the order in which a read asks them.
        answers: The tier that would serve the first byte, or None.
        accesses: How often it was asked for, as far as the catalog knows.
        heat: Its heat score, None if it was never asked for.
        expected: What the policy of each cache expects of the blocks that it holds.
    """

    cid: Cid
    type: BlobType | None
    size: int | None
    blocks: int | None
    tiers: tuple[Candidate, ...]
    answers: str | None
    accesses: int = 0
    heat: Heat | None = None
    expected: tuple[Expectation, ...] = ()


@frozen
class Expectation:
    """What a cache's policy expects of one block.

    Attributes:
        tier: The cache.
        policy: Its policy.
        key: The block.
        value: What it is worth to keep, None for a policy that compares no values; the lowest goes first.
        next_use: Expected time until its next use, in `unit`, or None.
        unit: "accesses" (to the cache) or "seconds".
        rank: How many of `neighbours` would go before it, or None.
        neighbours: Random blocks of the cache that it was compared with.
    """

    tier: str
    policy: str
    key: str
    value: float | None = None
    next_use: float | None = None
    unit: str = "accesses"
    rank: int | None = None
    neighbours: int = 0


@frozen
class TierStats:
    """What one tier did since the store was opened, and what it holds now.

    Attributes:
        tier, role, backend: Which.
        used: Payload bytes accounted, None when unknown.
        capacity: Bytes allowed, None for no limit.
        entries: Copies or blocks accounted, None when unknown.
        hits, misses: Answers to reads.
        bytes_read, bytes_written: Payload bytes moved.
        evictions: Blocks or copies given up.
        errors: Failed calls.
        state: "ok", "resting" (its breaker is open) or "unavailable".
        problem: Why it is unavailable, "" if it is not.
        policy: Of a cache, what decides what it keeps.
        evicted_age: Mean seconds from admission to eviction of what this process evicted for room; None
            if nothing was.
        total: The same of all processes, by the tier's name, since the volatile part of the catalog was made:
            what each told last, about every half minute and when it closed, and all that this one did. None
            without a catalog, or if it could not be read.
    """

    tier: str
    role: str
    backend: str
    used: int | None
    capacity: int | None
    entries: int | None
    hits: int = 0
    misses: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    evictions: int = 0
    errors: int = 0
    state: str = "ok"
    policy: str | None = None
    evicted_age: float | None = None
    total: Tally | None = None
    problem: str = ""


@frozen
class StackStats:
    """All tiers, and the catalog's own counts.

    Attributes:
        tiers: In file order.
        roots: Roots in the catalog.
        pins: Pins in the catalog.
        dropped_fills: Blocks that were not cached because the fill queue was full.
    """

    tiers: tuple[TierStats, ...]
    roots: int = 0
    pins: int = 0
    dropped_fills: int = 0
