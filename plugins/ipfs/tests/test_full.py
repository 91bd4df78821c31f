"""A node whose disk is full, and one whose repository somebody else has locked."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.servers.kubo import KuboNode

from ziggurat.backend import Context, Dag, Stat, Timeouts
from ziggurat.errors import StoreFull, TierFull, TierUnavailable
from ziggurat.testing._content import file, noise, raw
from ziggurat_ipfs import Ipfs, IpfsOptions

# A small file system in the place of the blocks, in a mount namespace of the daemon's own.
_SMALL = """
set -e
mkdir "$0/small"
mount -t tmpfs -o size=8m tmpfs "$0/small"
cp -a "$0/blocks/." "$0/small"
mount --bind "$0/small" "$0/blocks"
exec "$@"
"""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[KuboNode]:
    folder = tmp_path / "node"
    made = KuboNode(folder, wrapper=("unshare", "-rm", "sh", "-c", _SMALL, str(folder))).start()
    yield made
    made.remove()


@pytest.fixture
def ipfs(node: KuboNode) -> Iterator[Ipfs]:
    made = Ipfs(IpfsOptions(api=node.api), Context("t", "store", "cat", timeouts=Timeouts(2, 20)))
    yield made
    made.close()


def test_a_full_disk_is_said_and_pins_nothing(node: KuboNode, ipfs: Ipfs) -> None:
    early, late = (file(noise(1 << 20, seed), leaf=1 << 18, fan=100) for seed in (1, 2))
    ipfs.put(early.root.key, early.dag())
    before = node.pins()
    large = file(noise(12 << 20), leaf=1 << 18, fan=100)
    with pytest.raises(TierFull, match="no space left on device") as caught:
        ipfs.put(large.root.key, large.dag())
    assert not caught.value.retryable
    assert len(caught.value.message) < 500
    assert node.pins() == before
    assert not ipfs.has(large.root.key)
    assert ipfs.stat(large.root.key) is None
    # What was there is as it was, and what is given up makes room (Kubo's torn files stay till it restarts).
    found = ipfs.get(early.root.key)
    assert isinstance(found, Dag)
    assert dict(found.pairs()) == early.blocks
    assert ipfs.evict(early.root.key)
    node.rpc("repo/gc", quiet="true")
    ipfs.put(late.root.key, late.dag())
    assert ipfs.has(late.root.key)


def test_what_is_sent_together_is_kept_as_far_as_there_is_room(node: KuboNode, ipfs: Ipfs) -> None:
    samples = [raw(noise(200_000, seed)) for seed in range(60)]
    answers = ipfs.put_many([(sample.root.key, sample.dag(), None) for sample in samples])
    kept = {str(one.root) for one, answer in zip(samples, answers, strict=True) if isinstance(answer, Stat)}
    refused = [answer for answer in answers if not isinstance(answer, Stat)]
    assert refused
    assert {type(answer) for answer in refused} == {TierFull}
    assert kept <= set(node.pins())
    for sample, answer in zip(samples, answers, strict=True):
        assert ipfs.has(sample.root.key) is isinstance(answer, Stat)


def test_a_store_over_it_says_that_it_is_full(node: KuboNode, tmp_path: Path) -> None:
    from ziggurat import open_store

    tier = {"name": "node", "backend": "ipfs", "role": "store", "publish": True, "options": {"api": node.api}}
    with open_store({"store": {"path": str(tmp_path / "vault")}, "tier": [tier]}) as store:
        early, late = os.urandom(1 << 20), os.urandom(1 << 20)
        first = store.put(early).cid
        with pytest.raises(StoreFull, match="no space left"):
            store.put(os.urandom(12 << 20))
        assert [root.cid for root in store.roots()] == [first]
        assert store.get(first) == early
        store.remove(first)
        assert sum(found.blobs for found in store.gc()) == 1
        node.rpc("repo/gc", quiet="true")
        assert store.get(store.put(late).cid) == late


def test_a_locked_repository_has_no_daemon_to_ask(own_kubo: Callable[..., KuboNode]) -> None:
    node = own_kubo()
    tier = Ipfs(IpfsOptions(repo=node.folder), Context("t", "store", "cat", timeouts=Timeouts(2, 20)))
    sample = raw(noise(300))
    holder = subprocess.Popen(
        [node._binary, "add", "-Q"],
        env=node.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 20
        while not (node.folder / "repo.lock").exists() and time.monotonic() < end:
            time.sleep(0.02)
        with pytest.raises(RuntimeError, match="lock"):
            node.start()
        for ask in (
            lambda: tier.has(sample.root.key),
            lambda: tier.get(sample.root.key),
            lambda: tier.put(sample.root.key, sample.dag()),
        ):
            with pytest.raises(TierUnavailable, match="no daemon runs") as caught:
                ask()
            assert caught.value.retryable
    finally:
        holder.communicate(b"done")
    node.start()
    tier.put(sample.root.key, sample.dag())
    assert tier.has(sample.root.key)
    tier.close()
