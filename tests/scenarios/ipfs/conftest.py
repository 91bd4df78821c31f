"""Stacks over a real Kubo node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.servers.kubo import KuboNode

from ziggurat import Store, open_store

SMALL_HAMT = 2048  # bytes above which the node of these tests shards a directory


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KuboNode]:
    made = KuboNode(
        tmp_path_factory.mktemp("kubo") / "node",
        config={"Import.UnixFSHAMTDirectorySizeThreshold": f"{SMALL_HAMT}B"},
    ).start()
    yield made
    made.remove()


@pytest.fixture
def kubo(node: KuboNode) -> KuboNode:
    if not node.api:
        node.start()
    node.wipe()
    return node


Open = Callable[..., Store]


@pytest.fixture
def stack(tmp_path: Path, kubo: KuboNode) -> Iterator[Open]:
    """Opens a disk store over a tier on the node; `first` says which is asked and filled first."""
    opened: list[Store] = []

    def one(first: str = "disk", *, profile: str = "unixfs-v1-2025", publish: bool = True) -> Store:
        disk = {
            "name": "disk",
            "backend": "disk",
            "role": "store",
            "options": {"path": str(tmp_path / "disk")},
        }
        ipfs = {"name": "ipfs", "backend": "ipfs", "role": "store", "publish": publish}
        ipfs |= {"options": {"api": kubo.api}, "retry": {"attempts": 2, "max_wait": 0.1}}
        tiers = [disk, ipfs] if first == "disk" else [ipfs, disk]
        opened.append(
            open_store({"store": {"path": str(tmp_path / "catalog"), "profile": profile}, "tier": tiers})
        )
        return opened[-1]

    yield one
    for store in opened:
        store.close()
