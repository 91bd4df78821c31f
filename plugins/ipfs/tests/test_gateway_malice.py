"""Gateways that lie, stall, flood and fail: no wrong byte is served, memory and time stay bounded."""

import logging
import threading
import time
import tracemalloc

import pytest
from tests.support.servers.misdeeds import BAD, BLOCKS, DATA, LEAVES, ROOT, head
from tests.support.servers.rogue import CAR, RAW, RogueGateway, car_of, section
from tests.support.stacks import Spec, memory, open_stack

from ziggurat.backend import ByteRange, Context, Dag, Timeouts
from ziggurat.content import Cid, car_header
from ziggurat.errors import CorruptBlob, StoreError, TierDenied, TierError, TierThrottled
from ziggurat.testing._content import file, noise
from ziggurat_ipfs.gateway import GatewayOptions, backend

PATIENCE = 1.0


def gateway(*urls, **options):
    options = {"urls": tuple(urls), "hedge": 0.2, "patience": PATIENCE, **options}
    context = Context("net", "source", timeouts=Timeouts(2, 2), logger=logging.getLogger("ziggurat.tier.net"))
    return backend.factory(GatewayOptions(**options), context)


def stack(tmp_path, *urls, cache=True, **options):
    options = {"urls": tuple(urls), "hedge": 0.2, "patience": PATIENCE, **options}
    tier = Spec("net", backend, GatewayOptions(**options), "source", {})
    return open_stack(tmp_path, *([memory("ram", 10**8)] if cache else []), tier)


@pytest.fixture(params=BAD)
def rogue(request):
    with RogueGateway(dict(BLOCKS), BAD[request.param]) as server:
        yield server


# -- what becomes of it -------------------------------------------------------------------------------


@pytest.mark.timeout(60)
def test_another_gateway_takes_over(rogue, tmp_path):
    with RogueGateway(dict(BLOCKS)) as good, stack(tmp_path, rogue.url, good.url) as store:
        assert store.get(ROOT) == DATA
        assert store.get(ROOT, 100_000, 5) == DATA[100_000:100_005]


@pytest.mark.timeout(60)
def test_alone_it_serves_no_wrong_byte_and_holds_nobody_up(rogue, tmp_path):
    with stack(tmp_path, rogue.url, cache=False) as store:
        with pytest.raises(StoreError) as caught:
            store.get(ROOT)
        assert "\x1b" not in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "name", [name for name in BAD if "endless" in name or "huge" in name or "again" in name]
)
def test_what_it_sends_does_not_pile_up(name, tmp_path):
    with RogueGateway(dict(BLOCKS), BAD[name]) as server:
        tier = gateway(server.url)
        tracemalloc.start()
        try:
            try:
                answer = tier.get(ROOT.key, None)
            except TierError:
                answer = None
            if isinstance(answer, Dag):
                with answer:
                    assert all(cid.matches(block) and cid in BLOCKS for cid, block in answer.pairs())
            with pytest.raises(TierError):
                tier.get(LEAVES[0].block_key, None)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            tier.close()
        assert peak < 16 << 20


def test_who_lies_is_dropped_and_it_is_said(tmp_path, caplog):
    with RogueGateway(dict(BLOCKS), BAD["wrong_leaf"]) as bad, RogueGateway(dict(BLOCKS)) as good:
        tier = gateway(bad.url, good.url)
        with caplog.at_level(logging.WARNING), tier.get(ROOT.key, None) as dag:
            assert [cid for cid, _ in dag.pairs()] == [ROOT, *LEAVES[:2]]
        said = [record.getMessage() for record in caplog.records]
        assert len(said) == 1
        assert bad.url in said[0]
        before = bad.count()
        for leaf in LEAVES:
            assert tier.get(leaf.block_key, None) == BLOCKS[leaf]
        assert bad.count() == before
        states = {health.url: health.dropped for health in tier.health()}
        assert states[good.url] == ""
        assert str(LEAVES[2]) in states[bad.url]
        tier.close()


def test_the_read_goes_on_from_the_last_proved_byte(tmp_path):
    with RogueGateway(dict(BLOCKS), BAD["wrong_leaf"]) as bad, RogueGateway(dict(BLOCKS)) as good:
        with stack(tmp_path, bad.url, good.url, hedge=5.0) as store:
            assert store.get(ROOT) == DATA
        proved = {ROOT, *LEAVES[:2]}
        assert not proved & {asked.cid for asked in good.asked}


def test_the_last_gateway_that_lies_leaves_an_error_not_a_denial(tmp_path):
    with RogueGateway(dict(BLOCKS), BAD["wrong_bytes"]) as bad:
        tier = gateway(bad.url)
        with pytest.raises(CorruptBlob):
            tier.get(LEAVES[0].block_key, None)
        for ask in (lambda: tier.get(LEAVES[1].block_key, None), lambda: tier.has(ROOT.key)):
            with pytest.raises(TierError, match="dropped") as caught:
                ask()
            assert not caught.value.retryable
        tier.close()


