"""What the conformance test of policies plays with: rows, keys that count their use, a model."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, cast

from attrs import frozen

from ziggurat.policy.protocols import Forecaster, Index, Observer, PolicyType, Ranker
from ziggurat.testing import _policy_rules as rules

CAPACITY = 20_000
BLOCK = 100
_COUNTED = 600


@frozen
class Row:
    key: str
    size: int
    last: float
    count: int
    first: float = 0.0
    gap: float = 0.0


class Key(str):
    """A key whose hash differs from run to run as str's does from process to process; it counts its use."""

    salt = 0
    used = 0

    def __hash__(self) -> int:
        Key.used += 1
        return hash((Key.salt, str.__hash__(self)))

    def __eq__(self, other: object) -> bool:
        Key.used += 1
        return str.__eq__(self, other)

    def __lt__(self, other: str) -> bool:
        Key.used += 1
        return str.__lt__(self, other)


class Model:
    """An index beside the dictionary that it must equal."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.held: dict[str, int] = {}

    def play(self, rng: random.Random, steps: int) -> None:
        for _ in range(steps):
            key = str(int(rng.paretovariate(0.6)) % 600)
            what = rng.random()
            if what < 0.05:
                gone = self.index.drop(key)
                rules.DROP.check(gone is (self.held.pop(key, None) is not None), f"drop said {gone}")
                self.look()
            elif what < 0.10:
                with rules.HIT.holds("a hit raised"):
                    self.index.hit(f"never-{key}")
                    self.index.hit(key)
                self.look()
            elif key in self.held and what < 0.97:
                self.index.hit(key)
            else:
                self.admit(key, rng.choice((0, 1, 50, 100, 100, 700, 5_000)))

    def admit(self, key: str, size: int) -> None:
        held, index = self.held, self.index
        old = held.get(key)
        victims = index.admit(key, size)
        if victims is None:
            self.look()
            return
        rules.PASS_BY.check(size <= index.capacity, f"it took {size} bytes into {index.capacity}")
        if old is not None and old != size:
            rules.RESIZED.check(victims[:1] == (key,), f"the victims were {victims[:3]}")
        for victim in victims:
            rules.VICTIMS.check(victim in held, f"it evicted {victim!r}, which is not resident")
            del held[victim]
        held[key] = size
        self.look()

    def look(self) -> None:
        index, held = self.index, self.held
        total = sum(held.values())
        rules.EXACT.check(index.bytes == total, f"it counts {index.bytes} bytes, {total} are resident")
        rules.EXACT.check(len(index) == len(held), f"it counts {len(index)} blocks, {len(held)} are resident")
        wrong = [key for key in held if key not in index]
        rules.EXACT.check(not wrong, f"it does not know its residents {wrong[:3]}")
        rules.EXACT.check("never-0" not in index, "it knows what was never admitted")
        rules.CAPACITY.check(index.bytes <= index.capacity, f"{index.bytes} bytes of {index.capacity}")


def index_of(policy: PolicyType, capacity: int = CAPACITY, seed: int = 1) -> Index | None:
    if policy.index is None:
        return None
    return policy.index(capacity, policy.parameters(), random.Random(seed), None)  # noqa: S311 - it samples


def ranker_of(policy: PolicyType) -> Ranker:
    make = cast("Callable[[Any, random.Random, bytes | None], Ranker]", policy.ranker)
    return make(policy.parameters(), random.Random(1), None)  # noqa: S311 - it samples


def makers(policy: PolicyType) -> Iterator[Callable[[bytes | None], Index | Ranker]]:
    if (index := policy.index) is not None:
        yield lambda state: index(CAPACITY, policy.parameters(), random.Random(1), state)  # noqa: S311 - it samples
    if (ranker := policy.ranker) is not None:
        yield lambda state: ranker(policy.parameters(), random.Random(1), state)  # noqa: S311 - it samples


def exercise(subject: object) -> None:
    rng = random.Random(2)  # noqa: S311 - it samples
    if isinstance(subject, Observer):
        for _ in range(100):
            rows, now = sample(rng)
            subject.watch(rows, 1_000, rows[:2], 100, now)
            rules.SEEN.check(math.isfinite(subject.seen(rows[0], now)), "`seen` returned no finite number")
        return
    if hasattr(subject, "admit"):
        index: Index = subject  # type: ignore[assignment]  # what has `admit` here came from `PolicyType.index`
        Model(index).play(rng, 1_500)
        if isinstance(subject, Forecaster):
            rules.EXACT.check(subject.forecast("never") is None, "it forecast what is not resident")


def sample(rng: random.Random) -> tuple[list[Row], float]:
    now = 1.7e9 + rng.random() * 1e5
    size = rng.choice((None, 700))
    rows = []
    for number in range(rng.randrange(1, 33)):
        last = now - rng.expovariate(1e-4)
        count = min(10_000, int(rng.paretovariate(1)))
        gap = rng.random() * 30 if count > 1 else 0.0
        own = size or rng.randrange(1, 1 << 20)
        rows.append(Row(f"row-{number}", own, last, count, last - 1e4 * (count - 1), gap))
    return rows, now


def observe(ranker: Ranker, rows: list[Row], now: float) -> None:
    if isinstance(ranker, Observer):
        for row in (rows[0], Row("new", 10, now, 0, now)):
            rules.SEEN.check(math.isfinite(ranker.seen(row, now)), "`seen` returned no finite number")
        ranker.watch(rows, 1_000, rows[:2], 100, now)
        ranker.watch([], 0, [], 0, now)


@contextmanager
def salted() -> Iterator[None]:
    Key.salt = 0
    try:
        yield
    finally:
        Key.salt = 0


def victims_of(policy: PolicyType, seed: int) -> list[str]:
    index = cast("Index", index_of(policy, seed=seed))
    rng, gone = random.Random(11), []  # noqa: S311 - it samples
    for _ in range(4_000):
        key = Key(int(rng.paretovariate(0.5)) % 2_000)
        if key in index:
            index.hit(key)
        else:
            gone += [str(victim) for victim in index.admit(key, BLOCK) or ()]
    return gone


def cost(policy: PolicyType, residents: int) -> float:
    """Steps of an access, on average: lines run, and uses of keys."""
    index = cast("Index", index_of(policy, residents * BLOCK))
    rng, lines = random.Random(13), 0  # noqa: S311 - it samples

    def accesses(number: int) -> None:
        for _ in range(number):
            key = Key(int(rng.random() ** 2 * residents * 3))
            if key in index:
                index.hit(key)
            else:
                index.admit(key, BLOCK)

    def trace(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    for number in range(residents):
        index.admit(Key(number), BLOCK)
    accesses(300)
    before, used = sys.gettrace(), Key.used
    sys.settrace(trace)
    try:
        accesses(_COUNTED)
    finally:
        sys.settrace(before)
    return (lines + Key.used - used) / _COUNTED
