"""For each sentence that the policy kit checks, a policy that breaks it: the kit must say so."""

import inspect
import math
import random
import re

import pytest
from attrs import evolve, field, frozen

from ziggurat.policy import heat, lru, protocols
from ziggurat.policy.lru import LruIndex, LruRanker
from ziggurat.testing import ContractBroken, PolicyConformance, Rule, _policy_rules
from ziggurat.testing import _policy_rules as rules

BROKEN = []
DEAR = {rules.CONSTANT: "test_an_access_costs_the_same"}  # its breakers are slow at all the other checks


def breaks(rule):
    def mark(kind):
        if hasattr(kind, "rank"):
            made = {"index": None, "ranker": lambda parameters, rng, state: kind()}
        else:
            made = {"index": lambda capacity, parameters, rng, state: kind(capacity), "ranker": None}
        BROKEN.append(pytest.param(rule, evolve(lru.policy, **made), id=kind.__name__))
        return kind

    return mark


@breaks(rules.EXACT)
class CountsBlocks(LruIndex):
    __slots__ = ()

    @property
    def bytes(self):
        return len(self)


@breaks(rules.EXACT)
class ForgetsItsResidents(LruIndex):
    __slots__ = ()

    def __contains__(self, key):
        return super().__contains__(key) and not key.endswith("7")


@breaks(rules.CAPACITY)
class TakesTooMuch(LruIndex):
    __slots__ = ("real",)

    def __init__(self, capacity):
        self.real = capacity
        super().__init__(capacity + 900)

    @property
    def capacity(self):
        return self.real


@breaks(rules.PASS_BY)
class TakesTheTooLarge(LruIndex):
    __slots__ = ()

    def admit(self, key, size):
        return super().admit(key, min(size, self.capacity))


@breaks(rules.VICTIMS)
class EvictsWhatIsNotThere(LruIndex):
    __slots__ = ()

    def admit(self, key, size):
        victims = super().admit(key, size)
        return (*victims, "ghost") if victims else victims


@breaks(rules.EXACT)
class EvictsInSilence(LruIndex):
    __slots__ = ()

    def admit(self, key, size):
        victims = super().admit(key, size)
        return victims[:1] if victims else victims


@breaks(rules.RESIZED)
class NamesTheOldLast(LruIndex):
    __slots__ = ()

    def admit(self, key, size):
        victims = super().admit(key, size)
        return tuple(sorted(victims, key=key.__eq__)) if victims else victims


@breaks(rules.SAME)
class EvictsItself(LruIndex):
    __slots__ = ()

    def admit(self, key, size):
        return (key,) if self.drop(key) and super().admit(key, size) is not None else super().admit(key, size)


@breaks(rules.DROP)
class DropsWithoutAWord(LruIndex):
    __slots__ = ()

    def drop(self, key):
        super().drop(key)
        return True


class ByHash(LruIndex):
    """Takes victims in the order of a set, which no seed decides."""

    __slots__ = ()

    def admit(self, key, size):
        victims = []
        if size <= self.capacity and key not in self:
            while self.bytes + size > self.capacity:
                victim = next(iter(set(self._order)))
                self.drop(victim)
                victims.append(victim)
        found = super().admit(key, size)
        return None if found is None else (*victims, *found)


breaks(rules.PURE)(ByHash)


@breaks(rules.CONSTANT)
class LooksAtAll(LruIndex):
    __slots__ = ()

    def admit(self, key, size):
        min(self._order, default=None)
        return super().admit(key, size)


@breaks(rules.CONSTANT)
class LooksAtAllInALoop(LruIndex):
    __slots__ = ()

    def admit(self, key, size):
        sum(1 for size in self._order.values() if size > 1)
        return super().admit(key, size)


@breaks(rules.GHOSTS)
class RemembersAll(LruIndex):
    __slots__ = ("seen",)

    def __init__(self, capacity):
        super().__init__(capacity)
        self.seen = {}

    def admit(self, key, size):
        self.seen[key] = size
        return super().admit(key, size)