@pytest.mark.parametrize("framed", [True, False], ids=["with a length", "without"])
def test_a_car_cut_off_anywhere_gives_true_pairs_only(framed):
    sample = file(noise(300, 5), leaf=110, wrapped=True)
    blocks = dict(sample.blocks)
    car = car_of(sample.root, blocks)
    cut = 0  # read by the server, whose place in the loop it is

    def cut_off(asked, reply, server):
        if not asked.car:
            server.honest(asked, reply)
            return None
        head(reply, True, **({"Content_Length": len(car)} if framed else {}))
        reply.send(car[:cut])
        return "close"

    with RogueGateway(blocks, cut_off) as server:
        tier = gateway(server.url)
        for cut in range(len(car)):  # noqa: B007 - the server reads it
            try:
                dag = tier.get(sample.root.key, None)
            except TierError as error:
                assert framed
                assert error.retryable
                continue
            with dag:
                pairs = list(dag.pairs())
            assert pairs[0][0] == sample.root
            assert pairs == list(blocks.items())[: len(pairs)]
        assert not any(health.dropped for health in tier.health())
        tier.close()


def test_a_block_cut_off_is_no_lie():
    block = BLOCKS[LEAVES[0]]

    def cut_off(asked, reply, server):
        reply.head(200, Content_Type=RAW, **({"Content_Length": len(block)} if server.count() % 2 else {}))
        reply.send(block[:-1])
        return "close"

    with RogueGateway(dict(BLOCKS), cut_off) as server:
        tier = gateway(server.url)
        for _ in range(2):
            with pytest.raises(TierError) as caught:
                tier.get(LEAVES[0].block_key, None)
            assert caught.value.retryable
        assert not tier.health()[0].dropped
        tier.close()


def test_a_gateway_that_asks_for_rest_gets_it():
    def busy(asked, reply, server):
        reply.whole(b"", 429, "text/plain", Retry_After=50)

    with RogueGateway(dict(BLOCKS), busy) as server, RogueGateway({}) as empty:
        tier = gateway(server.url, empty.url, hedge=5.0)
        for _ in range(3):
            with pytest.raises(TierThrottled) as caught:
                tier.get(LEAVES[0].block_key, None)
            assert 45 < caught.value.retry_after <= 50
            assert caught.value.retryable
        assert server.count() == 1
        assert empty.count() == 3
        tier.close()


def test_a_redirect_to_the_subdomain_is_followed_and_no_other():
    block = BLOCKS[LEAVES[0]]

    def subdomain(asked, reply, server):
        host = asked.headers["host"]
        if host.startswith("localhost"):
            reply.whole(b"", 301, Location=f"http://{LEAVES[0]}.ipfs.{host}/?format=raw")
        else:
            reply.whole(block)

    from ziggurat_ipfs.gateway._http import where_to

    cid = LEAVES[0]
    url = f"https://gw.example/ipfs/{cid}?format=raw"
    for fine in (
        f"/other/{cid}",
        f"https://{cid}.ipfs.gw.example/?format=raw",
        f"https://{cid.encode('base36')}.ipfs.gw.example/",
    ):
        assert where_to(url, fine, cid)
    for wrong in (
        "", "http://gw.example/x", "https://gw.example:8443/x", "https://evil.example/", "https://gw.example.evil/",
        f"https://{ROOT}.ipfs.gw.example/", f"https://{cid}.ipfs.evil.example/", "https://u:p@gw.example/",
        "https://[::1", "file:///etc/passwd", f"http://{cid}.ipfs.gw.example/",
    ):  # fmt: skip
        with pytest.raises(TierDenied):
            where_to(url, wrong, cid)
    assert where_to(f"http://gw.example/ipfs/{cid}", f"https://gw.example/ipfs/{cid}", cid)
    with RogueGateway(
        dict(BLOCKS),
        lambda a, r, s: (
            r.whole(b"", 307, Location="/elsewhere") if "elsewhere" not in a.path else r.whole(block)
        ),
    ) as server:
        tier = gateway(server.url)
        assert tier.get(cid.block_key, None) == block
        tier.close()


def test_an_identity_cid_and_repeats_in_a_car_are_passed_by():
    inline = Cid.of(b"inline", hash_name="identity")

    def odd(asked, reply, server):
        pairs = [*server.blocks.items(), *server.blocks.items()]
        body = car_header([]) + section(inline, b"inline") + b"".join(section(*pair) for pair in pairs)
        reply.whole(body, type=CAR)

    with RogueGateway(dict(BLOCKS), odd) as server:
        tier = gateway(server.url)
        with tier.get(ROOT.key, None) as dag:
            assert list(dag.pairs()) == list(BLOCKS.items())
        tier.close()


