"""A process that fills a persistent cache; run by test_residency_processes.py, which may kill it.

The cache is a folder of files. With a ledger, each change of the bytes is booked under a lock: before bytes
come, after bytes went; so the ledger is never below what is there, and a booking above the capacity is proof
of a violation.

Usage: filler.py FOLDER CAPACITY ROUNDS SEED [ledger]
"""

from __future__ import annotations

import fcntl
import os
import random
import sys
import time
from pathlib import Path

from ziggurat.catalog import Catalog
from ziggurat.policy import make_ranker

MEDIUM = "cache-medium"


class Folder:
    def __init__(self, base: Path, capacity: int, ledger: bool) -> None:
        self.blocks, self.capacity = base / "blocks", capacity
        self.ledger = base / "ledger" if ledger else None

    def book(self, change: int, problem: str = "") -> None:
        if self.ledger is None:
            return
        with open(self.ledger, "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            used = int(file.readline()) + change
            rest = file.read()
            if used > self.capacity:
                problem = f"{used} bytes in a cache of {self.capacity}"
            file.seek(0)
            file.write(f"{used:020d}\n{rest}" + (problem and f"{problem}\n"))

    def put(self, key: str, size: int) -> None:
        target = self.blocks / key
        self.book(size, f"{key} put twice" if target.exists() else "")
        aside = self.blocks / f".{os.getpid()}-{key}"
        aside.write_bytes(b"x" * size)
        aside.rename(target)

    def evict(self, key: str) -> None:
        target = self.blocks / key
        if target.exists():
            size = target.stat().st_size
            target.unlink()
            self.book(-size)


def main(base: Path, capacity: int, rounds: int, seed: int, ledger: bool) -> None:
    rng = random.Random(seed)
    folder = Folder(base, capacity, ledger)
    rank = make_ranker().rank
    with Catalog.open(base / "catalog") as catalog:
        cache = catalog.cache
        for _ in range(rounds):
            now = time.time() * 1000  # so that a row is soon old enough to be renewed
            keys = rng.sample(range(400), rng.randint(1, 64))
            wanted = [(f"key-{key}", (key * 37) % 901 + 1) for key in keys]
            admission = cache.begin_admit(MEDIUM, wanted, capacity, rank, now)
            gone = []
            for key in admission.victims:
                if rng.random() < 0.98:
                    folder.evict(key)
                    gone.append(key)
            put, failed = [], []
            for key, size in cache.finish_admit(admission, gone, now):
                if rng.random() < 0.95:
                    folder.put(key, size)
                    put.append(key)
                else:
                    failed.append(key)
            cache.settle(MEDIUM, put, failed)
            cache.touch(MEDIUM, [f"key-{key}" for key in rng.sample(range(400), 20)], now)
            if rng.random() < 0.1:
                doomed = cache.condemn(MEDIUM, [f"key-{key}" for key in rng.sample(range(400), 10)])
                for key in doomed:
                    folder.evict(key)
                cache.drop(MEDIUM, doomed)
            print("round", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:] == ["ledger"])
