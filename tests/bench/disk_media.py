"""Where small blobs are best kept: one SQLite file, LMDB, or a file each.

For each size and each medium: a read by key, and a put that survives a power cut. The media take turns, so
that what else the machine does falls on all of them; a ratio is the files' time over the medium's time in
the same round, so more than 1 is faster than files. Run with ``python tests/bench/disk_media.py [folder]``;
it needs lmdb beside the packages of this repository, and takes under a minute.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import lmdb

from ziggurat.backend import Context
from ziggurat.sqlite import Database
from ziggurat_disk import Disk, DiskOptions

SIZES = (1, 4, 16, 64, 256)  # KiB
ROUNDS = 9
INSERT = "INSERT INTO small (key, data) VALUES (?, ?)"
READS, PUTS = 400, 16  # of one round
KEPT = 16 << 20  # bytes on each medium while it is read


class Medium(Protocol):
    """A place for small values."""

    def get(self, key: str) -> bytes | None:
        """Read a value."""

    def put(self, key: str, data: bytes) -> None:
        """Keep a value for good."""

    def fill(self, keys: list[str], data: bytes) -> None:
        """Keep many equal values, by the fastest way."""


class Files:
    """A file each: written aside, synced, renamed, and its folder synced."""

    def __init__(self, folder: Path) -> None:
        self._files, self._aside = str(folder / "files"), str(folder / "aside")
        for n in range(100):
            os.makedirs(f"{self._files}/{n:02}")

    def get(self, key: str) -> bytes | None:
        try:
            fd = os.open(f"{self._files}/{key[-2:]}/{key}", os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            return os.read(fd, os.fstat(fd).st_size)
        finally:
            os.close(fd)

    def fill(self, keys: list[str], data: bytes) -> None:
        for key in keys:
            Path(self._files, key[-2:], key).write_bytes(data)

    def put(self, key: str, data: bytes) -> None:
        shard = f"{self._files}/{key[-2:]}"
        fd = os.open(self._aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(fd, data)
        os.fsync(fd)
        os.close(fd)
        os.rename(self._aside, f"{shard}/{key}")
        fd = os.open(shard, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)


class Sqlite:
    """One table, through the writer that the catalog and the disk backend share."""

    def __init__(self, folder: Path) -> None:
        self._db = Database(folder / "small.db", durable=True, mmap=1 << 30)
        table = "CREATE TABLE small (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, data BLOB NOT NULL)"
        self._db.write(lambda connection: connection.execute(table))

    def get(self, key: str) -> bytes | None:
        data: bytes | None = self._db.execute("SELECT data FROM small WHERE key = ?", (key,)).get
        return data

    def put(self, key: str, data: bytes) -> None:
        self._db.write(lambda connection: connection.execute(INSERT, (key, data)))

    def fill(self, keys: list[str], data: bytes) -> None:
        self._db.write(lambda connection: connection.executemany(INSERT, [(key, data) for key in keys]))


class Lmdb:
    """One environment, each put a synced transaction."""

    def __init__(self, folder: Path) -> None:
        self._env = lmdb.open(str(folder), map_size=1 << 30)

    def get(self, key: str) -> bytes | None:
        with self._env.begin() as transaction:
            data: bytes | None = transaction.get(key.encode())
            return data

    def put(self, key: str, data: bytes) -> None:
        with self._env.begin(write=True) as transaction:
            transaction.put(key.encode(), data)

    def fill(self, keys: list[str], data: bytes) -> None:
        with self._env.begin(write=True) as transaction:
            for key in keys:
                transaction.put(key.encode(), data)


class Tier:
    """The disk backend as it is: rows below 64 KiB, files from there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        context = Context("bench", "store", catalog="bench", capacity=1 << 40)
        self._disk = Disk(DiskOptions(path=folder), context)

    def get(self, key: str) -> bytes | None:
        return self._disk.get(key, None)  # type: ignore[return-value] # bytes: no value here is large

    def put(self, key: str, data: bytes) -> None:
        self._disk.put(key, data)

    def fill(self, keys: list[str], data: bytes) -> None:
        self._disk.put("bafkfirst", b"")
        copies = Disk(DiskOptions(path=self._folder), Context("fill", "cache"))
        for key in keys:
            copies.put(key, data)
        copies.close()


def seconds(call: Callable[..., object], arguments: Sequence[tuple[object, ...]]) -> float:
    """Time one call with each of the arguments; the mean."""
    start = time.perf_counter()
    for given in arguments:
        call(*given)
    return (time.perf_counter() - start) / len(arguments)


def measure(folder: Path, size: int) -> dict[str, tuple[list[float], list[float]]]:
    """Seconds of a read and of a put for each medium, one figure a round."""
    count = max(64, min(2000, KEPT // size))
    keys = [f"bafkreigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy5{n:07}" for n in range(count)]
    media: dict[str, Medium] = {}
    for kind in (Files, Sqlite, Lmdb, Tier):
        place = folder / f"{kind.__name__}-{size}"
        place.mkdir()
        media[kind.__name__] = kind(place)
    for medium in media.values():
        medium.fill(keys, os.urandom(size))
    found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in media}
    chance = random.Random(size)
    for turn in range(ROUNDS):
        asked = [chance.choice(keys) for _ in range(READS)]
        order = list(media.items())
        chance.shuffle(order)
        for name, medium in order:
            assert all(len(medium.get(key) or b"") == size for key in asked[:5])
            found[name][0].append(seconds(medium.get, [(key,) for key in asked]))
        for name, medium in order:
            new = [(f"bafkreinew{turn:03}{n:05}", os.urandom(size)) for n in range(PUTS)]
            found[name][1].append(seconds(medium.put, new))
    return found


def ratio(files: list[float], medium: list[float]) -> str:
    """Median of the rounds' ratios, and the middle half of them."""
    ratios = sorted(a / b for a, b in zip(files, medium, strict=True))
    low, _, high = statistics.quantiles(ratios, n=4)
    return f"{statistics.median(ratios):.2f} ({low:.2f}-{high:.2f})"


def main() -> None:
    """Print the two tables."""
    folder = Path(tempfile.mkdtemp(prefix="disk-media-", dir=sys.argv[1] if sys.argv[1:] else None))
    try:
        results = {size: measure(folder, size << 10) for size in SIZES}
    finally:
        shutil.rmtree(folder)
    for n, what in enumerate(("read", "durable put")):
        print(f"| {what} | a file each | SQLite | LMDB | the disk tier |\n|---|---|---|---|---|")
        for size, found in results.items():
            cells = [ratio(found["Files"][n], found[name][n]) for name in ("Sqlite", "Lmdb", "Tier")]
            print(
                f"| {size} KiB | {statistics.median(found['Files'][n]) * 1e6:.1f} us | {' | '.join(cells)} |"
            )
        print()


if __name__ == "__main__":
    main()
