"""The layout of a file over its dag-pb nodes: where each leaf is, for reading any range in order.

A `Layout` is what is known of one blob's tree. It may be complete (read from a ``.nodes`` CAR) or grow while
nodes arrive one by one (from a dag store). A `Cursor` walks it in the order of the bytes and gives windows
of what to fetch next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from typing import NamedTuple, TypeAlias

from ziggurat.content.car import car_header, read_car, write_car
from ziggurat.content.cid import DAG_PB, MAX_BLOCK, Cid
from ziggurat.content.importer import FileDag, import_file
from ziggurat.content.leaves import leaf_payload
from ziggurat.content.profile import PROFILES, Profile
from ziggurat.content.unixfs import Node, parse_node
from ziggurat.errors import BlobError, ContentMismatch, MalformedContent, NotAFile

__all__ = ["Cursor", "Layout", "Piece", "Want", "nodes_car", "read_nodes", "rebuild_nodes"]

Buffer: TypeAlias = bytes | bytearray | memoryview

MAX_DEPTH = 128
"""Levels of nodes above a leaf; a balanced tree of a petabyte has four."""


class Want(NamedTuple):
    """A block whose bytes are needed: a leaf, or a link that may turn out to be a node.

    Attributes:
        offset: Where its plain bytes begin in the blob.
        size: Plain bytes beneath it, None for a root about which nothing is known.
        cid: The block.
        depth: Levels below the root.
    """

    offset: int
    size: int | None
    cid: Cid
    depth: int = 0


class Piece(NamedTuple):
    """Plain bytes that are known already.

    Attributes:
        offset: Where they begin in the blob.
        data: The bytes.
        cid: The leaf they are, None for bytes that stand in a node.
    """

    offset: int
    data: Buffer
    cid: Cid | None = None


class Layout:
    """The proved nodes of one blob.

    Args:
        root: The blob.
        nodes: Proved nodes, keyed by CID.
        complete: True if `nodes` are all of them, so that every other link is a leaf.
    """

    __slots__ = ("complete", "nodes", "root")

    def __init__(self, root: Cid, nodes: Mapping[Cid, Node] | None = None, *, complete: bool = False) -> None:
        self.root = root
        self.nodes: dict[Cid, Node] = dict(nodes or {})
        self.complete = complete or root.codec != DAG_PB

    @property
    def top(self) -> Node | None:
        """The root's node; None while unknown, and for a root that is a leaf."""
        return self.nodes.get(self.root)

    @property
    def weight(self) -> int:
        """Bytes of the encoded nodes, a measure of the memory held."""
        return sum(len(node.block) for node in self.nodes.values())

    def cursor(self, start: int, stop: int | None) -> Cursor:
        """A walk over the plain bytes from `start` up to `stop` (None: to the end)."""
        return Cursor(self, start, stop)


class Cursor:
    """Position of one reader in a layout; used by one thread at a time."""

    __slots__ = ("_layout", "_stack", "_start", "_stop")

    def __init__(self, layout: Layout, start: int, stop: int | None) -> None:
        self._layout, self._start, self._stop = layout, start, stop
        self._stack: list[Want | Piece] = [Want(0, None, layout.root)]

    def window(self, budget: int, count: int) -> list[Want | Piece]:
        """Take the next items in order, expanding nodes that are known.

        Args:
            budget: Plain bytes after which the window ends (at least one item is given).
            count: Most items.

        Raises:
            MalformedContent: The tree contradicts itself here; what stands before it was given.
            NotAFile: A node is not part of a file; the same.
        """
        taken: list[Want | Piece] = []
        used = 0
        nodes = self._layout.nodes
        while self._stack and used < budget and len(taken) < count:
            item = self._stack.pop()
            if isinstance(item, Piece):
                if item.data and self._inside(item.offset, len(item.data)):
                    taken.append(item)
                continue
            if item.size is not None and not self._inside(item.offset, item.size):
                continue
            inlined = item.cid.identity
            node = nodes.get(item.cid)
            if inlined is None and node is None:
                taken.append(item)
                used += MAX_BLOCK if item.size is None else item.size
                continue
            try:
                if inlined is not None:
                    self._inline(item, inlined)
                elif node is not None:
                    self.expand(item, node)
            except BlobError:
                self._stack.append(item)
                if not taken:
                    raise
                break  # the error comes at its place, with the next window
        return taken

    def _inside(self, offset: int, size: int) -> bool:
        # An empty item is never inside: a tree of empty links must not make a reader walk for ever.
        return size > 0 and offset + size > self._start and (self._stop is None or offset < self._stop)

    def _inline(self, item: Want, block: bytes) -> None:
        data = leaf_payload(item.cid, block)
        if item.size is not None and len(data) != item.size:
            raise _contradiction(item, len(data))
        self._stack.append(Piece(item.offset, data))

    def expand(self, item: Want, node: Node) -> None:
        """Replace `item` by what its node links to."""
        if not node.is_file:
            raise NotAFile(f"{item.cid} is a {node.type or 'node'}, not a file", cid=item.cid)
        if item.size is not None and node.size != item.size:
            raise _contradiction(item, node.size)
        if item.depth >= MAX_DEPTH:
            raise MalformedContent(
                f"{self._layout.root} is deeper than {MAX_DEPTH} levels", cid=self._layout.root
            )
        if not node.links:
            self._stack.append(Piece(item.offset, node.data))
            return
        children, offset = [], item.offset
        for link, size in zip(node.links, node.block_sizes, strict=True):
            children.append(Want(offset, size, link.cid, item.depth + 1))
            offset += size
        self._stack.extend(reversed(children))

    def put_back(self, items: Iterable[Want | Piece]) -> None:
        """Return items that were taken, in their order, to be given again first."""
        self._stack.extend(reversed(list(items)))

    @property
    def done(self) -> bool:
        """True when nothing is left."""
        return not self._stack


