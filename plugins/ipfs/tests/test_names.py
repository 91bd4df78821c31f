"""Names through a node: the record where it has one to give, its word where it has not."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.servers.kubo import KuboNode
from tests.support.servers.rogue import Asked, Reply, RogueGateway

from ziggurat.backend import Context, Timeouts
from ziggurat.errors import BlobNotFound, CorruptBlob, InvalidCid, TierUnavailable
from ziggurat_ipfs import Ipfs, IpfsOptions

UNKNOWN = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8"
RECORD = "application/vnd.ipfs.ipns-record"


def publish(node: KuboNode, data: bytes, *more: str) -> tuple[str, str]:
    """A CID, and a name of the node that points to it."""
    cid = node.run("add", "-Q", stdin=data).strip()
    node.run("name", "publish", "--allow-offline", "--ttl=5m", "--lifetime=2h", *more, f"/ipfs/{cid}")
    return cid, node.run("key", "list", "-l").split()[0]


def record_of(node: KuboNode, name: str) -> bytes:
    request = urllib.request.Request(
        f"{node.gateway}/ipns/{name}?format=ipns-record", headers={"Accept": RECORD}
    )
    with urllib.request.urlopen(request) as answer:
        return bytes(answer.read())


@pytest.fixture
def tier() -> Iterator[Callable[..., Ipfs]]:
    made: list[Ipfs] = []

    def one(node: KuboNode, **options: object) -> Ipfs:
        context = Context("node", "store", catalog="c", timeouts=Timeouts(2, 10))
        made.append(Ipfs(IpfsOptions(api=node.api, **options), context))  # type: ignore[arg-type] # the test's own words
        return made[-1]

    yield one
    for each in made:
        each.close()


def test_a_node_without_a_network_knows_its_own_names(kubo: KuboNode, tier: Callable[..., Ipfs]) -> None:
    cid, name = publish(kubo, b"hello")
    for given in (name, f"/ipns/{name}", f"ipns://{name}"):
        found = tier(kubo).resolve(given)
        assert (str(found.cid), found.target) == (cid, f"/ipfs/{cid}")
        # Such a daemon gives no records: nothing is proved, and nobody says for how long it holds.
        assert (found.proved, found.seconds, found.gateway) == (False, None, kubo.api)
    assert tier(kubo).resolve(f"{name}/a/b").target == f"/ipfs/{cid}/a/b"
    with pytest.raises(BlobNotFound, match="network = true"):
        tier(kubo).resolve(UNKNOWN)
    with pytest.raises(InvalidCid):
        tier(kubo).resolve("neither")
    with pytest.raises(TierUnavailable, match="DNS") as caught:
        tier(kubo).resolve("docs.invalid")
    assert not isinstance(caught.value, LookupError)


def test_a_node_that_asks_a_router_gives_the_record(
    kubo: KuboNode, own_kubo: Callable[..., KuboNode], tier: Callable[..., Ipfs]
) -> None:
    cid, name = publish(kubo, b"from elsewhere")
    record = record_of(kubo, name)
    asked: list[str] = []

    def router(request: Asked, reply: Reply, server: RogueGateway) -> None:
        asked.append(request.path)
        known = request.path == f"/routing/v1/ipns/{name}"
        reply.whole(record if known else b"", 200 if known else 404, RECORD if known else "text/plain")

    with RogueGateway({}, router) as server:
        config = {
            "Routing.Type": "delegated",
            "Routing.DelegatedRouters": [server.url],
            "Ipns.DelegatedPublishers": [],
            "Provide.Enabled": False,
        }
        node = own_kubo(config=config).start(offline=False)
        with pytest.raises(BlobNotFound):
            tier(node).resolve(name)
        assert asked == [], "a tier without network = true asks nobody"
        found = tier(node, network=True, network_timeout=5).resolve(f"{name}/sub")
        assert (found.target, found.proved) == (f"/ipfs/{cid}/sub", True)
        assert found.seconds == 300
        with pytest.raises(BlobNotFound):
            tier(node, network=True, network_timeout=5).resolve(UNKNOWN)
        assert asked


def test_a_node_that_is_down_could_not_tell(
    own_kubo: Callable[..., KuboNode], tier: Callable[..., Ipfs]
) -> None:
    node = own_kubo().start()
    _, name = publish(node, b"x")
    asks = tier(node)
    node.kill()
    with pytest.raises(TierUnavailable) as caught:
        asks.resolve(name)
    assert caught.value.retryable


def serve(rows: list[object], status: int = 200) -> RogueGateway:
    """What answers like a node, but with these rows to ``routing/get``."""

    def answer(asked: Asked, reply: Reply, server: RogueGateway) -> None:
        if asked.path.endswith("/id"):
            reply.whole(b'{"ID":"12D3KooW"}', type="application/json")
        elif asked.path.endswith("/routing/get"):
            reply.whole(b"\n".join(json.dumps(row).encode() for row in rows), status, "application/json")
        else:
            reply.whole(b'{"Message":"could not resolve name"}', 500, "application/json")

    return RogueGateway({}, answer)


@pytest.mark.parametrize("extra", ["not base64!", "aGVsbG8=", "A" * 40_000])
def test_a_false_record_is_no_answer(extra: str) -> None:
    with serve([{"Type": 6, "Extra": "?"}, {"Type": 5, "Extra": extra}]) as server:
        asks = Ipfs(IpfsOptions(api=server.url), Context("node", "store", catalog="c"))
        with pytest.raises(CorruptBlob):
            asks.resolve(UNKNOWN)
        asks.close()


def test_rows_without_a_record_are_none() -> None:
    with serve([{"Type": 1}, {"Type": 5}, [], 3]) as server:
        asks = Ipfs(IpfsOptions(api=server.url), Context("node", "store", catalog="c"))
        with pytest.raises(BlobNotFound):
            asks.resolve(UNKNOWN)
        asks.close()


def test_the_command_asks_nodes_and_then_gateways(kubo: KuboNode, tmp_path: Path) -> None:
    cid, name = publish(kubo, b"by command")
    file = tmp_path / "ziggurat.toml"
    file.write_text(
        f"""
[store]
path = "catalog"
[[tier]]
name = "web"
backend = "gateway"
[tier.options]
urls = ["{kubo.gateway}"]
[[tier]]
name = "node"
backend = "ipfs"
role = "store"
publish = true
[tier.options]
api = "{kubo.api}"
"""
    )

    def run(*arguments: str) -> tuple[int, dict[str, object]]:
        asked = [
            sys.executable,
            "-m",
            "ziggurat",
            "ipfs",
            "resolve",
            "--json",
            "--config",
            str(file),
            *arguments,
        ]
        done = subprocess.run(asked, capture_output=True, timeout=60)
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return done.returncode, json.loads(done.stdout) if done.stdout else {}

    code, row = run(name)
    assert (code, row["cid"], row["tier"], row["proved"]) == (0, cid, "node", False)
    code, row = run(name, "--tier", "web")
    assert (code, row["cid"], row["tier"], row["proved"], row["seconds"]) == (0, cid, "web", True, 300)
    assert run(UNKNOWN, "--tier", "node")[0] == 4
    assert run("docs.invalid")[0] == 5
    assert run(name, "--tier", "nothing")[0] == 3
