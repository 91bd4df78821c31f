"""Reading: a file as a list of leaves, window by window; hits from caches, misses from one shared fetch."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Executor, Future

from ziggurat.content import DAG_PB, Cid, Node, directory_entries, leaf_block
from ziggurat.content.assemble import Asked
from ziggurat.content.importer import Leaf
from ziggurat.content.layout import Cursor, Layout, Piece, Want
from ziggurat.engine.memory import room_for
from ziggurat.engine.pools import run_all
from ziggurat.engine.resolver import Resolver
from ziggurat.engine.session import Buffer, Layouts, Session, Target, Value
from ziggurat.engine.values import node_value, value_of
from ziggurat.errors import (
    BlobNotFound,
    BlobTooLarge,
    MalformedContent,
    NotAFile,
    RangeError,
    StoreError,
    StoreUnavailable,
)

__all__ = ["Reader"]

_WINDOW_BYTES = 8 << 20
_WINDOW_ITEMS = 64
_NO_LIMIT = 1 << 62
_WHOLE_ITEMS = 1 << 16
"""Leaves that a read of the whole asks for at once: 16 GiB as files are cut, and no more memory for a tree
that names one small leaf again and again."""


class Reader:
    """Reads files and directories' nodes out of proved blocks.

    Args:
        resolver: Gets the blocks.
        layouts: Trees that are known.
        ahead: Threads that read a stream's next window.
        walkers: Threads that wait for what a walk over blocks takes next.
    """

    def __init__(self, resolver: Resolver, layouts: Layouts, ahead: Executor, walkers: Executor) -> None:
        self._resolver, self._layouts, self._ahead, self._walkers = resolver, layouts, ahead, walkers

    def retire(self, why: str) -> None:
        """End every read: the next step of each raises StoreError."""
        self._resolver.retire(why)

    # -- blobs ------------------------------------------------------------------------------------

    def open(
        self, root: Cid, start: int = 0, stop: int | None = None, layout: Layout | None = None
    ) -> tuple[Session, Value]:
        """Begin a read: the session, and the root's node or (for a blob of one leaf) its plain bytes."""
        self._resolver.check()
        session = Session(self._layouts.of(root) if layout is None else layout, start, stop)
        top = session.layout.top
        if top is not None:
            return session, node_value(session, top)
        if root.identity is not None:
            return session, value_of(session, root, root.identity)
        return session, self._resolver.resolve(session, [Want(0, None, root)])[root]

    def read(self, root: Cid, offset: int, length: int | None, layout: Layout | None = None) -> bytes:
        """Plain bytes of a range, or of the whole blob.

        Args:
            root: The blob.
            offset: First byte.
            length: Bytes at most, None for all that follow.
            layout: What `about` gave; it is used and filled.

        Raises:
            RangeError: The range begins outside the blob.
            NotAFile: The blob is a directory or symlink.
            BlobNotFound, StoreUnavailable: As `Fetcher.fetch`.
        """
        if root.codec != DAG_PB and root.identity is None:
            if length is None and not offset:
                return self._resolver.lone(root)
            _span(root, offset, length)
            return _part(root, self._resolver.lone(root), offset, length)
        session, top = self.open(root, *_span(root, offset, length), layout)
        if not isinstance(top, Node):
            return _part(root, top, offset, length)
        start, stop = _bounds(root, _file(root, top).size, offset, length)
        # Filled in place and handed out without a copy: a BytesIO gives up its buffer when nobody looks.
        try:
            room = room_for(stop - start)
        except (MemoryError, OverflowError):
            raise BlobTooLarge(
                f"{stop - start} bytes of {root} do not fit in memory; read it with stream or open", cid=root
            ) from None
        view = room.getbuffer()
        session.start, session.stop = start, stop
        session.target = Target(view, start)
        for at, data in self._pieces(session, _NO_LIMIT, _WHOLE_ITEMS, ahead=False):
            session.target.accept(at, data)
            del data
        session.target = None
        view.release()
        return room.getvalue()

    def stream(
        self, root: Cid, offset: int, length: int | None, layout: Layout | None = None
    ) -> tuple[int, Iterator[Buffer]]:
        """Plain bytes in order and in pieces, each proved before it is given; arguments as of `read`.

        Returns:
            The bytes in all, and the pieces.
        """
        session, top = self.open(root, *_span(root, offset, length), layout)
        size = _file(root, top).size if isinstance(top, Node) else len(top)
        start, stop = _bounds(root, size, offset, length)
        if not isinstance(top, Node):
            return stop - start, iter((memoryview(top)[start:stop],) if stop > start else ())
        session.start, session.stop = start, stop
        pieces = self._pieces(session, _WINDOW_BYTES, _WINDOW_ITEMS, ahead=True)
        # What a caller writes into a piece must not reach the other places of a block that repeats.
        return stop - start, (
            data if isinstance(data, bytes) else memoryview(data).toreadonly() for _, data in pieces
        )

    def forget(self, root: Cid) -> None:
        """Drop what is remembered of a blob's tree."""
        self._layouts.forget(root)

    def about(self, root: Cid) -> tuple[Layout, int]:
        """What is known of a file's tree, and its plain bytes.

        Who reads a file part by part holds on to the tree: that of a very large file is remembered nowhere
        else, and to read it anew for each part takes longer than the part.

        Raises:
            NotAFile: It is a directory or symlink.
        """
        session, top = self.open(root, 0, 0)
        return session.layout, _file(root, top).size if isinstance(top, Node) else len(top)

    def block(self, cid: Cid, root: Cid | None = None) -> Value:
        """One proved block: a node (with what UnixFS says of it), or the plain bytes of a leaf.

        Args:
            cid: The root of a blob, or a shard of a directory.
            root: The blob that it belongs to, the block itself when it is a blob of its own.
        """
        return self._encoded(Want(0, None, cid), root or cid)

    def _encoded(self, want: Want, root: Cid) -> Value:
        self._resolver.check()
        # Nothing beyond this block is wanted, so no range: a dag tier is asked for it alone.
        session = Session(self._layouts.of(root), stop=0, encoded=True)
        if (node := session.layout.nodes.get(want.cid)) is not None:
            return node
        if want.cid.identity is not None:
            return value_of(session, want.cid, want.cid.identity)
        return self._resolver.resolve(session, [want])[want.cid]

    def nodes(self, root: Cid) -> Layout:
        """All nodes of a file or directory: its complete layout, read from wherever they are."""
        session, top = self.open(root, 0, 0)
        layout = session.layout
        asked: set[Cid] = set()
        pending = [(top, 0)] if isinstance(top, Node) else []
        while pending and not layout.complete:
            wants: dict[Cid, Want] = {}
            for node, offset in pending:
                for want in _nodes_below(node, offset):
                    if want.cid not in asked:
                        asked.add(want.cid)
                        wants[want.cid] = want
            # The first alone: a store that gives all nodes at once leaves nothing to ask for.
            ordered = list(wants.values())
            found = self._resolver.resolve(session, ordered[:1])
            if not layout.complete:
                found |= self._resolver.resolve(session, ordered[1:])
            pending = [(value, wants[cid].offset) for cid, value in found.items() if isinstance(value, Node)]
        layout.complete = True
        return layout

    # -- for `ziggurat.content.assemble` ----------------------------------------------------------

    def raw_block(self, want: Want, root: Cid) -> bytes:
        """One proved block, encoded as its CID names it, with its place in the blob."""
        value = self._encoded(want, root)
        if isinstance(value, Node):
            return value.block
        if want.cid.identity is not None:
            return want.cid.identity
        block = leaf_block(want.cid, bytes(value))
        if block is None:  # pragma: no cover - it was proved with the same encodings
            raise MalformedContent(f"{want.cid} does not encode again", cid=root)
        return block

    def several(self, asked: Sequence[Asked]) -> Sequence[bytes | Exception]:
        """What `raw_block` gives or raises for each, all at once; nothing if no tier is far away."""
        if not self._resolver.far:
            return ()
        return run_all(self._walkers, lambda one: self.raw_block(*one), asked)

    def known(self, root: Cid) -> Layout | None:
        """The layout of a file, where it is complete already; None for a file of one leaf."""
        layout = self.open(root, 0, 0)[0].layout
        return layout if layout.complete and layout.top is not None else None

    def leaves(self, layout: Layout) -> Iterator[tuple[Leaf, Buffer]]:
        """Each non-empty leaf of a file with its plain bytes, in order; a node's bytes as the root's."""
        top = layout.top
        if top is None:  # pragma: no cover - a file without a node is one leaf, and is at hand
            return
        session = Session(layout, 0, top.size)
        for piece in self._windows(session, _WINDOW_BYTES, _WINDOW_ITEMS, ahead=True):
            yield Leaf(piece.offset, len(piece.data), piece.cid or layout.root), piece.data

    # -- pieces -----------------------------------------------------------------------------------

    def _pieces(
        self, session: Session, budget: int, count: int, *, ahead: bool
    ) -> Iterator[tuple[int, Buffer]]:
        """(offset, proved bytes) of the session's range, in order; nothing is claimed across a yield."""
        start, stop = session.start, session.stop
        if stop is None or stop <= start:
            return
        position = start
        for offset, data, _ in self._windows(session, budget, count, ahead=ahead):
            first, last = max(0, start - offset), min(len(data), stop - offset)
            position = offset + last
            whole = (first, last) == (0, len(data))
            yield offset + first, data if whole else memoryview(data)[first:last]
        if position != stop:
            raise MalformedContent(f"{session.root} ends at {position}, not at {stop}", cid=session.root)

    def _windows(self, session: Session, budget: int, count: int, *, ahead: bool) -> Iterator[Piece]:
        """The whole pieces that the session's range touches, in order."""
        cursor = session.layout.cursor(session.start, session.stop)
        coming: Future[list[Piece]] | None = None
        try:
            while True:
                self._resolver.check()
                window = coming.result() if coming else self._window(session, cursor, budget, count)
                coming = None
                if not window:
                    return
                if ahead and not cursor.done:
                    coming = self._submit(session, cursor, budget, count)
                yield from window
                del window
        finally:
            if coming is not None:
                coming.cancel()

    def _submit(
        self, session: Session, cursor: Cursor, budget: int, count: int
    ) -> Future[list[Piece]] | None:
        try:
            return self._ahead.submit(self._window, session, cursor, budget, count)
        except StoreError:
            return None  # the store is being closed: the next step says so

    def _window(self, session: Session, cursor: Cursor, budget: int, count: int) -> list[Piece]:
        """The next pieces; empty only at the end."""
        pieces: list[Piece] = []
        while not pieces and not cursor.done:
            items = cursor.window(budget, count)
            wants = [item for item in items if isinstance(item, Want)]
            try:
                found = self._resolver.resolve(session, wants) if wants else {}
            except (BlobNotFound, StoreUnavailable):
                cursor.put_back(items)
                if len(items) == 1 or session.target is not None:
                    raise
                return self._up_to_failure(session, cursor, len(items))
            for position, item in enumerate(items):
                if isinstance(item, Piece):
                    pieces.append(item)
                    continue
                value = found[item.cid]
                if isinstance(value, Node):
                    # A link turned out to be a node: what lies beneath it comes before the rest.
                    session.layout.nodes.setdefault(item.cid, value)
                    cursor.put_back([item, *_known(items[position + 1 :], found)])
                    break
                if item.size is not None and len(value) != item.size:
                    if pieces:
                        cursor.put_back(items[position:])
                        break  # the error comes at its place, with the next window
                    raise MalformedContent(
                        f"the leaf {item.cid} has {len(value)} bytes, its parent says {item.size}",
                        cid=session.root,
                    )
                pieces.append(Piece(item.offset, value, item.cid))
        return pieces

    def _up_to_failure(self, session: Session, cursor: Cursor, count: int) -> list[Piece]:
        """Item by item, so that a stream's error comes at its position, after the proved bytes before it."""
        pieces: list[Piece] = []
        while len(pieces) < count and not cursor.done:
            try:
                pieces.extend(self._window(session, cursor, 1, 1))
            except (BlobNotFound, StoreUnavailable):
                if not pieces:
                    raise
                break
        return pieces


