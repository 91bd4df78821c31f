"""`Store`: the user's face of a stack."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import cast

from ziggurat.catalog import Catalog
from ziggurat.config import load
from ziggurat.config.model import StackConfig
from ziggurat.content import Profile, profile_by_name
from ziggurat.engine.assembly import Stack, assemble_stack
from ziggurat.engine.caches import VolatileCache
from ziggurat.engine.faces.base import nothing, quietly
from ziggurat.engine.faces.keeping import Keeping
from ziggurat.engine.faces.reading import Reading
from ziggurat.engine.faces.writing import Writing
from ziggurat.errors import ZigguratError
from ziggurat.plugin.registry import Registry
from ziggurat.tiers import CacheTier, StoreTier, make_tier

__all__ = ["Store", "open_store"]

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


class Store(Reading, Writing, Keeping):
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
            owner = catalog.id if catalog is not None else ""
            # One after the other, so that those which were made are closed when the next one fails.
            tiers.extend(make_tier(tier, catalog=owner, spool=config.path / "spool") for tier in config.tiers)
            self._start(
                assemble_stack(
                    tiers,
                    path=config.path,
                    profile=profile_by_name(config.profile),
                    min_copies=config.min_copies,
                    catalog=catalog,
                    access_log=config.access_log,
                    heat=config.heat,
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
        access_log: bool = False,
    ) -> Store:
        """A store over tiers that were made by hand, for tests.

        Args:
            tiers: Hottest first.
            path: Folder of the catalog and the spool.
            min_copies: Copies that a put needs.
            profile: How puts name content.
            catalog: The open catalog that the tiers were made for; otherwise the one in `path`.
            access_log: Record every read in a log beside the catalog.
        """
        store = cls.__new__(cls)
        made = None
        if catalog is None:
            made = catalog = _catalog_for(path, [(tier.role, tier.capabilities.volatile) for tier in tiers])
        try:
            stack = assemble_stack(
                tiers,
                path=path,
                profile=profile_by_name(profile) if isinstance(profile, str) else profile,
                min_copies=min_copies,
                catalog=catalog,
                access_log=access_log,
            )
        except BaseException:
            if made is not None:
                made.close()
            raise
        store._start(stack)  # noqa: SLF001 - this is a constructor
        store.config = StackConfig(tuple(tier.config for tier in tiers), path, min_copies, stack.profile.name)
        return store

    def _start(self, stack: Stack) -> None:
        self._begin(stack)
        self._hot, self._hit = _hot_path(stack)
        _open_stores.add(self)

    def _retire(self, why: str) -> None:
        self._unusable = why
        self._hot = nothing
        self._parts.reader.retire(why)
        self._parts.looker.retire(why)

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
            quietly(stack, cache.rest)
        if stack.log is not None:
            quietly(stack, stack.log.flush)
        for tier in stack.tiers:
            quietly(stack, tier.close)
        self._teller.close()
        if stack.lock is not None:
            stack.lock.close()
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


def _catalog_for(path: Path, tiers: Sequence[tuple[str, bool]]) -> Catalog | None:
    """A catalog, if something is to be remembered: store tiers and persistent caches."""
    if any(role == "store" or (role == "cache" and not volatile) for role, volatile in tiers):
        return Catalog.open(path)
    return None


def _hot_path(stack: Stack) -> tuple[Callable[[str], bytes | None], Callable[[str], object]]:
    """How a block in this process's memory is looked up, and how the hit is noted."""
    first = stack.caches.caches[0] if stack.caches else None
    if not isinstance(first, VolatileCache) or stack.log is not None:  # a log is told by the other path
        return nothing, nothing
    return cast("Callable[[str], bytes | None]", first.peek), first.warm


_open_stores = weakref.WeakSet()


def _after_fork() -> None:
    for store in list(_open_stores):
        store._retire(  # noqa: SLF001 - the module and the class are one
            "this store was opened before a fork; open a new one in this process"
        )


os.register_at_fork(after_in_child=_after_fork)
