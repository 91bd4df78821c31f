"""`Store`: the user's face of a stack."""

from __future__ import annotations

import os
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, cast

from attrs import evolve

from ziggurat.backend import Info
from ziggurat.catalog import Catalog
from ziggurat.config import load
from ziggurat.config.model import StackConfig
from ziggurat.content import DAG_PB, Cid, Profile, profile_by_name
from ziggurat.content.assemble import assemble
from ziggurat.content.tree import walk_directory
from ziggurat.engine.assembly import Stack, assemble_stack
from ziggurat.engine.blocks import evict_blocks
from ziggurat.engine.caches import VolatileCache
from ziggurat.engine.cars import CarBlocks, CarSource, export_car
from ziggurat.engine.files import BlobFile
from ziggurat.engine.keeper import Keeper
from ziggurat.engine.many import PutMany
from ziggurat.engine.paths import Ref, Saver
from ziggurat.engine.records import (
    BlobStat,
    Collected,
    Entry,
    Eviction,
    Explanation,
    Finding,
    Receipt,
    Removal,
    RootInfo,
    Saved,
    StackStats,
)
from ziggurat.engine.session import Buffer
from ziggurat.engine.sources import PutSource, parcel_of, parcel_of_tree
from ziggurat.engine.trees import receipt_of
from ziggurat.errors import BlobNotFound, ConfigError, NotDurable, StoreError, ZigguratError
from ziggurat.plugin.registry import Registry
from ziggurat.tiers import CacheTier, StoreTier, make_tier

__all__ = ["Store", "open_store"]

Progress = Callable[[int], None]

_ACCESSES = 65_536
_open_stores: weakref.WeakSet[Store]


def open_store(
    config: str | os.PathLike[str] | Mapping[str, object] | StackConfig | None = None,
    *,
    registry: Registry | None = None,
) -> Store:
    """Open the store that a configuration describes.

    Args:
        config: A path of a TOML file, a mapping of the same shape, a loaded configuration, or None for the
            search order (``ZIGGURAT_CONFIG``, ``./ziggurat.toml``, the user's file, the packaged default).
        registry: Where backends are looked up; the installed ones by default.

    Raises:
        ConfigError: The configuration cannot be used; the report names every problem.
        PluginError: A backend cannot be used.
        StoreError: The catalog cannot be opened.
    """
    stack = config if isinstance(config, StackConfig) else load(config, registry=registry)
    return Store(stack)


