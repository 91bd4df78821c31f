"""``python -m tests.bench.policies FOLDER``: compare cache policies on the traces of a folder, for the docs.

A trace is a file ``NAME.trace.xz``: the xz of little-endian uint32 object ids, one for each request, followed
by as many uint32 sizes in bytes. Every policy sees each trace as it is, counting missed bytes, and with all
sizes 1, counting missed objects, in caches of 1, 3, 10 and 30 % of the distinct bytes. The table gives the
miss ratios relative to `arc`, less is better: the mean, and the worst point.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import importlib.metadata
import json
import lzma
import random
import re
import sys
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from attrs import define, frozen

from ziggurat.policy import PolicyType, arc, heat, lru, rounds, s3fifo, score
from ziggurat.policy.simulation import IndexCache, RankedCache, SimulatedCache, replay

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/policies.md"
POINTS = Path(__file__).resolve().parents[2] / ".benchmarks/policies.jsonl"
SHARES = (0.01, 0.03, 0.10, 0.30)
FIRST = "arc"
PEERS = ("LRU", "ARC", "S3FIFO", "LHD", "ThreeLCache")


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
    """What one policy missed of one trace in one cache, in bytes, and its requests a second of one core."""

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
    """Replay against a policy's index, as `ziggurat simulate` does."""

    def run(trace: Trace, capacity: int) -> Point:
        index = policy.index(capacity, policy.parameters(), random.Random(1), None)  # type: ignore[misc]  # the caller knows
        return _replayed(trace, IndexCache(index))

    return run


def by_ranker(policy: PolicyType) -> Callable[[Trace, int], Point]:
    """Replay against a policy's ranker, one second a request, as `ziggurat simulate` does."""

    def run(trace: Trace, capacity: int) -> Point:
        ranker = policy.ranker(policy.parameters(), random.Random(1), None)  # type: ignore[misc]  # the caller knows
        return _replayed(trace, RankedCache(ranker, capacity, random.Random(1)))

    return run


def _replayed(trace: Trace, cache: SimulatedCache) -> Point:
    requests = list(zip(map(float, range(len(trace.keys))), trace.keys, trace.sizes, strict=True))
    start = time.process_time()
    (tally,) = replay(requests, [cache])
    return Point(tally.bytes_fetched, len(requests) / (time.process_time() - start))


def by_peer(name: str) -> Callable[[Trace, int], Point]:
    """Replay against a policy of libCacheSim."""

    def run(trace: Trace, capacity: int) -> Point:
        import libcachesim

        cache, request, missed = getattr(libcachesim, name)(capacity), libcachesim.Request(), 0
        get = cache.get
        numbers: dict[str, int] = {}
        ids = [numbers.setdefault(key, len(numbers)) for key in trace.keys]
        start = time.process_time()
        for now, (key, size) in enumerate(zip(ids, trace.sizes, strict=True)):
            request.obj_id, request.obj_size, request.clock_time = key, size, now
            if not get(request):
                missed += size
        return Point(missed, len(trace.keys) / (time.process_time() - start))

    return run


MODULES = {"arc": "arc", "heat": "heat", "lru": "lru", "s3fifo": "s3fifo", "heat-score": "score"}
CONTENDERS: dict[str, Callable[[Trace, int], Point]] = {
    FIRST: by_index(arc.policy),
    "heat": by_index(heat.policy),
    "heat (ranker)": by_ranker(heat.policy),
    "lru": by_index(lru.policy),
    "s3fifo": by_index(s3fifo.policy),
    "heat-score (ranker)": by_ranker(score.policy),
    **{f"libCacheSim {name}": by_peer(name) for name in PEERS},
}


