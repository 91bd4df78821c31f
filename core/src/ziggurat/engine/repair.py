"""The one repair: nodes of a file that are lost or wrong are built again from its plain bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor

import cachetools
from attrs import evolve

from ziggurat.backend import ByteRange
from ziggurat.content import DAG_PB, Cid, parse_node
from ziggurat.content.layout import Layout, nodes_car, rebuild_nodes
from ziggurat.engine.events import Failures
from ziggurat.engine.places import Place, Places
from ziggurat.engine.session import Layouts
from ziggurat.errors import ContentMismatch, MalformedContent, UnsupportedContent, ZigguratError
from ziggurat.tiers import StoreTier

__all__ = ["Repair"]

_VAIN_SECONDS = 60.0


class Repair:
    """Builds nodes again, once for a blob and tier.

    Args:
        places: Tiers and catalog.
        layouts: Known trees.
        failures: Where the repair, and a put of nodes that fails, are noted.
        hashers: Threads that hash leaves.
        catalog_id: This catalog, "" for none: only a medium that it owns is written to.
    """

    def __init__(
        self, places: Places, layouts: Layouts, failures: Failures, hashers: Executor, catalog_id: str
    ) -> None:
        self._places, self._layouts, self._failures = places, layouts, failures
        self._hashers, self._catalog_id = hashers, catalog_id
        self._lock = threading.Lock()
        self._busy: dict[tuple[str, Cid], threading.Lock] = {}
        self._vain: cachetools.TTLCache[tuple[str, Cid], bool] = cachetools.TTLCache(10_000, _VAIN_SECONDS)

    def nodes(self, place: Place, layout: Layout) -> bool:
        """Build the nodes of a blob again from one tier's plain bytes.

        Readers of one blob wait for the one that repairs it, and use what it built. What could not be built
        is not tried again for a while: it costs a read of the whole blob.

        Returns:
            True if they prove: the layout then has them, and the tier too where this catalog owns it.
        """
        root = layout.root
        if root.codec != DAG_PB:
            return False
        about = place.tier.name, root
        with self._lock:
            turn = self._busy.setdefault(about, threading.Lock())
        with turn:
            with self._lock:
                if about in self._vain:
                    return False
            known = self._layouts.of(root)
            if known.complete and known.nodes.keys() - layout.nodes.keys():
                layout.nodes.update(known.nodes)
                layout.complete = True
                return True
            self._layouts.forget(root)
            done, vain = self._rebuild(place, layout)
            with self._lock:
                if vain:
                    self._vain[about] = True
                self._busy.pop(about, None)
            return done

    def _rebuild(self, place: Place, layout: Layout) -> tuple[bool, bool]:
        """Whether the nodes are there again, and whether another try would be in vain."""
        tier, root = place.tier, layout.root
        try:
            size = _plain_size(place, root)
            if size is None:
                return False, False
            encodings = [row.encoding for row in self._places.rows(root).values() if row.encoding]
            built = rebuild_nodes(root, _reader(place, root), size, encodings, self._hashers)
        except (ContentMismatch, MalformedContent, UnsupportedContent):
            return False, True
        except ZigguratError as error:
            self._failures.note(error)
            return False, False
        if built is None:
            return False, True
        layout.nodes.update((cid, parse_node(block)) for cid, block in built.nodes.items())
        layout.complete = True
        self._layouts.keep(layout, replace=True)
        try:
            if self._owned(tier):
                self._note(tier, root, tier.put_nodes(root, nodes_car(root, built.nodes)))
        except ZigguratError as error:
            self._failures.note(error)
        return True, False

    def _note(self, tier: StoreTier, root: Cid, note: bytes | None) -> None:
        """Keep the note of the new nodes: that of the old ones may lead back to them."""
        row = self._places.rows(root).get(self._places.medium(tier) or "")
        if row is not None and row.nodes_note != note and self._places.catalog is not None:
            self._places.catalog.record_put((), [evolve(row, nodes_note=note)])

    def _owned(self, tier: StoreTier) -> bool:
        """True if the tier is written to, and is nobody else's."""
        if not tier.writable:
            return False
        medium = tier.refresh_medium()
        return medium is not None and medium.catalogs[:1] in ((), (self._catalog_id,))


def _plain_size(place: Place, root: Cid) -> int | None:
    """Bytes under the plain key; None if there are none."""
    stat = place.tier.stat_key(root.key)
    if stat is not None and stat.size is not None:
        return stat.size
    blob = place.tier.plain(root, None, place.note)
    if blob is None:
        return None
    with blob:
        return blob.size


def _reader(place: Place, root: Cid) -> Callable[[int, int], bytes]:
    def read(offset: int, length: int) -> bytes:
        blob = place.tier.plain(root, ByteRange(offset, length), place.note) if length else None
        if blob is None:
            return b""
        with blob:
            return blob.read()

    return read
