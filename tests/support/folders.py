"""Folders to put: small, with what a file system has."""

from __future__ import annotations

import random
from pathlib import Path

from ziggurat import Cid, Store

__all__ = ["folder_of", "put_two_sharing", "tree"]


def tree(folder: Path, chance: random.Random, *, names: int = 6) -> Path:
    """Make a folder of files, a folder in it, an empty one and a symlink."""
    folder.mkdir(parents=True)
    for number in range(names):
        (folder / f"{chance.randrange(10**6)}-{number}").write_bytes(
            chance.randbytes(chance.choice((0, 9, 5000)))
        )
    (folder / "äöü").mkdir()
    (folder / "äöü/inner.bin").write_bytes(chance.randbytes(300_000))
    (folder / "link").symlink_to("äöü/inner.bin")
    (folder / "empty").mkdir()
    return folder


def folder_of(folder: Path, **files: bytes) -> Path:
    """Make a folder of these files."""
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def put_two_sharing(store: Store, folder: Path, shared: bytes) -> tuple[Cid, Cid]:
    """Put two directories that have a file "shared" in common, and a file "own" each."""
    first = store.put_dir(folder_of(folder / "first", shared=shared, own=b"1")).cid
    second = store.put_dir(folder_of(folder / "second", shared=shared, own=b"2")).cid
    return first, second
