"""kill -9 at every step: what was acknowledged is whole, and the next open is clean."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable
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

WRITER = """
import hashlib, random, sys, threading
from ziggurat.backend import Blob, Context
from ziggurat_disk import Disk, DiskOptions
path, role, name = sys.argv[1:]
disk = Disk(DiskOptions(path=path, small=4000), Context("tier", role, catalog="c", capacity=10**12))
disk.identify(claim=True)
def work(n):
    chance = random.Random(f"{name}{n}")
    while True:
        data = chance.randbytes(chance.choice((0, 100, 3999, 4000, 50_000, 300_000, 3_000_000)))
        key = "baf" + hashlib.sha256(data).hexdigest()
        pieces = [data[i:i + 65536] for i in range(0, len(data), 65536)]
        disk.put(key, data if chance.random() < 0.5 else Blob(len(data), lambda: pieces))
        sys.stdout.write(f"{key} {len(data)}\\n")
        sys.stdout.flush()
for n in range(3):
    threading.Thread(target=work, args=(n,)).start()
"""


@pytest.mark.parametrize("role", ["store", "cache"])
def test_killed_in_the_middle_of_puts(make: Make, child: Child, read: Read, folder: Path, role: str) -> None:
    chance = random.Random(role)
    kept: set[str] = set()
    for n in range(4):
        process = child(WRITER, folder, role, n)
        assert process.stdout
        process.stdout.readline()
        time.sleep(chance.uniform(0.05, 0.3))
        process.kill()
        lines = process.stdout.read().splitlines(keepends=True)
        kept |= {line.split()[0] for line in lines if line.endswith("\n")}
        disk = make(role=role)
        for key in disk.scan():  # acknowledged or not: whatever can be seen is whole
            data = read(disk.get(key, None))
            assert data is not None
            assert key == "baf" + hashlib.sha256(data).hexdigest()
        assert kept <= set(disk.scan())
        assert not os.listdir(folder / "tmp")
        disk.close()
    assert kept


CROSS = """
import os, sys
from ziggurat.backend import Context
from ziggurat_disk import Disk, DiskOptions
path, action, step, key = sys.argv[1:]
disk = Disk(DiskOptions(path=path, small=4000), Context("tier", "store", catalog="c", capacity=10**12))
disk.has("x")
left = int(step)
database = disk._copies._db
commit = database._group._run
def dying(batch):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), 9)
    commit(batch)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), 9)
database._group._run = dying
for name in ("rename", "unlink", "fsync"):
    def die(*arguments, real=getattr(os, name)):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), 9)
        answer = real(*arguments)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), 9)
        return answer
    setattr(os, name, die)
if action == "evict":
    disk.evict(key)
else:
    disk.put(key, b"n" * int(action))
print("done", flush=True)
"""


@pytest.mark.parametrize("before", [10, 5000])
@pytest.mark.parametrize("action", ["10", "5000", "evict"])
def test_killed_at_every_step_of_a_change(
    make: Make, child: Child, read: Read, media: Media, folder: Path, before: int, action: str
) -> None:
    old = b"o" * before
    new = None if action == "evict" else b"n" * int(action)
    seen = set()
    for step in range(1, 40):
        disk = make(small=4000)
        disk.evict(KEY)
        disk.put(KEY, old)
        disk.close()
        process = child(CROSS, folder, action, step, KEY)
        done = process.communicate()[0] == "done\n"
        disk = make(small=4000)
        found = read(disk.get(KEY, None))
        assert found in ((new,) if done else (old, new))
        seen.add(found)
        assert disk.has(KEY) == (found is not None)
        assert sum(copy is not None for copy in media(KEY)) == (found is not None), step  # tidied by opening
        assert list(disk.scan()) == ([] if found is None else [KEY])
        assert not os.listdir(folder / "tmp")
        disk.close()
        if done:
            break
    else:
        pytest.fail("the change never finished")
    assert seen == {old, new}


def test_what_the_living_write_aside_is_left_alone(
    make: Make, child: Child, read: Read, folder: Path
) -> None:
    make().identify(claim=True)
    alive = make()
    middle: list[str] = []

    def chunks() -> list[bytes]:
        return [b"x" * 70_000, late()]

    def late() -> bytes:
        (folder / "tmp" / "abandoned").write_bytes(b"no lock: its writer is dead")
        make().has(KEY)  # opens the medium, here and in another process
        process = child(
            "import sys; from ziggurat.backend import Context; from ziggurat_disk import Disk, DiskOptions;"
            "print(Disk(DiskOptions(path=sys.argv[1]), Context('t', 'store')).has('x'))",
            folder,
        )
        assert process.communicate()[0] == "False\n"
        middle.extend(os.listdir(folder / "tmp"))
        return b"y"

    alive.put(KEY, Blob(70_001, chunks))
    assert len(middle) == 1
    assert middle != ["abandoned"]
    assert read(alive.get(KEY, None)) == b"x" * 70_000 + b"y"
    assert not os.listdir(folder / "tmp")


def test_opening_does_not_list_the_blobs(make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = make(role="cache", small=10)
    for n in range(300):
        disk.put(f"bafkey{n:03}", b"x" * 20)
    disk.close()
    listed: list[str] = []
    real = os.listdir

    def listdir(path: str) -> list[str]:
        listed.append(path)
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    disk = make(role="cache")
    assert disk.has("bafkey000")
    assert listed == [f"{folder}/tmp"]
