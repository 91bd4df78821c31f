"""Reads: from storage nodes and a gateway that lag, lie, break off or ignore what is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from plugins.storacha.tests.spaces import Space, make_space
from tests.support.servers.storacha import StorachaServer

from ziggurat.backend import Context, Dag
from ziggurat.content import DAG_CBOR, DAG_PB, Cid, dagcbor, write_car
from ziggurat.errors import TierError, TierUnavailable, ZigguratError
from ziggurat.testing._content import DagSample, directory, file, noise, raw
from ziggurat_storacha import Storacha
from ziggurat_storacha.client import Capability, Delegation, Key, Transport, delegate
from ziggurat_storacha.reading.claims import read_claims
from ziggurat_storacha.reading.nodes import Nodes

MIB = 1 << 20
DEAD = "http://127.0.0.1:9"

Open = Callable[..., Storacha]


@pytest.fixture(scope="module")
def sample() -> DagSample:
    """A file of four shards."""
    return file(noise(5 * MIB // 2, 31), leaf=1 << 18, fan=8)


@pytest.fixture(scope="module")
def space(
    storacha_session: StorachaServer, sample: DagSample, tmp_path_factory: pytest.TempPathFactory
) -> Space:
    """A space that has the sample; the tests read it with backends that know nothing of it."""
    made = make_space(storacha_session)
    tier = made.open(tmp_path_factory.mktemp("spool"), shard_size=MIB)
    tier.put(sample.root.key, sample.dag())
    tier.close()
    return made


@pytest.fixture
def open_tier(space: Space, storacha: StorachaServer, tmp_path: Path) -> Iterator[Open]:
    made: list[Storacha] = []

    def open_one(**changes: Any) -> Storacha:
        made.append(Storacha(space.options(**changes), Context("tier", "store", spool=tmp_path)))
        return made[-1]

    yield open_one
    for one in made:
        one.close()


def pairs(tier: Storacha, root: Cid, note: bytes | None = None) -> dict[Cid, bytes]:
    found = tier.get(root.key, note)
    assert isinstance(found, Dag)
    with found:
        return dict(found.pairs())


def asked(server: StorachaServer, name: str) -> int:
    return len(server.log(name))


@pytest.mark.parametrize("changes", [{}, {"gateway_url": ""}, {"indexer_url": ""}, {"indexer_url": DEAD}])
def test_every_way_gives_every_block(open_tier: Open, sample: DagSample, changes: dict[str, str]) -> None:
    assert pairs(open_tier(**changes), sample.root) == sample.blocks
    tier = open_tier(**changes)
    for cid, block in sample.blocks.items():
        assert tier.get(cid.block_key, None) == block
    for absent in (Cid.of(b"absent"), Cid.of(b"absent", DAG_PB)):
        if changes.get("indexer_url") == DEAD:
            # The gateway does not find it, and the indexing service may know better.
            with pytest.raises(TierUnavailable, match="indexer_url"):
                tier.get(absent.key, None)
        else:
            assert tier.get(absent.key, None) is None
            assert tier.get(absent.block_key, None) is None


def test_without_an_endpoint_for_reads_there_is_no_answer(open_tier: Open, sample: DagSample) -> None:
    tier = open_tier(indexer_url="", gateway_url="")
    assert tier.has(sample.root.key)
    with pytest.raises(TierUnavailable, match="set indexer_url or gateway_url"):
        tier.get(sample.root.key, None)


def test_a_dead_endpoint_is_named(open_tier: Open, sample: DagSample) -> None:
    for option in ("indexer_url", "gateway_url"):
        other = {"indexer_url": "", "gateway_url": "", option: DEAD}
        with pytest.raises(TierUnavailable, match=option) as caught:
            open_tier(**other).get(sample.root.key, None)
        assert caught.value.retryable


def test_a_node_that_ignores_ranges_is_read_once(
    open_tier: Open, storacha: StorachaServer, sample: DagSample
) -> None:
    tier = open_tier(gateway_url="")
    leaves = [cid for cid in sample.blocks if cid.codec != DAG_PB]
    assert tier.get(sample.root.block_key, None)
    storacha.forget()
    for cid in leaves:
        assert tier.get(cid.key, None) == sample.blocks[cid]
    assert asked(storacha, "GET blob") <= 4


def test_a_wrong_byte_from_a_node_is_made_good_by_the_gateway(
    open_tier: Open, storacha: StorachaServer, sample: DagSample
) -> None:
    tier = open_tier()
    assert tier.get(sample.root.block_key, None)
    storacha.fault("GET blob", when="after", how="flip", times=None, at=300_000)
    assert {_outcome(tier, cid) for cid in sample.blocks} == {"right"}
    assert asked(storacha, "GET /ipfs")
    only = open_tier(gateway_url="")
    storacha.heal()
    assert only.get(sample.root.block_key, None)
    storacha.fault("GET blob", when="after", how="flip", times=None, at=100_000)
    wrong = [_outcome(only, cid) for cid in sample.blocks]
    assert any(isinstance(one, TierError) for one in wrong)
    assert all(isinstance(one, TierError) or one == "right" for one in wrong)


def _outcome(tier: Storacha, cid: Cid) -> object:
    try:
        found = tier.get(cid.block_key, None)
    except TierError as error:
        return error
    return "right" if isinstance(found, bytes) and cid.matches(found) else found


def test_both_lie(open_tier: Open, storacha: StorachaServer, sample: DagSample) -> None:
    leaf = next(cid for cid in sample.blocks if cid.codec != DAG_PB)
    tier = open_tier(indexer_url="")
    storacha.fault("GET /ipfs", when="after", how="flip", times=None)
    with pytest.raises(TierError, match="other bytes"):
        tier.get(leaf.key, None)


@pytest.mark.parametrize("match", ["GET blob", "GET /claims", "GET /ipfs"])
@pytest.mark.parametrize("how", ["cut", "drop", "status"])
def test_what_breaks_off_is_an_error_and_never_a_short_answer(
    open_tier: Open, storacha: StorachaServer, sample: DagSample, match: str, how: Any
) -> None:
    changes = {"indexer_url": ""} if match == "GET /ipfs" else {"gateway_url": ""}
    storacha.fault(match, when="after", how=how, times=None, status=500)
    tier = open_tier(**changes)
    with pytest.raises(TierUnavailable):
        pairs(tier, sample.root)
    with pytest.raises(TierUnavailable):
        tier.get(sample.root.block_key, None)


def test_an_index_that_is_wrong_costs_a_try(
    open_tier: Open, storacha: StorachaServer, sample: DagSample
) -> None:
    storacha.fault("GET blob", when="after", how="flip", times=1)
    assert pairs(open_tier(), sample.root) == sample.blocks
    storacha.fault("GET blob", when="after", how="flip", times=1)
    with pytest.raises(TierUnavailable, match="index"):
        pairs(open_tier(gateway_url=""), sample.root)


def test_the_list_knows_better_than_who_does_not_find(
    space: Space, tmp_path: Path, storacha: StorachaServer
) -> None:
    tier = space.open(tmp_path)
    root = file(noise(400, 77)).root
    tier.connection.uploads.service.call("upload/add", space.did, {"root": root, "shards": []})
    assert tier.has(root.key)
    with pytest.raises(TierUnavailable, match="the space lists it") as caught:
        tier.get(root.key, None)
    assert caught.value.retryable
    tier.close()


def test_a_note_leads_to_the_index_and_a_wrong_one_does_no_harm(
    open_tier: Open, space: Space, tmp_path: Path, sample: DagSample
) -> None:
    writer = space.open(tmp_path)
    other = directory(a=file(noise(3000, 5)), b=raw(noise(20, 6)))
    stat = writer.put(other.root.key, other.dag())
    writer.close()
    for note in (stat.note, None, b"\x12\x20" + bytes(32), b"nonsense"):
        assert pairs(open_tier(), other.root, note) == other.blocks


def test_a_child_is_found_by_its_own_cid(open_tier: Open, space: Space, tmp_path: Path) -> None:
    writer = space.open(tmp_path)
    child, lone = file(noise(900, 41)), raw(noise(90, 42))
    tree = directory(child=child, lone=lone)
    writer.put(tree.root.key, tree.dag())
    writer.close()
    tier = open_tier(gateway_url="")
    assert tier.get(lone.root.key, None) == lone.blocks[lone.root]
    # Not all that lies in the directory comes with it: the core asks for what is missing, a block each.
    fresh = open_tier(gateway_url="")
    assert pairs(fresh, child.root) == {child.root: child.blocks[child.root]}
    assert {cid: fresh.get(cid.block_key, None) for cid in child.blocks} == child.blocks
    assert not tier.has(child.root.key)


def test_an_answer_that_does_not_end_does_not_fill_the_disk(tmp_path: Path) -> None:
    import http.server
    import threading

    class Endless(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                while True:
                    self.wfile.write(bytes(range(256)) * 256)

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    transport = Transport()
    nodes = Nodes(transport, tmp_path, kept=1 << 20)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        for offset in (0, 1000, 5_000_000):
            assert nodes.read(url, offset, 3) == bytes((offset + one) % 256 for one in range(3))
    finally:
        nodes.close()
        transport.close()
        server.shutdown()
        server.server_close()


def test_ranges_are_used_where_a_server_has_them(tmp_path: Path) -> None:
    import http.server
    import threading

    data = noise(200_000, 50)
    got: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            got.append(self.headers["Range"])
            first, last = (int(one) for one in self.headers["Range"].removeprefix("bytes=").split("-"))
            part = data[first : last + 1]
            wrong = self.path == "/wrong"
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first + wrong}-{last}/{len(data)}")
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part)

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    transport = Transport()
    nodes = Nodes(transport, tmp_path)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        assert nodes.read(f"{url}/a", 1000, 50) == data[1000:1050]
        assert nodes.read(f"{url}/a", 0, 0) == b""
        assert got == ["bytes=1000-1049"]
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(TierUnavailable, match="another range"):
            nodes.read(f"{url}/wrong", 10, 5)
    finally:
        nodes.close()
        transport.close()
        server.shutdown()
        server.server_close()


def test_a_shard_that_is_too_large_to_keep_is_read_through(
    space: Space, storacha: StorachaServer, sample: DagSample, tmp_path: Path
) -> None:
    tier = space.open(tmp_path)
    row = tier.connection.uploads.get(sample.root)
    assert row is not None
    direct = tier.connection.reader.direct
    assert direct is not None
    index = direct.index(sample.root)
    assert index is not None
    url = direct._locations(index.shards[0])[0]
    transport = Transport()
    nodes = Nodes(transport, tmp_path, kept=1000)
    whole = b"".join(_stream(nodes, url))
    for offset in (0, 5, len(whole) // 2, len(whole) - 7):
        assert nodes.read(url, offset, 7) == whole[offset : offset + 7]
    assert nodes.read(url, len(whole) - 3, 7) == whole[-3:]
    nodes.close()
    transport.close()
    tier.close()


def _stream(nodes: Nodes, url: str) -> Iterator[bytes]:
    with nodes.stream(url) as pieces:
        yield from pieces


def test_secrets_stay_out_of_words(open_tier: Open, space: Space, sample: DagSample) -> None:
    key, proof = space.agent.to_text(), space.proof()
    tier = open_tier(service_url=DEAD)
    words = [repr(space.options()), repr(tier), repr(tier.connection)]
    for call in (lambda: tier.has(sample.root.key), lambda: tier.put(sample.root.key, sample.dag())):
        with pytest.raises(ZigguratError) as caught:
            call()
        words += [str(caught.value), repr(caught.value)]
    assert not any(key in text or key[10:40] in text or proof[20:60] in text for text in words)


# -- claims --------------------------------------------------------------------------------------------


def test_a_claim_that_its_issuer_did_not_sign_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    issuer, blob = Key.generate(), Cid.of(b"blob")

    def claim(url: str) -> Delegation:
        nb = {"content": {"digest": b"\x12\x20" + blob.digest}, "location": [url]}
        wanted = [Capability("assert/location", issuer.did, nb)]
        return delegate(issuer, issuer.did, wanted, expiration=None)

    right, forged = claim("https://right.example.org/a"), claim("https://wrong.example.org/a").ucan
    block = forged.block.replace(b"https://wrong", b"https://liars")
    name = Cid.of(block, DAG_CBOR)
    root = dagcbor.encode({"index/query/result@0.1": {"claims": [name, right.cid], "indexes": {}}})
    blocks = [(Cid.of(root, DAG_CBOR), root), (name, block), (right.cid, right.ucan.block)]
    car = b"".join(write_car([blocks[0][0]], blocks))
    found = read_claims(car, b"\x12\x20" + blob.digest)
    assert found.locations == {b"\x12\x20" + blob.digest: ("https://right.example.org/a",)}
    assert "a claim is left out" in caplog.text
    assert issuer.did in caplog.text
