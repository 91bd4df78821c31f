"""The conformance test of cache policies."""

from __future__ import annotations

import math
import random
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, cast

import attrs
import pytest
from attrs import frozen

from ziggurat.policy.protocols import STATE_LIMIT, Forecaster, Index, Learner, Observer, PolicyType, Ranker
from ziggurat.testing import _policy_rules as rules

__all__ = ["PolicyConformance"]

_CAPACITY = 20_000
_BLOCK = 100
_GROWTH = 3.0  # how much dearer an access may be among eight times as many
_TRIES = 32
_COUNTED = 600
_FEW, _MANY = 200, 1_600


@frozen
class _Row:
    key: str
    size: int
    last: float
    count: int
    first: float = 0.0
    gap: float = 0.0


class _Key(str):
    """A key whose hash differs from run to run as str's does from process to process; it counts its use."""

    salt = 0
    used = 0

    def __hash__(self) -> int:
        _Key.used += 1
        return hash((_Key.salt, str.__hash__(self)))

    def __eq__(self, other: object) -> bool:
        _Key.used += 1
        return str.__eq__(self, other)

    def __lt__(self, other: str) -> bool:
        _Key.used += 1
        return str.__lt__(self, other)


class PolicyConformance:
    """The checks of the two protocols; a test file subclasses it and gives one fixture.

    ::

        class TestMine(PolicyConformance):
            @pytest.fixture
            def policy(self):
                return mine.policy

    What a policy does not have, an index or a ranker, asks nothing of it. A failing check quotes the sentence
    of `ziggurat.policy.protocols` that is broken. Work is counted, never timed.
    """

    @classmethod
    def failures(cls, policy: PolicyType) -> Iterator[tuple[str, Exception]]:
        """Run the checks without pytest.

        Args:
            policy: What is tested.

        Returns:
            An iterator that runs them one by one and yields name and exception of those that fail.
        """
        for name in sorted(name for name in dir(cls) if name.startswith("test_")):
            try:
                getattr(cls(), name)(policy)
            except Exception as error:  # noqa: BLE001 - whatever a check raises is its result
                yield name, error

    @pytest.fixture
    def policy(self) -> PolicyType:
        """What is tested: every subclass says it."""
        raise TypeError(f"{type(self).__name__} needs a fixture `policy` that returns a PolicyType")

    def test_it_describes_itself(self, policy: PolicyType) -> None:
        """Name, and parameters with defaults and help."""
        rules.NAME.check(policy.name and policy.name == policy.name.strip().lower(), f"name {policy.name!r}")
        rules.PARAMETERS.check(attrs.has(policy.parameters), f"{policy.parameters!r} is no attrs class")
        fields: tuple[attrs.Attribute[Any], ...] = attrs.fields(policy.parameters)
        for at in fields:
            rules.PARAMETERS.check(at.default is not attrs.NOTHING, f"{at.name!r} has no default")
            rules.PARAMETERS.check(at.metadata.get("help"), f"{at.name!r} has no help")
        rules.PARAMETERS.check(policy.index or policy.ranker, "it has neither an index nor a ranker")

    # --- index

    def test_accounts_are_exact(self, policy: PolicyType) -> None:
        """Random accesses, compared with a dictionary after each."""
        for seed in range(3):
            if (index := _index(policy, seed=seed)) is not None:
                _Model(index).play(random.Random(seed), 3_000)  # noqa: S311 - it samples

    def test_the_largest_and_the_empty_fit(self, policy: PolicyType) -> None:
        """A victim is always found: for a block as large as the cache, and in a cache of no bytes."""
        if (index := _index(policy)) is not None:
            model = _Model(index)
            for turn in range(6):
                for number in range(300):
                    model.admit(f"{turn}-{number}", _BLOCK * (number % 3))
                model.admit(f"all-{turn}", _CAPACITY)
                model.admit(f"more-{turn}", _CAPACITY + 1)
        if (empty := _index(policy, 0)) is not None:
            model = _Model(empty)
            for number in range(20):
                model.admit(str(number), number % 2)

    def test_another_size_is_another_block(self, policy: PolicyType) -> None:
        """A resident admitted with its size, and with another."""
        if (index := _index(policy)) is None:
            return
        model = _Model(index)
        for number in range(150):
            model.admit(str(number), _BLOCK)
            if str(number) in index:
                rules.SAME.check(index.admit(str(number), _BLOCK) == (), "admitted twice, it had victims")
                model.admit(str(number), _BLOCK + number)

    def test_the_seed_decides(self, policy: PolicyType) -> None:
        """The same accesses and the same seed have the same victims, however the process hashes."""
        if policy.index is None:
            return
        with _salted():
            first = _victims(policy, 7)
            _Key.salt = 1
            again = _victims(policy, 7)
        rules.PURE.check(first == again, "two runs with one seed had different victims")

    def test_an_access_costs_the_same(self, policy: PolicyType) -> None:
        """Lines run and keys compared do not grow with the number of residents."""
        if policy.index is None:
            return
        few, many = (_cost(policy, residents) for residents in (_FEW, _MANY))
        detail = f"an access costs {few:.0f} steps among {_FEW} residents, {many:.0f} among {_MANY}"
        rules.CONSTANT.check(many <= few * _GROWTH, detail)

    def test_ghosts_are_bounded(self, policy: PolicyType) -> None:
        """A scan of blocks that never come back leaves no more traces than a bounded number."""
        if (index := _index(policy)) is None:
            return
        refs = []
        for number in range(6_000):
            key = _Key(f"scan-{number}")
            refs.append(weakref.ref(key))
            index.admit(key, _BLOCK)
            del key
        bound = 16 * (_CAPACITY // _BLOCK) + 256
        rules.GHOSTS.check(0 <= index.ghosts <= bound, f"{index.ghosts} ghosts of {len(index)} residents")
        alive = sum(ref() is not None for ref in refs)
        rules.GHOSTS.check(alive <= bound + len(index), f"it holds {alive} keys, {len(index)} are resident")

    def test_hits_come_from_any_thread(self, policy: PolicyType) -> None:
        """Hits of other threads during admissions leave the accounts exact."""
        if (index := _index(policy)) is None:
            return
        hit, stop, failed = index.hit, threading.Event(), []

        def hits() -> None:
            try:
                while not stop.is_set():
                    for number in range(400):
                        hit(str(number))
            except Exception as error:  # noqa: BLE001 - whatever it raises is the result
                failed.append(error)

        threads = [threading.Thread(target=hits) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            _Model(index).play(random.Random(1), 1_500)  # noqa: S311 - it samples
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        rules.HIT.check(not failed, f"a hit raised {failed[:1]}")

    def test_experience_is_kept(self, policy: PolicyType) -> None:
        """What an index or a ranker learned is small, and can be read again, and nothing else can."""
        for make in _makers(policy):
            learner = make(None)
            if not isinstance(learner, Learner):
                continue
            kept = learner.exchange(None)
            _exercise(learner)
            kept = learner.exchange(kept)
            rules.STATE.check(isinstance(kept, bytes) and len(kept) <= STATE_LIMIT, f"{len(kept)} bytes")
            rules.SINCE.check(learner.exchange(kept) == kept, "an exchange without an access changed it")
            other = make(kept)
            if isinstance(other, Learner):
                rules.SINCE.check(other.exchange(kept) == kept, "what it began with counted twice")
            for odd in (b"", b"\0" * 100, kept[:-3], kept[: len(kept) // 2], b"x" + kept):
                with rules.FOREIGN.holds(f"{odd[:8]!r}… of {len(odd)} bytes"):
                    _exercise(make(odd))
                    learner.exchange(odd)

    # --- ranker

    def test_ranks_what_it_was_given(self, policy: PolicyType) -> None:
        """The rows of the sample, each at most once, the sample as it was; lowest value first."""
        if policy.ranker is None:
            return
        rng = random.Random(3)  # noqa: S311 - it samples
        ranker = _ranker(policy)
        idle = 0
        for _ in range(200):
            rows, now = _sample(rng)
            _observe(ranker, rows, now)
            before = list(rows)
            ranked = list(ranker.rank(rows, now))
            rules.UNCHANGED.check(rows == before, "the sample changed")
            rules.RANKED.check(len({row.key for row in ranked}) == len(ranked), "a row stands twice")
            rules.RANKED.check(all(row in rows for row in ranked), "a row is not of the sample")
            idle = 0 if ranked else idle + 1
            rules.SPARING.check(idle < _TRIES, f"{_TRIES} samples in turn without a victim")
            values = [ranker.forecast(row, now).value for row in ranked]
            rules.ORDER.check(not any(math.isnan(value) for value in values), "a value is no number")
            if len({row.size for row in ranked}) == 1:  # sizes may be weighed against the sample's
                rules.ORDER.check(values == sorted(values), "the ranked rows' values do not rise")
        rules.RANKED.check(list(ranker.rank([], 0.0)) == [], "it ranked what is not there")

    def test_ranks_whatever_the_clock_says(self, policy: PolicyType) -> None:
        """Rows of the future, a clock that jumps, counts and gaps of any size."""
        if policy.ranker is None:
            return
        ranker = _ranker(policy)
        for now in (0.0, 2e9, 1.0, 1e12, 1.5e9):
            rows = [
                _Row(f"{last}-{count}", size, last, count, last, gap)
                for last in (0.0, 1.4e9, 3e9)
                for count, gap in ((1, 0.0), (2, 38.0), (10**9, 12.5))
                for size in (0, 1, 2 << 20)
            ]
            rows = list({row.key: row for row in rows}.values())
            _observe(ranker, rows, now)
            rules.RANKED.check(len(ranker.rank(rows, now)) <= len(rows), "more rows than it was given")

    def test_the_seed_decides_ranks(self, policy: PolicyType) -> None:
        """The same calls and the same seed have the same ranks."""
        if policy.ranker is None:
            return
        orders = []
        for _ in range(2):
            ranker, rng = _ranker(policy), random.Random(5)  # noqa: S311 - it samples
            order: list[str] = []
            for _ in range(50):
                rows, now = _sample(rng)
                _observe(ranker, rows, now)
                order += [row.key for row in ranker.rank(rows, now)]
            orders.append(order)
        rules.PURE.check(orders[0] == orders[1], "two runs with one seed ranked differently")


class _Model:
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


def _index(policy: PolicyType, capacity: int = _CAPACITY, seed: int = 1) -> Index | None:
    if policy.index is None:
        return None
    return policy.index(capacity, policy.parameters(), random.Random(seed), None)  # noqa: S311 - it samples


def _ranker(policy: PolicyType) -> Ranker:
    make = cast("Callable[[Any, random.Random, bytes | None], Ranker]", policy.ranker)
    return make(policy.parameters(), random.Random(1), None)  # noqa: S311 - it samples


def _makers(policy: PolicyType) -> Iterator[Callable[[bytes | None], Index | Ranker]]:
    if (index := policy.index) is not None:
        yield lambda state: index(_CAPACITY, policy.parameters(), random.Random(1), state)  # noqa: S311 - it samples
    if (ranker := policy.ranker) is not None:
        yield lambda state: ranker(policy.parameters(), random.Random(1), state)  # noqa: S311 - it samples


def _exercise(subject: object) -> None:
    rng = random.Random(2)  # noqa: S311 - it samples
    if isinstance(subject, Observer):
        for _ in range(100):
            rows, now = _sample(rng)
            subject.watch(rows, 1_000, rows[:2], 100, now)
            rules.SEEN.check(math.isfinite(subject.seen(rows[0], now)), "`seen` returned no finite number")
        return
    if hasattr(subject, "admit"):
        index: Index = subject  # type: ignore[assignment]  # what has `admit` here came from `PolicyType.index`
        _Model(index).play(rng, 1_500)
        if isinstance(subject, Forecaster):
            rules.EXACT.check(subject.forecast("never") is None, "it forecast what is not resident")


def _sample(rng: random.Random) -> tuple[list[_Row], float]:
    now = 1.7e9 + rng.random() * 1e5
    size = rng.choice((None, 700))
    rows = []
    for number in range(rng.randrange(1, 33)):
        last = now - rng.expovariate(1e-4)
        count = min(10_000, int(rng.paretovariate(1)))
        gap = rng.random() * 30 if count > 1 else 0.0
        own = size or rng.randrange(1, 1 << 20)
        rows.append(_Row(f"row-{number}", own, last, count, last - 1e4 * (count - 1), gap))
    return rows, now


def _observe(ranker: Ranker, rows: list[_Row], now: float) -> None:
    if isinstance(ranker, Observer):
        for row in (rows[0], _Row("new", 10, now, 0, now)):
            rules.SEEN.check(math.isfinite(ranker.seen(row, now)), "`seen` returned no finite number")
        ranker.watch(rows, 1_000, rows[:2], 100, now)
        ranker.watch([], 0, [], 0, now)


@contextmanager
def _salted() -> Iterator[None]:
    _Key.salt = 0
    try:
        yield
    finally:
        _Key.salt = 0


def _victims(policy: PolicyType, seed: int) -> list[str]:
    index = cast("Index", _index(policy, seed=seed))
    rng, gone = random.Random(11), []  # noqa: S311 - it samples
    for _ in range(4_000):
        key = _Key(int(rng.paretovariate(0.5)) % 2_000)
        if key in index:
            index.hit(key)
        else:
            gone += [str(victim) for victim in index.admit(key, _BLOCK) or ()]
    return gone


def _cost(policy: PolicyType, residents: int) -> float:
    """Steps of an access, on average: lines run, and uses of keys."""
    index = cast("Index", _index(policy, residents * _BLOCK))
    rng, lines = random.Random(13), 0  # noqa: S311 - it samples

    def accesses(number: int) -> None:
        for _ in range(number):
            key = _Key(int(rng.random() ** 2 * residents * 3))
            if key in index:
                index.hit(key)
            else:
                index.admit(key, _BLOCK)

    def trace(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    for number in range(residents):
        index.admit(_Key(number), _BLOCK)
    accesses(300)
    before, used = sys.gettrace(), _Key.used
    sys.settrace(trace)
    try:
        accesses(_COUNTED)
    finally:
        sys.settrace(before)
    return (lines + _Key.used - used) / _COUNTED
