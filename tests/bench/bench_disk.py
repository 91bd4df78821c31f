"""Disk as a store and as a cache, through `Store`: proof and catalog included."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import cycle
from pathlib import Path

from tests.bench.harness import Case, Row, limit, pairs
from tests.bench.workshop import KIB, MIB, disk, open_stack, raw_durable_put, scratch, threads

from ziggurat import Cid, Store

_RAW = "open, read, close, sha256"
_OPEN_MORE = 50.0  # ms
_SITES = 4


def cases() -> list[Case]:
    """The cases of this module."""
    return [
        Case("disk-get", _small_gets),
        Case("disk-put", _small_puts),
        Case("disk-large", _large_gets),
        Case("disk-open", _opening),
    ]


def _prove_file(path: str, digest: bytes) -> None:
    with open(path, "rb") as file:
        data = file.read()
    assert hashlib.sha256(data).digest() == digest


def _small_gets(quick: bool) -> Iterator[Row]:
    count = 500 if quick else 3_000
    with scratch() as folder, open_stack(folder / "vault", disk(folder / "disk")) as store:
        values = [os.urandom(4 * KIB) for _ in range(count)]
        files: list[tuple[str, bytes]] = []
        cids: list[Cid] = []
        for value, receipt in zip(values, store.put_many(values), strict=True):
            assert not isinstance(receipt, Exception)
            place = folder / "raw" / str(receipt.cid)[-2:]
            place.mkdir(parents=True, exist_ok=True)
            (place / str(receipt.cid)).write_bytes(value)
            files.append((str(place / str(receipt.cid)), receipt.cid.digest))
            cids.append(receipt.cid)
        order = random.Random(1).sample(range(count), count)

        def ours() -> None:
            for number in order:
                store.get(cids[number])

        def peer() -> None:
            for number in order:
                _prove_file(*files[number])

        yield pairs("disk store: get 4 KiB", ours, peer, 3 if quick else 11, against=_RAW, target=1.0)


def _small_puts(quick: bool) -> Iterator[Row]:
    # How fast a file system syncs depends on where it placed a folder: several, in turn, for both.
    with scratch() as folder, ExitStack() as opened:
        ours: list[Callable[[bytes], object]] = []
        peers: list[Callable[[bytes], object]] = []
        for number in range(_SITES):
            site = folder / str(number)
            store = opened.enter_context(open_stack(site / "vault", disk(site / "disk")))
            ours.append(store.put)
            peers.append(raw_durable_put(site / "raw"))
        for workers, shown, target in ((1, "1 thread", 0.9), (16, "16 threads", 0.8)):
            each = (20 if quick else 120) // (1 if workers == 1 else 3)
            yield pairs(
                f"disk store: durable put of 4 KiB, {shown}",
                partial(_put_durably, cycle(ours), workers, each),
                partial(_put_durably, cycle(peers), workers, each),
                4 if quick else 15,
                against=f"write aside, fsync, rename, fsync folder, {shown}",
                target=target,
            )


def _put_durably(puts: Iterator[Callable[[bytes], object]], workers: int, each: int) -> float:
    """Seconds of `each` puts of 4 KiB in so many threads."""
    put, waiting = next(puts), [os.urandom(4 * KIB) for _ in range(each * workers)]

    def work() -> None:
        for _ in range(each):
            put(waiting.pop())

    start = time.perf_counter()
    threads(workers, work)
    return time.perf_counter() - start


def _large_gets(quick: bool) -> Iterator[Row]:
    size, count = (16 if quick else 64) * MIB, 3 if quick else 11
    shown = f"{size // MIB} MiB"
    with scratch() as folder:
        data = os.urandom(size)
        raw, digest = folder / "raw", hashlib.sha256(data).digest()
        raw.write_bytes(data)
        peer = partial(_prove_file, str(raw), digest)
        cold = disk(folder / "disk")
        with open_stack(folder / "vault", cold) as store:
            cid = store.put(data).cid
            assert store.get(cid) == data
            get = partial(_drop, store.get, cid)
            yield pairs(f"disk store: get {shown}", get, peer, count, against=_RAW, target=1.2)
            yield pairs(f"disk store: stream {shown}", partial(_drain, store, cid), peer, count, against=_RAW)
        with open_stack(folder / "vault", disk(folder / "cache", "cache", capacity=4 * size), cold) as store:
            _warm(store, cid)
            get = partial(_drop, store.get, cid)
            before = store.tiers[1].meter.bytes_read
            yield pairs(f"disk cache: get {shown}", get, peer, count, against=_RAW, target=0.95)
            yield pairs(f"disk cache: stream {shown}", partial(_drain, store, cid), peer, count, against=_RAW)
            assert store.tiers[1].meter.bytes_read == before, (
                "the store was asked: the cache was not measured"
            )


def _drop(get: Callable[[Cid], bytes], cid: Cid) -> None:
    get(cid)


def _drain(store: Store, cid: Cid) -> None:
    for _ in store.stream(cid):
        pass


def _warm(store: Store, cid: Cid) -> None:
    """Read a blob until all its blocks are in the cache: a reader in a hurry is not cached whole."""
    for _ in range(20):
        before = store.tiers[1].meter.bytes_read
        for _ in store.stream(cid):
            store._stack().filler.drain()
        if store.tiers[1].meter.bytes_read == before:
            return
    raise AssertionError("the cache never took the whole blob")


def _opening(quick: bool) -> Iterator[Row]:
    blobs = 5_000 if quick else 100_000
    with scratch() as folder:
        full, empty = folder / "full", folder / "empty"
        cid = _fill(full, blobs)
        _fill(empty, 0)
        _opened(full, cid), _opened(empty, cid)
        yield limit(
            f"disk store: opening {blobs // 1000}k blobs and asking for one, beyond an empty store",
            lambda: (_opened(full, cid) - _opened(empty, cid)) * 1e3,
            3 if quick else 11,
            at_most=_OPEN_MORE,
            unit="ms",
        )


def _fill(folder: Path, blobs: int) -> Cid:
    with open_stack(folder / "vault", disk(folder / "disk")) as store:
        for receipt in store.put_many(number.to_bytes(100, "big") for number in range(blobs)):
            assert not isinstance(receipt, Exception)
        return store.put(b"the last").cid


def _opened(folder: Path, cid: Cid) -> float:
    """Seconds until a store answers."""
    start = time.perf_counter()
    with open_stack(folder / "vault", disk(folder / "disk")) as store:
        store.has(cid)
        return time.perf_counter() - start
