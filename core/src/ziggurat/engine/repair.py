"""The one repair: nodes of a file that are lost or wrong are built again from its plain bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor

import cachetools

from ziggurat.backend import ByteRange
from ziggurat.content import DAG_PB, Cid, parse_node
from ziggurat.content.layout import Layout, nodes_car, rebuild_nodes
from ziggurat.engine.events import Failures
from ziggurat.engine.places import Place, Places
from ziggurat.engine.session import Layouts
from ziggurat.errors import ContentMismatch, MalformedContent, UnsupportedContent, ZigguratError
from ziggurat.tiers import StoreTier

__all__ = ["Repair"]


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
        self._tried: cachetools.LRUCache[tuple[str, str], bool] = cachetools.LRUCache(10_000)

    def nodes(self, place: Place, layout: Layout) -> bool:
        """Build the nodes of a blob again from one tier's plain bytes.

        Returns:
            True if they prove: the layout then has them, and the tier too where this catalog owns it.
        """
        tier, root = place.tier, layout.root
        if root.codec != DAG_PB:
            return False
        with self._lock:
            if self._tried.get((tier.name, str(root.key))):
                return False
            self._tried[tier.name, str(root.key)] = True
        self._layouts.forget(root)
        try:
            stat = tier.stat_key(root.key)
            if stat is None or stat.size is None:
                return False
            encodings = [row.encoding for row in self._places.rows(root).values() if row.encoding]
            built = rebuild_nodes(root, _reader(place, root), stat.size, encodings, self._hashers)
        except (ContentMismatch, MalformedContent, UnsupportedContent):
            return False
        except ZigguratError as error:
            self._failures.note(error)
            return False
        if built is None:
            return False
        layout.nodes.update((cid, parse_node(block)) for cid, block in built.nodes.items())
        layout.complete = True
        self._layouts.keep(layout)
        if self._owned(tier):
            try:
                tier.put_nodes(root, nodes_car(root, built.nodes))
            except ZigguratError as error:
                self._failures.note(error)
        return True

    def _owned(self, tier: StoreTier) -> bool:
        if not tier.writable:
            return False
        medium = tier.identify()
        return medium is not None and medium.catalogs[:1] in ((), (self._catalog_id,))


def _reader(place: Place, root: Cid) -> Callable[[int, int], bytes]:
    def read(offset: int, length: int) -> bytes:
        blob = place.tier.plain(root, ByteRange(offset, length), place.note) if length else None
        if blob is None:
            return b""
        with blob:
            return blob.read()

    return read