class Store:
    """One stack, open: put and get blobs by CID. Safe for threads; not after a fork.

    A reference is a `Cid`, its text, or ``CID/path`` beneath a directory. Use it as a context manager, or
    `close` it. From asyncio, call its methods through `asyncio.to_thread`.

    Args:
        config: A loaded configuration.

    Attributes:
        config: What the store was made from.
    """

    def __init__(self, config: StackConfig) -> None:
        catalog = _catalog_for(
            config.path, [(tier.role, tier.type.capabilities.volatile) for tier in config.tiers]
        )
        tiers: list[CacheTier | StoreTier] = []
        try:
            for tier in config.tiers:
                tiers.append(
                    make_tier(
                        tier, catalog=catalog.id if catalog is not None else "", spool=config.path / "spool"
                    )
                )
            self._start(
                assemble_stack(
                    tiers,
                    path=config.path,
                    profile=profile_by_name(config.profile),
                    min_copies=config.min_copies,
                    catalog=catalog,
                )
            )
        except BaseException:
            for made in tiers:
                with suppress(ZigguratError):
                    made.close()
            if catalog is not None:
                catalog.close()
            raise
        self.config = config

    @classmethod
    def from_tiers(
        cls,
        tiers: Sequence[CacheTier | StoreTier],
        *,
        path: Path,
        min_copies: int = 1,
        profile: Profile | str = "unixfs-v1-2025",
        catalog: Catalog | None = None,
    ) -> Store:
        """A store over tiers that were made by hand, for tests.

        Args:
            tiers: Hottest first.
            path: Folder of the catalog and the spool.
            min_copies: Copies that a put needs.
            profile: How puts name content.
            catalog: The open catalog that the tiers were made for; otherwise the one in `path`.
        """
        store = cls.__new__(cls)
        if catalog is None:
            catalog = _catalog_for(path, [(tier.role, tier.capabilities.volatile) for tier in tiers])
        stack = assemble_stack(
            tiers,
            path=path,
            profile=profile_by_name(profile) if isinstance(profile, str) else profile,
            min_copies=min_copies,
            catalog=catalog,
        )
        store._start(stack)
        store.config = StackConfig(tuple(tier.config for tier in tiers), path, min_copies, stack.profile.name)
        return store

    def _start(self, stack: Stack) -> None:
        self._parts = stack
        self._unusable = ""
        self._accesses: deque[str] = deque(maxlen=_ACCESSES)
        self._noted = self._accesses.append
        self._hot, self._hit = _hot_path(stack)
        _open_stores.add(self)

    def _stack(self) -> Stack:
        if self._unusable:
            raise StoreError(self._unusable)
        return self._parts

    def _retire(self, why: str) -> None:
        self._unusable = why
        self._hot = _nothing

    # -- life -------------------------------------------------------------------------------------

    def close(self) -> None:
        """Fill what waits for the caches, and release everything; harmless when repeated."""
        stack = self._parts
        with stack.closing:
            if self._unusable:
                return
            self._note_accesses()
            self._retire("this store is closed; open it again")
        stack.filler.close()
        for pool in stack.pools:
            pool.shutdown(wait=True)  # what was begun ends; it is refused to begin more
        for cache in stack.caches.caches:
            flush = getattr(cache, "flush", None)
            if flush is not None:
                _quietly(stack, flush)
        for tier in stack.tiers:
            _quietly(stack, tier.close)
        if stack.catalog is not None:
            stack.catalog.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store {' > '.join(tier.name for tier in self._parts.tiers)}>"

    @property
    def tiers(self) -> tuple[CacheTier | StoreTier, ...]:
        """The tiers, hottest first."""
        return self._stack().tiers

    # -- reading ----------------------------------------------------------------------------------

    def get(self, ref: Ref, offset: int = 0, length: int | None = None) -> bytes:
        """The proved bytes of a file, or of a range of it.

        Args:
            ref: What to read.
            offset: First byte.
            length: Bytes, None for all that follow; more than there are gives what there is.

        Raises:
            BlobNotFound: Every tier answered, and none has it.
            StoreUnavailable: Some tier that may have it could not answer.
            NotAFile: A directory or symlink.
            RangeError: The range begins outside the file.
        """
        if ref.__class__ is Cid and length is None and not offset:
            # A block that is in this process's memory: two look-ups, and a note for the policy.
            block = self._hot(ref.cache_key)
            if block is not None and ref.codec != DAG_PB:
                self._hit(ref.cache_key)
                self._noted(ref.cache_key)
                return block
        stack = self._stack()
        cid = stack.paths.resolve(ref)
        self._note(cid)
        return stack.reader.read(cid, offset, length)

    def stream(self, ref: Ref, offset: int = 0, length: int | None = None) -> Iterator[Buffer]:
        """The same bytes in order and in pieces, each proved before it is given; memory stays bounded.

        An error comes at its position, after the proved bytes before it.
        """
        stack = self._stack()
        cid = stack.paths.resolve(ref)
        self._note(cid)
        return stack.reader.stream(cid, offset, length)[1]

    def open(self, ref: Ref) -> BinaryIO:
        """A file as a seekable binary file object, every byte of which is proved as it is read."""
        stack = self._stack()
        cid = stack.paths.resolve(ref)
        self._note(cid)
        return BlobFile.buffered(stack.reader, cid)

    def save(
        self,
        ref: Ref,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Saved:
        """Write a file, or a directory with all beneath it, to the local file system.

        Each file appears whole or not at all. Names that would leave the target are refused.

        Raises:
            FileExistsError: Something is there, and `overwrite` is False.
        """
        stack = self._stack()
        cid = stack.paths.resolve(ref)
        self._note(cid)
        return Saver(stack.reader, stack.paths, overwrite=overwrite, progress=progress).save(cid, Path(path))

    def has(self, ref: Ref) -> bool:
        """True if a store or source keeps the blob; caches are not asked.

        Raises:
            StoreUnavailable: Nobody said yes, and some tier could not tell.
        """
        stack = self._stack()
        return stack.inspector.has(stack.paths.resolve(ref))

    def stat(self, ref: Ref) -> BlobStat:
        """What is known of a blob."""
        stack = self._stack()
        return stack.inspector.stat(stack.paths.resolve(ref))

    def ls(self, ref: Ref) -> Iterator[Entry]:
        """The direct children of a directory; a file or symlink gives itself."""
        stack = self._stack()
        return stack.paths.entries(stack.paths.resolve(ref))

    # -- writing ----------------------------------------------------------------------------------

    def put(
        self,
        source: PutSource,
        *,
        expect: Cid | str | None = None,
        info: Info | None = None,
        progress: Progress | None = None,
    ) -> Receipt:
        """Keep content; when this returns it is durable, and a root.

        Args:
            source: Bytes-like, a path, a binary file (from where it stands), or an iterable of bytes.
            expect: Refuse content that is not this CID's.
            info: Content type, tags and metadata to keep with it.
            progress: Told the bytes that were read for the first store.

        Raises:
            TypeError: `source` is text.
            ContentMismatch: It is not what `expect` names, or it changed while it was read.
            StoreFull, NotDurable: Too few stores took it.
        """
        stack = self._writable()
        expected = Cid.parse(expect) if isinstance(expect, str) else expect
        with (
            parcel_of(
                source,
                stack.profile,
                expect=expected,
                spool=stack.spool,
                pool=stack.hashers,
                progress=progress,
            ) as parcel,
            stack.writer.adding(),
        ):
            done = stack.writer.place(parcel, info)
            stack.writer.acknowledge(parcel, done, info=info)
        return receipt_of(parcel, done)

    def put_many(self, sources: Iterable[PutSource]) -> Iterator[Receipt | Exception]:
        """Keep several contents, small ones together; each is acknowledged or refused alone.

        Yields:
            For each source, in order, its receipt or the error that `put` would have raised.
        """
        stack = self._writable()
        return PutMany(stack.writer, stack.profile, stack.spool, stack.hashers).put(sources)

    def put_dir(
        self,
        path: str | os.PathLike[str],
        *,
        progress: Progress | None = None,
        on_entry: Callable[[Entry], None] | None = None,
    ) -> Receipt:
        """Keep a directory with all beneath it; the receipt is the directory's.

        Symlinks are kept as symlinks; devices, sockets and fifos are refused.

        Args:
            path: The directory.
            progress: Told the bytes that were read to name them.
            on_entry: Called with each entry once it has its CID, before anything is acknowledged.
        """
        stack = self._writable()
        items = walk_directory(path, stack.profile, pool=stack.hashers, progress=progress)
        return stack.trees.put(parcel_of_tree(items, stack.hashers, on_entry))

    def import_car(self, source: CarSource, *, progress: Progress | None = None) -> tuple[Receipt, ...]:
        """Keep what the roots of a CAR (version 1 or 2) name; each becomes a root of the store.

        Raises:
            MalformedContent: Not a CAR, cut off, or one that lacks blocks of a root; nothing was imported.
            ContentMismatch: A block is not its CID's; nothing was imported.
            UnsupportedContent: A root's links cannot be read.
        """
        stack = self._writable()
        with CarBlocks(source, stack.spool(), progress) as blocks:
            return tuple(stack.trees.put(parcel) for parcel in blocks.parcels())

    def export_car(
        self, ref: Ref, target: str | os.PathLike[str] | BinaryIO, *, progress: Progress | None = None
    ) -> int:
        """Write a blob with all that it links to as a CARv1, depth first.

        Args:
            ref: What to export.
            target: A path (which appears whole or not at all) or a binary file.
            progress: Told the bytes that were written.

        Returns:
            Bytes written.
        """
        stack = self._stack()
        cid = stack.paths.resolve(ref)
        self._note(cid)
        return export_car(assemble(cid, stack.reader.raw_block), target, progress)

    def adopt(self, cid: Cid | str, tier: str) -> Receipt:
        """Make a root of what a store tier already keeps, after proving all of it.

        Raises:
            BlobNotFound, StoreUnavailable: The tier does not keep all of it.
        """
        stack = self._writable()
        return stack.trees.adopt(_cid(cid), self._store_tier(tier), stack.solo)

    def copy(self, cid: Cid | str, tier: str) -> Receipt:
        """Put a proved copy of a blob, with all that it links to, on one store tier.

        Raises:
            TierError: The tier refused it.
        """
        stack = self._writable()
        root = _cid(cid)
        parcel = assemble(root, stack.reader.raw_block)
        with stack.writer.adding():  # so that no collection comes between the look and the copy
            kept = _need(stack.catalog).protects(str(root.key))
            return stack.trees.copy(parcel, self._store_tier(tier), make_root=not kept)

    # -- keeping and giving up --------------------------------------------------------------------

    def roots(self) -> Iterator[RootInfo]:
        """Every root of this store."""
        catalog = self._stack().catalog
        for row in catalog.roots() if catalog is not None else ():
            yield RootInfo(Cid.parse(row.cid), row.size, row.type, row.created)  # type: ignore[arg-type]

    def pin(self, ref: Ref) -> bool:
        """Keep a blob from `remove`, `evict` and `gc` until it is unpinned.

        Returns:
            True if it was not pinned.

        Raises:
            BlobNotFound: No store keeps it, so there is nothing to pin.
        """
        stack = self._writable()
        cid = stack.paths.resolve(ref)
        catalog, key = _need(stack.catalog), str(cid.key)
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
        return _need(stack.catalog).unpin(str(stack.paths.resolve(ref).key))

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
                return evict_blocks(stack.reader, cid, cache)
        store = self._store_tier(tier)
        return _need_keeper(stack).evict(cid, store)

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

    def verify(
        self, ref: Ref | None = None, *, tier: str | None = None, progress: Progress | None = None
    ) -> Iterator[Finding]:
        """Prove whole copies, each read from its own tier alone.

        Args:
            ref: A blob with all that it links to; None for everything that is kept.
            tier: Only copies on this tier.
            progress: Told the bytes that were proved.
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
        """What every tier did since the store was opened, and what it holds."""
        stack = self._stack()
        self._note_accesses()
        found = stack.inspector.stats(stack.filler.dropped)
        order = [tier.name for tier in stack.tiers]
        return evolve(found, tiers=tuple(sorted(found.tiers, key=lambda one: order.index(one.tier))))

    def failures(self) -> tuple[Exception, ...]:
        """The last failures that another tier made good, oldest first."""
        return tuple(self._stack().failures)

    # -- helpers ----------------------------------------------------------------------------------

    def _note(self, cid: Cid) -> None:
        self._noted(cid.cache_key)
        if len(self._accesses) >= _ACCESSES // 2:
            self._note_accesses()

    def _note_accesses(self) -> None:
        """Give the accesses since the last time to the catalog, in one batch."""
        catalog = self._parts.catalog
        counts = Counter(self._accesses.popleft() for _ in range(len(self._accesses)))
        if catalog is not None and counts:
            now = time.time()
            _quietly(
                self._parts,
                lambda: catalog.accesses.count(
                    {key.removesuffix(".block"): (count, now) for key, count in counts.items()}
                ),
            )

    def _writable(self) -> Stack:
        stack = self._stack()
        if stack.catalog is None or not stack.places.stores:
            raise NotDurable(
                "this stack has no store tier, so nothing can be kept; add one to its configuration"
            )
        return stack

    def _store_tier(self, name: str) -> StoreTier:
        tiers = self._stack().tiers
        for tier in tiers:
            if tier.name == name and isinstance(tier, StoreTier) and tier.role == "store":
                return tier
        known = ", ".join(tier.name for tier in tiers if tier.role == "store")
        raise ConfigError(f"there is no store tier {name!r}; this stack has {known or 'none'}")


def _catalog_for(path: Path, tiers: Sequence[tuple[str, bool]]) -> Catalog | None:
    """A catalog, if something is to be remembered: store tiers and persistent caches."""
    if any(role == "store" or (role == "cache" and not volatile) for role, volatile in tiers):
        return Catalog.open(path)
    return None


def _hot_path(stack: Stack) -> tuple[Callable[[str], bytes | None], Callable[[str], object]]:
    """How a block in this process's memory is looked up, and how the hit is noted."""
    first = stack.caches.caches[0] if stack.caches else None
    if not isinstance(first, VolatileCache):
        return _nothing, _nothing
    return cast("Callable[[str], bytes | None]", first.peek), first.index.hit


def _nothing(_key: str) -> None:
    return None


def _need(catalog: Catalog | None) -> Catalog:
    if catalog is None:  # pragma: no cover - _writable looked
        raise NotDurable("this stack has no catalog")
    return catalog


def _need_keeper(stack: Stack) -> Keeper:
    if stack.keeper is None:  # pragma: no cover - a stack with a store tier has one
        raise NotDurable("this stack has no catalog")
    return stack.keeper


def _cid(ref: Cid | str) -> Cid:
    return Cid.parse(ref) if isinstance(ref, str) else ref


def _quietly(stack: Stack, call: Callable[[], object]) -> None:
    try:
        call()
    except ZigguratError as error:
        stack.failures.note(error)


_open_stores = weakref.WeakSet()


def _after_fork() -> None:
    for store in list(_open_stores):
        store._retire("this store was opened before a fork; open a new one in this process")


os.register_at_fork(after_in_child=_after_fork)