def _contradiction(item: Want, size: int) -> MalformedContent:
    return MalformedContent(
        f"{item.cid} holds {size} bytes, but its parent says {item.size}; the tree contradicts itself",
        cid=item.cid,
    )


def nodes_car(root: Cid, nodes: Mapping[Cid, bytes]) -> bytes:
    """The content of a ``.nodes`` key: a CARv1 of a blob's nodes, the root first.

    A one-leaf file has none, and gives a header without blocks.
    """
    if not nodes:
        return car_header([root])
    ordered = {root: nodes[root], **nodes}
    return b"".join(write_car([root], ordered.items()))


def read_nodes(root: Cid, pieces: Iterable[Buffer]) -> dict[Cid, Node]:
    """Read and prove the content of a ``.nodes`` key.

    Raises:
        MalformedContent: Not a CAR, or not one of this root.
        ContentMismatch: A block in it fails its proof.
    """
    car = read_car(pieces)
    if car.roots != (root,):
        raise MalformedContent(f"the nodes of {root} name another root", cid=root)
    nodes: dict[Cid, Node] = {}
    for cid, block in car:
        if not cid.matches(block):
            raise ContentMismatch(f"a node of {root} fails its proof: {cid}", cid=root)
        nodes[cid] = parse_node(block)
    return nodes


def rebuild_nodes(
    root: Cid,
    read: Callable[[int, int], Buffer],
    size: int,
    encodings: Iterable[str] = (),
    pool: Executor | None = None,
) -> FileDag | None:
    """Build a file's nodes again from its plain bytes.

    Args:
        root: What must come out.
        read: Gives `length` bytes at `offset` of the plain bytes.
        size: Plain bytes.
        encodings: `Profile.encoding` texts to try first, as the catalog kept them.
        pool: Where leaves are hashed.

    Returns:
        The file, or None when neither the encodings nor a named profile give the root.
    """
    tried: set[Profile] = set()
    for profile in (*map(Profile.from_encoding, encodings), *PROFILES.values()):
        if profile in tried:
            continue
        tried.add(profile)
        built = import_file(read, size, profile, pool=pool)
        if built.root == root:
            return built
    return None


def children_of(nodes: Mapping[Cid, Node], root: Cid) -> Iterator[tuple[str | None, Cid]]:
    """Names and CIDs of a directory's children (None for the links of a node that is not UnixFS).

    Sub-shards of a HAMT that are in `nodes` are followed, each once; nothing is fetched.
    """
    from ziggurat.content.hamt import hamt_entries

    pending, seen = [root], set[Cid]()
    while pending:
        cid = pending.pop()
        if cid in seen:
            continue
        seen.add(cid)
        node = nodes[cid]
        if node.type == "hamt":
            for name, link in hamt_entries(node):
                if name is None:
                    pending.append(link.cid)
                else:
                    yield name, link.cid
        elif node.type == "directory":
            for link in node.links:
                yield link.name.decode(), link.cid
        elif not node.is_file and node.type != "symlink":
            for link in node.links:
                yield None, link.cid
