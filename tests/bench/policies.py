"""``python -m tests.bench.policies FOLDER``: compare cache policies on the traces of a folder, for the docs.

A trace is a file ``NAME.trace.xz``: the xz of little-endian uint32 object ids, one for each request, followed
by as many uint32 sizes in bytes. Every policy sees each trace as it is, counting missed bytes, and with all
sizes 1, counting missed objects, in caches of 1, 3, 10 and 30 % of the distinct bytes. The table gives the
miss ratios relative to `arc`, less is better: the mean, and the worst point.
"""

from __future__ import annotations

import argparse
import lzma
import random
import sys
import time
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from attrs import define, frozen

from ziggurat.policy import Index, Observer, PolicyType, Ranker, arc, heat, lru, s3fifo, score

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/policies.md"
SHARES = (0.01, 0.03, 0.10, 0.30)
FIRST = "arc"
PEERS = ("LRU", "ARC", "S3FIFO", "LHD", "ThreeLCache")
SAMPLE, TAKE, HISTORY = 32, 4, 4


@frozen
class Trace:
    """Requests of one trace, by key; sizes of equal length."""

    name: str
    keys: Sequence[str]
    sizes: Sequence[int]

    @property
    def footprint(self) -> int:
        """Bytes of all distinct keys, each with the size it had last."""
        return sum(dict(zip(self.keys, self.sizes, strict=True)).values())


@frozen
class Point:
    """What one policy missed of one trace in one cache, in bytes, and how many requests it took a second."""

    missed: int
    speed: float


def load(path: Path, requests: int | None = None) -> Trace:
    """Read a trace, or its first requests."""
    numbers = array("I")
    numbers.frombytes(lzma.decompress(path.read_bytes()))
    if sys.byteorder == "big":
        numbers.byteswap()
    half = len(numbers) // 2
    stop = min(half, requests or half)
    return Trace(
        path.name.removesuffix(".trace.xz"),
        [str(number) for number in numbers[:stop]],
        numbers[half : half + stop].tolist(),
    )


def by_index(policy: PolicyType) -> Callable[[Trace, int], Point]:
    """Replay against a policy's index."""

    def run(trace: Trace, capacity: int) -> Point:
        index: Index = policy.index(capacity, policy.parameters(), random.Random(1), None)  # type: ignore[misc]  # the caller knows
        hit, admit, missed = index.hit, index.admit, 0
        start = time.perf_counter()
        for key, size in zip(trace.keys, trace.sizes, strict=True):
            if key in index:
                hit(key)
            else:
                missed += size
                admit(key, size)
        return Point(missed, len(trace.keys) / (time.perf_counter() - start))

    return run


@define(eq=False)
class CacheRow:
    """A row as the catalog keeps it."""

    key: str
    size: int
    last: float
    count: int
    first: float
    gap: float


class Ranked:
    """A cache as the catalog runs it: rows sampled at random, the ranker's first ones go; history stays."""

    def __init__(self, ranker: Ranker, capacity: int) -> None:
        self.ranker, self.room, self.random = ranker, capacity, random.Random(1)
        self.capacity = capacity
        self.observer = ranker if isinstance(ranker, Observer) else None
        self.slots: dict[str, int] = {}
        self.rows: list[CacheRow] = []
        self.history: OrderedDict[str, CacheRow] = OrderedDict()
        self.old: list[str] = []

    def access(self, key: str, size: int, now: float) -> bool:
        slot = self.slots.get(key)
        row = self.rows[slot] if slot is not None else self.history.pop(key, None)
        if row is None:
            row = CacheRow(key, size, now, 0, now, 0.0)
        if self.observer:
            row.gap = self.observer.seen(row, now)
        row.count, row.last = row.count + 1, now
        if slot is not None:
            return True
        row.size = size
        if size <= self.capacity:
            self.evict(size, now)
            self.slots[key] = len(self.rows)
            self.rows.append(row)
            self.room -= size
        return False

    def evict(self, size: int, now: float) -> None:
        while self.room < size:
            rows = self.rows if len(self.rows) <= 2 * SAMPLE else self.random.sample(self.rows, SAMPLE)
            if self.observer:
                ghosts = [self.history[key] for key in self.remembered(2)]
                self.observer.watch(rows, len(self.rows), ghosts, len(self.history), now)
            for row in list(self.ranker.rank(list(rows), now))[:TAKE]:
                if self.room >= size:
                    break
                self.leave(row)

    def leave(self, row: CacheRow) -> None:
        slot, mover = self.slots.pop(row.key), self.rows.pop()
        if mover is not row:
            self.rows[slot] = mover
            self.slots[mover.key] = slot
        self.room += row.size
        self.history[row.key] = row
        self.old.append(row.key)
        while len(self.history) > max(64, HISTORY * len(self.rows)):
            self.history.popitem(last=False)
        if len(self.old) > 2 * len(self.history) + 64:
            self.old = list(self.history)

    def remembered(self, number: int) -> list[str]:
        """Some keys of the history at random, fewer if they are hard to find."""
        tries = (self.random.choice(self.old) for _ in range(4 * number)) if self.old else iter(())
        return [key for key in tries if key in self.history][:number]


def by_ranker(policy: PolicyType) -> Callable[[Trace, int], Point]:
    """Replay against a policy's ranker, one second a request."""

    def run(trace: Trace, capacity: int) -> Point:
        ranker: Ranker = policy.ranker(policy.parameters(), random.Random(1), None)  # type: ignore[misc]  # the caller knows
        cache, missed = Ranked(ranker, capacity), 0
        start = time.perf_counter()
        for now, (key, size) in enumerate(zip(trace.keys, trace.sizes, strict=True)):
            if not cache.access(key, size, float(now)):
                missed += size
        return Point(missed, len(trace.keys) / (time.perf_counter() - start))

    return run


