"""What the cases share: a folder on a real disk, stacks in it, and the work done by hand beside them."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ziggurat import Cid, Store, open_store

__all__ = [
    "KIB",
    "MIB",
    "Table",
    "caller",
    "disk",
    "fill_file",
    "open_stack",
    "ram",
    "raw_cid",
    "raw_durable_put",
    "scratch",
    "threads",
]

KIB, MIB = 1 << 10, 1 << 20
Table = dict[str, object]

_HERE = Path(__file__).resolve().parents[2] / ".benchmarks"


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards, in ``ZIGGURAT_BENCH_DIR`` or ``.benchmarks/`` of the repository.

    Not the system's folder for temporary files: that is memory on many machines, where a sync costs nothing.
    """
    parent = Path(os.environ.get("ZIGGURAT_BENCH_DIR", _HERE))
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        if parent == _HERE and not any(parent.iterdir()):
            parent.rmdir()


def ram(capacity: int) -> Table:
    """The table of a memory cache."""
    return {"name": "ram", "backend": "memory", "role": "cache", "capacity": capacity}


def disk(folder: Path, role: str = "store", **more: object) -> Table:
    """The table of a disk tier."""
    return {"name": folder.name, "backend": "disk", "role": role, "options": {"path": str(folder)}, **more}


def open_stack(folder: Path, *tiers: Table) -> Store:
    """Open a store over tiers, as a configuration file would; its catalog is in `folder`."""
    return open_store({"store": {"path": str(folder)}, "tier": list(tiers)})


def raw_cid(number: int) -> Cid:
    """The CID of a raw block that nobody has, one for each number."""
    return Cid.from_bytes(b"\x01\x55\x12\x20" + hashlib.sha256(number.to_bytes(8, "big")).digest())


def raw_durable_put(folder: Path) -> Callable[[bytes], object]:
    """What a careful program does by hand: write aside, sync, rename to the hash's place, sync the folder."""
    places = [f"{folder}/{number:02x}" for number in range(256)]
    for place in places:
        os.makedirs(place)

    def put(data: bytes) -> None:
        name = hashlib.sha256(data).hexdigest()
        place = f"{folder}/{name[:2]}"
        aside = f"{folder}/{threading.get_ident()}"
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(fd, data)
        os.fsync(fd)
        os.close(fd)
        os.rename(aside, f"{place}/{name}")
        fd = os.open(place, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)

    return put


def threads(count: int, work: Callable[[], object]) -> None:
    """Do the work in so many threads at once, or in this one if it is one; what fails there fails here."""
    if count == 1:
        work()
        return
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    workers = [threading.Thread(target=guarded) for _ in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]


def fill_file(path: Path, size: int) -> None:
    """Write a file in which no two leaves are equal."""
    noise = os.urandom(MIB)
    with path.open("wb") as file:
        for number in range(size // MIB):
            file.write(number.to_bytes(8, "big") + noise[8:])


def caller() -> str:
    """The ``ziggurat`` command of this environment."""
    return str(Path(sys.executable).with_name("ziggurat"))
