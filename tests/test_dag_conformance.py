"""The dag form: the contract that IPFS and Storacha will find, and who breaks it is noticed."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from ziggurat.backend import BackendType, Dag, hookimpl
from ziggurat.content import DAG_PB, Cid
from ziggurat.errors import TierError
from ziggurat.testing import BackendConformance, ContractBroken, Subject
from ziggurat.testing import _rules as rules
from ziggurat.testing._content import car_bytes, directory, file, noise

from .support.dag_backend import DagBackend, DagMedium, DagOptions, backend, links_of


def subject_of(type_: BackendType) -> Subject:
    media: defaultdict[Path, DagMedium] = defaultdict(DagMedium)

    def pull_the_cable(path: Path) -> None:
        media[path].down = True

    return Subject(type_, lambda path: DagOptions(media[path]), break_medium=pull_the_cable)


class TestDagBackend(BackendConformance):
    @pytest.fixture
    def subject(self) -> Subject:
        return subject_of(backend)


BROKEN: list[Any] = []


def breaks(rule):
    def mark(kind):
        BROKEN.append(pytest.param(rule, kind, id=kind.__name__))
        return kind

    return mark


@breaks(rules.GET_DAG)
class GivesACar(DagBackend):
    @hookimpl
    def get(self, key):
        answer = super().get(key)
        return b"".join(block for _, block in answer.pairs()) if isinstance(answer, Dag) else answer


@breaks(rules.WHOLE_DAG)
class GivesTheRootLast(DagBackend):
    @hookimpl
    def get(self, key):
        answer = super().get(key)
        return Dag(lambda: reversed(list(answer.pairs()))) if isinstance(answer, Dag) else answer


@breaks(rules.BLOCK)
class KnowsNoBlocks(DagBackend):
    @hookimpl
    def get(self, key):
        return None if key.kind == "block" else super().get(key)


@breaks(rules.BLOCK)
class LosesALeaf(DagBackend):
    """Neither among the pairs nor alone."""

    @hookimpl
    def put(self, key, content, info):
        stat = super().put(key, content, info)
        self.medium.blocks.pop(list(self.medium.roots[key.cid][0])[-1])
        return stat


@breaks(rules.EVICT_SHARED)
class CountsNothing(DagBackend):
    @hookimpl
    def evict(self, key):
        if key.cid not in self.medium.roots:
            return False
        for cid in self.medium.roots.pop(key.cid)[0]:
            self.medium.blocks.pop(cid, None)
        return True


@breaks(rules.GET_OPEN)
class OpensLate(DagBackend):
    @hookimpl
    def get(self, key):
        answer = super().get(key)
        if not isinstance(answer, Dag):
            return answer
        cids = [cid for cid, _ in answer.pairs()]
        return Dag(lambda: [(cid, self.medium.blocks[cid]) for cid in cids])


@breaks(rules.HAS)
class HasWhatItCanGive(DagBackend):
    @hookimpl
    def has(self, key):
        return key.cid in self.medium.blocks


@breaks(rules.PUT_KEPT)
class RefusesToRepeat(DagBackend):
    @hookimpl
    def put(self, key, content, info):
        if key.cid in self.medium.roots:
            raise TierError("already pinned")
        return super().put(key, content, info)


@breaks(rules.PUT_PASSES)
class PinsBeforeItReads(DagBackend):
    @hookimpl
    def put(self, key, content, info):
        self.medium.roots.setdefault(key.cid, ((), None))
        pairs = list(content.pairs())
        self.medium.blocks.update(pairs)
        self.medium.roots.pop(key.cid)
        return super().put(key, content, info)


@breaks(rules.SCAN_ONCE)
class ListsEveryBlock(DagBackend):
    @hookimpl
    def scan(self):
        return iter([str(cid.key) for cid in self.medium.blocks])


@pytest.mark.parametrize(("rule", "kind"), BROKEN)
def test_a_broken_dag_backend_is_caught_and_the_sentence_is_named(rule, kind, tmp_path):
    named = []
    for _, error in BackendConformance.failures(subject_of(evolve(backend, factory=kind)), tmp_path):
        if isinstance(error, ContractBroken):
            named.append(error.rule)
            if error.rule == rule:
                return
    raise AssertionError(f"{rule} was not named; these were: {named}")


def test_pairs_may_be_missing_extra_or_repeated(tmp_path):
    class Sloppy(DagBackend):
        @hookimpl
        def get(self, key):
            answer = super().get(key)
            if not isinstance(answer, Dag):
                return answer
            pairs = list(answer.pairs())
            foreign = Cid.of(b"foreign"), b"foreign"
            return Dag(lambda: [*pairs[:1], foreign, *pairs[::2], (pairs[-1][0], b"not the block")])

    assert list(BackendConformance.failures(subject_of(evolve(backend, factory=Sloppy)), tmp_path)) == []


def dag_of(sample, pairs, **changes):
    car = car_bytes(sample.root, pairs)
    given = {"pairs": lambda: iter(pairs), "size": len(car), "car": lambda: [car], **changes}
    return Dag(given.pop("pairs"), **given)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda pairs: pairs[:-1], "lacks"),
        (lambda pairs: [*pairs, pairs[-1]], "duplicates"),
        (lambda pairs: [pairs[0], *reversed(pairs[1:])], "not depth first"),
        (lambda pairs: [*pairs, (Cid.of(b"x"), b"x")], "not depth first"),
        (lambda pairs: [*pairs[:-1], (pairs[-1][0], b"forged")], "does not prove"),
    ],
)
def test_the_strict_backend_refuses_a_closure_that_the_core_promised_otherwise(change, reason):
    sample = directory(a=file(noise(2000, 1)), b=file(noise(900, 2)))
    pairs = change(list(sample.blocks.items()))
    with pytest.raises(AssertionError, match=reason):
        DagBackend(DagOptions(), None).put(sample.root.key, dag_of(sample, pairs), None)


def test_the_strict_backend_refuses_a_car_of_another_size():
    sample = file(noise(2000, 1))
    pairs = list(sample.blocks.items())
    plugin = DagBackend(DagOptions(), None)
    with pytest.raises(AssertionError, match="were announced"):
        plugin.put(sample.root.key, dag_of(sample, pairs, size=1), None)
    other = car_bytes(sample.root, [(sample.root, b"x")])
    with pytest.raises(AssertionError, match="does not hold the pairs"):
        plugin.put(sample.root.key, dag_of(sample, pairs, size=len(other), car=lambda: [other]), None)
    assert not plugin.medium.blocks
    assert not plugin.medium.roots


def test_links_are_read_in_order():
    sample = directory(b=file(noise(700, 3)), a=file(noise(700, 4)))
    block = sample.blocks[sample.root]
    assert links_of(sample.root, block) == [file(noise(700, 4)).root, file(noise(700, 3)).root]
    assert all(link.codec == DAG_PB for link in links_of(sample.root, block))
