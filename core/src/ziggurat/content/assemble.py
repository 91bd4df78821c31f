"""Parcels out of blocks that are at hand: from a CAR, or from tiers; foreign DAGs too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol, TypeAlias

from ziggurat.content.cid import DAG_PB, RAW, Cid
from ziggurat.content.directory import MAX_PATH_DEPTH
from ziggurat.content.importer import Leaf
from ziggurat.content.layout import Layout, Piece, Want, children_of
from ziggurat.content.leaves import leaf_block, leaf_payload
from ziggurat.content.parcel import Parcel
from ziggurat.content.unixfs import Node, parse_node
from ziggurat.errors import MalformedContent, UnsupportedContent

__all__ = ["Blocks", "assemble", "leaves_of"]

Buffer: TypeAlias = bytes | bytearray | memoryview


class Blocks(Protocol):
    """Where proved blocks come from; raises what it likes for one that is missing."""

    def raw_block(self, want: Want, root: Cid) -> bytes:
        """A proved block, encoded as its CID names it, with its place in the blob that it belongs to."""

    def known(self, root: Cid) -> Layout | None:
        """The complete layout of a file, where it is at hand without asking block by block."""

    def leaves(self, layout: Layout) -> Iterator[tuple[Leaf, Buffer]]:
        """Each non-empty leaf of a file with its plain bytes, in order, proved."""


_WINDOW = 64


def assemble(root: Cid, blocks: Blocks) -> Parcel:
    """Build the parcel of a blob, and of all that it reaches.

    A directory that an identity CID carries is no blob of its own: what it links to belongs to the blob that
    it stands in.

    Args:
        root: The blob.
        blocks: Gives proved blocks.

    Raises:
        UnsupportedContent: A codec whose links cannot be read, or an identity CID that is a part of a file.
        MalformedContent: A node that does not parse, or directories nested too deep.
    """
    return _Assembly(blocks).parcel(root)


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


class _Linking(NamedTuple):
    """A blob that waits for the parcels of what it links to."""

    top: Node
    nodes: dict[Cid, Node]
    linked: tuple[Cid, ...]


class _Assembly:
    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._done: dict[Cid, Parcel] = {}

    def parcel(self, root: Cid) -> Parcel:
        """Children before what links to them; each blob once, however often it is linked to."""
        waiting: dict[Cid, _Linking] = {}
        stack = [(root, 0)]
        while stack:
            cid, depth = stack[-1]
            if cid in self._done:
                stack.pop()
            elif cid in waiting:
                self._done[cid] = self._linked(cid, waiting.pop(cid))
            else:
                if depth > MAX_PATH_DEPTH:
                    raise MalformedContent(f"{root} nests more than {MAX_PATH_DEPTH} directories", cid=root)
                opened = self._open(cid)
                if isinstance(opened, Parcel):
                    self._done[cid] = opened
                else:
                    waiting[cid] = opened
                    stack.extend((link, depth + 1) for link in reversed(opened.linked))
        return self._done[root]

    def _open(self, root: Cid) -> Parcel | _Linking:
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
            if root.identity is not None and node.links:
                raise UnsupportedContent(f"{root} inlines a part of a file, which is not supported", cid=root)
            return self._file(root, node)
        if node.type == "symlink":
            return Parcel(root, "symlink", 0, {root: block}, tsize=len(block))
        return self._linking(root, node)

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

    def _linking(self, root: Cid, top: Node) -> _Linking:
        nodes: dict[Cid, Node] = {}
        stack = [root]
        while stack:
            cid = stack.pop()
            if cid not in nodes:
                node = nodes[cid] = top if cid == root else parse_node(self._block(cid, root))
                if node.type == "hamt":
                    stack.extend(reversed(list(_shards(node))))
        return _Linking(top, nodes, tuple(dict.fromkeys(cid for _, cid in children_of(nodes, root))))

    def _linked(self, root: Cid, waiting: _Linking) -> Parcel:
        top, nodes, linked = waiting
        children: dict[Cid, Parcel] = {}
        for cid in linked:
            below = (self._done[cid],) if cid.identity is None else self._done[cid].children
            children.update((child.cid, child) for child in below)
        return Parcel(
            root,
            "directory" if top.is_directory else "block",
            sum(self._done[cid].size for _, cid in children_of(nodes, root)),
            {cid: node.block for cid, node in nodes.items()},
            children=tuple(children.values()),
            links=tuple(children),
            tsize=_tsize(top),
        )


def _shards(node: Node) -> Iterator[Cid]:
    from ziggurat.content.hamt import hamt_entries

    return (link.cid for name, link in hamt_entries(node) if name is None)


def _tsize(node: Node) -> int:
    return len(node.block) + sum(link.tsize for link in node.links)
