"""Parcels out of blocks that are at hand: from a CAR, or from tiers; foreign DAGs too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from ziggurat.content.cid import DAG_PB, RAW, Cid
from ziggurat.content.importer import Leaf
from ziggurat.content.layout import Layout, Piece, Want, children_of
from ziggurat.content.leaves import leaf_block, leaf_payload
from ziggurat.content.parcel import Parcel
from ziggurat.content.unixfs import Node, parse_node
from ziggurat.errors import MalformedContent, UnsupportedContent

__all__ = ["MAX_PATH_DEPTH", "assemble"]

GetBlock: TypeAlias = Callable[[Cid, Cid, Want | None], bytes]
"""Gives a proved block: its CID, the blob that it belongs to, and where in that file its plain bytes are (a
bytes store can give a leaf only by its place), None for what has no place."""

MAX_PATH_DEPTH = 256
"""Directories within directories that are followed."""

_WINDOW = 64


def assemble(root: Cid, get: GetBlock, *, closure: bool = True) -> Parcel:
    """Build the parcel of a blob, and of all that it reaches.

    Args:
        root: The blob.
        get: Gives proved blocks; raises what it likes for one that is missing.
        closure: Build the children of directories too.

    Raises:
        UnsupportedContent: A codec whose links cannot be read.
        MalformedContent: A node that does not parse, or directories nested too deep.
    """
    return _Assembly(get, closure).parcel(root, 0)


class _Assembly:
    def __init__(self, get: GetBlock, closure: bool) -> None:
        self._get, self._closure = get, closure
        self._done: dict[Cid, Parcel] = {}

    def parcel(self, root: Cid, depth: int) -> Parcel:
        known = self._done.get(root)
        if known is None:
            known = self._done[root] = self._build(root, depth)
        return known

    def _build(self, root: Cid, depth: int) -> Parcel:
        if depth > MAX_PATH_DEPTH:
            raise MalformedContent(f"{root} nests more than {MAX_PATH_DEPTH} directories", cid=root)
        block = self._block(root, root)
        if root.codec == RAW:
            return Parcel(root, "file", len(block), data=block, tsize=len(block))
        if root.codec != DAG_PB:
            raise UnsupportedContent(
                f"{root} has the codec 0x{root.codec:x}, whose links cannot be read: only raw and "
                "dag-pb roots are kept whole",
                cid=root,
            )
        node = parse_node(block)
        if node.is_file:
            return self._file(root, node)
        if node.type == "symlink":
            return Parcel(root, "symlink", 0, {root: block}, tsize=len(block))
        return self._linking(root, node, depth)

    def _block(self, cid: Cid, root: Cid) -> bytes:
        return cid.identity if cid.identity is not None else self._get(cid, root, None)

    # -- files ------------------------------------------------------------------------------------

    def _file(self, root: Cid, top: Node) -> Parcel:
        if not top.links:
            odd = {} if leaf_block(root, top.data) is not None else {root: top.block}
            whole = (Leaf(0, len(top.data), root), top.data)
            return Parcel(
                root, "file", len(top.data), odd, top.data, lambda: iter((whole,)), tsize=len(top.block)
            )
        nodes = {root: top}
        pending = [(top, 0)]
        while pending:
            parent, offset = pending.pop()
            for link, below in zip(parent.links, parent.block_sizes, strict=True):
                cid, place = link.cid, Want(offset, below, link.cid)
                offset += below
                if cid.codec != DAG_PB or cid.identity is not None or cid in nodes:
                    continue
                node = parse_node(self._get(cid, root, place))
                if node.links:
                    nodes[cid] = node
                    pending.append((node, place.offset))
                elif leaf_block(cid, node.data) is None:
                    nodes[cid] = node  # it would not encode again from its bytes, so it is kept as it is
        layout = Layout(root, nodes, complete=True)
        encoded = {cid: node.block for cid, node in nodes.items()}
        return Parcel(root, "file", top.size, encoded, source=lambda: self._leaves(layout), tsize=_tsize(top))

    def _leaves(self, layout: Layout) -> Iterator[tuple[Leaf, bytes]]:
        cursor = layout.cursor(0, None)
        root = layout.root
        while not cursor.done:
            for item in cursor.window(1 << 62, _WINDOW):
                if isinstance(item, Piece):
                    # An inlined or odd leaf; its CID does not matter, only that it is no leaf of the source.
                    yield Leaf(item.offset, len(item.data), root), bytes(item.data)
                    continue
                data = leaf_payload(item.cid, self._get(item.cid, root, item))
                if item.size is not None and len(data) != item.size:
                    raise MalformedContent(
                        f"the leaf {item.cid} has {len(data)} bytes, its parent says {item.size}", cid=root
                    )
                yield Leaf(item.offset, len(data), item.cid), data

    # -- directories ------------------------------------------------------------------------------

    def _linking(self, root: Cid, top: Node, depth: int) -> Parcel:
        nodes = {root: top}
        pending = [top] if top.type == "hamt" else []
        while pending:
            for cid in _shards(pending.pop()):
                if cid not in nodes:
                    node = nodes[cid] = parse_node(self._get(cid, root, None))
                    pending.append(node)
        linked = tuple(dict.fromkeys(cid for _, cid in children_of(nodes, root)))
        links = tuple(cid for cid in linked if cid.identity is None)
        children = tuple(self.parcel(cid, depth + 1) for cid in links) if self._closure else ()
        sizes = {child.cid: child.size for child in children}
        size = sum(sizes.get(cid, 0) for _, cid in children_of(nodes, root))
        return Parcel(
            root,
            "directory" if top.is_directory else "block",
            size,
            {cid: node.block for cid, node in nodes.items()},
            children=children,
            links=links,
            tsize=_tsize(top),
        )


def _shards(node: Node) -> Iterator[Cid]:
    from ziggurat.content.hamt import hamt_entries

    return (link.cid for name, link in hamt_entries(node) if name is None)


def _tsize(node: Node) -> int:
    return len(node.block) + sum(link.tsize for link in node.links)
