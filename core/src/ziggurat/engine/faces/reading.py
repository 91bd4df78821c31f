"""Reading: whole, in part, as a stream, as a file, to disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ziggurat.content import DAG_PB, Cid
from ziggurat.engine.faces.base import Face, Progress
from ziggurat.engine.files import BlobFile
from ziggurat.engine.paths import Ref
from ziggurat.engine.records import Entry, Saved
from ziggurat.engine.saver import Saver
from ziggurat.engine.session import Buffer

__all__ = ["Reading"]


class Reading(Face):
    """The reading face of `Store`."""

    def get(self, ref: Ref, offset: int = 0, length: int | None = None) -> bytes:
        """The proved bytes of a file, or of a range of it.

        Args:
            ref: What to read.
            offset: First byte.
            length: Bytes, None for all that follow; more than there are gives what there is.

        Raises:
            BlobNotFound: Every tier answered, and none has it.
            StoreUnavailable: Some tier that may have it could not answer.
            NotAFile: A directory or symlink.
            RangeError: The range begins outside the file.
        """
        if length is None and not offset:
            # A block that is in this process's memory: two look-ups, and a note for the policy. The text of a
            # CID that is not dag-pb is its own cache key; a ".block" is a node or an encoded leaf, no blob.
            try:
                if ref.__class__ is Cid:
                    key = ref.cache_key
                    block = self._hot(key) if ref.codec != DAG_PB else None
                else:
                    key = ref if ref.__class__ is str and not ref.endswith(".block") else ""
                    block = self._hot(key) if key else None
            except Exception:  # noqa: BLE001 - the tier's own path asks again, and notes what went wrong
                block = None
            if block.__class__ is bytes:
                self._hit(key)
                self._tick()
                return block
        stack = self._stack()
        cid = ref if ref.__class__ is Cid else stack.paths.resolve(ref)
        self._note(cid)
        return stack.reader.read(cid, offset, length)

    def stream(self, ref: Ref, offset: int = 0, length: int | None = None) -> Iterator[Buffer]:
        """The same bytes in order and in pieces, each proved before it is given; memory stays bounded.

        An error comes at its position, after the proved bytes before it.
        """
        stack = self._stack()
        cid = stack.paths.resolve(ref)
        self._note(cid)
        return stack.reader.stream(cid, offset, length)[1]

    def open(self, ref: Ref) -> BinaryIO:
        """A file as a seekable binary file object, every byte of which is proved as it is read."""
        stack = self._stack()
        cid = stack.paths.resolve(ref)
        self._note(cid)
        return BlobFile.buffered(stack.reader, cid)

    def save(
        self,
        ref: Ref,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Saved:
        """Write a file, or a directory with all beneath it, to the local file system.

        A file, and a directory that is new, appears whole or not at all; with `overwrite` a directory that is
        there is filled file by file. Names that would leave the target are refused.

        Raises:
            FileExistsError: Something is there, and `overwrite` is False; or it is no file, as a device.
            OSError: The target cannot be written.
        """
        stack = self._stack()
        cid = stack.paths.resolve(ref)
        self._note(cid)
        return Saver(stack.reader, stack.paths, overwrite=overwrite, progress=progress).save(cid, Path(path))

    def resolve(self, ref: Ref) -> Cid:
        """The CID that a reference names; of a path, only the directories on the way are read.

        Raises:
            InvalidCid: The first part is no CID.
            BlobNotFound, StoreUnavailable: The path leads nowhere, or a directory cannot be read.
            NotAFile: The path goes on beneath something that is no directory.
        """
        return self._stack().paths.resolve(ref)

    def ls(self, ref: Ref) -> Iterator[Entry]:
        """The direct children of a directory; a file or symlink gives itself.

        Raises:
            BlobNotFound, StoreUnavailable: The directory cannot be read.
        """
        stack = self._stack()
        return stack.paths.entries(stack.paths.resolve(ref))