def by_peer(name: str) -> Callable[[Trace, int], Point]:
    """Replay against a policy of libCacheSim."""

    def run(trace: Trace, capacity: int) -> Point:
        import libcachesim

        cache, request, missed = getattr(libcachesim, name)(capacity), libcachesim.Request(), 0
        get = cache.get
        start = time.perf_counter()
        for now, (key, size) in enumerate(zip(trace.keys, trace.sizes, strict=True)):
            request.obj_id, request.obj_size, request.clock_time = int(key), size, now
            if not get(request):
                missed += size
        return Point(missed, len(trace.keys) / (time.perf_counter() - start))

    return run


CONTENDERS: dict[str, Callable[[Trace, int], Point]] = {
    FIRST: by_index(arc.policy),
    "heat": by_index(heat.policy),
    "heat (ranker)": by_ranker(heat.policy),
    "lru": by_index(lru.policy),
    "s3fifo": by_index(s3fifo.policy),
    "heat-score (ranker)": by_ranker(score.policy),
    **{f"libCacheSim {name}": by_peer(name) for name in PEERS},
}


@define
class Line:
    """Ratios of one policy: by kind ("bytes", "objects"), trace and share of the footprint."""

    ratios: dict[tuple[str, str, float], float]
    speeds: list[float]


def compare(traces: Iterator[Trace], names: Sequence[str]) -> dict[str, Line]:
    """Run every policy on every trace."""
    lines = {name: Line({}, []) for name in names}
    for trace in traces:
        plain = Trace(trace.name, trace.keys, [1] * len(trace.keys))
        for kind, case in (("bytes", trace), ("objects", plain)):
            if kind == "bytes" and max(trace.sizes) == min(trace.sizes):
                continue  # it says nothing of bytes
            footprint = case.footprint
            for share in SHARES:
                base = None
                for name in names:
                    point = CONTENDERS[name](case, max(1, int(footprint * share)))
                    base = point.missed if base is None else base
                    lines[name].ratios[kind, trace.name, share] = point.missed / base
                    lines[name].speeds.append(point.speed)
                print(
                    f"{trace.name} {kind} {share:g}: "
                    + ", ".join(
                        f"{name} {lines[name].ratios[kind, trace.name, share]:.3f}" for name in names
                    ),
                    file=sys.stderr,
                    flush=True,
                )
    return lines


def page(lines: dict[str, Line], requests: int | None) -> str:
    """The page of the docs."""
    some = next(iter(lines.values())).ratios
    traces = sorted({trace for _, trace, _ in some})
    text = [
        "# How the policies compare",
        "",
        "Written by `python -m tests.bench.policies FOLDER`. Miss ratios relative to `arc`, less is better:",
        "the mean, in brackets the worst point. *Bytes*: byte miss ratio on traces of blocks of various",
        "sizes. *Objects*: object miss ratio on the same traces with every size 1. Caches hold 1, 3, 10 and",
        "30 % of the distinct bytes.",
        "",
        f"Traces: {', '.join(traces)}" + (f"; the first {requests:,} requests of each." if requests else "."),
        "A *ranker* orders 32 rows drawn at random from the catalog, and the first four go.",
        "",
        "| policy | bytes | objects |",
        "|---|---|---|",
    ]
    for name, line in lines.items():
        cells = []
        for kind in ("bytes", "objects"):
            found = [ratio for (what, _, _), ratio in line.ratios.items() if what == kind]
            cells.append(f"{sum(found) / len(found):.3f} [{max(found):.2f}]" if found else "")
        text.append(f"| {name} | {' | '.join(cells)} |")
    same = lines.get("libCacheSim LRU")
    for name, line in lines.items():
        if same and name not in ("lru", "libCacheSim LRU") and line.ratios == same.ratios:
            text += [
                "",
                f"{name} missed exactly what LRU missed at every point: as run here, it evicted as LRU does,",
            ]
            text += ["and the row does not show what it can do."]
    text += ["", "## By trace", "", "`heat` as an index, and as a ranker, at each size:", ""]
    text += ["| trace | counted | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |"]
    text += ["|---|---|" + "---|" * len(SHARES)]
    both = [lines[name] for name in ("heat", "heat (ranker)") if name in lines]
    for kind, trace in sorted({(kind, trace) for kind, trace, _ in some}):
        cells = [" / ".join(f"{line.ratios[kind, trace, share]:.3f}" for line in both) for share in SHARES]
        text.append(f"| {trace} | {kind} | {' | '.join(cells)} |")
    return "\n".join(text) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.policies", description=__doc__)
    parser.add_argument("folder", type=Path, help="holds NAME.trace.xz files")
    parser.add_argument("--requests", type=int, help="only the first of each trace; default all")
    parser.add_argument("--only", nargs="*", help="traces by name")
    parser.add_argument("--policies", nargs="*", choices=CONTENDERS, help="default: all; arc is always there")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page to write")
    args = parser.parse_args(argv)
    paths = [
        path
        for path in sorted(args.folder.glob("*.trace.xz"))
        if not args.only or path.name.removesuffix(".trace.xz") in args.only
    ]
    if not paths:
        raise SystemExit(f"error: no trace in {args.folder}: it needs NAME.trace.xz files")
    names = [FIRST, *(name for name in args.policies or CONTENDERS if name != FIRST)]
    lines = compare((load(path, args.requests) for path in paths), names)
    args.out.write_text(page(lines, args.requests), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
