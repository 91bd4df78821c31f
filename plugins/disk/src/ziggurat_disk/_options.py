"""``[tier.options]`` of a disk tier."""

from __future__ import annotations

from pathlib import Path

from attrs import field, frozen, validators

__all__ = ["SMALL", "DiskOptions"]

SMALL = 64 << 10
"""Bytes from which a blob is a file of its own; measured in docs/adr/0003-small-blobs-in-sqlite.md."""


@frozen
class DiskOptions:
    """Where a disk tier keeps its blobs.

    Attributes:
        path: The folder; made by the first put, never by a read.
        small: Blobs of fewer bytes go into one SQLite file, the others become files. It may change at
            any time: what is there already is found either way.
        min_free: Share of the file system, from 0 to below 1, that a store without `capacity` leaves
            free.
    """

    path: Path = field(
        converter=Path,
        metadata={"path": True, "help": "the folder that holds the blobs; on a local file system"},
    )
    small: int = field(
        default=SMALL,
        validator=[validators.instance_of(int), validators.ge(0), validators.le(1 << 20)],
        metadata={"unit": "bytes", "help": "smaller blobs share one SQLite file, larger ones are files"},
    )
    min_free: float = field(
        default=0.05,
        validator=[validators.instance_of((int, float)), validators.ge(0), validators.lt(1)],
        metadata={"help": "share of the disk that a store without a capacity leaves free, such as 0.05"},
    )
