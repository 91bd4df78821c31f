"""Programs that scenarios run in processes of their own, and kill: ``python children.py NAME FOLDER ...``.

Each prints one line for whatever was acknowledged, flushed, so that what a reader saw is what it was told.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ziggurat import open_store
from ziggurat.engine.filler import PersistentCache
from ziggurat.engine.store import Store

MB = 10**6


def config(folder: Path, **more: Any) -> dict[str, Any]:
    """Two disk stores, and caches where they are asked for.

    Args:
        folder: Where everything lives.
        more: ``copies``, ``capacity`` of each store, ``cache`` for the capacity of a persistent cache.
    """
    tiers: list[dict[str, Any]] = []
    if cache := more.get("cache"):
        tiers.append(
            {
                "name": "ssd",
                "backend": "disk",
                "role": "cache",
                "capacity": cache,
                "options": {"path": str(folder / "ssd")},
            }
        )
    for name in ("one", "two"):
        tier: dict[str, Any] = {
            "name": name,
            "backend": "disk",
            "role": "store",
            "options": {"path": str(folder / name)},
        }
        if capacity := more.get("capacity"):
            tier["capacity"] = capacity
        tiers.append(tier)
    return {"store": {"path": str(folder / "catalog"), "min_copies": more.get("copies", 2)}, "tier": tiers}


def blob(seed: int, number: int, size: int) -> bytes:
    """Content that can be made again from its name."""
    head = f"{seed}/{number}/".encode()
    return (head * (size // len(head) + 1))[:size]


SIZES = (10, 3000, 200_000, 1_500_000, 5_000_000)


def say(*words: object) -> None:
    print(*words, flush=True)


def put(store: Store, folder: Path, seed: int) -> None:
    """Puts of every kind, without end."""
    for number in range(10**9):
        size = SIZES[number % len(SIZES)]
        data = blob(seed, number, size)
        kind = number % 4
        if kind == 0:
            say("blob", store.put(data).cid, seed, number, size)
        elif kind == 1:
            path = folder / f"source-{seed}"
            path.write_bytes(data)
            say("blob", store.put(path).cid, seed, number, size)
        elif kind == 2:
            many = [blob(seed, number * 1000 + n, 100 + n) for n in range(20)]
            for n, answer in enumerate(store.put_many(many)):
                if isinstance(answer, Exception):
                    raise answer
                say("blob", answer.cid, seed, number * 1000 + n, 100 + n)
        else:
            tree = folder / f"tree-{seed}-{number}"
            (tree / "sub").mkdir(parents=True)
            for n in range(5):
                (tree / "sub" / str(n)).write_bytes(blob(seed, number * 1000 + n, 2000 * n))
            (tree / "large").write_bytes(data)
            say("tree", store.put_dir(tree).cid, seed, number, size)


def press(store: Store, folder: Path, seed: int) -> None:
    """Puts into stores that are nearly full, without end; makes room when nothing fits."""
    from ziggurat.errors import StoreFull

    for number in range(10**9):
        try:
            say("blob", store.put(blob(seed, number, SIZES[number % len(SIZES)])).cid)
        except StoreFull:
            for root in list(store.roots())[::2]:
                store.remove(root.cid)
            store.gc()


def churn(store: Store, folder: Path, seed: int) -> None:
    """So many turns of puts, reads, removals and collections; what is said is never removed."""
    from ziggurat.errors import BlobNotFound, BlobPinned, LastCopy

    mine: list[Any] = []
    for number in range(1, int(sys.argv[4]) + 1):
        size = (10, 5000, 120_000, 1_200_000)[number % 4]
        # Half of what is put is the same in every process: puts of one key meet removals of it.
        shared = number % 2 == 0
        data = blob(0 if shared else seed, number % 16 if shared else number, size)
        cid = store.put(data).cid
        if not shared:
            mine.append((cid, number, size))
        if number % 5 == 0 and mine:
            cid, at, size = mine[number % len(mine)]
            assert store.get(cid) == blob(seed, at, size)
        if number % 7 == 0 and len(mine) > 4:
            store.remove(mine.pop(0)[0])
        if number % 11 == 0:
            with suppress(BlobNotFound):  # another process may be faster
                store.remove(store.put(blob(0, number % 16, 10)).cid)
        if number % 13 == seed % 13:
            for found in store.gc():
                assert not found.refused, found
                assert not found.failed, found
        if number % 17 == 0 and mine:
            with suppress(LastCopy, BlobPinned):
                store.evict(mine[-1][0], "one")
    for cid, at, size in mine:
        say("blob", cid, seed, at, size)


def fill(store: Store, folder: Path, seed: int) -> None:
    """Reads without end, so that a persistent cache is filled and emptied."""
    cids = [root.cid for root in store.roots()]
    say("ready")
    while True:
        for cid in cids:
            store.get(cid)


def share(store: Store, folder: Path, seed: int) -> None:
    """So many skewed reads, each checked, with exchanges of what was learned; says how the cache did."""
    import random

    rng = random.Random(seed)
    cids = [root.cid for root in store.roots()]
    right = {cid: store.stat(cid).size for cid in cids}
    cache = store._parts.caches.caches[0]
    assert isinstance(cache, PersistentCache)
    experience = cache._experience
    assert experience is not None
    reads = int(sys.argv[4])
    for number in range(1, reads + 1):
        cid = cids[min(int(rng.paretovariate(0.6)), 10**6) % len(cids)]
        assert len(store.get(cid)) == right[cid]
        if number % 50 == 0:  # else it is for the speed of the machine to say what is cached
            store._parts.filler.drain()
        if number % 500 == 0:
            store.evict(cid, "ssd")
            experience.exchange(now=True)
    found = store.stats().tiers[0]
    assert not store.failures(), store.failures()
    say(reads, found.hits, found.evictions)


def counts(store: Store) -> str:
    """What this store did so far, by tier, as JSON."""
    own = ("hits", "misses", "bytes_read", "bytes_written", "evictions", "errors")
    return json.dumps(
        {tier.tier: {name: getattr(tier, name) for name in own} for tier in store.stats().tiers}
    )


def tally(store: Store, folder: Path, seed: int) -> None:
    """Skewed reads, with a telling now and then; says what it did in all."""
    import random

    rng = random.Random(seed)
    cids = [root.cid for root in store.roots()]
    for number in range(400):
        store.get(cids[min(int(rng.paretovariate(0.6)), 10**6) % len(cids)])
        if number % 50 == 49:
            store._teller.turn()
    store._parts.filler.drain()
    assert not store.failures(), store.failures()
    say(counts(store))


def tell_and_go_on(store: Store, folder: Path, seed: int) -> None:
    """Reads, tells, says what it did so far; then reads on without telling, until somebody kills it."""
    cids = [root.cid for root in store.roots()]
    for cid in cids:
        store.get(cid)
    store._parts.filler.drain()
    store._teller.turn()
    say(counts(store))
    for cid in cids:
        store.get(cid)
    say("more")
    time.sleep(600)


def until_full(store: Store, folder: Path, seed: int) -> None:
    """Puts until nothing fits, ever smaller; says what was acknowledged."""
    from ziggurat.errors import StoreFull

    size, number = 400_000, 0
    while size > 1000:
        number += 1
        data = blob(seed, number, size)
        try:
            say("blob", store.put(data).cid, seed, number, size)
        except StoreFull:
            size //= 3


if __name__ == "__main__":
    name, folder, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    more = json.loads(os.environ.get("CHILD", "{}"))
    with open_store(config(folder, **more)) as opened:
        globals()[name](opened, folder, seed)
