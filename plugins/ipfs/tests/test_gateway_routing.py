"""Routers: who they name is asked, and nobody is sent where no stranger may send us."""

import json

import pytest
from tests.support.servers.rogue import RogueGateway
from tests.support.stacks import Spec, open_stack

from ziggurat.backend import Context
from ziggurat.errors import StoreError, TierError
from ziggurat.testing._content import file, noise
from ziggurat_ipfs.gateway import GatewayOptions, backend
from ziggurat_ipfs.gateway._health import Gateways
from ziggurat_ipfs.gateway._routing import PROTOCOL, url_of

DATA = noise(100_000, 1)
SAMPLE = file(DATA, leaf=30_000, fan=20)
BLOCKS = dict(SAMPLE.blocks)


def address_of(gateway):
    return f"/ip4/127.0.0.1/tcp/{gateway.url.rpartition(':')[2]}/http"


def router(*gateways, **more):
    record = {
        "Schema": "peer",
        "ID": "12D3KooWM8sovaEGU1bmiWGWAzvs47DEcXKZZTuJnpQyVTkRs2Vn",
        "Addrs": ["/ip4/127.0.0.1/udp/4001/quic-v1", *map(address_of, gateways)],
        "Protocols": ["transport-bitswap", PROTOCOL],
        **more,
    }

    def answer(asked, reply, server):
        assert asked.query == {"filter-protocols": PROTOCOL}
        reply.whole(
            json.dumps({"Providers": [record, {"Schema": "odd"}, 7]}).encode(), type="application/json"
        )

    return RogueGateway({}, answer)


def test_what_the_gateways_lack_is_read_where_the_router_says(tmp_path):
    with RogueGateway({}) as empty, RogueGateway(BLOCKS) as full, router(full) as routes:
        options = GatewayOptions(urls=(empty.url,), routing=(routes.url,))
        with open_stack(tmp_path, Spec("net", backend, options, "source", {})) as store:
            assert store.get(SAMPLE.root) == DATA
        # Once it is known, it is asked before the one that has nothing, and no router is needed.
        assert routes.count() < len(BLOCKS)
        assert full.count() >= 1


def test_a_router_alone_is_enough_and_a_liar_is_never_brought_back(tmp_path):
    def lie(asked, reply, server):
        reply.whole(b"a lie")

    with RogueGateway(BLOCKS, lie) as liar, router(liar) as routes:
        tier = backend.factory(GatewayOptions(routing=(routes.url,)), Context("net", "source"))
        for cid in BLOCKS:
            with pytest.raises(TierError):
                tier.get(cid.block_key, None)
        assert liar.count() == 1
        tier.close()


def test_nobody_named_is_absent_and_a_router_that_fails_is_not():
    with RogueGateway({}) as empty, RogueGateway({}) as routes:
        tier = backend.factory(
            GatewayOptions(urls=(empty.url,), routing=(routes.url,)), Context("net", "source")
        )
        for _ in range(3):
            assert tier.get(SAMPLE.root.key, None) is None
        assert routes.count() == 1
        for bad in (b"[", b"[]", b'{"Providers": 5}', b"[" * 100_000, b" " * (2 << 20)):
            routes.behave = lambda a, r, s, bad=bad: r.whole(bad, type="application/json")
            cid = file(noise(10, len(bad))).root
            with pytest.raises(TierError):
                tier.get(cid.key, None)
        tier.close()


def test_has_asks_no_router():
    with RogueGateway({}) as empty, router() as routes:
        tier = backend.factory(
            GatewayOptions(urls=(empty.url,), routing=(routes.url,)), Context("net", "source")
        )
        assert not tier.has(SAMPLE.root.key)
        assert routes.count() == 0
        tier.close()


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("/dns/gw.example/tcp/443/https", "https://gw.example"),
        ("/dns4/gw.example/tcp/8443/tls/http", "https://gw.example:8443"),
        ("/dns6/gw.example/tcp/443/tls/sni/gw.example/http", "https://gw.example"),
        ("/ip4/9.9.9.9/tcp/443/https", "https://9.9.9.9"),
        ("/ip6/2620:fe::fe/tcp/443/https", "https://[2620:fe::fe]"),
        ("/dns/gw.example/tcp/80/http", None),
        ("/ip4/127.0.0.1/tcp/443/https", None),
        ("/ip4/169.254.169.254/tcp/80/http", None),
        ("/ip4/10.0.0.1/tcp/443/https", None),
        ("/ip6/::1/tcp/443/https", None),
        ("/ip6/::ffff:10.0.0.1/tcp/443/https", None),
        ("/dns/localhost/tcp/443/https", None),
        ("/dns/printer/tcp/443/https", None),
        ("/dns/127.0.0.1/tcp/443/https", None),
        ("/dns/a@b.example/tcp/443/https", None),
        ("/dns/gw.example/tcp/70000/https", None),
        ("/dns/gw.example/tcp/443/https/extra", None),
        ("/dns/gw.example/udp/443/quic-v1", None),
        ("dns/gw.example", None),
        ("", None),
    ],
)
def test_where_a_stranger_may_send_us(address, url):
    assert url_of(address) == url


def test_a_router_of_this_machine_may_name_this_machine():
    assert url_of("/ip4/127.0.0.1/tcp/8080/http", near=True) == "http://127.0.0.1:8080"
    assert url_of("/dns/localhost/tcp/80/http", near=True) == "http://localhost"


def test_a_flood_of_gateways_leaves_room_for_sixteen():
    import logging

    known = Gateways(["https://mine.example"], logging.getLogger("test"))
    for number in range(100):
        known.add([f"https://{number}.example"])
    peers = known.order()
    assert len(peers) == 17
    assert peers[0].url == "https://mine.example"
    assert isinstance(known.drop(peers[0], "lied"), TierError)
    assert "https://mine.example" not in [peer.url for peer in known.order()]
    assert known.add(["https://mine.example/"]) == []


def test_a_stack_says_which_router_failed(tmp_path):
    def down(asked, reply, server):
        reply.whole(b"sorry", 503, "text/plain")

    with RogueGateway({}) as empty, RogueGateway({}, down) as routes:
        options = GatewayOptions(urls=(empty.url,), routing=(routes.url,))
        with open_stack(tmp_path, Spec("net", backend, options, "source", {})) as store:
            with pytest.raises(StoreError, match="503"):
                store.get(SAMPLE.root)
            assert store.has(SAMPLE.root) is False


@pytest.mark.parametrize(
    "urls",
    [
        (), ("gw.example",), ("ftp://gw.example",), ("https://user:secret@gw.example",), ("https://gw.example?x=1",),
        ("https://gw.example/ipfs/",), ("https://gw.example", "https://gw.example/"), ("http://[::1",), (7,),
    ],
)  # fmt: skip
def test_options_that_cannot_be_meant_are_refused(urls):
    with pytest.raises(ValueError, match=r".") as caught:
        GatewayOptions(urls=urls)
    assert "secret" not in str(caught.value)
