"""A `Parcel`: one whole blob on its way into a store, in whichever form the store takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import repeat
from typing import Literal, TypeAlias

from attrs import define, field

from ziggurat.content.blob import Blob, Dag
from ziggurat.content.car import car_header_size, car_section_size, write_car
from ziggurat.content.cid import DAG_PB, Cid
from ziggurat.content.edges import links
from ziggurat.content.importer import FileDag, Leaf
from ziggurat.content.layout import nodes_car
from ziggurat.content.leaves import leaf_block
from ziggurat.content.unixfs import parse_node
from ziggurat.errors import ContentMismatch, MalformedContent

__all__ = ["BlobType", "Parcel", "Source"]

Buffer: TypeAlias = bytes | bytearray | memoryview
BlobType = Literal["file", "directory", "symlink", "block"]
"""What a blob is; a block is one whose codec or structure is none of the others."""
Source: TypeAlias = Callable[[], Iterator[tuple[Leaf, Buffer]]]
"""Starts a pass over a file: each leaf (also an inlined one) with its plain bytes, in order, proved."""


@define(eq=False)
class Parcel:
    """A blob with everything that a put needs.

    Attributes:
        cid: The root.
        type: What it is.
        size: Plain bytes; of a directory the sum beneath.
        nodes: Its dag-pb nodes (not the leaves that the plain bytes give back), encoded.
        data: The plain bytes of a file where they are at hand and cannot change; or a whole block.
        source: Starts a pass over a file that is read from elsewhere.
        load: Reads the block again, proved, of a blob that is one block and is not held in memory.
        children: Parcels of the blobs that it links to; complete only where a dag store needs them.
        links: Root CIDs of the blobs that it links to.
        encoding: The profile it was built with, "" when it is foreign.
        tsize: Bytes of its whole closure as a parent's link states them.
    """

    cid: Cid
    type: BlobType
    size: int
    nodes: Mapping[Cid, bytes] = field(factory=dict)
    data: bytes | None = None
    source: Source | None = None
    load: Callable[[], bytes] | None = None
    children: tuple[Parcel, ...] = ()
    links: tuple[Cid, ...] = ()
    encoding: str = ""
    tsize: int = 0
    _car_size: int | None = field(default=None, init=False)

    @classmethod
    def of_file(cls, built: FileDag, *, data: bytes | None = None, source: Source | None = None) -> Parcel:
        """The parcel of a file that was just imported, over its bytes or a source of them."""
        return cls(
            cid=built.root,
            type="file",
            size=built.size,
            nodes=built.nodes,
            data=data,
            source=source if source is not None else _cut(built, data or b""),
            encoding=built.profile.encoding,
            tsize=built.tsize,
        )

    @property
    def has_plain(self) -> bool:
        """True if there are plain bytes to store; a directory or symlink is its nodes alone."""
        return self.source is not None or self.data is not None or self.load is not None

    def plain(self) -> bytes | Blob:
        """The plain bytes for a bytes store; starts afresh at each use."""
        if self.data is not None:
            return self.data
        if self.load is not None:
            return self.load()
        source = self.source
        if source is None:
            raise MalformedContent(f"{self.cid} is a {self.type}: it has no plain bytes", cid=self.cid)
        return Blob(self.size, lambda: (piece for _, piece in source()))

    def nodes_content(self) -> bytes:
        """The content of its ``.nodes`` key."""
        return nodes_car(self.cid, self.nodes)

    @property
    def stored(self) -> int:
        """Payload bytes that a bytes store keeps for it."""
        plain = self.size if self.has_plain else 0
        return plain + (len(self.nodes_content()) if self.cid.codec == DAG_PB else 0)

    def dag(self) -> Dag:
        """The whole closure for a dag store: depth first, without duplicates, its CAR size exact."""
        if self._car_size is None:
            self._car_size = car_header_size([self.cid]) + sum(
                car_section_size(cid, size) for cid, size in self._sizes(set())
            )
        return Dag(
            lambda: self._pairs(set()),
            size=self._car_size,
            car=lambda: write_car([self.cid], self._pairs(set())),
        )

    def pairs(self) -> Iterator[tuple[Cid, bytes]]:
        """(CID, block) of the whole closure, as `dag` gives them, without measuring it first."""
        return self._pairs(set())

    def _sizes(self, seen: set[Cid]) -> Iterator[tuple[Cid, int]]:
        for part, cid, block, tsize in self._walked(seen):
            if block is None and part.parcel.leaf_sizes_unsure:
                # A foreign parent's Tsize may lie about its leaves, so they are measured.
                block = part.leaf(cid, seen)
            elif block is None and cid not in seen:
                seen.add(cid)
                yield cid, tsize
            if block is not None:
                yield cid, len(block)

    @property
    def leaf_sizes_unsure(self) -> bool:
        """True where only the leaves themselves say how large they are."""
        return self.encoding == "" and self.type == "file" and self.cid.codec == DAG_PB

    def _walked(self, seen: set[Cid]) -> Iterator[tuple[_Part, Cid, bytes | None, int]]:
        """The walks of this parcel and of all beneath it, each inside its parent's, however deep."""
        stack = [(_Part(self), self._walk(seen))]
        while stack:
            part, walk = stack[-1]
            for cid, block, tsize in walk:
                if isinstance(block, Parcel):
                    stack.append((_Part(block), block._walk(seen)))  # noqa: SLF001 - a parcel like this one
                    break
                yield part, cid, block, tsize
            else:
                stack.pop()

    def _walk(self, seen: set[Cid]) -> Iterator[tuple[Cid, bytes | Parcel | None, int]]:
        """Blocks depth first as (CID, block, size): None for a leaf, a Parcel for a child blob.

        Leaves are given each time they occur (a pass over the source must stay in step), nodes once.
        """
        inside = {child.cid: child for child in self.children}
        if self.cid not in self.nodes:
            if self.data is None:
                yield self.cid, None, self.tsize
            elif self.cid not in seen:
                seen.add(self.cid)
                yield self.cid, self.leaf(self.cid, self.data), self.tsize
            yield from ((cid, inside[cid], 0) for cid in self.links if cid not in seen)
            return
        is_file = self.type == "file"
        stack = [(self.cid, 0, self.size)]
        while stack:
            cid, tsize, size = stack.pop()
            if cid.identity is not None:
                if not is_file:
                    # A directory inlined in this one: what it links to is beneath this one.
                    stack.extend((link, 0, 1) for link in reversed(links(cid.identity, cid.codec)))
                continue
            block = self.nodes.get(cid)
            if block is not None:
                again = cid in seen
                if not again:
                    seen.add(cid)
                    yield cid, block, len(block)
                if not again or (is_file and size):
                    node = parse_node(block)
                    sizes = node.block_sizes if is_file else repeat(1)
                    below = [
                        (link.cid, link.tsize, part) for link, part in zip(node.links, sizes, strict=False)
                    ]
                    stack.extend(reversed(below))
            elif (child := inside.get(cid)) is not None:
                if cid not in seen:
                    yield cid, child, 0
            elif is_file and size:
                yield cid, None, tsize
            elif is_file:
                # No pass over the plain bytes comes by an empty leaf.
                if cid not in seen:
                    seen.add(cid)
                    yield cid, self.leaf(cid, b""), tsize
            else:
                raise MalformedContent(f"{self.cid} links to {cid}, which is not at hand", cid=self.cid)

    def leaf(self, cid: Cid, piece: bytes) -> bytes:
        """A leaf encoded as its CID names it; a block of any codec but dag-pb is its bytes.

        Raises:
            ContentMismatch: These are not its bytes.
        """
        block = leaf_block(cid, piece) if cid.codec == DAG_PB else piece
        if block is None:
            raise ContentMismatch(f"a leaf of {self.cid} fails its proof: {cid}", cid=self.cid)
        return block

    def _pairs(self, seen: set[Cid]) -> Iterator[tuple[Cid, bytes]]:
        for part, cid, block, _ in self._walked(seen):
            if block is None:
                block = part.leaf(cid, seen)
            if block is not None:
                yield cid, block


