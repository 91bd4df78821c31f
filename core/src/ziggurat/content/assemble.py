"""Parcels out of blocks that are at hand: from a CAR, or from tiers; foreign DAGs too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, Protocol, TypeAlias

from attrs import evolve

from ziggurat.content.cid import DAG_PB, RAW, Cid
from ziggurat.content.directory import MAX_PATH_DEPTH
from ziggurat.content.edges import links, links_readable
from ziggurat.content.importer import Leaf
from ziggurat.content.layout import Layout, Piece, Want, children_of
from ziggurat.content.leaves import leaf_block, leaf_payload
from ziggurat.content.parcel import Parcel
from ziggurat.content.unixfs import Node, parse_node
from ziggurat.errors import MalformedContent, UnsupportedContent

__all__ = ["Asked", "Blocks", "assemble", "leaves_of"]

Buffer: TypeAlias = bytes | bytearray | memoryview
Asked: TypeAlias = tuple[Want, Cid]
"""A block that is asked for, and the root of the blob that it belongs to."""


class Blocks(Protocol):
    """Where proved blocks come from; raises what it likes for one that is missing."""

    def raw_block(self, want: Want, root: Cid) -> bytes:
        """A proved block, encoded as its CID names it, with its place in the blob that it belongs to."""

    def several(self, asked: Sequence[Asked]) -> Sequence[bytes | Exception]:
        """What `raw_block` gives or raises for each; nothing at all where asking at once is no quicker."""

    def known(self, root: Cid) -> Layout | None:
        """The complete layout of a file, where it is at hand without asking block by block."""

    def leaves(self, layout: Layout) -> Iterator[tuple[Leaf, Buffer]]:
        """Each non-empty leaf of a file with its plain bytes, in order, proved."""


_WINDOW = 64
_AT_ONCE = 16
"""Blocks that are asked for at once."""
_READY = 8 << 20
"""Bytes of blocks that were asked for ahead and wait; above it each is asked for at its turn."""
_ENTRY = 256
"""Bytes that such a block takes beside its own."""
_IN_MEMORY = 32 << 20
"""Bytes of blocks that are held between looking at them and giving them on; others are read again."""
_SMALL = 1024
"""Bytes of a block that is held in any case: its parcel takes as much."""


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
    """A blob that waits for the parcels of what it links to.

    Attributes:
        linked: What that is, each once, in order.
        build: Makes its parcel of those of its children, in the same order.
    """

    linked: tuple[Cid, ...]
    build: Callable[[tuple[Parcel, ...]], Parcel]


class _Ahead:
    """Blocks for a walk, which are asked for several at once as far as it is known what comes next."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._ready: dict[tuple[Cid, Cid], bytes | Exception] = {}
        self._waiting = 0

    def take(self, want: Want, root: Cid, coming: Iterable[Asked]) -> bytes:
        """One block; raises as `Blocks.raw_block`.

        Args:
            want: The block.
            root: The blob that it belongs to.
            coming: What the walk takes next, unless it meets something else before.
        """
        asked = want.cid, root
        if asked not in self._ready and self._waiting < _READY:
            self._ask([(want, root), *islice(coming, 4 * _AT_ONCE)])
        block = self._ready.pop(asked, None)
        if block is None:
            return self._blocks.raw_block(want, root)
        self._waiting -= _weight(block)
        if isinstance(block, Exception):
            raise block
        return block

    def _ask(self, coming: Iterable[Asked]) -> None:
        # The walk takes each once, wherever it stands.
        fresh = {
            (want.cid, root): (want, root) for want, root in coming if (want.cid, root) not in self._ready
        }
        batch = dict(islice(fresh.items(), _AT_ONCE))
        if len(batch) > 1:
            found = self._blocks.several(list(batch.values()))
            self._ready.update(zip(batch, found, strict=False))
            self._waiting += sum(map(_weight, found))


def _weight(block: bytes | Exception) -> int:
    return _ENTRY + (0 if isinstance(block, Exception) else len(block))


