"""Memory as a cache: what a hit costs, and what an entry costs beside its bytes."""

from __future__ import annotations

import gc
import os
import random
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cachetools
from tests.bench.harness import Case, Row, limit, pairs
from tests.bench.workshop import KIB, disk, open_stack, ram, raw_cid, scratch

from ziggurat import Cid, Store

_VALUE = 4 * KIB
_ENTRY_TARGET = 250  # bytes


def cases() -> list[Case]:
    """The cases of this module."""
    return [Case("memory-hit", _hits), Case("memory-entry", _entries)]


def _open(folder: Path, entries: int) -> Store:
    return open_stack(folder / "vault", ram(entries * _VALUE), disk(folder / "disk"))


def _admit(store: Store) -> Callable[[str, bytes], None]:
    """The way by which a proved block comes into the caches of a store."""
    caches = store._stack().caches
    return lambda key, block: caches.admit(key, block, len(caches.caches))


def _hits(quick: bool) -> Iterator[Row]:
    for entries, shown, target in (
        (10_000, "10k", 1.3),
        (100_000, "100k", None) if quick else (1_000_000, "1M", 0.9),
    ):
        with scratch() as folder, _open(folder, entries) as store:
            yield from _hits_among(store, entries, shown, target, quick)
        gc.unfreeze()
        gc.collect()


def _hits_among(store: Store, entries: int, shown: str, target: float | None, quick: bool) -> Iterator[Row]:
    value = os.urandom(_VALUE)  # one object: the look-up is measured, not the memory of the machine
    peer: cachetools.LRUCache[str, bytes] = cachetools.LRUCache(entries * _VALUE, getsizeof=len)
    lock, admit = threading.Lock(), _admit(store)
    cids, keys = [], []
    for number in range(entries):
        cid = raw_cid(number)
        key = "".join(cid.cache_key)
        admit(cid.cache_key, value)
        peer[key] = value
        cids.append(cid)
        keys.append(key)
    chosen = random.Random(1).choices(range(entries), k=min(entries, 50_000))
    asked, peer_asked = [cids[i] for i in chosen], [keys[i] for i in chosen]
    texts = [str(cid) for cid in asked[:5_000]]
    gc.collect()
    gc.freeze()  # a million entries are not to be walked before each run
    rounds, count = max(1, (60_000 if quick else 300_000) // len(asked)), 3 if quick else 11

    def ours(get: Callable[[Cid | str], bytes], refs: list[Cid] | list[str]) -> None:
        for _ in range(rounds):
            for ref in refs:
                get(ref)

    def theirs(refs: list[str]) -> None:
        for _ in range(rounds):
            for ref in refs:
                with lock:
                    peer[ref]

    assert all(store.get(cid) is value for cid in asked[:100])
    name = f"memory: get a Cid, 4 KiB of {shown} entries"
    run, against = partial(ours, store.get), "cachetools.LRUCache + lock"
    yield pairs(name, partial(run, asked), partial(theirs, peer_asked), count, against=against, target=target)
    name = f"memory: get the text of a CID, 4 KiB of {shown} entries"
    yield pairs(name, partial(run, texts), partial(theirs, peer_asked[:5_000]), count, against=against)


def _entries(quick: bool) -> Iterator[Row]:
    # Dictionaries grow in steps: right after one an entry costs most, before the next one least.
    sizes = (20_000,) if quick else (200_000, 270_000, 349_000)
    for with_keys in (True, False):
        measures = iter([partial(_entry, size, with_keys) for size in sizes])
        what = "its key counted" if with_keys else "its key held by the caller's Cid"
        yield limit(
            f"memory: an entry beside its bytes, {what}",
            partial(_next, measures),
            len(sizes),
            at_most=_ENTRY_TARGET,
            unit="B",
        )


def _next(measures: Iterator[Callable[[], float]]) -> float:
    return next(measures)()


def _entry(entries: int, with_keys: bool) -> float:
    """Bytes of policy and backend for each entry, with the text of its key or without."""
    value = os.urandom(_VALUE)
    keys = None if with_keys else [raw_cid(number).cache_key for number in range(entries)]
    with scratch() as folder, _open(folder, entries) as store:
        admit = _admit(store)
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for number in range(entries):
                admit(raw_cid(number).cache_key if keys is None else keys[number], value)
            gc.collect()
            return (tracemalloc.get_traced_memory()[0] - before) / entries
        finally:
            tracemalloc.stop()
