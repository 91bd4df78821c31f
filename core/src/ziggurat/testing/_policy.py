"""The conformance test of cache policies."""

from __future__ import annotations

import math
import random
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from ziggurat.policy.protocols import STATE_LIMIT, Learner, PolicyType
from ziggurat.testing import _policy_rules as rules
from ziggurat.testing._policy_model import (
    BLOCK,
    CAPACITY,
    Key,
    Model,
    Row,
    cost,
    exercise,
    index_of,
    makers,
    observe,
    ranker_of,
    salted,
    sample,
    victims_of,
)

__all__ = ["PolicyConformance"]

_GROWTH = 3.0  # how much dearer an access may be among eight times as many
_TRIES = 32
_FEW, _MANY = 200, 1_600


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
            if (index := index_of(policy, seed=seed)) is not None:
                Model(index).play(random.Random(seed), 3_000)  # noqa: S311 - it samples

    def test_the_largest_and_the_empty_fit(self, policy: PolicyType) -> None:
        """A victim is always found: for a block as large as the cache, and in a cache of no bytes."""
        if (index := index_of(policy)) is not None:
            model = Model(index)
            for turn in range(6):
                for number in range(300):
                    model.admit(f"{turn}-{number}", BLOCK * (number % 3))
                model.admit(f"all-{turn}", CAPACITY)
                model.admit(f"more-{turn}", CAPACITY + 1)
        if (empty := index_of(policy, 0)) is not None:
            model = Model(empty)
            for number in range(20):
                model.admit(str(number), number % 2)

    def test_another_size_is_another_block(self, policy: PolicyType) -> None:
        """A resident admitted with its size, and with another."""
        if (index := index_of(policy)) is None:
            return
        model = Model(index)
        for number in range(150):
            model.admit(str(number), BLOCK)
            if str(number) in index:
                rules.SAME.check(index.admit(str(number), BLOCK) == (), "admitted twice, it had victims")
                model.admit(str(number), BLOCK + number)

    def test_the_seed_decides(self, policy: PolicyType) -> None:
        """The same accesses and the same seed have the same victims, however the process hashes."""
        if policy.index is None:
            return
        with salted():
            first = victims_of(policy, 7)
            Key.salt = 1
            again = victims_of(policy, 7)
        rules.PURE.check(first == again, "two runs with one seed had different victims")

    def test_an_access_costs_the_same(self, policy: PolicyType) -> None:
        """Lines run and keys compared do not grow with the number of residents."""
        if policy.index is None:
            return
        few, many = (cost(policy, residents) for residents in (_FEW, _MANY))
        detail = f"an access costs {few:.0f} steps among {_FEW} residents, {many:.0f} among {_MANY}"
        rules.CONSTANT.check(many <= few * _GROWTH, detail)

    def test_ghosts_are_bounded(self, policy: PolicyType) -> None:
        """A scan of blocks that never come back leaves no more traces than a bounded number."""
        if (index := index_of(policy)) is None:
            return
        refs = []
        for number in range(6_000):
            key = Key(f"scan-{number}")
            refs.append(weakref.ref(key))
            index.admit(key, BLOCK)
            del key
        bound = 16 * (CAPACITY // BLOCK) + 256
        rules.GHOSTS.check(0 <= index.ghosts <= bound, f"{index.ghosts} ghosts of {len(index)} residents")
        alive = sum(ref() is not None for ref in refs)
        rules.GHOSTS.check(alive <= bound + len(index), f"it holds {alive} keys, {len(index)} are resident")
        for small in (f"small-{number}" for _ in range(2) for number in range(6_000)):
            if small in index:
                index.hit(small)
            else:
                index.admit(small, 3)
        for number in (1, 1, 2, 2, 3):  # one large block for many small ones
            index.admit(f"large-{number}", CAPACITY - number)
            bound = 16 * len(index) + 256
            rules.GHOSTS.check(index.ghosts <= bound, f"{index.ghosts} ghosts of {len(index)} residents")

    def test_hits_come_from_any_thread(self, policy: PolicyType) -> None:
        """Hits of other threads during admissions leave the accounts exact."""
        if (index := index_of(policy)) is None:
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
            Model(index).play(random.Random(1), 1_500)  # noqa: S311 - it samples
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        rules.HIT.check(not failed, f"a hit raised {failed[:1]}")

    def test_experience_is_kept(self, policy: PolicyType) -> None:
        """What an index or a ranker learned is small, and can be read again, and nothing else can."""
        for make in makers(policy):
            learner = make(None)
            if not isinstance(learner, Learner):
                continue
            kept = learner.exchange(None)
            exercise(learner)
            kept = learner.exchange(kept)
            rules.STATE.check(isinstance(kept, bytes) and len(kept) <= STATE_LIMIT, f"{len(kept)} bytes")
            rules.SINCE.check(learner.exchange(kept) == kept, "an exchange without an access changed it")
            other = make(kept)
            if isinstance(other, Learner):
                rules.SINCE.check(other.exchange(kept) == kept, "what it began with counted twice")
            for odd in (b"", b"\0" * 100, kept[:-3], kept[: len(kept) // 2], b"x" + kept):
                with rules.FOREIGN.holds(f"{odd[:8]!r}… of {len(odd)} bytes"):
                    exercise(make(odd))
                    learner.exchange(odd)

    # --- ranker

    def test_ranks_what_it_was_given(self, policy: PolicyType) -> None:
        """The rows of the sample, each at most once, the sample as it was; lowest value first."""
        if policy.ranker is None:
            return
        rng = random.Random(3)  # noqa: S311 - it samples
        ranker = ranker_of(policy)
        idle = 0
        for _ in range(200):
            rows, now = sample(rng)
            observe(ranker, rows, now)
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
        ranker = ranker_of(policy)
        for now in (0.0, 2e9, 1.0, 1e12, 1.5e9):
            rows = [
                Row(f"{last}-{count}", size, last, count, last, gap)
                for last in (0.0, 1.4e9, 3e9)
                for count, gap in ((1, 0.0), (2, 38.0), (10**9, 12.5))
                for size in (0, 1, 2 << 20)
            ]
            rows = list({row.key: row for row in rows}.values())
            observe(ranker, rows, now)
            rules.RANKED.check(len(ranker.rank(rows, now)) <= len(rows), "more rows than it was given")

    def test_the_seed_decides_ranks(self, policy: PolicyType) -> None:
        """The same calls and the same seed have the same ranks."""
        if policy.ranker is None:
            return
        orders = []
        for _ in range(2):
            ranker, rng = ranker_of(policy), random.Random(5)  # noqa: S311 - it samples
            order: list[str] = []
            for _ in range(50):
                rows, now = sample(rng)
                observe(ranker, rows, now)
                order += [row.key for row in ranker.rank(rows, now)]
            orders.append(order)
        rules.PURE.check(orders[0] == orders[1], "two runs with one seed ranked differently")
