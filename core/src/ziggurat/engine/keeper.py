"""Giving things up: roots, copies, and what no root reaches any more."""

from __future__ import annotations

from collections.abc import Iterator

from ziggurat.catalog import Catalog, CopyRow
from ziggurat.content import Cid, as_key
from ziggurat.engine.intents import Intents
from ziggurat.engine.locks import StoreLock
from ziggurat.engine.places import Places
from ziggurat.engine.records import Collected, Eviction, Removal
from ziggurat.errors import (
    BlobNotFound,
    BlobPinned,
    LastCopy,
    TierDenied,
    TierError,
    TierUnavailable,
    ZigguratError,
)
from ziggurat.tiers import StoreTier

__all__ = ["Keeper"]

_Place = tuple[str, str]  # a medium, and the key under which it keeps something


class Keeper:
    """Evicts, removes and collects; touches only what this catalog put.

    Args:
        places: The store tiers.
        catalog: What is where.
        lock: Held alone while copies are given up.
        intents: Puts that never ended, which are settled before anything is collected.
    """

    def __init__(self, places: Places, catalog: Catalog, lock: StoreLock, intents: Intents) -> None:
        self._places, self._catalog, self._lock, self._intents = places, catalog, lock, intents

    def remove(self, cid: Cid) -> Removal:
        """Drop a root; its copies stay until `collect`.

        Raises:
            BlobPinned: A pin keeps it.
            BlobNotFound: It is no root.
        """
        key = str(cid.key)
        if self._catalog.pinned(key):
            raise BlobPinned(f"{cid} is pinned; unpin it first", cid=cid)
        freed = self._catalog.would_free(key)
        if not self._catalog.remove_root(key):
            raise BlobNotFound(f"{cid} is no root of this store, so there is nothing to remove", cid=cid)
        return Removal(cid, freed.blobs, freed.size)

    # -- one copy ---------------------------------------------------------------------------------

    def evict(self, cid: Cid, tier: StoreTier) -> Eviction:
        """Give up the copy of a blob on one store tier.

        Raises:
            BlobPinned: A pin keeps the blob.
            LastCopy: No other store tier is known, and seen, to keep the blob, or what its closure carries.
            TierDenied: Several catalogs use the medium, or the copy is not this catalog's.
        """
        key = str(cid.key)
        with self._lock.exclusive():
            if self._catalog.pinned(key):
                raise BlobPinned(f"{cid} is pinned; unpin it first", cid=cid)
            medium = self._own_medium(tier)
            row = self._places.rows(cid).get(medium)
            if row is None:
                return self._not_ours(cid, tier)
            if row.under is not None:
                raise LastCopy(
                    f"tier {tier.name!r} keeps {cid} as part of {row.under}; evict that root instead", cid=cid
                )
            self._check_last(cid, key, tier, medium)
            gone = tier.drop(cid, row.note, row.nodes_note)
            self._catalog.forget_copy(key, medium)
        return Eviction(cid, tier.name, gone.had, row.stored if gone.had else 0, gone.kept)

    def _own_medium(self, tier: StoreTier) -> str:
        """The medium of a tier, if this catalog may give up copies there."""
        medium = tier.refresh_medium()
        if medium is None:
            self._places.refuse_gone(tier)
            return ""
        if len(medium.catalogs) > 1:
            raise TierDenied(
                f"{len(medium.catalogs)} catalogs use this medium, and each may have promised what it holds; "
                "nothing is evicted or collected there until the others have left (remove their markers)",
                tier=tier.name,
                op="evict",
            )
        if medium.catalogs and medium.catalogs[0] != self._catalog.id:
            raise TierDenied("this medium belongs to another catalog", tier=tier.name, op="evict")
        return medium.id

    def _not_ours(self, cid: Cid, tier: StoreTier) -> Eviction:
        if cid.identity is not None or not tier.has(cid):
            return Eviction(cid, tier.name, had=False)
        raise TierDenied(
            f"it holds {cid}, but this catalog did not put it there; adopt it first",
            tier=tier.name,
            op="evict",
            key=str(cid.key),
        )

    def _check_last(self, cid: Cid, key: str, tier: StoreTier, medium: str) -> None:
        if self._catalog.protects(key) and not self._kept_elsewhere(cid, medium):
            raise LastCopy(
                f"tier {tier.name!r} keeps the last copy of {cid} that can be seen; copy it to another store "
                "first, or remove the root",
                cid=cid,
            )
        sights: dict[_Place, bool] = {}
        if stranded := list(self._stranded(key, medium, sights)):
            more = f" and {len(stranded) - 1} more" if len(stranded) > 1 else ""
            raise LastCopy(
                f"tier {tier.name!r} keeps the last copy of {stranded[0]}{more} that can be seen, as part of"
                f" {cid}; copy that to another store first",
                cid=cid,
            )

    def _stranded(self, key: str, medium: str, sights: dict[_Place, bool]) -> Iterator[str]:
        """What is kept, is carried by a closure, and cannot be seen anywhere else.

        Args:
            key: Plain key of the closure's root.
            medium: Which gives it up.
            sights: What was asked already; False for what was given up, or would have been.
        """
        for child in self._catalog.carried(key, medium):
            rows = self._catalog.copies(child)
            if not any(self._seen(row, sights) for row in rows if _place(row) != (medium, key)):
                yield child

    def _kept_elsewhere(self, cid: Cid, medium: str) -> bool:
        """True if another store tier keeps the blob: the catalog says so, and the tier itself."""
        rows = self._catalog.copies(str(cid.key))
        return any(self._seen(row, {}) for row in rows if row.medium != medium)

    def _seen(self, row: CopyRow, sights: dict[_Place, bool]) -> bool:
        """Whether a tier says that it keeps a copy, or what carries it; each is asked once."""
        place = medium, asked = _place(row)
        if place not in sights:
            tier = self._places.tier_of(medium)
            try:
                sights[place] = tier is not None and tier.has(as_key(asked).cid)
            except TierError:
                sights[place] = False
        return sights[place]

    # -- collection -------------------------------------------------------------------------------

    def collect(self, *, dry_run: bool) -> tuple[Collected, ...]:
        """Give up every copy that no root and no pin reaches: an exclusive mark and sweep.

        Args:
            dry_run: Only say what would go.
        """
        sights: dict[_Place, bool] = {}
        with self._lock.exclusive():
            return tuple(self._sweep(tier, dry_run, sights) for tier in self._places.stores)

    def _sweep(self, tier: StoreTier, dry_run: bool, sights: dict[_Place, bool]) -> Collected:
        try:
            medium = self._own_medium(tier)
        except ZigguratError as error:
            known = not isinstance(error, TierUnavailable)
            return Collected(tier.name, refused=error.message, known=known)
        if tier.hooks.read_only:
            return Collected(tier.name)
        failed, kept = list[str](), list[str]()
        try:
            self._intents.settle_all(tier, medium)
        except TierError as error:
            failed.append(f"puts that did not end: {error.message}")
        blobs = size = 0
        for row in self._catalog.unreachable_copies(medium):
            if (child := next(self._stranded(row.key, medium, sights), None)) is not None:
                failed.append(
                    f"{row.key} carries the last copy that can be seen of {child}, which is kept: copy that"
                    " to another store first, or bring back the tier that holds it"
                )
                continue
            sights[medium, row.key] = False  # also when that fails: it may be gone all the same
            if not dry_run and not self._give_up(tier, row, medium, failed, kept):
                continue
            blobs += 1
            size += row.stored
        return Collected(tier.name, blobs, size, failed=tuple(failed), kept=tuple(kept))

    def _give_up(
        self, tier: StoreTier, row: CopyRow, medium: str, failed: list[str], kept: list[str]
    ) -> bool:
        try:
            gone = tier.drop(as_key(row.key).cid, row.note, row.nodes_note)
        except ZigguratError as error:
            failed.append(f"{row.key}: {error.message}")
            return False
        # Without a claim the row is stale: it goes too, but nothing was freed.
        self._catalog.forget_copy(row.key, medium)
        if gone.kept:
            kept.append(f"{row.key}: {gone.kept}")
        return gone.had


def _place(row: CopyRow) -> _Place:
    return row.medium, row.under or row.key
