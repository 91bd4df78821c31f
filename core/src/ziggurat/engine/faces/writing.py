"""Writing: contents, directories, CARs, and copies of what is there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import BinaryIO

from ziggurat.backend import Info
from ziggurat.content import Cid
from ziggurat.content.assemble import assemble
from ziggurat.content.sources import PutSource, parcel_of, parcel_of_tree
from ziggurat.content.tree import TreeItem, walk_directory
from ziggurat.engine.cars import CarBlocks, CarSource, export_car
from ziggurat.engine.faces.base import Face, Progress
from ziggurat.engine.many import PutMany
from ziggurat.engine.paths import Ref
from ziggurat.engine.records import Entry, Receipt
from ziggurat.engine.trees import receipt_of

__all__ = ["Writing"]


def _tell(on_entry: Callable[[Entry], None], item: TreeItem) -> None:
    on_entry(Entry(item.path, item.cid, item.type, item.size, target=item.target))


class Writing(Face):
    """The writing face of `Store`."""

    def put(
        self,
        source: PutSource,
        *,
        expect: Cid | str | None = None,
        info: Info | None = None,
        progress: Progress | None = None,
    ) -> Receipt:
        """Keep content; when this returns it is durable, and a root.

        Args:
            source: Bytes-like, a path, a binary file (from where it stands), or an iterable of bytes.
            expect: Refuse content that is not this CID's; the other named profiles are tried before that.
            info: Content type, tags and metadata to keep with it.
            progress: Told the bytes that were read for the first store.

        Raises:
            TypeError: `source` is text.
            ContentMismatch: It is not what `expect` names, or it changed while it was read.
            StoreFull, NotDurable: Too few stores took it.
        """
        stack = self._writable()
        expected = Cid.parse(expect) if isinstance(expect, str) else expect
        with parcel_of(
            source, stack.profile, expect=expected, spool=stack.spool, pool=stack.hashers, progress=progress
        ) as parcel:
            joined = info is None and stack.together.takes(parcel)
            done = stack.together.put(parcel) if joined else stack.writer.put(parcel, info)
        return receipt_of(parcel, done)

    def put_many(self, sources: Iterable[PutSource]) -> Iterator[Receipt | Exception]:
        """Keep several contents, small ones together; each is acknowledged or refused alone.

        Yields:
            For each source, in order, its receipt or the error that `put` would have raised.
        """
        stack = self._writable()
        return PutMany(stack.writer, stack.profile, stack.spool, stack.hashers).put(sources)

    def put_dir(
        self,
        path: str | os.PathLike[str],
        *,
        progress: Progress | None = None,
        on_entry: Callable[[Entry], None] | None = None,
    ) -> Receipt:
        """Keep a directory with all beneath it; the receipt is the directory's.

        Symlinks are kept as symlinks; devices, sockets and fifos are refused.

        Args:
            path: The directory.
            progress: Told the bytes that were read to name them.
            on_entry: Called with each entry once it has its CID, before anything is acknowledged.
        """
        stack = self._writable()
        items = walk_directory(path, stack.profile, pool=stack.hashers, progress=progress)
        told = None if on_entry is None else partial(_tell, on_entry)
        return stack.trees.put(parcel_of_tree(items, stack.hashers, told))

    def import_car(self, source: CarSource, *, progress: Progress | None = None) -> tuple[Receipt, ...]:
        """Keep what the roots of a CAR (version 1 or 2) name; each becomes a root of the store.

        Raises:
            MalformedContent: Not a CAR, cut off, or one that lacks blocks of a root; nothing was imported.
            ContentMismatch: A block is not its CID's; nothing was imported.
            UnsupportedContent: A root's links cannot be read.
        """
        stack = self._writable()
        with CarBlocks(source, stack.spool(), progress) as blocks:
            return tuple(stack.trees.put(parcel) for parcel in blocks.parcels())

    def export_car(
        self, ref: Ref, target: str | os.PathLike[str] | BinaryIO, *, progress: Progress | None = None
    ) -> int:
        """Write a blob with all that it links to as a CARv1, depth first.

        Args:
            ref: What to export.
            target: A path (which appears whole or not at all) or a binary file.
            progress: Told the bytes that were written.

        Returns:
            Bytes written.
        """
        stack = self._stack()
        cid = stack.paths.resolve(ref)
        self._note(cid)
        return export_car(assemble(cid, stack.reader), target, progress)

    def adopt(self, cid: Cid | str, tier: str) -> Receipt:
        """Make a root of what a store tier already keeps, after proving all of it.

        Raises:
            BlobNotFound, StoreUnavailable: The tier does not keep all of it.
        """
        stack = self._writable()
        return stack.trees.adopt(_cid(cid), self._store_tier(tier), stack.solo)

    def copy(self, cid: Cid | str, tier: str) -> Receipt:
        """Put a proved copy of a blob, with all that it links to, on one store tier.

        It is sent even where the tier has one, so a copy that is wrong is replaced.

        What the tier keeps already, and is larger than 1 MiB, is not sent again: a copy that `verify` found
        wrong is evicted first.

        Raises:
            BlobNotFound, StoreUnavailable: It cannot be read whole.
            TierError: The tier refused it.
        """
        stack = self._writable()
        root = _cid(cid)
        parcel = assemble(root, stack.reader)
        with stack.writer.adding():  # so that no collection comes between the look and the copy
            kept = stack.require_catalog().protects(str(root.key))
            return stack.trees.copy(parcel, self._store_tier(tier), make_root=not kept)


def _cid(ref: Cid | str) -> Cid:
    return Cid.parse(ref) if isinstance(ref, str) else ref
