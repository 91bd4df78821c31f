"""Pins: whose they are, and what is done to those of others."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from tests.support.servers.kubo import KuboNode

from ziggurat.backend import Dag, Evicted, Stat
from ziggurat.content import DAG_PB, Cid, car_header, car_section_size
from ziggurat.testing._content import directory, file, raw
from ziggurat_ipfs import Ipfs
from ziggurat_ipfs._pins import MAX_NAME, holders, name_of

Make = Callable[..., Ipfs]


def noise(size: int) -> bytes:
    return os.urandom(size)


def blocks(answer: bytes | Dag | None) -> dict[Cid, bytes]:
    assert isinstance(answer, Dag)
    with answer:
        return dict(answer.pairs())


def test_a_pin_of_ours_is_named_after_the_catalog(kubo: KuboNode, ipfs: Ipfs, make: Make) -> None:
    sample, other = file(noise(900)), raw(noise(90))
    ipfs.put(sample.root.key, sample.dag())
    assert kubo.pins() == {str(sample.root): "ziggurat:cat-1"}
    assert list(ipfs.scan()) == [str(sample.root.key)]
    make(kubo.api, pin_id="mine").put(other.root.key, other.dag())
    assert kubo.pins()[str(other.root)] == "ziggurat:mine"
    assert list(ipfs.scan()) == [str(sample.root.key)]
    assert ipfs.evict(sample.root.key) == Evicted(True)
    assert str(sample.root) not in kubo.pins()


@pytest.mark.parametrize("name", ["", "holiday", "ziggurat", "ziggurat:"])
def test_a_pin_of_somebody_else_is_left_as_it_is(kubo: KuboNode, ipfs: Ipfs, name: str) -> None:
    cid = kubo.run("add", "-Q", f"--pin-name={name}" if name else "--pin", stdin=noise(500)).strip()
    root = Cid.parse(cid)
    before = kubo.pins()
    assert ipfs.has(root.key)
    assert list(ipfs.scan()) == []
    untouchable = Dag(lambda: pytest.fail("it was read"), size=1)
    ipfs.put(root.key, untouchable)
    assert all(isinstance(one, Stat) for one in ipfs.put_many([(root.key, untouchable, None)]))
    assert kubo.pins() == before
    gone = ipfs.evict(root.key)
    assert gone.had
    assert "not ours" in gone.kept
    assert kubo.pins() == before
    assert ipfs.has(root.key)


def test_two_catalogs_share_a_pin_until_the_last_lets_go(kubo: KuboNode, make: Make) -> None:
    one, two = make(kubo.api), make(kubo.api, catalog="cat-2")
    sample = file(noise(900))
    for ipfs in (one, two, one):
        ipfs.put(sample.root.key, sample.dag())
    assert kubo.pins() == {str(sample.root): "ziggurat:cat-1 cat-2"}
    assert list(one.scan()) == list(two.scan()) == [str(sample.root.key)]
    gone = one.evict(sample.root.key)
    assert gone.had
    assert "cat-2" in gone.kept
    assert kubo.pins() == {str(sample.root): "ziggurat:cat-2"}
    assert two.evict(sample.root.key) == Evicted(True)
    assert kubo.pins() == {}


def test_a_name_has_room_for_some_and_is_never_cut() -> None:
    assert holders(name_of(["a", "b"])) == ("a", "b")
    for text in ("", "ziggurat", "ziggurat:", "ziggurat: a", "ziggurat:a ", "Ziggurat:a", "x ziggurat:a"):
        assert holders(text) == ()
    assert MAX_NAME == 255


def test_both_versions_of_a_root_are_one_copy(kubo: KuboNode, ipfs: Ipfs) -> None:
    old = Cid.parse(kubo.run("add", "-Q", "--cid-version=0", "--raw-leaves=false", stdin=noise(300)).strip())
    assert old.version == 0
    new = Cid.parse(str(old.key))
    assert ipfs.has(new.key)
    assert ipfs.has(old.key)
    assert (stat := ipfs.stat(new.key)) is not None
    assert stat.size == 300
    kubo.rpc("pin/add", arg=str(old), name="ziggurat:cat-1")
    kubo.rpc("pin/add", arg=str(new), name="ziggurat:cat-1")
    assert list(ipfs.scan()) == [str(new.key)]
    assert ipfs.evict(old.key) == Evicted(True)
    assert kubo.pins() == {}


def test_a_cidv0_dag_is_pinned_and_named_as_it_is(kubo: KuboNode, ipfs: Ipfs) -> None:
    sample = file(noise(100), wrapped=True)
    block = sample.blocks[sample.root]
    old = Cid.of(block, DAG_PB, version=0)
    size = len(car_header([old])) + car_section_size(old, len(block))
    ipfs.put(old.key, Dag(lambda: iter([(old, block)]), size=size))
    assert kubo.pins() == {str(old): "ziggurat:cat-1"}


def test_a_direct_pin_is_no_copy(kubo: KuboNode, ipfs: Ipfs) -> None:
    sample = file(noise(900))
    ipfs.put(sample.root.key, sample.dag())
    ipfs.evict(sample.root.key)
    kubo.rpc("pin/add", arg=str(sample.root), recursive="false")
    assert not ipfs.has(sample.root.key)
    assert ipfs.stat(sample.root.key) is None


def test_shared_blocks_outlive_an_evict_that_collects(kubo: KuboNode, make: Make) -> None:
    ipfs = make(kubo.api, collect=True)
    shared = file(noise(3000))
    tree = directory(a=shared, b=raw(noise(200)))
    for sample in (shared, tree):
        ipfs.put(sample.root.key, sample.dag())
    ipfs.evict(tree.root.key)
    assert ipfs.get(tree.root.block_key) is None
    assert blocks(ipfs.get(shared.root.key)) == shared.blocks
    ipfs.evict(shared.root.key)
    assert ipfs.get(shared.root.key) is None
