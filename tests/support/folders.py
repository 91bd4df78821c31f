"""Folders to put: small, with what a file system has."""

from __future__ import annotations

import random
from pathlib import Path

__all__ = ["folder_of", "tree"]


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
