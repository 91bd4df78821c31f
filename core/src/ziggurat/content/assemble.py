"""Parcels out of blocks that are at hand: from a CAR, or from tiers; foreign DAGs too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeAlias

from ziggurat.content.cid import DAG_PB, RAW, Cid
from ziggurat.content.importer import Leaf
from ziggurat.content.layout import Layout, Piece, Want, children_of
from ziggurat.content.leaves import leaf_block, leaf_payload
from ziggurat.content.parcel import Parcel
from ziggurat.content.unixfs import Node, parse_node
from ziggurat.errors import MalformedContent, UnsupportedContent

__all__ = ["MAX_PATH_DEPTH", "Blocks", "assemble", "leaves_of"]

Buffer: TypeAlias = bytes | bytearray | memoryview


class Blocks(Protocol):
    """Where proved blocks come from; raises what it likes for one that is missing."""

    def raw_block(self, want: Want, root: Cid) -> bytes:
        """A proved block, encoded as its CID names it, with its place in the blob that it belongs to."""

    def known(self, root: Cid) -> Layout | None:
        """The complete layout of a file, where it is at hand without asking block by block."""

    def leaves(self, layout: Layout) -> Iterator[tuple[Leaf, Buffer]]:
        """Each non-empty leaf of a file with its plain bytes, in order, proved."""


MAX_PATH_DEPTH = 256
"""Directories within directories that are followed."""

_WINDOW = 64


def assemble(root: Cid, blocks: Blocks, *, closure: bool = True) -> Parcel:
    """Build the parcel of a blob, and of all that it reaches.

    Args:
        root: The blob.
        blocks: Gives proved blocks.
        closure: Build the children of directories too.

    Raises:
        UnsupportedContent: A codec whose links cannot be read.
        MalformedContent: A node that does not parse, or directories nested too deep.
    """
    return _Assembly(blocks, closure).parcel(root, 0)


def leaves_of(layout: Layout, blocks: Blocks) -> Iterator[tuple[Leaf, bytes]]:
    """`Blocks.leaves`, block by block."""
    cursor = layout.cursor(0, None)
    root = layout.root
    while not cursor.done:
        for item in cursor.window(1 << 62, _WINDOW):
            if isinstance(item, Piece):
                # An inlined or odd leaf; its CID does not matter, only that it is no leaf of the source.
                yield Leaf(item.offset, len(item.data), root), bytes(item.data)
                continue
            data = leaf_payload(item.cid, blocks.raw_block(item, root))
            if item.size is not None and len(data) != item.size:
                raise MalformedContent(
                    f"the leaf {item.cid} has {len(data)} bytes, its parent says {item.size}", cid=root
                )
            yield Leaf(item.offset, len(data), item.cid), data


class _Assembly:
    def __init__(self, blocks: Blocks, closure: bool) -> None:
        self._blocks, self._closure = blocks, closure
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
        return cid.identity if cid.identity is not None else self._blocks.raw_block(Want(0, None, cid), root)

    # -- files ------------------------------------------------------------------------------------

    def _file(self, root: Cid, top: Node) -> Parcel:
        if not top.links:
            odd = {} if leaf_block(root, top.data) is not None else {root: top.block}
            return Parcel(root, "file", len(top.data), odd, data=top.data, tsize=len(top.block))
        layout = self._blocks.known(root) or self._explored(root, top)
        encoded = {cid: node.block for cid, node in layout.nodes.items()}
        blocks = self._blocks
        return Parcel(
            root, "file", top.size, encoded, source=lambda: blocks.leaves(layout), tsize=_tsize(top)
        )

    def _explored(self, root: Cid, top: Node) -> Layout:
        """The complete layout of a file, its dag-pb blocks looked at one by one."""
        nodes: dict[Cid, Node] = {}
        leaves: set[Cid] = set()
        # Depth first, as an importer orders them: a blob has one `.nodes`, wherever it came from.
        stack = [Want(0, top.size, root)]
        while stack:
            want = stack.pop()
            cid = want.cid
            if cid.codec != DAG_PB or cid.identity is not None or cid in nodes or cid in leaves:
                continue
            node = top if cid == root else parse_node(self._blocks.raw_block(want, root))
            if not node.links:
                if leaf_block(cid, node.data) is None:
                    nodes[cid] = node  # it would not encode again from its bytes, so it is kept as it is
                else:
                    leaves.add(cid)
                continue
            if not node.is_file:
                kind = node.type or "node"
                raise MalformedContent(f"{root} is a file with the {kind} {cid} in it", cid=root)
            nodes[cid] = node
            below, offset = [], want.offset
            for link, size in zip(node.links, node.block_sizes, strict=True):
                below.append(Want(offset, size, link.cid))
                offset += size
            stack.extend(reversed(below))
        return Layout(root, nodes, complete=True)

    # -- directories ------------------------------------------------------------------------------

    def _linking(self, root: Cid, top: Node, depth: int) -> Parcel:
        nodes: dict[Cid, Node] = {}
        stack = [root]
        while stack:
            cid = stack.pop()
            if cid not in nodes:
                node = nodes[cid] = top if cid == root else parse_node(self._block(cid, root))
                if node.type == "hamt":
                    stack.extend(reversed(list(_shards(node))))
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