class _Assembly:
    def __init__(self, blocks: Blocks) -> None:
        self._blocks, self._ahead = blocks, _Ahead(blocks)
        self._done: dict[Cid, Parcel] = {}
        self._held = 0

    def parcel(self, root: Cid) -> Parcel:
        """Children before what links to them; each blob once, however often it is linked to."""
        waiting: dict[Cid, _Linking] = {}
        stack = [(root, 0)]
        while stack:
            cid, depth = stack[-1]
            if cid in self._done:
                stack.pop()
            elif cid in waiting:
                linked, build = waiting.pop(cid)
                self._done[cid] = build(self._children(linked))
            else:
                if depth > MAX_PATH_DEPTH:
                    raise MalformedContent(f"{root} nests more than {MAX_PATH_DEPTH} directories", cid=root)
                coming = (
                    (Want(0, None, one), one)
                    for one, _ in reversed(stack)
                    if one.identity is None and one not in self._done and one not in waiting
                )
                opened = self._open(cid, coming)
                if isinstance(opened, Parcel):
                    self._done[cid] = opened
                else:
                    waiting[cid] = opened
                    # A chain of blocks may be as long as it likes; directories become those of a file system.
                    below = depth + (cid.codec == DAG_PB)
                    stack.extend((link, below) for link in reversed(opened.linked))
        return self._done[root]

    def _children(self, linked: tuple[Cid, ...]) -> tuple[Parcel, ...]:
        """The parcels of what is linked to; what an inlined block links to instead of that block."""
        children: dict[Cid, Parcel] = {}
        for cid in linked:
            below = (self._done[cid],) if cid.identity is None else self._done[cid].children
            children.update((child.cid, child) for child in below)
        return tuple(children.values())

    def _open(self, root: Cid, coming: Iterable[Asked]) -> Parcel | _Linking:
        block = self._block(root, root, coming)
        if root.codec != DAG_PB:
            return self._lone(root, block)
        node = parse_node(block)
        if node.is_file:
            if root.identity is not None and node.links:
                raise UnsupportedContent(f"{root} inlines a part of a file, which is not supported", cid=root)
            return self._file(root, node)
        if node.type == "symlink":
            return Parcel(root, "symlink", 0, {root: block}, tsize=len(block))
        return self._linking(root, node)

    def _block(self, cid: Cid, root: Cid, coming: Iterable[Asked]) -> bytes:
        return (
            cid.identity if cid.identity is not None else self._ahead.take(Want(0, None, cid), root, coming)
        )

    def _lone(self, root: Cid, block: bytes) -> Parcel | _Linking:
        """A block that is a blob of its own: raw bytes, or data with links to other blobs."""
        if not links_readable(root.codec):
            raise UnsupportedContent(
                f"{root} has the codec 0x{root.codec:x}, whose links cannot be read, so it cannot be kept "
                "whole; raw, dag-pb, dag-cbor and dag-json can",
                cid=root,
            )
        blocks, size = self._blocks, len(block)
        self._held += size
        at_hand = self._held <= _IN_MEMORY or size < _SMALL or root.identity is not None
        built = Parcel(
            root,
            "file" if root.codec == RAW else "block",
            size,
            data=block if at_hand else None,
            load=None if at_hand else lambda: blocks.raw_block(Want(0, size, root), root),
            tsize=size,
        )
        linked = links(block, root.codec)
        if not linked:
            return built

        def build(children: tuple[Parcel, ...]) -> Parcel:
            return evolve(built, children=children, links=tuple(child.cid for child in children))

        return _Linking(linked, build)

    # -- files ------------------------------------------------------------------------------------

    def _file(self, root: Cid, top: Node) -> Parcel:
        if not top.links:
            odd = {} if leaf_block(root, top.data) is not None else {root: top.block}
            return Parcel(root, "file", len(top.data), odd, data=top.data, tsize=len(top.block))
        layout = self._blocks.known(root) or self._explored(root, top)
        _refuse_data(layout)
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
            coming = (
                (one, root)
                for one in reversed(stack)
                if one.cid.codec == DAG_PB and one.cid not in nodes and one.cid not in leaves
            )
            node = top if cid == root else parse_node(self._ahead.take(want, root, coming))
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
                coming = ((Want(0, None, one), root) for one in reversed(stack) if one not in nodes)
                node = nodes[cid] = top if cid == root else parse_node(self._block(cid, root, coming))
                if node.type == "hamt":
                    stack.extend(reversed(list(_shards(node))))
        named = tuple(cid for _, cid in children_of(nodes, root))

        def build(children: tuple[Parcel, ...]) -> Parcel:
            return Parcel(
                root,
                "directory" if top.is_directory else "block",
                sum(self._done[cid].size for cid in named),
                {cid: node.block for cid, node in nodes.items()},
                children=children,
                links=tuple(child.cid for child in children),
                tsize=_tsize(top),
            )

        return _Linking(tuple(dict.fromkeys(named)), build)


def _refuse_data(layout: Layout) -> None:
    """A leaf is raw or dag-pb: one of another codec could link to more than the file's bytes."""
    for node in layout.nodes.values():
        for link in node.links:
            if link.cid.codec not in (RAW, DAG_PB):
                raise UnsupportedContent(
                    f"{layout.root} is a file with a part that is neither raw nor dag-pb: {link.cid}",
                    cid=layout.root,
                )


def _shards(node: Node) -> Iterator[Cid]:
    from ziggurat.content.hamt import hamt_entries

    return (link.cid for name, link in hamt_entries(node) if name is None)


def _tsize(node: Node) -> int:
    return len(node.block) + sum(link.tsize for link in node.links)
