"""The blocks of one blob, as caches know them."""

from __future__ import annotations

from collections.abc import Iterator

from ziggurat.content import Cid
from ziggurat.content.layout import Want
from ziggurat.engine.caches import BlockCache
from ziggurat.engine.reader import Reader
from ziggurat.engine.records import Eviction

__all__ = ["block_keys", "evict_blocks", "first_key"]


def block_keys(reader: Reader, cid: Cid) -> Iterator[str]:
    """Cache keys of every block of a blob itself, the root first, each once."""
    nodes = reader.nodes(cid).nodes
    seen = {cid.cache_key}
    yield cid.cache_key
    for node_cid, node in nodes.items():
        links = [link.cid for link in node.links] if node.is_file else []
        for block in (node_cid, *links):
            if block.cache_key not in seen:
                seen.add(block.cache_key)
                yield block.cache_key


def first_key(reader: Reader, cid: Cid) -> str:
    """Cache key of the block that a read of the first byte ends at."""
    layout = reader.nodes(cid)
    top = layout.top
    if top is None or not top.is_file:
        return cid.cache_key
    items = layout.cursor(0, None).window(1, 1)
    return items[0].cid.cache_key if items and isinstance(items[0], Want) else cid.cache_key


def evict_blocks(reader: Reader, cid: Cid, cache: BlockCache) -> Eviction:
    """Drop a blob's blocks from one cache."""
    freed = blocks = 0
    for key in block_keys(reader, cid):
        stat = cache.tier.stat_key(key)
        if stat is not None and cache.drop(key):
            freed += stat.stored or stat.size or 0
            blocks += 1
    reader.forget(cid)  # otherwise its nodes would not be read, and so not cached, again
    return Eviction(cid, cache.tier.name, blocks > 0, freed)
