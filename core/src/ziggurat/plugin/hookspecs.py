"""The contract: what a backend implements, and what the core promises it.

`BackendSpec` is at once the manual, the pluggy hook specification and the type that mypy checks.
A backend implements ``get``, ``has`` and ``stat``; ``put`` and ``evict`` come together or not at all (a
backend without them is read-only); the rest is optional. What is implemented says what it can do, and
`ziggurat.backend.Capabilities` says the rest.

Rules for all hooks:

- Methods carry ``@hookimpl`` and name only the arguments that they need, so that a new argument breaks
  nobody.
- "Absent" (None, False) and "cannot tell" (an exception) are never the same answer.
- Every failure of the medium is a `ziggurat.errors.TierError` with `retryable` set; the tier fills in its
  name, the operation and the key. Anything else that escapes is reported as `BackendFault`: a bug.
- Backends are thread-safe, make no connection before the first call, and switch off their client's
  own retries: retry, limit, breaker and timeouts belong to the tier.
- Backends never verify content: the core proves every byte, in one place for every backend.

Keys are text. On a store or source tier a hook receives a `Key` (a `str` that knows its kind and its CID);
on a cache tier it may be a plain `str`; a backend that needs kind or CID calls `as_key`.

======================  ==============================================  ================================
key                     in the *bytes* form                             in the *dag* form
======================  ==============================================  ================================
``bafy…`` plain         a file's bytes; or a block of another codec     the whole DAG as (CID, block)
                        than dag-pb as it is                            pairs, root first; a block of
                                                                        another codec than dag-pb as it
                                                                        is
``bafy….nodes``         a CARv1 of every dag-pb node of the blob, root  never asked
                        first, without the leaves that the plain
                        bytes give back (a directory: all its nodes)
``bafy….block``         one dag-pb block; on cache tiers only           one dag-pb block by its own CID
======================  ==============================================  ================================

CIDv0 and CIDv1 of the same bytes have one key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import pluggy

from ziggurat.backend import Blob, ByteRange, Dag, Evicted, Info, Key, Medium, Stat
from ziggurat.errors import ZigguratError

__all__ = ["OPTIONAL", "PROJECT", "REQUIRED", "BackendSpec"]

PROJECT = "ziggurat"
REQUIRED = ("get", "has", "stat")
OPTIONAL = ("put", "evict", "put_many", "scan", "identify", "close")

_hookspec = pluggy.HookspecMarker(PROJECT)


class BackendSpec(Protocol):
    """What one configured instance of a backend answers; see the module's docstring for the rules."""

    @_hookspec(firstresult=True)
    def get(self, key: str, byte_range: ByteRange | None, note: bytes | None) -> bytes | Blob | Dag | None:
        """Give what this tier holds under a key.

        Called on every read that no hotter tier answered. What it returns is open before it returns,
        so that a later evict is harmless, and is read once and closed by the core. Does not verify.

        Args:
            key: What to read, already validated.
            byte_range: In the bytes form, the part of the plain bytes that is wanted: at least one byte,
                inside the blob. In the dag form, a hint which leaves are wanted. A backend without
                `ranges` never sees one.
            note: What `put` returned for this copy, or None when it was lost or never known.

        Returns:
            None if this tier does not hold it. In the bytes form `bytes` or a `Blob`, exactly the range
            when there is one. In the dag form a `Dag` for a plain dag-pb key (its pairs may be missing,
            extra or repeated), and one block's `bytes` for any other key.

        Raises:
            TierError: The tier could not answer; the copy may be there.
        """

    @_hookspec(firstresult=True)
    def put(self, key: str, content: bytes | Blob | Dag, info: Info | None) -> Stat:
        """Keep a blob, whole and at once.

        Called after capacity was reserved and, on a public backend, only with the user's ``publish``.
        In the bytes form it replaces atomically what was there. In the dag form, where every block
        proves itself, a root that the tier already keeps may be acknowledged without sending anything.
        No reader ever sees a part. It never makes room by evicting. `content` may be `bytes` or
        a `Blob` in the bytes form: accept both. What the core hands over starts afresh at each
        ``chunks()``, ``pairs()`` or ``car()``, from any thread.

        Args:
            key: Where to keep it, already validated.
            content: `bytes` or a `Blob` in the bytes form, a `Dag` with `size` and `car()` in the dag form.
            info: Content type, tags and metadata to keep with it where the medium can, or None.

        Returns:
            What is now there; `note` is given back at the next `get` and `evict`.

        Raises:
            TierFull: There is no room; nothing was published.
            TierError: It could not be kept; nothing was published.
            Exception: Whatever reading `content` raised, unchanged; nothing was published.
        """

    @_hookspec(firstresult=True)
    def has(self, key: str) -> bool:
        """Tell whether this tier keeps a copy: put and not evicted.

        Cheap, and never searches a network. A read-only backend answers for what it can give without a
        search.

        Args:
            key: What to look for, already validated.

        Returns:
            True or False, never "maybe".

        Raises:
            TierError: The tier cannot tell.
        """

    @_hookspec(firstresult=True)
    def stat(self, key: str) -> Stat | None:
        """Describe a copy without downloading it.

        Args:
            key: What to describe, already validated.

        Returns:
            The size of the plain bytes (None when unknown), the bytes it occupies, `info` where the
            medium keeps it and `note` where the backend can tell it; or None if there is no copy.

        Raises:
            TierError: The tier cannot tell.
        """

    @_hookspec(firstresult=True)
    def evict(self, key: str, note: bytes | None) -> bool | Evicted:
        """Give up this tier's claim to a key.

        Called after pins and last copies were checked, so implementations must not check them again.
        Evicting an absent key is not an error. Never deletes what another claim shares. Afterwards `has`
        is False unless `kept` says why; `get` may still answer for a while.

        Args:
            key: What to drop, already validated.
            note: What `put` returned for this copy, or None when it was lost.

        Returns:
            True if there was a claim, False if there was none; an `Evicted` to say also what the medium
            goes on holding for others.

        Raises:
            TierError: The tier could not answer; the copy may still be there.
        """

    @_hookspec(firstresult=True)
    def put_many(
        self, items: Sequence[tuple[Key, bytes | Blob | Dag, Info | None]]
    ) -> Sequence[Stat | ZigguratError]:
        """Keep several blobs at once; optional, for media where one call costs much.

        Each item is kept or not kept as by `put`, independently of its neighbours.

        Args:
            items: Key, content and info of each, as `put` takes them.

        Returns:
            For each item, in order, its `Stat` or the error that `put` would have raised.

        Raises:
            TierError: Nothing is known of any item.
        """

    @_hookspec(firstresult=True)
    def scan(self) -> Iterator[str]:
        """List the keys of our own copies; optional.

        Returns:
            Plain and ``.nodes`` keys, on a cache tier ``.block`` keys too, in any order, each once. The
            iterator ends normally only when the list is complete.

        Raises:
            TierError: From the iterator too: the list could not be completed.
        """

    @_hookspec(firstresult=True)
    def identify(self, claim: bool) -> str | Medium | None:
        """Say who this medium is; optional.

        The core remembers copies by this identity, not by the tier's name. Media that keep markers
        (disk, S3) hold them outside the key space.

        Args:
            claim: Leave the marker of `Context.catalog` on the medium, and make the medium's identity
                first when it has none. Without it nothing is written.

        Returns:
            The identity (with a `Medium`, every catalog that left a marker too), or None where there is
            none yet: a new medium, or one that is not mounted.

        Raises:
            TierError: The medium cannot tell.
        """

    @_hookspec(firstresult=True)
    def close(self) -> None:
        """Release connections, files and threads; optional, and harmless when repeated."""
