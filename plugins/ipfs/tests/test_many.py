"""Many small blobs at once: how often the node is asked, and what is found to be there already."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from tests.support.servers.kubo import KuboNode
from tests.support.servers.wire import Relay

from ziggurat.backend import Dag, Stat
from ziggurat.content import DAG_PB, Cid, car_header, car_section_size
from ziggurat.testing._content import DagSample, file, raw
from ziggurat_ipfs import Ipfs
from ziggurat_ipfs._pins import Pin, pins_named
from ziggurat_ipfs._put import _canonical

Make = Callable[..., Ipfs]


@pytest.fixture
def relay(kubo: KuboNode) -> Iterator[Relay]:
    with Relay(kubo.api) as relay:
        yield relay


def fresh(count: int) -> list[DagSample]:
    return [raw(os.urandom(100)) for _ in range(count)]


def keep(ipfs: Ipfs, samples: list[DagSample]) -> None:
    answers = ipfs.put_many([(one.root.key, one.dag(), None) for one in samples])
    assert [type(answer) for answer in answers] == [Stat] * len(samples)


def keep_again(ipfs: Ipfs, roots: list[Cid]) -> None:
    """Nothing of what is pinned is read."""
    answers = ipfs.put_many([(root.key, Dag(lambda: pytest.fail("read"), size=1), None) for root in roots])
    assert [type(answer) for answer in answers] == [Stat] * len(roots)


def asked(relay: Relay) -> Counter[str]:
    """The commands that went through since the last look."""
    found = Counter(line.partition("/api/v0/")[2].partition("?")[0] for line in relay.requests)
    relay.reset()
    return found


def test_many_cost_no_more_requests_than_few(kubo: KuboNode, relay: Relay, make: Make) -> None:
    ipfs = make(relay.url)
    few, many = fresh(20), fresh(400)
    keep(ipfs, few)
    assert asked(relay) == {"id": 1, "pin/ls": 1, "dag/import": 1, "pin/add": 1}
    keep(ipfs, many)
    # Two hundred roots to an address line.
    assert asked(relay) == {"pin/ls": 1, "dag/import": 1, "pin/add": 2}
    keep_again(ipfs, [one.root for one in many])
    assert asked(relay) == {"pin/ls": 1 + 2}
    assert kubo.pins() == {str(one.root): "ziggurat:cat-1" for one in (*few, *many)}


def test_a_node_with_far_more_pins_is_asked_for_each(
    kubo: KuboNode, relay: Relay, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ziggurat_ipfs._put._LIST_MOST", 2)
    ipfs = make(relay.url)
    held, new = fresh(50), fresh(16)
    keep(ipfs, held)
    asked(relay)
    keep(ipfs, new)
    assert asked(relay) == {"pin/ls": 1 + 16, "dag/import": 1, "pin/add": 1}
    keep_again(ipfs, [one.root for one in new])
    assert set(asked(relay)) == {"pin/ls"}


def test_whose_pins_they_are_is_told_for_many_at_once(kubo: KuboNode, ipfs: Ipfs, make: Make) -> None:
    ours, theirs = fresh(8), fresh(8)
    keep(ipfs, ours)
    keep(make(kubo.api, catalog="cat-2"), theirs)
    names = {}
    for name in ("", "holiday", "ziggurat"):
        cid = kubo.run("add", "-Q", f"--pin-name={name}" if name else "--pin", stdin=os.urandom(90)).strip()
        names[cid] = name
    old = file(os.urandom(90), wrapped=True)
    block = old.blocks[old.root]
    version_0 = Cid.of(block, DAG_PB, version=0)
    size = len(car_header([version_0])) + car_section_size(version_0, len(block))
    ipfs.put(version_0.key, Dag(lambda: iter([(version_0, block)]), size=size))
    keep_again(ipfs, [*(one.root for one in (*ours, *theirs)), *map(Cid.parse, names), version_0, old.root])
    assert kubo.pins() == {
        **{str(one.root): "ziggurat:cat-1" for one in ours},
        **{str(one.root): "ziggurat:cat-2 cat-1" for one in theirs},
        **names,
        str(version_0): "ziggurat:cat-1",
    }


def test_a_pin_that_went_after_it_was_listed_hides_no_other(kubo: KuboNode, ipfs: Ipfs) -> None:
    held, gone = fresh(3), raw(os.urandom(100))
    keep(ipfs, held)
    texts = [str(one.root) for one in held]
    rpc = ipfs._nodes.claiming(lambda rpc: rpc)
    assert pins_named(rpc, []) == []
    found = pins_named(rpc, [texts[0], str(gone.root), *texts[1:]])
    assert sorted(found, key=str) == sorted((Pin(text, "ziggurat:cat-1") for text in texts), key=str)


def test_a_root_is_known_in_whatever_base_it_is_listed() -> None:
    root = raw(os.urandom(100)).root
    for base in ("base32", "base36", "base58btc"):
        assert _canonical(root.encode(base)) == str(root)
    old = Cid.of(b"", DAG_PB, version=0)
    assert _canonical(str(old)) == str(old)
    assert _canonical("nonsense") == "nonsense"
