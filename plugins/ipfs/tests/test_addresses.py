"""Where a node is found, how it is told who asks, and which of several speaks for the tier."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.servers.kubo import KuboNode

from ziggurat.backend import Dag
from ziggurat.content import Cid
from ziggurat.errors import TierDenied, TierUnavailable
from ziggurat.testing._content import file, raw
from ziggurat_ipfs import Ipfs, IpfsOptions

Make = Callable[..., Ipfs]


def noise(size: int) -> bytes:
    return os.urandom(size)


def blocks(answer: bytes | Dag | None) -> dict[Cid, bytes]:
    assert isinstance(answer, Dag)
    with answer:
        return dict(answer.pairs())


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