class Points:
    """What was measured before, a line of JSON for each point: a long comparison goes on where it stopped.

    A point is found again only for the same requests and the same code: the version of the library for a
    peer's; for ours the module of the policy with the modules of `ziggurat.policy` that it imports.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, Point] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                found = json.loads(line)
                self.known[found["key"]] = Point(found["missed"], found["speed"])

    def measure(self, name: str, trace: Trace, kind: str, capacity: int) -> Point:
        """A point, from the file if it is there."""
        key = f"{name}|{_code(name)}|{trace.name}|{len(trace.keys)}|{kind}|{capacity}"
        if key not in self.known:
            point = self.known[key] = CONTENDERS[name](trace, capacity)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key, "missed": point.missed, "speed": point.speed}) + "\n")
        return self.known[key]


@functools.cache
def _code(name: str) -> str:
    """What a contender's numbers depend on."""
    if name.startswith("libCacheSim"):
        return f"libcachesim {importlib.metadata.version('libcachesim')}"
    folder, digest = Path(arc.__file__).parent, hashlib.sha256()
    found, left = set(), [MODULES[name.partition(" ")[0]]]
    while left:
        module = left.pop()
        source = folder / f"{module}.py"
        if module not in found and source.exists():
            found.add(module)
            left += re.findall(r"from ziggurat\.policy\.(\w+) import", source.read_text(encoding="utf-8"))
    for module in sorted(found):
        digest.update((folder / f"{module}.py").read_bytes())
    return digest.hexdigest()[:16]


@define
class Line:
    """Ratios and speeds of one policy: by kind ("bytes", "objects"), trace and share of the footprint."""

    ratios: dict[tuple[str, str, float], float]
    speeds: dict[tuple[str, str, float], float]


def compare(traces: Iterator[Trace], names: Sequence[str], points: Points) -> dict[str, Line]:
    """Run every policy on every trace."""
    lines = {name: Line({}, {}) for name in names}
    for trace in traces:
        plain = Trace(trace.name, trace.keys, [1] * len(trace.keys))
        for kind, case in (("bytes", trace), ("objects", plain)):
            if kind == "bytes" and max(trace.sizes) == min(trace.sizes):
                continue  # it says nothing of bytes
            footprint = case.footprint
            for share in SHARES:
                base = None
                for name in names:
                    point = points.measure(name, case, kind, max(1, int(footprint * share)))
                    base = point.missed if base is None else base
                    lines[name].ratios[kind, trace.name, share] = point.missed / base
                    lines[name].speeds[kind, trace.name, share] = point.speed
                print(
                    f"{trace.name} {kind} {share:g}: "
                    + ", ".join(
                        f"{name} {lines[name].ratios[kind, trace.name, share]:.3f}" for name in names
                    ),
                    file=sys.stderr,
                    flush=True,
                )
    return lines


MADE = "made-"
"""How the names of made traces begin; see `tests.bench.made_traces`."""


def page(lines: dict[str, Line], requests: int | None) -> str:
    """The page of the docs."""
    traces = sorted({trace for _, trace, _ in next(iter(lines.values())).ratios})
    recorded = [trace for trace in traces if not trace.startswith(MADE)]
    made = [trace for trace in traces if trace.startswith(MADE)]
    first = f"; the first {requests:,} requests of each." if requests else "."
    text = [
        "# How the policies compare",
        "",
        "Written by `python -m tests.bench.policies FOLDER`. Miss ratios relative to `arc`, less is better:",
        "the mean, in brackets the worst point. *Bytes*: byte miss ratio on traces of blocks of various",
        "sizes. *Objects*: object miss ratio on the same traces with every size 1. Caches hold 1, 3, 10 and",
        "30 % of the distinct bytes. A *ranker* orders "
        f"{rounds.SAMPLE} rows drawn at random, as the catalog draws them, and",
        f"the first {rounds.TAKE} go.",
    ]
    if recorded:
        text += ["", "## On recorded traces", "", f"Traces: {', '.join(recorded)}{first}"]
        text += [
            "That the guard of `heat` begins with SLRU in an index and with heat in a ranker was chosen by",
            "these traces, and so they flatter it.",
            "",
            *_table(lines, recorded),
        ]
    if made:
        names = ", ".join(trace.removeprefix(MADE) for trace in made)
        text += ["", "## On made traces", "", f"Traces: {names}{first}"]
        text += [
            "Nothing was chosen by them; `tests/bench/made_traces.py` makes them.",
            "",
            *_table(lines, made),
        ]
    text += ["", "## By trace", "", "`heat` as an index, and as a ranker, at each size:", ""]
    text += ["| trace | counted | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |"]
    text += ["|---|---|" + "---|" * len(SHARES)]
    both = [lines[name] for name in ("heat", "heat (ranker)") if name in lines]
    for kind, trace in sorted({(kind, trace) for kind, trace, _ in next(iter(lines.values())).ratios}):
        cells = [" / ".join(f"{line.ratios[kind, trace, share]:.3f}" for line in both) for share in SHARES]
        text.append(f"| {trace} | {kind} | {' | '.join(cells)} |")
    return "\n".join(text) + "\n"


