"""Looking without changing: what is known of a blob, where it is, whether it proves, what tiers did."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from ziggurat.catalog import Access, Catalog, Tally, Usage
from ziggurat.content import Cid, Node, as_key
from ziggurat.engine.blocks import block_keys, first_key
from ziggurat.engine.caches import BlockCache, CacheStack
from ziggurat.engine.events import Failures
from ziggurat.engine.paths import Paths, type_of
from ziggurat.engine.places import Places
from ziggurat.engine.reader import Reader
from ziggurat.engine.records import (
    BlobStat,
    Candidate,
    Copy,
    Explanation,
    Finding,
    Heat,
    StackStats,
    TierStats,
)
from ziggurat.errors import BlobNotFound, CorruptBlob, StoreError, StoreUnavailable, TierError, ZigguratError
from ziggurat.policy.score import ScoreParameters, score
from ziggurat.tiers import StoreTier, Tier

__all__ = ["Inspector"]

Progress = Callable[[int], None]
_Held: TypeAlias = tuple[Tier, Usage | None, int | None, str]
"""A tier, what it holds (None when unknown), its capacity and why it is unavailable."""
_SHOWN = 1000


class Inspector:
    """Answers questions about blobs and tiers.

    Args:
        places: The store tiers.
        caches: The caches.
        catalog: What is where, None for a stack without stores.
        reader: Reads through the whole stack.
        paths: Reads directories.
        solo: Makes a reader that asks one tier alone and repairs nothing, and where it notes failures.
        heat: Parameters of the heat score, by default those of the formula.
    """

    def __init__(
        self,
        places: Places,
        caches: CacheStack,
        catalog: Catalog | None,
        reader: Reader,
        paths: Paths,
        solo: Callable[[StoreTier, Failures], Reader],
        heat: ScoreParameters | None = None,
    ) -> None:
        self._places, self._caches, self._catalog = places, caches, catalog
        self._reader, self._paths, self._solo = reader, paths, solo
        self._score = heat or ScoreParameters()

    # -- one blob ---------------------------------------------------------------------------------

    def has(self, cid: Cid, *, sources: bool = True) -> bool:
        """True at the first store or source that keeps the blob; caches are not asked.

        Args:
            cid: The blob.
            sources: Ask sources too.

        Raises:
            StoreUnavailable: No tier said yes, and some could not tell.
        """
        if cid.identity is not None:
            return True
        failures: list[Exception] = []
        rows = self._places.rows(cid)
        for tier in (*self._places.stores, *(self._places.sources if sources else ())):
            try:
                if tier.role == "store":
                    medium = self._places.medium(tier)
                    if not tier.config.probe and medium not in rows:
                        continue
                if tier.has(cid) or self._carried(cid, tier):
                    return True
            except TierError as error:
                failures.append(error)
        failures = failures or self._places.elsewhere(cid)
        if failures:
            raise StoreUnavailable(f"cannot tell whether {cid} is kept", failures=failures, cid=cid)
        return False

    def _carried(self, cid: Cid, tier: StoreTier) -> bool:
        """A child in a dag store is kept while the root that carries it is."""
        if not tier.is_dag or self._catalog is None:
            return False
        row = self._places.rows(cid).get(self._places.medium(tier) or "")
        return row is not None and row.under is not None and tier.has(as_key(row.under).cid)

    def stat(self, cid: Cid) -> BlobStat:
        """Everything known of a blob; of a directory its entries are read for the sum of sizes."""
        value = self._reader.block(cid)
        kind = type_of(value, cid)
        catalog, key = self._catalog, str(cid.key)
        root = catalog.root(key) if catalog is not None else None
        size: int | None
        if not isinstance(value, Node):
            size = len(value)
        elif kind == "file":
            size = value.size
        elif root is not None:
            size = root.size
        else:
            size = self._sum(cid) if kind == "directory" else 0
        return BlobStat(
            cid,
            kind,
            size,
            self.copies(cid),
            root=root is not None,
            pinned=catalog is not None and catalog.pinned(key),
            info=catalog.info(key) if catalog is not None else None,
            mode=value.mode if isinstance(value, Node) else None,
            mtime=value.mtime if isinstance(value, Node) else None,
        )

    def _sum(self, cid: Cid) -> int | None:
        try:
            return self._paths.size(cid)
        except (BlobNotFound, StoreError):
            return None

    def copies(self, cid: Cid) -> tuple[Copy, ...]:
        """The catalogued copies of a blob."""
        found = []
        for medium, row in self._places.rows(cid).items():
            tier = self._places.tier_of(medium)
            under = as_key(row.under).cid if row.under is not None else None
            found.append(Copy(tier.name if tier is not None else medium, row.stored, under))
        return tuple(found)

    def explain(self, cid: Cid) -> Explanation:
        """Where a blob is, and which tier would answer a read of its first byte."""
        try:
            value = self._reader.block(cid)
        except (BlobNotFound, StoreError):
            asked = self._accesses(cid)
            seen = asked.count if asked is not None else 0
            found = self._candidates(cid, [], cid.cache_key)
            return Explanation(cid, None, None, None, found, None, seen, self._heat(asked))
        keys = list(block_keys(self._reader, cid))
        candidates = self._candidates(cid, keys, first_key(self._reader, cid))
        size = value.size if isinstance(value, Node) and value.is_file else None
        answers = next((one.tier for one in candidates if one.holds), None)
        asked = self._accesses(cid)
        return Explanation(
            cid,
            type_of(value, cid),
            len(value) if not isinstance(value, Node) else size,
            len(keys),
            candidates,
            answers,
            asked.count if asked is not None else 0,
            self._heat(asked),
            self._caches.expectations(keys[:_SHOWN]),
        )

    def _heat(self, asked: Access | None) -> Heat | None:
        if asked is None:
            return None
        parameters = self._score
        terms = score(asked.count, asked.last, asked.first, time.time(), parameters)
        return Heat(
            terms.frequency_factor,
            terms.recency,
            terms.boost_factor,
            terms.age,
            terms.age_factor,
            parameters.frequency_weight,
            parameters.recency_weight,
            terms.score,
        )

    def _accesses(self, cid: Cid) -> Access | None:
        return self._catalog.accesses.of(str(cid.key)) if self._catalog is not None else None

    def _candidates(self, cid: Cid, keys: Sequence[str], first: str) -> tuple[Candidate, ...]:
        rows = self._places.rows(cid)
        found = [self._cache_candidate(cache, keys, first) for cache in self._caches.caches]
        stores = [self._store_candidate(cid, tier, set(rows)) for tier in self._places.stores]
        stores.sort(key=lambda one: one[0])  # a read asks catalogued copies first, file order within each
        found += [candidate for _, candidate in stores]
        found += [self._store_candidate(cid, tier, set())[1] for tier in self._places.sources]
        return tuple(found)

    def _cache_candidate(self, cache: BlockCache, keys: Sequence[str], first: str) -> Candidate:
        blocks = size = 0
        holds = False
        try:
            for key in keys:
                stat = cache.tier.stat_key(key)
                if stat is not None:
                    holds = holds or key == first
                    blocks += 1
                    size += stat.stored or stat.size or 0
        except TierError as error:
            return Candidate(cache.tier.name, "cache", None, note=str(error))
        return Candidate(cache.tier.name, "cache", holds, blocks, size)

    def _store_candidate(self, cid: Cid, tier: StoreTier, listed: set[str]) -> tuple[int, Candidate]:
        note, order = "", 1
        try:
            medium = self._places.medium(tier) if tier.role == "store" else None
            if medium in listed:
                order, note = 0, "catalogued"
            elif not tier.config.probe and tier.role == "store":
                return 2, Candidate(
                    tier.name, tier.role, False, note="not asked: probe = false, and not catalogued"
                )
            holds = tier.has(cid) or self._carried(cid, tier)
        except TierError as error:
            return order, Candidate(tier.name, tier.role, None, note=str(error))
        if order == 0 and not holds:
            note = "catalogued, but not there"
        return order, Candidate(tier.name, tier.role, holds, note=note)

    # -- proof ------------------------------------------------------------------------------------

    def verify(self, cid: Cid | None, tier: str | None, progress: Progress | None) -> Iterator[Finding]:
        """Read catalogued copies whole, each from its own tier alone, and prove every byte.

        Args:
            cid: A blob with all that it links to; None for everything that is kept.
            tier: Only copies on this tier.
            progress: Told the bytes that were proved.

        Raises:
            BlobNotFound: No copy of the blob is catalogued there, so that nothing could be proved.
        """
        found = False
        for finding in self._findings(self._keys(cid), tier, progress):
            found = True
            yield finding
        if cid is not None and not found:
            where = "" if tier is None else f" on tier {tier!r}"
            raise BlobNotFound(
                f"no copy of {cid} is catalogued{where}, so there is nothing to verify; put it first",
                cid=cid,
            )

    def _findings(
        self, keys: Sequence[str], tier: str | None, progress: Progress | None
    ) -> Iterator[Finding]:
        catalog = self._catalog
        names = {row.identity: row.tier for row in catalog.mediums()} if catalog is not None else {}
        configured = {one.name for one in self._places.stores}
        listed = set(keys)
        for key in keys:
            blob = as_key(key).cid
            for medium, row in self._places.rows(blob).items():
                holder = self._places.tier_of(medium)
                name = names.get(medium, "") if holder is None else holder.name
                if tier is not None and name != tier:
                    continue
                if holder is None:
                    here = name in configured
                    problem = "cannot be reached" if here else "no configured tier is this medium"
                    yield Finding(blob, name if here else medium, 0, ok=False, problem=problem, known=False)
                elif row.under not in listed:  # else it is proved with the closure that carries it
                    yield self._prove(blob, holder, progress)

    def _keys(self, cid: Cid | None) -> list[str]:
        catalog = self._catalog
        if catalog is None:
            return []
        if cid is None:
            return sorted(catalog.reachable())
        found = [str(cid.key)]
        seen = set(found)
        for key in found:
            below = [child for child in catalog.children(key) if child not in seen]
            seen.update(below)
            found += below
        return found

    def _prove(self, cid: Cid, tier: StoreTier, progress: Progress | None) -> Finding:
        proved = 0
        # A block that stands twice in a blob is read at both places, and either satisfies a reader: what was
        # wrong at the other is only noted.
        wrongs = Failures()
        reader = self._solo(tier, wrongs)
        try:
            if tier.is_dag:
                proved = self._prove_dag(cid, reader, progress)
            else:
                value = reader.block(cid)
                if not isinstance(value, Node) or value.is_file:
                    for piece in reader.stream(cid, 0, None)[1]:
                        proved += len(piece)
                        if progress is not None:
                            progress(len(piece))
            for failure in wrongs:
                if isinstance(failure, CorruptBlob):
                    raise failure
        except BlobNotFound:
            return Finding(cid, tier.name, proved, ok=False, problem="it is not there")
        except StoreUnavailable as error:
            wrong = any(isinstance(failure, CorruptBlob) for failure in error.failures)
            why = "; ".join(map(str, error.failures)) or str(error)
            return Finding(cid, tier.name, proved, ok=False, problem=why, known=wrong)
        except ZigguratError as error:
            known = isinstance(error, CorruptBlob) or not isinstance(error, TierError)
            return Finding(cid, tier.name, proved, ok=False, problem=str(error), known=known)
        return Finding(cid, tier.name, proved, ok=True)

    def _prove_dag(self, cid: Cid, reader: Reader, progress: Progress | None) -> int:
        """Prove a closure in a dag store, every block of every blob beneath its root; gives its bytes."""
        from ziggurat.content.assemble import assemble

        parcel = assemble(cid, reader)
        for _, block in parcel.pairs():
            if progress is not None:
                progress(len(block))
        return parcel.size

    # -- tiers ------------------------------------------------------------------------------------

    def stats(
        self, dropped: int, done: Mapping[str, Tally], totals: Mapping[str, Tally] | None
    ) -> StackStats:
        """What every tier did and holds, in file order.

        Args:
            dropped: Blocks that were not cached because the fill queue was full.
            done: What this store did, by tier, in file order.
            totals: What all processes did; None if that is unknown.
        """
        held = {cache.tier.name: self._in_cache(cache) for cache in self._caches.caches}
        held |= {tier.name: self._in_store(tier) for tier in (*self._places.stores, *self._places.sources)}
        policies = {cache.tier.name: cache.policy for cache in self._caches.caches}
        counts = self._catalog.counts() if self._catalog is not None else None
        return StackStats(
            tuple(
                _stats(*held[name], policies.get(name), mine, totals[name] if totals is not None else None)
                for name, mine in done.items()
            ),
            roots=counts.roots if counts is not None else 0,
            pins=counts.pins if counts is not None else 0,
            dropped_fills=dropped,
        )

    def _in_cache(self, cache: BlockCache) -> _Held:
        try:
            return cache.tier, Usage(*cache.usage()), cache.capacity, ""
        except ZigguratError as error:
            return cache.tier, None, cache.capacity, error.message

    def _in_store(self, tier: StoreTier) -> _Held:
        capacity = tier.config.capacity
        if tier.role == "source" or self._catalog is None:
            return tier, None, capacity, ""
        try:
            medium = self._places.medium(tier)
        except TierError as error:
            return tier, None, capacity, error.message
        return tier, self._catalog.usage(medium or ""), capacity, ""


def _stats(
    tier: Tier,
    usage: Usage | None,
    capacity: int | None,
    problem: str,
    policy: str | None,
    done: Tally,
    total: Tally | None,
) -> TierStats:
    return TierStats(
        tier=tier.name,
        role=tier.role,
        backend=tier.config.provider.name,
        used=usage.used if usage is not None else None,
        capacity=capacity,
        entries=usage.entries if usage is not None else None,
        hits=done.hits,
        misses=done.misses,
        bytes_read=done.bytes_read,
        bytes_written=done.bytes_written,
        evictions=done.evictions,
        errors=done.errors,
        state="resting" if tier.guard.breaker.resting else "unavailable" if problem else "ok",
        policy=policy,
        evicted_age=done.evicted_age,
        total=total,
        problem=problem,
    )
