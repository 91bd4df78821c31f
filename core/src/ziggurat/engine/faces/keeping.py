"""Keeping and giving up: roots, pins, copies, collection; and looking at what there is."""

from __future__ import annotations

from collections.abc import Iterator

from ziggurat.content import Cid
from ziggurat.engine.blocks import evict_blocks
from ziggurat.engine.faces.base import Face, Progress
from ziggurat.engine.paths import Ref
from ziggurat.engine.records import (
    BlobStat,
    Collected,
    Eviction,
    Explanation,
    Finding,
    Removal,
    RootInfo,
    StackStats,
)
from ziggurat.errors import BlobNotFound

__all__ = ["Keeping"]


class Keeping(Face):
    """The keeping face of `Store`."""

    def roots(self) -> Iterator[RootInfo]:
        """Every root of this store."""
        catalog = self._stack().catalog
        for row in catalog.roots() if catalog is not None else ():
            yield RootInfo(Cid.parse(row.cid), row.size, row.type, row.created)

    def pin(self, ref: Ref) -> bool:
        """Keep a blob from `remove`, `evict` and `gc` until it is unpinned.

        Returns:
            True if it was not pinned.

        Raises:
            BlobNotFound: No store keeps it, so there is nothing to pin.
        """
        stack = self._writable()
        cid = stack.paths.resolve(ref)
        catalog, key = stack.require_catalog(), str(cid.key)
        with stack.writer.adding():  # so that no collection comes between the look and the pin
            if catalog.pinned(key):
                return False
            if not stack.inspector.has(cid, sources=False):
                raise BlobNotFound(f"{cid} is on no store of this stack; put or copy it first", cid=cid)
            catalog.pin(key)
        return True

    def unpin(self, ref: Ref) -> bool:
        """Drop a pin; True if there was one."""
        stack = self._writable()
        return stack.require_catalog().unpin(str(stack.paths.resolve(ref).key))

    def pins(self) -> Iterator[Cid]:
        """Every pinned blob."""
        catalog = self._stack().catalog
        for key, _ in catalog.pins() if catalog is not None else ():
            yield Cid.parse(key)

    def evict(self, ref: Ref, tier: str) -> Eviction:
        """Give up a copy on one store tier, or a blob's blocks in one cache.

        Raises:
            BlobPinned: A pin keeps it.
            LastCopy: No other store is seen to keep it.
            TierDenied: Several catalogs use the medium.
        """
        stack = self._stack()
        cid = stack.paths.resolve(ref)
        for cache in stack.caches.caches:
            if cache.tier.name == tier:
                stack.filler.drain()
                return evict_blocks(stack.looker, cid, cache)
        return stack.require_keeper().evict(cid, self._store_tier(tier))

    def remove(self, ref: Ref) -> Removal:
        """Drop a root; `gc` then frees what no other root reaches.

        Raises:
            BlobPinned: A pin keeps it.
            BlobNotFound: It is no root.
        """
        stack = self._stack()
        cid = stack.paths.resolve(ref)
        if stack.keeper is None:
            raise BlobNotFound(f"{cid} is no root: this stack has no store tier", cid=cid)
        return stack.keeper.remove(cid)

    def gc(self, *, dry_run: bool = False) -> tuple[Collected, ...]:
        """Free every copy that no root and no pin reaches; puts wait meanwhile.

        Args:
            dry_run: Only say what would go.

        Returns:
            For each store tier what was freed, or why it was left alone.
        """
        keeper = self._stack().keeper
        return keeper.collect(dry_run=dry_run) if keeper is not None else ()

    # -- looking ----------------------------------------------------------------------------------

    def has(self, ref: Ref) -> bool:
        """True if a store or source keeps the blob; caches are not asked.

        Raises:
            StoreUnavailable: Nobody said yes, and some tier could not tell.
        """
        stack = self._stack()
        return stack.inspector.has(stack.paths.resolve(ref))

    def stat(self, ref: Ref) -> BlobStat:
        """What is known of a blob; of a directory, the sum of the sizes beneath it too.

        Raises:
            BlobNotFound, StoreUnavailable: Its first block cannot be read.
        """
        stack = self._stack()
        return stack.inspector.stat(stack.paths.resolve(ref))

    def verify(
        self, ref: Ref | None = None, *, tier: str | None = None, progress: Progress | None = None
    ) -> Iterator[Finding]:
        """Prove whole copies, each read from its own tier alone; nothing is changed.

        Args:
            ref: A blob with all that it links to; None for everything that is kept.
            tier: Only copies on this tier.
            progress: Told the bytes that were proved.

        Yields:
            One finding for each catalogued copy.

        Raises:
            ConfigError: There is no such store tier.
            BlobNotFound: No copy of the blob is catalogued there, so that nothing could be proved.
        """
        stack = self._stack()
        if tier is not None:
            self._store_tier(tier)
        return stack.inspector.verify(None if ref is None else stack.paths.resolve(ref), tier, progress)

    def explain(self, ref: Ref) -> Explanation:
        """Where a blob's copies and cached blocks are, and which tier would answer."""
        stack = self._stack()
        self._note_accesses()
        stack.filler.drain()
        return stack.inspector.explain(stack.paths.resolve(ref))

    def stats(self) -> StackStats:
        """What every tier did since the store was opened and in all processes, and what it holds."""
        stack = self._stack()
        self._note_accesses()
        return stack.inspector.stats(stack.filler.dropped, *self._teller.look())

    def failures(self) -> tuple[Exception, ...]:
        """The last failures that another tier made good, oldest first."""
        return tuple(self._stack().failures)