def _table(lines: dict[str, Line], traces: Sequence[str]) -> list[str]:
    """Mean and worst of each policy on some traces, and the requests a second of one core."""
    text = [
        "| policy | bytes | objects | worst at | requests a second, least … most |",
        "|---|---|---|---|---|",
    ]
    for name, line in lines.items():
        cells = []
        for kind in ("bytes", "objects"):
            found = [r for (what, trace, _), r in line.ratios.items() if what == kind and trace in traces]
            cells.append(f"{sum(found) / len(found):.3f} [{max(found):.2f}]" if found else "")
        worst = max((point for point in line.ratios if point[1] in traces), key=line.ratios.__getitem__)
        cells.append(f"{worst[1].removeprefix(MADE)}, {worst[2]:.0%}, {worst[0]}")
        speeds = [line.speeds[point] for point in line.ratios if point[1] in traces]
        cells.append(f"{min(speeds) / 1e3:,.0f}k … {max(speeds) / 1e3:,.0f}k")
        text.append(f"| {name} | {' | '.join(cells)} |")
    return text


def _measured(maker: Callable[[], Trace], names: Sequence[str], points: Path) -> None:
    """Measure one trace in a process of its own; what it found is in the file."""
    compare(iter([maker()]), names, Points(points))


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.policies", description=__doc__)
    parser.add_argument("folder", type=Path, help="holds NAME.trace.xz files")
    parser.add_argument("--requests", type=int, help="only the first of each trace; default all")
    parser.add_argument("--only", nargs="*", help="traces by name")
    parser.add_argument("--policies", nargs="*", choices=CONTENDERS, help="default: all; arc is always there")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page to write")
    parser.add_argument("--points", type=Path, default=POINTS, help="keeps what was measured")
    parser.add_argument("--jobs", type=int, default=1, help="traces measured side by side")
    parser.add_argument("--no-made", action="store_true", help="only the traces of the folder")
    args = parser.parse_args(argv)
    paths = [
        path
        for path in sorted(args.folder.glob("*.trace.xz"))
        if not args.only or path.name.removesuffix(".trace.xz") in args.only
    ]
    if not paths:
        raise SystemExit(f"error: no trace in {args.folder}: it needs NAME.trace.xz files")
    names = [FIRST, *(name for name in args.policies or CONTENDERS if name != FIRST)]
    makers = [functools.partial(load, path, args.requests) for path in paths]
    if not args.no_made:
        from tests.bench.made_traces import MAKERS, make

        makers += [functools.partial(make, name, args.requests) for name in MAKERS]
    if args.jobs > 1:
        with ProcessPoolExecutor(args.jobs) as pool:
            for done in [pool.submit(_measured, maker, names, args.points) for maker in makers]:
                done.result()
    lines = compare((maker() for maker in makers), names, Points(args.points))
    args.out.write_text(page(lines, args.requests), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