def _nodes_below(node: Node, offset: int) -> Iterator[Want]:
    """The links of a file's or shard's node that may be nodes of the same blob."""
    if node.type == "hamt":
        yield from (Want(0, None, link.cid) for name, link in directory_entries(node) if name is None)
    elif node.is_file:
        for link, size in zip(node.links, node.block_sizes, strict=True):
            if link.cid.codec == DAG_PB and link.cid.identity is None:
                yield Want(offset, size, link.cid)
            offset += size


def _known(items: Sequence[Want | Piece], found: dict[Cid, Value]) -> Generator[Want | Piece]:
    for item in items:
        value = found.get(item.cid) if isinstance(item, Want) else None
        if value is None or isinstance(value, Node) or not isinstance(item, Want):
            yield item  # a node is in the layout now, and is expanded when its turn comes
        else:
            yield Piece(item.offset, value, item.cid)


def _file(root: Cid, node: Node) -> Node:
    if not node.is_file:
        raise NotAFile(f"{root} is a {node.type or 'node without a file'}; list it with ls", cid=root)
    return node


def _span(root: Cid, offset: int, length: int | None) -> tuple[int, int | None]:
    if offset < 0 or (length is not None and length < 0):
        raise RangeError(f"offset {offset} and length {length} must not be negative", key=str(root))
    return offset, None if length is None else offset + length


def _part(root: Cid, data: Buffer, offset: int, length: int | None) -> bytes:
    start, stop = _bounds(root, len(data), offset, length)
    return bytes(data) if (start, stop) == (0, len(data)) else bytes(data[start:stop])


def _bounds(root: Cid, size: int, offset: int, length: int | None) -> tuple[int, int]:
    if offset > size:
        raise RangeError(f"{root} has {size} bytes; {offset} is beyond its end", key=str(root))
    return offset, size if length is None else min(size, offset + length)
