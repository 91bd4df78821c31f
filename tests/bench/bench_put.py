"""A large file: naming it, putting it, the memory that takes, and reading a small part of it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.bench.harness import Case, Row, limit, pairs
from tests.bench.kubo import Kubo, kubo
from tests.bench.workshop import KIB, MIB, caller, disk, fill_file, open_stack, scratch

from ziggurat import Store
from ziggurat.content import Cid, file_reader, import_file, profile_by_name

_RAW = "read, sha256, write, fsync"
_MEMORY = 100.0  # MB
_PART = 64 * KIB

_PUT = """
import sys
from pathlib import Path
from ziggurat import open_store
vault, disk, source = map(Path, sys.argv[1:])
tier = {"name": "disk", "backend": "disk", "role": "store", "options": {"path": str(disk)}}
with open_store({"store": {"path": str(vault)}, "tier": [tier]}) as store:
    store.put(source)
"""
# Not getrusage: its maximum is inherited from the process that started this one.
_PEAK = """
from pathlib import Path
print(next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line))
"""


def cases() -> list[Case]:
    """The cases of this module."""
    return [
        Case("put-large", _put),
        Case("cid", _cid),
        Case("put-memory", _memory),
        Case("range", _range),
    ]


def _size(quick: bool) -> tuple[int, str]:
    size = (64 if quick else 256) * MIB
    return size, f"{size // MIB} MiB"


def _copy_by_hand(source: Path, target: Path) -> float:
    """Hash, write and sync a file, a MiB at a time; the seconds it took."""
    target.unlink(missing_ok=True)
    start = time.perf_counter()
    hasher = hashlib.sha256()
    with source.open("rb", buffering=0) as file, target.open("wb", buffering=0) as copy:
        while piece := file.read(MIB):
            hasher.update(piece)
            copy.write(piece)
        os.fsync(copy.fileno())
    hasher.digest()
    return time.perf_counter() - start


def _put_afresh(store: Store, source: Path) -> float:
    """Seconds of a put of what the store does not have."""
    start = time.perf_counter()
    cid = store.put(source).cid
    took = time.perf_counter() - start
    store.remove(cid)
    store.gc()
    assert not store.has(cid)
    return took


def _put(quick: bool) -> Iterator[Row]:
    size, shown = _size(quick)
    with scratch() as folder, open_stack(folder / "vault", disk(folder / "disk")) as store:
        source = folder / "source"
        fill_file(source, size)
        peer = partial(_copy_by_hand, source, folder / "copy")
        count = 3 if quick else 7
        ours = partial(_put_afresh, store, source)
        yield pairs(f"put a file of {shown} to disk", ours, peer, count, against=_RAW, target=0.8)


def _name(source: Path, pool: ThreadPoolExecutor) -> Cid:
    with source.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        return import_file(
            file_reader(file.fileno()), size, profile_by_name("unixfs-v1-2025"), pool=pool
        ).root


def _cid(quick: bool) -> Iterator[Row]:
    size, shown = _size(quick)
    count = 3 if quick else 7
    with scratch() as folder, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        source = folder / "source"
        fill_file(source, size)
        peer = partial(_copy_by_hand, source, folder / "copy")
        name = f"CID of a file of {shown}, nothing stored"
        yield pairs(name, partial(_only_name, source, pool), peer, count, against=_RAW, target=2.0)
        binary = kubo()
        name = f"`ziggurat cid` of a file of {shown}"
        if binary is None:
            print(f"  {name}: no Kubo at hand, left out; `make kubo` builds it")
            return
        hasher = Kubo(binary, folder / "ipfs")
        ours = [caller(), "cid", str(source)]
        first = subprocess.run(ours, check=True, capture_output=True, text=True).stdout.split()[0]
        assert first == hasher.only_hash(source), "the CIDs differ, so the two do different work"

        def command() -> None:
            subprocess.run(ours, check=True, capture_output=True)

        def ipfs() -> None:
            hasher.only_hash(source)

        kubo_adds = "`ipfs add --only-hash`, Kubo, its start included"
        alone = f"CID of a file of {shown}, in this process"
        yield pairs(alone, partial(_only_name, source, pool), ipfs, count, against=kubo_adds, target=2.0)
        # Both start: ours is an interpreter.
        yield pairs(name, command, ipfs, count, against=kubo_adds, target=2.0)


def _only_name(source: Path, pool: ThreadPoolExecutor) -> None:
    _name(source, pool)


def _peak(code: str, *arguments: object) -> float:
    """Most memory, in MB, that a fresh interpreter had resident while it ran some code."""
    done = subprocess.run(
        [sys.executable, "-c", code + _PEAK, *map(str, arguments)], check=True, capture_output=True, text=True
    )
    return int(done.stdout) * KIB / 1e6


def _memory(quick: bool) -> Iterator[Row]:
    size, shown = _size(quick)
    with scratch() as folder:
        source = folder / "source"
        fill_file(source, size)
        fresh = iter(range(100))

        def more() -> float:
            place = folder / str(next(fresh))
            return _peak(_PUT, place / "vault", place / "disk", source) - _peak("")

        name = f"most memory while a file of {shown} is put"
        yield limit(
            name, more, 1 if quick else 3, at_most=_MEMORY, unit="MB", against="beyond a bare interpreter"
        )


def _range(quick: bool) -> Iterator[Row]:
    size, shown = (64 * MIB, "64 MiB") if quick else (1024 * MIB, "1 GiB")
    with scratch() as folder:
        source = folder / "source"
        fill_file(source, size)
        with open_stack(folder / "vault", disk(folder / "disk")) as store:
            cid = store.put(source).cid
            nodes = store._stack().places.stores[0].stat_key(cid.nodes_key)
            assert nodes is not None
            assert nodes.size is not None
        # The middle of a leaf, across two leaves, and the end of the file.
        starts = iter((size // 2 + MIB // 3, size // 2 - _PART // 2, size - _PART))

        def read() -> float:
            start = next(starts)
            with open_stack(folder / "vault", disk(folder / "disk")) as store, source.open("rb") as file:
                file.seek(start)
                assert store.get(cid, start, _PART) == file.read(_PART)
                return store.tiers[0].meter.bytes_read / KIB

        yield limit(
            f"bytes read for a proved range of 64 KiB in {shown}",
            read,
            3,
            at_most=(2 * MIB + nodes.size) / KIB,
            unit="KiB",
            against="two leaves and the nodes",
        )