@breaks(rules.GHOSTS)
class CountsNoGhosts(LruIndex):
    __slots__ = ()

    @property
    def ghosts(self):
        return 1 << 40


@breaks(rules.HIT)
class RaisesOnOthersHits(LruIndex):
    __slots__ = ()

    def __init__(self, capacity):
        super().__init__(capacity)

        def hit(key):
            if key not in self._order:
                raise KeyError(key)

        self.hit = hit


@breaks(rules.STATE)
class LearnsTooMuch(LruIndex):
    __slots__ = ()

    def exchange(self, kept):
        return bytes(protocols.STATE_LIMIT + 1)


@breaks(rules.SINCE)
class CountsTwice(LruIndex):
    __slots__ = ()

    def exchange(self, kept):
        return (kept or b"") + b"+"


@breaks(rules.FOREIGN)
class TrustsWhatIsKept(LruIndex):
    __slots__ = ()

    def exchange(self, kept):
        if kept not in (None, b"mine"):
            raise ValueError("not mine")
        return b"mine"


@breaks(rules.UNCHANGED)
class SortsInPlace(LruRanker):
    def rank(self, rows, now):
        rows.sort(key=lambda row: row.last)
        return rows


@breaks(rules.RANKED)
class InventsRows(LruRanker):
    def rank(self, rows, now):
        return [evolve(row, key="invented") for row in rows[:1]]


@breaks(rules.RANKED)
class RepeatsRows(LruRanker):
    def rank(self, rows, now):
        return [*rows, *rows]


@breaks(rules.SPARING)
class SparesAll(LruRanker):
    def rank(self, rows, now):
        return []


@breaks(rules.ORDER)
class ForecastsTheReverse(LruRanker):
    def rank(self, rows, now):
        return super().rank(rows, now)[::-1]


@breaks(rules.PURE)
class ThrowsDice(LruRanker):
    def rank(self, rows, now):
        return random.sample(rows, min(1, len(rows)))


@breaks(rules.SEEN)
class KeepsNoNumber(LruRanker):
    def seen(self, row, now):
        return math.inf

    def watch(self, residents, entries, ghosts, gone, now):
        pass


@frozen
class NoDefault:
    half: float = field(metadata={"help": "half"})


@frozen
class NoHelp:
    half: float = 0.5


BROKEN += [
    pytest.param(rules.PARAMETERS, evolve(lru.policy, parameters=kind), id=kind.__name__)
    for kind in (NoDefault, NoHelp, dict)
]
BROKEN.append(pytest.param(rules.PARAMETERS, evolve(lru.policy, index=None, ranker=None), id="nothing"))
BROKEN.append(pytest.param(rules.NAME, evolve(lru.policy, name="My Own"), id="name"))


@pytest.mark.parametrize(("rule", "policy"), BROKEN)
def test_the_kit_finds_it_and_says_what(rule, policy):
    if rule in DEAR:
        with pytest.raises(ContractBroken) as caught:
            getattr(PolicyConformance(), DEAR[rule])(policy)
        assert caught.value.rule == rule
        return
    errors = (error for _, error in PolicyConformance.failures(policy))
    assert any(isinstance(error, ContractBroken) and error.rule == rule for error in errors)


@pytest.mark.parametrize("policy", [lru.policy, heat.policy], ids=lambda policy: policy.name)
def test_the_kit_finds_nothing_in_a_good_policy(policy):
    assert list(PolicyConformance.failures(policy)) == []


def all_rules():
    return {
        name: rule for name, rule in vars(_policy_rules).items() if isinstance(rule, Rule) and name != "Rule"
    }


def test_every_rule_has_a_policy_that_breaks_it():
    assert {param.values[0].sentence for param in BROKEN} == {rule.sentence for rule in all_rules().values()}


@pytest.mark.parametrize("name", sorted(all_rules()))
def test_rules_quote_the_protocols(name):
    text = re.sub(r"\s+", " ", inspect.getsource(protocols))
    assert all_rules()[name].sentence in text
