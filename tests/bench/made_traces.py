"""Traces that are made, for policies to be judged on what nobody tuned them on."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from tests.bench.policies import MADE, Trace

__all__ = ["MAKERS", "make"]

_REQUESTS = 150_000


def _rank(rng: random.Random, among: int, skew: float) -> int:
    """A rank by Zipf's law, roughly: the inverse of its cumulated chances."""
    if abs(skew - 1) < 1e-6:
        return int(among ** rng.random()) - 1
    return int(((among ** (1 - skew) - 1) * rng.random() + 1) ** (1 / (1 - skew))) - 1


def _zipf(rng: random.Random, number: int) -> Iterator[str]:
    for _ in range(number):
        yield str(_rank(rng, number // 3, 0.85))


def _drifting(rng: random.Random, number: int) -> Iterator[str]:
    """What is popular changes: every block's rank moves on, slowly."""
    for at in range(number):
        yield str(_rank(rng, number // 5, 0.9) + at // 20)


def _loops(rng: random.Random, number: int) -> Iterator[str]:
    """Sequences of several lengths, read again and again, taking turns."""
    lengths = [number // 300, number // 60, number // 20, number // 8]
    places = [0] * len(lengths)
    done = 0
    while done < number:
        which = rng.choices(range(len(lengths)), (4, 3, 2, 1))[0]
        for _ in range(min(rng.randrange(50, 400), number - done)):
            yield f"{which}-{places[which]}"
            places[which] = (places[which] + 1) % lengths[which]
            done += 1


def _scans(rng: random.Random, number: int) -> Iterator[str]:
    """Skewed reads, and now and then a long scan of blocks that never come back."""
    done = scanned = 0
    while done < number:
        for _ in range(min(number // 40, number - done)):
            yield str(_rank(rng, number // 8, 0.9))
            done += 1
        for _ in range(min(number // 60, number - done)):
            yield f"scan-{scanned}"
            scanned += 1
            done += 1


def _regimes(rng: random.Random, number: int) -> Iterator[str]:
    """Every sixth of the time something else: skewed, a loop, fresh blocks, other skewed ones, …"""
    part = number // 6 + 1
    for at in range(number):
        regime = at // part
        if regime in (0, 4):
            yield f"a-{_rank(rng, number // 10, 0.9)}"
        elif regime in (1, 5):
            yield f"loop-{at % (number // 25)}"
        elif regime == 2:
            yield f"new-{at - rng.randrange(1, 2 + number // 50)}"
        else:
            yield f"b-{_rank(rng, number // 20, 0.7)}"


def _bursts(rng: random.Random, number: int) -> Iterator[str]:
    """Blocks that are asked for some times within a short while, and hardly ever again."""
    living: list[tuple[str, int]] = []
    for at in range(number):
        if len(living) < 400 or rng.random() < 0.05:
            living.append((f"{at}", 1 + int(rng.paretovariate(0.9)) % 60))
        place = rng.randrange(len(living))
        key, left = living[place]
        yield key if rng.random() < 0.97 else str(rng.randrange(at + 1))
        if left <= 1:
            living[place] = living[-1]
            living.pop()
        else:
            living[place] = key, left - 1


def _mixture(rng: random.Random, number: int) -> Iterator[str]:
    """As a store of files: skewed whole files, read block by block, some news, a nightly scan."""
    files = [max(1, min(300, int(rng.paretovariate(0.8)))) for _ in range(number // 25)]
    done = 0
    while done < number:
        if done % (number // 4) < number // 40:  # the night
            file = rng.randrange(len(files))
        else:
            file = (_rank(rng, len(files), 0.95) + done // 2_000) % len(files)
        length = files[file]
        first = rng.randrange(length) if rng.random() < 0.3 else 0
        for block in range(first, length):
            yield f"{file}-{block}"
            done += 1
            if done == number:
                return


MAKERS: dict[str, Callable[[random.Random, int], Iterator[str]]] = {
    "zipf": _zipf,
    "zipf-drifting": _drifting,
    "loops": _loops,
    "zipf-and-scans": _scans,
    "regimes": _regimes,
    "bursts": _bursts,
    "mixture": _mixture,
}
"""How each trace is made."""


def make(name: str, requests: int | None = None) -> Trace:
    """Make a trace, the same each time.

    Args:
        name: One of `MAKERS`.
        requests: How many; by default 150,000.
    """
    rng = random.Random(name)
    keys = list(MAKERS[name](rng, requests or _REQUESTS))
    sizes: dict[str, int] = {}
    for key in keys:
        if key not in sizes:  # most blocks small, some large: log-normal about 8 kB, at most 2 MiB
            sizes[key] = max(1, min(2 << 20, int(rng.lognormvariate(9, 1.6))))
    return Trace(f"{MADE}{name}", keys, [sizes[key] for key in keys])
