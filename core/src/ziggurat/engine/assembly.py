"""A configuration becomes a running stack: tiers, caches, catalog, reader, writer; wired in one place."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import define, field

from ziggurat.catalog import Catalog
from ziggurat.content import Profile
from ziggurat.engine.accesslog import AccessLog
from ziggurat.engine.caches import BlockCache, CacheStack, VolatileCache
from ziggurat.engine.events import Failures
from ziggurat.engine.fetcher import Fetcher
from ziggurat.engine.filler import Filler, PersistentCache
from ziggurat.engine.flights import Flights
from ziggurat.engine.inspector import Inspector
from ziggurat.engine.keeper import Keeper
from ziggurat.engine.locks import StoreLock
from ziggurat.engine.paths import Paths
from ziggurat.engine.places import Places
from ziggurat.engine.policies import Experience, index_for, policy_of
from ziggurat.engine.pools import Pool
from ziggurat.engine.reader import Reader
from ziggurat.engine.repair import Repair
from ziggurat.engine.resolver import Resolver
from ziggurat.engine.session import Layouts
from ziggurat.engine.together import Together
from ziggurat.engine.trees import TreeWriter
from ziggurat.engine.writer import Writer
from ziggurat.errors import ConfigError, DuplicateTier, NotDurable, ZigguratError
from ziggurat.policy.score import ScoreParameters
from ziggurat.tiers import CacheTier, StoreTier

__all__ = ["Stack", "assemble_stack"]

_ASKERS = 8


@define(eq=False)
class Stack:
    """The parts of an open store."""

    tiers: tuple[CacheTier | StoreTier, ...]
    path: Path
    profile: Profile
    catalog: Catalog | None
    failures: Failures
    filler: Filler
    caches: CacheStack
    places: Places
    reader: Reader
    looker: Reader
    paths: Paths
    writer: Writer
    trees: TreeWriter
    together: Together
    keeper: Keeper | None
    lock: StoreLock | None
    inspector: Inspector
    solo: Callable[[StoreTier, Failures], Reader]
    pools: tuple[Pool, ...]
    log: AccessLog | None
    closing: threading.Lock = field(factory=threading.Lock)

    @property
    def hashers(self) -> Pool:
        """Threads that read, hash and prove."""
        return self.pools[0]

    def require_catalog(self) -> Catalog:
        """The catalog of a stack that keeps something.

        Raises:
            NotDurable: The stack keeps nothing.
        """
        if self.catalog is None:
            raise NotDurable("this stack keeps nothing: it has no store tier")
        return self.catalog

    def require_keeper(self) -> Keeper:
        """What gives copies up, in a stack that keeps something.

        Raises:
            NotDurable: The stack keeps nothing.
        """
        if self.keeper is None:
            raise NotDurable("this stack keeps nothing: it has no store tier")
        return self.keeper

    def spool(self) -> Path:
        """The folder for temporary files, made when it is needed."""
        folder = self.path / "spool"
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def assemble_stack(
    tiers: Sequence[CacheTier | StoreTier],
    *,
    path: Path,
    profile: Profile,
    min_copies: int,
    catalog: Catalog | None,
    access_log: bool = False,
    heat: ScoreParameters | None = None,
) -> Stack:
    """Wire the parts of a store.

    Args:
        tiers: Hottest first.
        path: Folder of catalog and spool; made when something is kept in it.
        profile: How puts name content.
        min_copies: Copies that a put needs.
        catalog: The open catalog, None for a stack that keeps nothing.
        access_log: Record every read in a log beside the catalog.
        heat: Parameters of the heat score that `explain` shows.
    """
    names = [tier.name for tier in tiers]
    if len(set(names)) != len(names):
        raise DuplicateTier(f"two tiers share a name: {', '.join(names)}")
    failures, flights, layouts = Failures(), Flights(), Layouts()
    filler = Filler(failures)
    workers = max(2, os.cpu_count() or 2)
    hashers = Pool(workers, "ziggurat-hash")
    askers = Pool(_ASKERS, "ziggurat-ask")
    ahead = Pool(_ASKERS, "ziggurat-ahead")
    walkers = Pool(_ASKERS, "ziggurat-walk")  # its own: who waits for far blocks must hold up no stream
    putters = Pool(_ASKERS, "ziggurat-put")  # its own: what a put reads may itself ask other tiers
    caches = CacheStack(
        [_cache(tier, catalog, filler, failures) for tier in tiers if isinstance(tier, CacheTier)],
        failures,
        names,
    )
    places = Places([tier for tier in tiers if isinstance(tier, StoreTier)], catalog)
    owner = catalog.id if catalog is not None else ""
    repair = Repair(places, layouts, failures, hashers, owner)
    fetcher = Fetcher(places, caches, flights, layouts, repair, failures, hashers, askers)
    log = AccessLog(path, filler.soon) if access_log else None
    reader = _reader(fetcher, ahead, walkers, log)
    paths = Paths(reader)
    # What only looks must not warm the caches that it reports on.
    looking, apart = CacheStack(caches.caches, failures, names, admits=False), Flights()
    looker = _reader(
        Fetcher(places, looking, apart, layouts, repair, failures, hashers, askers), ahead, walkers
    )
    lock = StoreLock(path / "copies.lock") if catalog is not None else None
    writer = Writer(places, catalog, lock, failures, min_copies, putters)
    keeper = None
    if catalog is not None and lock is not None and writer.intents is not None:
        keeper = Keeper(places, catalog, lock, writer.intents)

    def solo(tier: StoreTier, wrongs: Failures) -> Reader:
        """A reader of one tier alone: no caches, no repair, nothing shared."""
        only = Places([tier], None)
        bare, own, trees = CacheStack([], failures), Flights(), Layouts()
        return _reader(Fetcher(only, bare, own, trees, None, wrongs, hashers, askers), ahead, walkers)

    return Stack(
        tiers=tuple(tiers),
        path=path,
        profile=profile,
        catalog=catalog,
        failures=failures,
        filler=filler,
        caches=caches,
        places=places,
        reader=reader,
        looker=looker,
        paths=paths,
        writer=writer,
        trees=TreeWriter(writer, putters),
        together=Together(writer),
        keeper=keeper,
        lock=lock,
        inspector=Inspector(places, caches, catalog, looker, Paths(looker), solo, heat),
        solo=solo,
        pools=(hashers, putters, ahead, walkers, askers),
        log=log,
    )


def _reader(fetcher: Fetcher, ahead: Pool, walkers: Pool, log: AccessLog | None = None) -> Reader:
    return Reader(Resolver(fetcher, log.note if log is not None else None), fetcher.layouts, ahead, walkers)


def _cache(tier: CacheTier, catalog: Catalog | None, filler: Filler, failures: Failures) -> BlockCache:
    policy = policy_of(tier)
    if tier.capabilities.volatile:
        state = catalog.learned.of(tier.name, policy.type.name) if catalog is not None else None
        index = index_for(policy, tier.capacity, state)
        experience = Experience(catalog, tier.name, policy, index, failures)
        return VolatileCache(tier, index, failures, experience, policy.provider.name)
    if catalog is None:
        raise ConfigError(f"tier {tier.name!r} is a persistent cache, which needs a catalog")
    cache = PersistentCache(tier, catalog, policy, filler, failures)
    try:
        cache.claim()
    except ConfigError:
        raise
    except ZigguratError as error:
        failures.note(error)  # a cache that is not there now may be there later, and fails nothing meanwhile
    return cache
