"""Which store tiers a read asks, in which order, and what is remembered of their answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import cachetools
from attrs import frozen

from ziggurat.catalog import Catalog, CopyRow
from ziggurat.content import Cid
from ziggurat.errors import TierDenied, TierError, TierUnavailable
from ziggurat.tiers import StoreTier

__all__ = ["Place", "Places"]

_ABSENT_SECONDS = 5.0
_ABSENT_ENTRIES = 10_000


@frozen
class Place:
    """A tier to ask.

    Attributes:
        tier: The tier.
        note, nodes_note: What the puts of the blob and of its nodes returned, where the catalog was asked.
        catalogued: The catalog lists a copy there; None if it was not asked.
    """

    tier: StoreTier
    note: bytes | None = None
    nodes_note: bytes | None = None
    catalogued: bool | None = None


def _copies(count: int) -> str:
    return "a copy" if count == 1 else f"{count} copies"


class Places:
    """The store and source tiers of a stack.

    Args:
        tiers: In file order.
        catalog: What is where, None for a stack without stores.
    """

    def __init__(self, tiers: Sequence[StoreTier], catalog: Catalog | None) -> None:
        self.stores = tuple(tier for tier in tiers if tier.role == "store")
        self.sources = tuple(tier for tier in tiers if tier.role == "source")
        self.catalog = catalog
        self._lock = threading.Lock()
        self._absent: cachetools.TTLCache[tuple[str, str], bool] = cachetools.TTLCache(
            _ABSENT_ENTRIES, _ABSENT_SECONDS
        )
        self._absent_until = 0.0
        """When the last "not there" will have been forgotten, on the monotonic clock: mostly it is past."""
        self._mediums: dict[str, str] = {}
        self._claimed: set[str] = set()
        self._unlisted = [Place(tier) for tier in self.stores]
        # With one store that is always asked, and never wants a note, the catalog cannot change the answer.
        self._consult = len(self.stores) > 1 or any(
            not tier.config.probe or tier.hooks.get_names_note for tier in self.stores
        )

    # -- who the tiers are ------------------------------------------------------------------------

    def medium(self, tier: StoreTier, *, claim: bool = False) -> str | None:
        """Identity of the tier's medium, checked against the catalog at the first use.

        Args:
            tier: A store tier.
            claim: Leave this catalog's marker first.

        Returns:
            None for a medium that is new.

        Raises:
            TierUnavailable: The medium is not there, but the catalog knows copies on it.
        """
        known = self._mediums.get(tier.name)
        if known is not None and (not claim or tier.name in self._claimed):
            return known
        found = tier.identify(claim=False)
        if found is None:
            self.refuse_gone(tier)
            if not claim:
                return None
        else:
            self._refuse_shared(tier, found.id)
        if claim:
            # No marker is left on a medium that is only read.
            found = tier.identify(claim=tier.writable)
            if found is None:
                raise TierUnavailable(
                    "gave no identity although it was asked to make one", tier=tier.name, op="identify"
                )
            self._refuse_shared(tier, found.id)
            if self.catalog is not None:
                self.catalog.see_medium(found.id, tier.name)
            self._claimed.add(tier.name)
        if found is None:
            return None
        self._mediums[tier.name] = found.id
        return found.id

    def _refuse_shared(self, tier: StoreTier, medium: str) -> None:
        """Two tiers on one medium would count one copy twice, or evict as cache what they keep as store."""
        others = [name for name, known in self._mediums.items() if known == medium and name != tier.name]
        if others:
            raise TierDenied(
                f"is on the same medium as tier {others[0]!r}, where a second copy would protect nothing; "
                "give it a medium of its own in [tier.options]",
                tier=tier.name,
                op="identify",
            )
        if tier.role == "store" and self.catalog is not None and self.catalog.cache.known(medium):
            raise TierDenied(
                "its medium is a cache of this store, which evicts what it holds; give the tier another "
                "one in [tier.options]",
                tier=tier.name,
                op="identify",
            )

    def refuse_gone(self, tier: StoreTier) -> None:
        """Refuse a medium that is not there although the catalog knows copies on it.

        Raises:
            TierUnavailable: It knows some.
        """
        for row in self.catalog.mediums() if self.catalog is not None else ():
            if row.tier == tier.name and row.entries:
                raise TierUnavailable(
                    f"its medium is not there, but the catalog knows {_copies(row.entries)} on it; "
                    "mount it, or correct the tier's options",
                    tier=tier.name,
                    op="identify",
                )

    def tier_of(self, medium: str) -> StoreTier | None:
        """The store tier that is a medium, None if no reachable one is."""
        for tier in self.stores:
            try:
                if self.medium(tier) == medium:
                    return tier
            except TierError:
                continue
        return None

    # -- the order of a read ----------------------------------------------------------------------

    def of(self, root: Cid, failures: list[Exception]) -> Iterator[Place]:
        """Tiers to ask for a blob: catalogued copies, other stores, sources; file order within each.

        Args:
            root: The blob.
            failures: Receives why a tier is passed over although it may hold the blob.
        """
        if not self._consult or self.catalog is None:
            for place in self._unlisted:
                tier = place.tier
                ready = tier.name in self._mediums or self._usable(tier, failures)
                if ready and not (tier.remote and self._is_absent(tier, root)):
                    yield place
        else:
            rows = self.rows(root)
            listed, others = [], []
            for tier in self.stores:
                if not self._usable(tier, failures):
                    continue
                row = rows.pop(self._mediums.get(tier.name, ""), None)
                if row is not None:
                    listed.append(Place(tier, row.note, row.nodes_note, catalogued=True))
                elif tier.config.probe and not self._is_absent(tier, root):
                    others.append(Place(tier, catalogued=False))
            yield from listed
            yield from others
        for tier in self.sources:
            if not self._is_absent(tier, root):
                yield Place(tier, catalogued=False)

    def first(self, root: Cid, failures: list[Exception]) -> Place | None:
        """The first of `of`, without the rest; None where nobody is asked."""
        if not self._consult and self._unlisted:
            place = self._unlisted[0]
            if place.tier.name in self._mediums and not self._is_absent(place.tier, root):
                return place
        return next(self.of(root, failures), None)

    def _usable(self, tier: StoreTier, failures: list[Exception]) -> bool:
        if tier.name in self._mediums:
            return True
        try:
            self.medium(tier)
        except TierError as error:
            failures.append(error)
            return False
        return True

    def rows(self, root: Cid) -> dict[str, CopyRow]:
        """Catalogued copies of a blob, by medium; a copy of its own before one under a root."""
        found: dict[str, CopyRow] = {}
        for row in self.catalog.copies(root.key) if self.catalog is not None else ():
            if row.medium not in found or row.under is None:
                found[row.medium] = row
        return found

    def elsewhere(self, root: Cid) -> list[Exception]:
        """Catalogued copies on media that no tier of this stack is: where a missing blob may be."""
        rows = self.rows(root)
        away = rows.keys() - self._mediums.values()
        if not away or self.catalog is None:
            return []
        # A tier that cannot say who it is said why, and may well be that medium.
        silent = {tier.name for tier in self.stores} - self._mediums.keys()
        names = {row.identity: row.tier for row in self.catalog.mediums()}
        return [
            TierUnavailable(
                f"a copy is on the medium {medium}, which no configured tier is; add its tier, or mount it"
            )
            for medium in rows
            if medium in away and names.get(medium) not in silent
        ]

    # -- "not there" ------------------------------------------------------------------------------

    def absent(self, place: Place, root: Cid) -> None:
        """Remember for a while that a remote tier does not hold a blob; never against the catalog."""
        tier = place.tier
        if not tier.remote or place.catalogued:
            return
        if place.catalogued is None and self.catalog is not None:
            medium = self._mediums.get(tier.name)
            if medium in self.rows(root):
                return
        with self._lock:
            self._absent[tier.name, str(root.key)] = True
            self._absent_until = time.monotonic() + _ABSENT_SECONDS

    def _is_absent(self, tier: StoreTier, root: Cid) -> bool:
        if not tier.remote or time.monotonic() > self._absent_until:
            return False
        with self._lock:
            return (tier.name, root.key) in self._absent

    def present(self, root: Cid) -> None:
        """Forget every "not there" about a blob that was just put."""
        if not self._absent:
            return
        with self._lock:
            for tier in (*self.stores, *self.sources):
                self._absent.pop((tier.name, str(root.key)), None)