def test_a_gateway_without_cars_is_read_block_by_block(tmp_path):
    def blocks_only(asked, reply, server):
        if asked.car:
            reply.whole(b"only raw", 406, "text/plain")
        else:
            server.honest(asked, reply)

    with RogueGateway(dict(BLOCKS), blocks_only) as server, stack(tmp_path, server.url) as store:
        assert store.get(ROOT) == DATA


def test_a_slow_gateway_is_hedged_and_then_asked_last():
    def late(asked, reply, server):
        reply.wait(600)  # longer than anybody waits for it
        server.honest(asked, reply)

    with RogueGateway(dict(BLOCKS), late) as slow, RogueGateway(dict(BLOCKS)) as quick:
        tier = gateway(slow.url, quick.url, hedge=0.1, patience=300.0)
        for leaf in LEAVES[:5]:
            assert tier.get(leaf.block_key, None) == BLOCKS[leaf]
        assert slow.count() == 1
        tier.close()


def test_a_car_that_dawdles_is_left_for_another_gateway(tmp_path):
    def dawdle(asked, reply, server):
        if not asked.car:
            server.honest(asked, reply)
            return
        head(reply, True, Transfer_Encoding="chunked")
        reply.chunk(car_header([asked.cid]))
        for pair in server.blocks.items():
            reply.chunk(section(*pair))
            reply.wait(600)  # longer than anybody waits for it

    with (
        RogueGateway(dict(BLOCKS), dawdle) as slow,
        RogueGateway(dict(BLOCKS)) as good,
        stack(tmp_path, slow.url, good.url, hedge=0.1, patience=300.0) as store,
    ):
        assert store.get(ROOT) == DATA


def test_absent_only_when_every_gateway_says_so():
    def broken(asked, reply, server):
        reply.whole(b"", 502, "text/plain")

    with RogueGateway({}) as first, RogueGateway({}) as second, RogueGateway({}, broken) as third:
        tier = gateway(first.url, second.url)
        assert tier.get(ROOT.key, None) is None
        assert tier.get(LEAVES[0].block_key, None) is None
        assert tier.has(ROOT.key) is False
        assert tier.stat(ROOT.key) is None
        assert {one.headers["cache-control"] for one in first.asked if one.method == "HEAD"} == {
            "only-if-cached"
        }
        tier.close()
        tier = gateway(first.url, third.url)
        for ask in (lambda: tier.get(ROOT.key, None), lambda: tier.has(ROOT.key)):
            with pytest.raises(TierError):
                ask()
        tier.close()


def test_what_is_asked_is_what_the_specification_says():
    with RogueGateway(dict(BLOCKS)) as server:
        tier = gateway(server.url)
        tier.get(ROOT.key, ByteRange(1000, 500)).close()
        tier.get(LEAVES[0].key, None)
        car, block = server.asked
        assert car.query == {"format": "car", "dag-scope": "entity", "entity-bytes": "1000:1499"}
        assert car.headers["accept"] == f"{CAR}; version=1; order=dfs; dups=n"
        assert block.query == {"format": "raw"}
        assert block.headers["accept"] == RAW
        assert "cache-control" not in block.headers
        tier.close()
        tier = gateway(server.url, search=False)
        tier.get(LEAVES[0].key, None)
        assert server.asked[-1].headers["cache-control"] == "only-if-cached"
        tier.close()


def test_connections_are_kept():
    with RogueGateway(dict(BLOCKS)) as server:
        tier = gateway(server.url)
        for leaf in LEAVES:
            assert tier.get(leaf.block_key, None) == BLOCKS[leaf]
            assert tier.has(leaf.key)
        assert tier.get(Cid.of(b"absent").key, None) is None
        with tier.get(ROOT.key, None) as dag:
            assert list(dag.pairs()) == list(BLOCKS.items())
        assert tier.get(LEAVES[0].block_key, None) == BLOCKS[LEAVES[0]]
        assert server.connections == 1
        tier.close()


def test_close_gives_up_what_is_under_way():
    with RogueGateway(dict(BLOCKS), BAD["silence"]) as server:
        tier = gateway(server.url, patience=600.0)
        threading.Timer(0.2, tier.close).start()
        with pytest.raises(TierError):
            tier.get(ROOT.key, None)
        names = [thread.name for thread in threading.enumerate()]
        end = time.monotonic() + 60
        while "ziggurat-gateway-watch" in names and time.monotonic() < end:
            time.sleep(0.01)
            names = [thread.name for thread in threading.enumerate()]
        assert "ziggurat-gateway-watch" not in names


def test_a_block_above_the_limit_is_refused():
    large = noise((2 << 20) + 1, 9)
    cid = Cid.of(large)
    with RogueGateway({cid: large}) as server:
        tier = gateway(server.url)
        with pytest.raises(TierError, match="more than 2097152 bytes"):
            tier.get(cid.key, None)
        tier.close()
