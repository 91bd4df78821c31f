"""What the backend does to a real node, and what it leaves alone."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.servers.kubo import KuboNode

from ziggurat.backend import Context, Dag, Evicted, Stat, Timeouts
from ziggurat.content import DAG_PB, Cid, car_header, car_section_size, write_car
from ziggurat.errors import ContentMismatch, TierDenied, TierError, TierTimeout, TierUnavailable
from ziggurat.testing._content import DagSample, directory, file, raw
from ziggurat_ipfs import Ipfs, IpfsOptions
from ziggurat_ipfs._errors import NOT_HELD
from ziggurat_ipfs._import import holds_block
from ziggurat_ipfs._pins import MAX_NAME, holders, name_of

Make = Callable[..., Ipfs]


def noise(size: int) -> bytes:
    return os.urandom(size)


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Ipfs] = []

    def one(api: str | list[str] = "", *, catalog: str = "cat-1", idle: float = 20, **options: Any) -> Ipfs:
        context = Context("tier", "store", catalog=catalog, timeouts=Timeouts(connect=2, idle=idle))
        made.append(Ipfs(IpfsOptions(api=api or (), **options), context))
        return made[-1]

    yield one
    for ipfs in made:
        ipfs.close()


@pytest.fixture
def ipfs(kubo: KuboNode, make: Make) -> Ipfs:
    return make(kubo.api)


def blocks(answer: bytes | Dag | None) -> dict[Cid, bytes]:
    assert isinstance(answer, Dag)
    with answer:
        return dict(answer.pairs())


# -- pins -------------------------------------------------------------------------------------------


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


# -- addresses --------------------------------------------------------------------------------------


def test_the_api_file_is_read_again_when_the_daemon_comes_back(
    own_kubo: Callable[..., KuboNode], make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = own_kubo()
    monkeypatch.setenv("IPFS_PATH", str(node.folder))
    ipfs = make()
    with pytest.raises(TierUnavailable, match="no daemon runs there") as caught:
        ipfs.identify()
    assert caught.value.retryable
    node.start()
    first = ipfs.identify()
    node.stop()
    with pytest.raises(TierUnavailable):
        ipfs.has(raw(b"x").root.key)
    node.start()  # on another port
    assert ipfs.identify() == first


def test_a_unix_socket(own_kubo: Callable[..., KuboNode], make: Make, tmp_path: Path) -> None:
    place = Path(os.path.relpath(tmp_path / "s", "/"))
    node = own_kubo(config={"Addresses.API": f"/unix/{place}"})
    node.start()
    sample = file(noise(3000))
    for ipfs in (make(node.api), make(repo=node.folder)):
        ipfs.put(sample.root.key, sample.dag())
        assert blocks(ipfs.get(sample.root.key)) == sample.blocks
    with pytest.raises(TierUnavailable) as caught:
        make(f"/unix{tmp_path}/nothing").has(sample.root.key)
    assert caught.value.retryable


def test_tokens_and_passwords(own_kubo: Callable[..., KuboNode], make: Make) -> None:
    rules = {
        "bearer": {"AuthSecret": "bearer:s3cr3t-token", "AllowedPaths": ["/api/v0"]},
        "basic": {"AuthSecret": "basic:joe:s3cr3t-word", "AllowedPaths": ["/api/v0"]},
    }
    node = own_kubo(config={"API.Authorizations": rules})
    node.start(ready=False)
    for options in ({"token": "s3cr3t-token"}, {"user": "joe", "password": "s3cr3t-word"}):
        ipfs = make(repo=node.folder, **options)
        assert ipfs.identify().id
        assert "s3cr3t" not in repr(ipfs._options)
    for options in ({}, {"token": "s3cr3t-wrong"}, {"user": "joe", "password": "s3cr3t-wrong"}):
        with pytest.raises(TierDenied, match=r"API\.Authorizations") as caught:
            make(repo=node.folder, **options).identify()
        assert "s3cr3t" not in str(caught.value)


def test_another_address_of_the_same_node_takes_over(kubo: KuboNode, make: Make) -> None:
    sample = file(noise(900))
    ipfs = make(["http://127.0.0.1:9", kubo.api], peer=kubo.rpc("id")["ID"])
    ipfs.put(sample.root.key, sample.dag())
    assert ipfs.has(sample.root.key)
    assert ipfs.identify().id == kubo.rpc("id")["ID"]


def test_another_node_gives_blocks_and_never_speaks_for_the_tier(
    kubo: KuboNode, own_kubo: Callable[..., KuboNode], make: Make
) -> None:
    node = own_kubo().start()
    sample, only_there = file(noise(900)), file(noise(901))
    both = make([node.api, kubo.api])
    both.put(sample.root.key, sample.dag())
    make(kubo.api).put(only_there.root.key, only_there.dag())
    assert not both.has(only_there.root.key)
    assert blocks(both.get(only_there.root.key)) == only_there.blocks
    make(kubo.api).put(sample.root.key, sample.dag())
    node.stop()
    assert blocks(both.get(sample.root.key)) == sample.blocks
    for ask in (both.has, both.stat, both.evict):
        with pytest.raises(TierUnavailable):
            ask(sample.root.key)
    with pytest.raises(TierUnavailable):
        both.get(raw(b"nowhere").root.key)
    with pytest.raises(TierUnavailable, match="correct api or peer"):
        make(kubo.api, peer="12D3KooWother").has(sample.root.key)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://127.0.0.1:5001", "http://127.0.0.1:5001"),
        ("http://127.0.0.1:5001/", "http://127.0.0.1:5001"),
        ("http://[::1]:5001/api/v0", "http://[::1]:5001"),
        ("https://node.example/kubo", "https://node.example:443/kubo"),
        ("/ip4/127.0.0.1/tcp/5001", "http://127.0.0.1:5001"),
        ("/ip6/::1/tcp/5001/http", "http://[::1]:5001"),
        ("/dns4/node.example/tcp/443/https", "https://node.example:443"),
        ("/dns/node.example/tcp/443/tls/http", "https://node.example:443"),
        ("/unix/run/ipfs.sock", "/unix/run/ipfs.sock"),
    ],
)
def test_addresses(text: str, shown: str) -> None:
    from ziggurat_ipfs._address import parse_address

    assert str(parse_address(text)) == shown
    assert IpfsOptions(api=text).api == (text,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:5001",
        "ftp://x",
        "/ip4/1.2.3.4/udp/5001",
        "/ip4/1.2.3.4/tcp/x",
        "http://joe:pw@x:1",
        "http://x?q",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|multiaddr") as caught:
        IpfsOptions(api=[text])
    assert "pw" not in str(caught.value)


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