class _Part:
    """One parcel of a walk, with the pass over its source."""

    __slots__ = ("_leaves", "parcel")

    def __init__(self, parcel: Parcel) -> None:
        self.parcel = parcel
        self._leaves: Iterator[tuple[Leaf, Buffer]] | None = None

    def leaf(self, cid: Cid, seen: set[Cid]) -> bytes | None:
        """The block of a leaf that comes next in the walk; None if it was given before."""
        parcel = self.parcel
        if parcel.load is not None:
            if cid in seen:
                return None
            seen.add(cid)
            return parcel.load()
        if self._leaves is None:
            self._leaves = parcel.source() if parcel.source is not None else iter(())
        piece = self._next_piece(self._leaves, cid)
        if cid in seen:
            return None
        seen.add(cid)
        return parcel.leaf(cid, bytes(piece))

    def _next_piece(self, leaves: Iterator[tuple[Leaf, Buffer]], cid: Cid) -> Buffer:
        parcel = self.parcel
        for leaf, piece in leaves:
            if leaf.cid == cid:
                return piece
            if leaf.cid not in parcel.nodes and leaf.cid.identity is None:
                break
        raise ContentMismatch(f"the source of {parcel.cid} is out of step at {cid}", cid=parcel.cid)


def _cut(built: FileDag, data: bytes) -> Source:
    def start() -> Iterator[tuple[Leaf, Buffer]]:
        view = memoryview(data)
        for leaf in built.leaves():
            yield leaf, view[leaf.offset : leaf.offset + leaf.size]

    return start
