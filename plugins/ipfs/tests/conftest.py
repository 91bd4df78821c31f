"""What the tests of the IPFS backends share: real Kubo nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.servers.kubo import KuboNode

from ziggurat.backend import Context, Timeouts
from ziggurat_ipfs import Ipfs, IpfsOptions

Make = Callable[..., Ipfs]


@pytest.fixture(scope="session")
def kubo_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KuboNode]:
    """One running node for a whole run; ask for `kubo` instead, which empties it."""
    node = KuboNode(tmp_path_factory.mktemp("kubo")).start()
    yield node
    node.remove()


@pytest.fixture
def kubo(kubo_session: KuboNode) -> KuboNode:
    """A running node that holds nothing."""
    kubo_session.wipe()
    return kubo_session


@pytest.fixture
def own_kubo(tmp_path: Path) -> Iterator[Callable[..., KuboNode]]:
    """Makes nodes that a test may stop and kill; they go with it."""
    made: list[KuboNode] = []

    def make(**options: object) -> KuboNode:
        made.append(KuboNode(tmp_path / f"kubo-{len(made)}", **options))  # type: ignore[arg-type] # the test's own words
        return made[-1]

    yield make
    for node in made:
        node.remove()


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
