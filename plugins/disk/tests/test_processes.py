"""Several processes and threads on one folder: no reader ever sees a part, a mix, or a gap."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import Popen

import pytest

from ziggurat.backend import Blob
from ziggurat_disk import Disk

Make = Callable[..., Disk]
Child = Callable[..., Popen[str]]
Read = Callable[[bytes | Blob | None], bytes | None]
Media = Callable[[str], tuple[bytes | None, bytes | None]]
KEY = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
SIZES = (10, 900, 1100, 3000, 2_200_000)

# Replaces one key until a line arrives; says how often.
REPLACER = """
import random, sys, threading
from ziggurat.backend import Context
from ziggurat_disk import Disk, DiskOptions
path, role, name, key = sys.argv[1:]
disk = Disk(DiskOptions(path=path, small=1000), Context("tier", role, catalog="c", capacity=10**12))
chance, stop, n = random.Random(name), threading.Event(), 0
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
print("ready", flush=True)
while not stop.is_set():
    size = chance.choice((10, 900, 1100, 3000, 2_200_000))
    disk.put(key, bytes([chance.randrange(256)]) * size)
    n += 1
print(n, flush=True)
"""


def whole(data: bytes | None) -> bool:
    return data is not None and len(data) in SIZES and data.count(data[0]) == len(data)


@pytest.mark.parametrize("role", ["store", "cache"])
def test_a_key_that_processes_replace_is_always_there_and_whole(
    make: Make, child: Child, read: Read, media: Media, folder: Path, role: str
) -> None:
    disk = make(role=role, small=1000)
    disk.put(KEY, b"x" * 10)
    processes = [child(REPLACER, folder, role, n, KEY) for n in range(2)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    deadline = threading.Event()
    threading.Timer(1.5, deadline.set).start()

    def reader() -> int:
        n = 0
        while not deadline.is_set():
            assert whole(read(disk.get(KEY, None)))
            stat = disk.stat(KEY)
            assert stat is not None
            assert stat.size in SIZES
            assert disk.has(KEY)
            n += 1
        return n

    with ThreadPoolExecutor(3) as threads:
        reads = [threads.submit(reader) for _ in range(3)]
        assert all(job.result() for job in reads)
    for process in processes:
        assert int(process.communicate("stop\n")[0]) > 0
    assert whole(read(disk.get(KEY, None)))
    assert sum(copy is not None for copy in media(KEY)) == 1
    assert list(disk.scan()) == [KEY]
    assert not os.listdir(folder / "tmp")


def test_put_and_evict_race(make: Make, read: Read, media: Media, folder: Path) -> None:
    disks = [make(small=1000), make(small=1000)]  # two writers, as two processes would be
    disks[0].put(KEY, b"x" * 10)

    def work(n: int) -> None:
        chance = random.Random(n)
        disk = disks[n % 2]
        for _ in range(150):
            match chance.randrange(3):
                case 0:
                    disk.put(KEY, bytes([n]) * chance.choice(SIZES[:4]))
                case 1:
                    disk.evict(KEY)
                case _:
                    data = read(disk.get(KEY, None))
                    assert data is None or whole(data)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(6)))
    disks[1].put(KEY, b"y" * 1100)
    assert read(disks[0].get(KEY, None)) == b"y" * 1100
    assert media(KEY) == (None, b"y" * 1100)
    assert disks[0].evict(KEY)
    assert media(KEY) == (None, None)
    assert not os.listdir(folder / "tmp")


def test_an_evict_says_yes_once(make: Make) -> None:
    disk = make(small=1000)
    for size in (10, 3000):
        for _ in range(20):
            disk.put(KEY, b"x" * size)
            with ThreadPoolExecutor(4) as threads:
                assert sum(threads.map(lambda _: disk.evict(KEY), range(4))) == 1


ADDER = """
import sys
from ziggurat.backend import Context
from ziggurat_disk import Disk, DiskOptions
path, name = sys.argv[1:]
disk = Disk(DiskOptions(path=path, small=1000), Context("tier", "store", catalog=name, capacity=10**12))
for n in range(60):
    disk.put(f"baf{name}{n}", name.encode() * (1 if n % 3 else 2000))
print("done", flush=True)
"""


def test_processes_that_start_on_an_empty_folder_lose_nothing(
    make: Make, child: Child, read: Read, folder: Path
) -> None:
    processes = [child(ADDER, folder, name) for name in "abc"]
    assert [process.communicate()[0] for process in processes] == ["done\n"] * 3
    disk = make()
    assert set(disk.scan()) == {f"baf{name}{n}" for name in "abc" for n in range(60)}
    assert read(disk.get("bafb3", None)) == b"b" * 2000
