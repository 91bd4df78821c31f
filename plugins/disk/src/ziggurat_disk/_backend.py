"""The hooks of the disk backend, and when its medium is opened or made."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from copy import copy

from ziggurat.backend import (
    BackendType,
    Blob,
    ByteRange,
    Capabilities,
    Context,
    Info,
    Key,
    Medium,
    Stat,
    hookimpl,
)
from ziggurat.errors import TierError, TierFull, TierUnavailable, ZigguratError
from ziggurat_disk._copies import Copies, make_copies
from ziggurat_disk._errors import Translated, gone
from ziggurat_disk._files import size_of
from ziggurat_disk._folders import locked, make_folder
from ziggurat_disk._marker import Marker, add_catalog, medium, read_marker, write_marker
from ziggurat_disk._options import DiskOptions

__all__ = ["Disk", "backend"]


_RESERVE = 16 << 20  # bytes left free on any disk: to evict a row takes room in the database's log


class Disk:
    """Blobs in one folder.

    Nothing is touched before the first call, and nothing but `put` and ``identify(claim=True)`` makes a
    medium. Where none has been made yet, a store or a cache is empty and a source is unavailable (nobody
    would ever make it). Once this object has seen the medium, its absence is an error, and it is not made
    again: an unmounted disk is not an empty one.

    Args:
        options: ``[tier.options]``.
        context: Tells role, catalog and capacity.
    """

    def __init__(self, options: DiskOptions, context: Context) -> None:
        self._folder = os.path.abspath(options.path)
        self._small, self._context = options.small, context
        self._durable = context.role != "cache"
        guarded = context.role == "store" and context.capacity is None
        self._share = options.min_free if guarded else 0.0
        self._errors = Translated(self._folder)
        self._lock = threading.Lock()
        self._copies: Copies | None = None
        self._seen = ""
        self._closed = False

    @hookimpl
    def get(self, key: str, byte_range: ByteRange | None) -> bytes | Blob | None:
        """Give a small blob, a block or a short range as bytes, anything longer as an open `Blob`."""
        copies = self._copies or self._opened()
        return None if copies is None else copies.get(key, byte_range)

    @hookimpl
    def put(self, key: str, content: bytes | Blob) -> Stat:
        """Keep a blob; as a store it survives a power cut once this returns."""
        copies = self._copies or self._opened() or self._made()
        self._leave_room(copies, size_of(content))
        size = copies.put(key, content)
        return Stat(size=size, stored=size)

    @hookimpl
    def put_many(
        self, items: Sequence[tuple[Key, bytes | Blob, Info | None]]
    ) -> Sequence[Stat | ZigguratError]:
        """Keep several blobs; the small ones share one sync."""
        copies = self._copies or self._opened() or self._made()
        answers: list[Stat | ZigguratError] = []
        rows: list[tuple[int, str, bytes]] = []
        waiting = 0
        for key, content, _ in items:
            size = size_of(content)
            try:
                self._leave_room(copies, waiting + size)
                if copies.is_small(size):
                    data = content.read() if isinstance(content, Blob) else content
                    rows.append((len(answers), key, data))
                    waiting += size
                else:
                    copies.put(key, content)
            except ZigguratError as error:
                answers.append(error)
            else:
                answers.append(Stat(size=size, stored=size))
        try:
            if rows:
                copies.put_rows([(key, data) for _, key, data in rows])
        except TierError as error:
            for place, _, _ in rows:
                answers[place] = copy(error)  # each learns its own key
        return answers

    @hookimpl
    def has(self, key: str) -> bool:
        """Tell whether there is a copy."""
        copies = self._copies or self._opened()
        return copies is not None and copies.size(key) is not None

    @hookimpl
    def stat(self, key: str) -> Stat | None:
        """Tell a copy's size; what the file system adds to it is not counted."""
        copies = self._copies or self._opened()
        size = None if copies is None else copies.size(key)
        return None if size is None else Stat(size=size, stored=size)

    @hookimpl
    def evict(self, key: str) -> bool:
        """Drop a copy."""
        copies = self._copies or self._opened()
        return copies is not None and copies.evict(key)

    @hookimpl
    def scan(self) -> Iterator[str]:
        """List the keys, in no useful order."""
        copies = self._copies or self._opened()
        return iter(()) if copies is None else copies.keys()

    @hookimpl
    def identify(self, claim: bool) -> Medium | None:
        """Read the marker and those beside it; with `claim`, make the medium and leave a marker."""
        with self._errors:
            marker = self._claimed() if claim else self._marker()
            return None if marker is None else medium(self._folder, marker)

    @hookimpl
    def close(self) -> None:
        """Close the files and the database, and end the helper threads."""
        with self._lock:
            self._closed = True
            copies, self._copies = self._copies, None
        if copies is not None:
            with self._errors:
                copies.close()

    def _marker(self) -> Marker | None:
        marker = read_marker(self._folder)
        if marker is not None:
            if self._seen not in ("", marker.id):
                raise TierUnavailable(f"another medium is now at {self._folder}: open the store again")
            self._seen = marker.id
        return marker

    def _claimed(self) -> Marker:
        """The marker, made with the whole medium if there is none, with one of our catalog beside it."""
        if self._seen:
            marker = self._marker()
            if marker is None:
                raise gone(self._folder)
        make_folder(self._folder, durable=True)
        with locked(self._folder):
            marker = self._marker()
            if marker is None:
                make_copies(self._folder)
                marker = write_marker(self._folder, self._context.catalog)
                self._seen = marker.id
            elif self._context.catalog:
                add_catalog(self._folder, marker, self._context.catalog)
        return marker

    def _opened(self) -> Copies | None:
        """What is on the medium; None where none was made yet."""
        with self._lock, self._errors:
            if self._closed:
                raise TierUnavailable(f"the tier on {self._folder} was closed; open the store again")
            if self._copies is None:
                if self._marker() is None:
                    if self._seen or self._context.role == "source":
                        raise gone(self._folder)
                    return None
                self._copies = Copies(
                    self._folder,
                    durable=self._durable,
                    small=self._small,
                    errors=self._errors,
                    logger=self._context.logger,
                )
            return self._copies

    def _made(self) -> Copies:
        """What is on the medium, which is made first."""
        with self._errors:
            self._claimed()
        copies = self._opened()
        if copies is None:
            raise gone(self._folder)
        return copies

    def _leave_room(self, copies: Copies, size: int) -> None:
        with self._errors:
            disk = os.statvfs(self._folder)
            free = disk.f_bavail * disk.f_frsize
            kept = max(_RESERVE, int(self._share * disk.f_blocks * disk.f_frsize))
            if free - size >= kept:
                return
            if copies.fits_inside(size):
                return
        fix = ", or give the tier a capacity" if self._share else ""
        raise TierFull(
            f"{self._folder} has {free} bytes free, of which {kept} stay free: too few for {size} more; free"
            f" space there{fix}"
        )


backend = BackendType(
    factory=Disk,
    options=DiskOptions,
    capabilities=Capabilities(form="bytes", local=True, durable=True),
    default_cache_capacity=10**9,
)
