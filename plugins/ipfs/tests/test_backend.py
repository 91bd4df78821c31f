"""What the backend does to a real node, and what it leaves alone."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.servers.kubo import KuboNode

from ziggurat.backend import Dag, Stat
from ziggurat.content import Cid, car_header, car_section_size, write_car
from ziggurat.errors import ContentMismatch, TierError, TierTimeout, TierUnavailable
from ziggurat.testing._content import DagSample, directory, file, raw
from ziggurat_ipfs import Ipfs
from ziggurat_ipfs._errors import NOT_HELD
from ziggurat_ipfs._import import holds_block

Make = Callable[..., Ipfs]


def noise(size: int) -> bytes:
    return os.urandom(size)


def blocks(answer: bytes | Dag | None) -> dict[Cid, bytes]:
    assert isinstance(answer, Dag)
    with answer:
        return dict(answer.pairs())


# -- puts -------------------------------------------------------------------------------------------


def sized(sample: DagSample, pairs: list[tuple[Cid, bytes]]) -> int:
    return len(car_header([sample.root])) + sum(car_section_size(cid, len(block)) for cid, block in pairs)


@pytest.mark.parametrize("change", ["short", "long", "missing", "root last", "empty"])
def test_a_dag_that_is_not_what_it_says_pins_nothing(kubo: KuboNode, ipfs: Ipfs, change: str) -> None:
    sample = file(noise(3000))
    pairs = list(sample.blocks.items())
    given = {"missing": pairs[:-1], "root last": pairs[::-1], "empty": []}.get(change, pairs)
    size = sized(sample, given) + {"short": -1, "long": 1}.get(change, 0)
    with pytest.raises(TierError if change == "missing" else ContentMismatch):
        ipfs.put(sample.root.key, Dag(lambda: iter(given), size=size))
    assert kubo.pins() == {}
    assert not ipfs.has(sample.root.key)
    ipfs.put(sample.root.key, sample.dag())
    assert blocks(ipfs.get(sample.root.key)) == sample.blocks


def test_a_broken_import_goes_on_where_it_was(kubo: KuboNode, ipfs: Ipfs) -> None:
    sample = file(noise(3 << 20), leaf=1 << 16, fan=100)
    pairs = list(sample.blocks.items())
    held = pairs[:30]
    partial = b"".join(write_car((sample.root,), held))
    kubo.ask("dag/import", partial, pin_roots="false")
    before = kubo.rpc("repo/stat")
    sent = _sent(ipfs, lambda: ipfs.put(sample.root.key, sample.dag()))
    assert kubo.pins() == {str(sample.root): "ziggurat:cat-1"}
    assert blocks(ipfs.get(sample.root.key)) == sample.blocks
    assert kubo.rpc("repo/stat")["NumObjects"] - before["NumObjects"] == len(pairs) - len(held)
    missing = sum(len(block) for _, block in pairs[len(held) :])
    assert missing <= sent < missing + len(pairs[0][1]) + 8192


def _sent(ipfs: Ipfs, work: Callable[[], object]) -> int:
    """Bytes of the bodies that go out meanwhile."""
    rpc = ipfs._nodes.claiming(lambda rpc: rpc)
    total, plain = 0, rpc.open

    def counting(command: str, *given: Any, upload: Any = None, **named: Any) -> Any:
        def counted() -> Iterator[bytes]:
            nonlocal total
            for piece in upload[0]:
                total += len(piece)
                yield piece

        return plain(command, *given, upload=(counted(), upload[1]) if upload else None, **named)

    rpc.open = counting  # type: ignore[method-assign] # a spy
    try:
        work()
    finally:
        del rpc.open
    return total


def test_a_node_killed_in_mid_import_is_whole_after_another_put(
    own_kubo: Callable[..., KuboNode], make: Make
) -> None:
    node = own_kubo().start()
    ipfs = make(repo=node.folder)
    sample = file(noise(8 << 20), leaf=1 << 18, fan=100)
    pairs = list(sample.blocks.items())

    def deadly() -> Iterator[tuple[Cid, bytes]]:
        yield from pairs[:20]
        node.kill()
        yield from pairs[20:]

    with pytest.raises(TierUnavailable) as caught:
        ipfs.put(sample.root.key, Dag(deadly, size=sample.dag().size))
    assert caught.value.retryable
    with pytest.raises(TierUnavailable):
        ipfs.has(sample.root.key)
    node.start()
    assert not ipfs.has(sample.root.key)
    ipfs.put(sample.root.key, sample.dag())
    assert blocks(ipfs.get(sample.root.key)) == sample.blocks
    node.rpc("repo/verify")
    assert {cid: name for cid, name in node.pins().items() if name} == {str(sample.root): "ziggurat:cat-1"}


def test_put_many_answers_for_each_alone(kubo: KuboNode, ipfs: Ipfs) -> None:
    small = [raw(noise(size)) for size in (0, 1, 4096, 100_000)] + [file(noise(2000)), directory()]
    large = file(noise(3 << 20), leaf=1 << 18, fan=100)
    held = raw(noise(77))
    ipfs.put(held.root.key, held.dag())
    broken = file(noise(5000))
    pairs = list(broken.blocks.items())[:-1]
    items = [(one.root.key, one.dag(), None) for one in (*small, large, held)]
    items.insert(2, (broken.root.key, Dag(lambda: iter(pairs), size=sized(broken, pairs)), None))
    answers = ipfs.put_many(items)
    assert [isinstance(answer, Stat) for answer in answers] == [place != 2 for place in range(len(items))]
    assert isinstance(answers[2], TierError)
    assert not ipfs.has(broken.root.key)
    for one in (*small, large, held):
        assert kubo.pins()[str(one.root)] == "ziggurat:cat-1"
    again = ipfs.put_many(
        [(one.root.key, Dag(lambda: pytest.fail("read"), size=1), None) for one in small * 5]
    )
    assert all(isinstance(answer, Stat) for answer in again)


# -- reads ------------------------------------------------------------------------------------------


def test_what_the_node_lacks_of_a_dag_ends_the_stream_and_is_none_alone(kubo: KuboNode, ipfs: Ipfs) -> None:
    sample = file(noise(3000))
    ipfs.put(sample.root.key, sample.dag())
    ipfs.evict(sample.root.key)
    lost = list(sample.blocks)[5]
    kubo.rpc("block/rm", arg=str(lost), force="true")
    got = blocks(ipfs.get(sample.root.key))
    assert list(got) == list(sample.blocks)[:5]
    assert ipfs.get(lost.block_key) is None
    assert ipfs.get(list(sample.blocks)[6].block_key) is not None


def test_what_a_node_says_in_a_trailer_is_heard(kubo: KuboNode, ipfs: Ipfs) -> None:
    sample = file(noise(5000))
    ipfs.put(sample.root.key, sample.dag())
    kubo.rpc("pin/rm", arg=str(sample.root))
    kubo.rpc("block/rm", arg=str(list(sample.blocks)[-1]))
    rpc = ipfs._nodes.claiming(lambda rpc: rpc)
    body = rpc.open("dag/export", [str(sample.root)], {"offline": "true"})
    assert b"".join(body.pieces())
    assert NOT_HELD.search(body.failure), "http.client keeps its trailers elsewhere now"


def test_an_absent_block_is_searched_for_only_when_the_tier_says_so(
    own_kubo: Callable[..., KuboNode], make: Make
) -> None:
    # A daemon that is online, without peers: a search finds nothing and lasts until its limit.
    node = own_kubo().start(offline=False)
    absent = raw(noise(50)).root
    assert make(node.api).get(absent.key) is None
    tree = file(noise(500)).root
    assert make(node.api).get(tree.key) is None
    searching = make(node.api, network=True, network_timeout=0.5)
    for key in (absent.key, tree.key, tree.block_key):
        with pytest.raises(TierTimeout) as caught:
            searching.get(key)
        assert not caught.value.retryable
    assert not searching.has(absent.key)
    assert searching.stat(tree.key) is None


def test_an_online_node_that_searches_for_what_is_lost_is_given_up(
    own_kubo: Callable[..., KuboNode], make: Make
) -> None:
    node = own_kubo().start(offline=False)
    ipfs = make(node.api, idle=0.7)
    sample = file(noise(3000))
    pairs = list(sample.blocks.items())[:-1]
    with pytest.raises(TierTimeout) as caught:
        ipfs.put(sample.root.key, Dag(lambda: iter(pairs), size=sized(sample, pairs)))
    assert caught.value.retryable
    ipfs = make(node.api)
    assert not ipfs.has(sample.root.key)
    ipfs.put(sample.root.key, sample.dag())
    assert blocks(ipfs.get(sample.root.key)) == sample.blocks


@pytest.mark.parametrize("provide", ["node", "never", "root", "wait"])
def test_every_way_to_announce_is_understood(kubo: KuboNode, make: Make, provide: str) -> None:
    ipfs = make(kubo.api, provide=provide)
    sample, other = file(noise(3000)), raw(noise(30))
    ipfs.put(sample.root.key, sample.dag())
    assert isinstance(ipfs.put_many([(other.root.key, other.dag(), None)])[0], Stat)
    assert set(kubo.pins().values()) == {"ziggurat:cat-1"}


# -- many at once -----------------------------------------------------------------------------------


def test_threads_that_put_share_and_evict(kubo: KuboNode, make: Make) -> None:
    ipfs = make(kubo.api)
    shared = [file(noise(2000)) for _ in range(4)]
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        try:
            for _ in range(12):
                sample = chance.choice(shared)
                if chance.random() < 0.7:
                    ipfs.put(sample.root.key, sample.dag())
                else:
                    ipfs.evict(sample.root.key)
        except BaseException as error:  # noqa: BLE001 - looked at in the thread of the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for sample in shared:
        ipfs.put(sample.root.key, sample.dag())
        assert blocks(ipfs.get(sample.root.key)) == sample.blocks
    assert set(kubo.pins()) == {str(sample.root) for sample in shared}
    assert ipfs._nodes.reading(lambda rpc: holds_block(rpc, shared[0].root))
