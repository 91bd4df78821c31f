"""The conformance kit's read part, on a real Kubo gateway."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.servers.kubo import KuboNode
from tests.support.servers.rogue import RogueGateway

from ziggurat.backend import Context, Dag, Key, Timeouts
from ziggurat.content import Cid
from ziggurat.errors import TierError
from ziggurat.testing import BackendConformance, Subject
from ziggurat.testing._content import noise
from ziggurat_ipfs.gateway import GatewayOptions, backend


def import_car(node: KuboNode, dag: Dag) -> None:
    """Bring a DAG into a node, behind the gateway's back."""
    answer = node.rpc("dag/import", b"".join(dag.car()), pin_roots="true")
    assert answer["Root"]["PinErrorMsg"] == ""


class TestGateway(BackendConformance):
    @pytest.fixture
    def subject(self, kubo: KuboNode, request: pytest.FixtureRequest) -> Iterator[Subject]:
        two = "opening_again" in request.node.name

        def options(medium: Path) -> GatewayOptions:
            # No Kubo node is empty (each has the empty directory), so where a check compares two media, the
            # other is a gateway of ours.
            other = two and medium.name != "medium-1"
            return GatewayOptions(urls=(empty.url if other else kubo.gateway,))

        def seed(medium: Path, key: Key, content: bytes | Dag) -> None:
            assert isinstance(content, Dag), key
            import_car(kubo, content)

        with RogueGateway({}) as empty:
            yield Subject(backend, options, role="source", seed=seed)


def test_a_node_that_is_gone_is_no_empty_one(own_kubo):
    node = own_kubo().start()
    cid = Cid.parse(node.run("add", "-Q", stdin=noise(3_000_000)).strip())
    tier = backend.factory(
        GatewayOptions(urls=(node.gateway,), patience=5.0), Context("net", "source", timeouts=Timeouts(2, 5))
    )
    assert tier.has(cid.key)
    node.kill()
    for ask in (lambda: tier.get(cid.key, None), lambda: tier.has(cid.key), lambda: tier.stat(cid.key)):
        with pytest.raises(TierError) as caught:
            ask()
        assert caught.value.retryable
    tier.close()
