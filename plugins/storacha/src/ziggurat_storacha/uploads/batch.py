"""Several sources uploaded at once, each with its own answer."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from ziggurat.content import Cid, Profile, profile_by_name
from ziggurat.content.parcel import Parcel
from ziggurat.content.sources import parcel_of, parcel_of_tree
from ziggurat.content.tree import walk_directory
from ziggurat.errors import ZigguratError
from ziggurat_storacha.uploads.upload import Uploaded, Uploads

__all__ = ["PROFILE", "Sent", "Source", "upload_many", "upload_one"]

PROFILE = "unixfs-v1-2025"

Source = bytes | os.PathLike[str] | BinaryIO | Iterable[bytes]
"""Bytes, the path of a file or of a directory, a binary file, or bytes in pieces."""

Progress = Callable[[int], object]


@frozen
class Sent:
    """What became of one source.

    Attributes:
        cid: Its root.
        type: "file", "directory" or "symlink".
        size: Plain bytes; of a directory the sum beneath.
        upload: What was sent for it.
    """

    cid: Cid
    type: str
    size: int
    upload: Uploaded


def upload_one(
    uploads: Uploads,
    source: Source,
    *,
    spool: Path,
    profile: Profile | None = None,
    pool: Executor | None = None,
    progress: Progress | None = None,
) -> Sent:
    """Upload one source: read once for its CID, and again to be sent, both compared.

    Args:
        uploads: Where to.
        source: What.
        spool: Folder for what cannot be read twice.
        profile: How it is cut and named; by default that of `PROFILE`.
        pool: Threads that read and hash; None for some of its own.
        progress: Told the bytes of shards that the service has.

    Raises:
        OSError: It cannot be read.
        ContentMismatch: It changed while it was read.
        TierError: It is not listed.
    """
    how = profile or profile_by_name(PROFILE)
    if pool is None:
        with ThreadPoolExecutor(os.cpu_count() or 1, "ziggurat-storacha-hash") as own:
            return upload_one(uploads, source, spool=spool, profile=how, pool=own, progress=progress)
    if isinstance(source, os.PathLike) and Path(source).is_dir():
        return _send(uploads, parcel_of_tree(walk_directory(source, how, pool=pool), pool), progress)
    with parcel_of(source, how, spool=lambda: spool, pool=pool) as parcel:
        return _send(uploads, parcel, progress)


def _send(uploads: Uploads, parcel: Parcel, progress: Progress | None) -> Sent:
    done = uploads.add(parcel.cid, parcel.pairs(), progress=progress)
    return Sent(parcel.cid, parcel.type, parcel.size, done)


def upload_many(
    uploads: Uploads,
    sources: Iterable[Source],
    *,
    spool: Path,
    parallel: int = 8,
    profile: Profile | None = None,
    progress: Progress | None = None,
) -> Iterator[Sent | ZigguratError | OSError]:
    """Upload several sources, some at a time; one that fails keeps no other back.

    Args:
        uploads: Where to.
        sources: What; the next is taken when there is room for it.
        spool: Folder for what cannot be read twice.
        parallel: How many are under way at a time.
        profile: How they are cut and named.
        progress: Told the bytes of shards that the service has.

    Yields:
        For each source, in order, what became of it.
    """
    with (
        ThreadPoolExecutor(os.cpu_count() or 1, "ziggurat-storacha-hash") as pool,
        ThreadPoolExecutor(parallel, "ziggurat-storacha-batch") as threads,
    ):
        running: deque[Future[Sent]] = deque()
        try:
            for source in sources:
                if len(running) >= 2 * parallel:
                    yield _answer(running.popleft())
                running.append(
                    threads.submit(
                        upload_one,
                        uploads,
                        source,
                        spool=spool,
                        profile=profile,
                        pool=pool,
                        progress=progress,
                    )
                )
            while running:
                yield _answer(running.popleft())
        finally:
            for one in running:
                one.cancel()


def _answer(one: Future[Sent]) -> Sent | ZigguratError | OSError:
    try:
        return one.result()
    except (ZigguratError, OSError) as error:
        return error
