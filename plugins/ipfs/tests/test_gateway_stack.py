"""Stacks over the gateway of a real Kubo node, through `Store`."""

import pytest
from tests.support.servers.rogue import RogueGateway
from tests.support.stacks import Spec, disk, memory, open_stack

from ziggurat.content import Cid, parse_node
from ziggurat.errors import BlobNotFound, StoreError, ZigguratError
from ziggurat.testing._content import file, noise
from ziggurat_ipfs.gateway import GatewayOptions, backend


def net(*urls, name="net", **options):
    return Spec(name, backend, GatewayOptions(urls=urls, patience=10.0, **options), "source", {})


def add(kubo, data, *more):
    return Cid.parse(kubo.run("add", "-Q", *more, stdin=data).strip())


@pytest.mark.parametrize(
    "how",
    [
        (),
        ("--cid-version=0", "--raw-leaves=false", "--chunker=size-262144"),
        ("--trickle", "--chunker=size-10000"),
        ("--chunker=rabin-1024-4096-8192",),
        ("--inline", "--inline-limit=40"),
        ("--mode=0644", "--mtime=1700000000", "--raw-leaves=false"),
        ("--hash=blake2b-256",),
    ],
    ids=lambda how: " ".join(how) or "as it comes",
)
@pytest.mark.parametrize("size", [0, 30, 300_000, 3_000_000])
def test_what_a_node_adds_is_read_and_proved(kubo, tmp_path, how, size):
    data = noise(size, 7)
    cid = add(kubo, data, *how)
    with open_stack(tmp_path, memory("ram", 10**8), net(kubo.gateway)) as store:
        assert store.get(cid) == data
        middle = size // 3
        assert store.get(cid, middle, 1000) == data[middle : middle + 1000]
    with open_stack(tmp_path / "cold", net(kubo.gateway)) as store:
        assert store.get(cid, middle, 1000) == data[middle : middle + 1000]
        assert b"".join(store.stream(cid)) == data


def test_a_cache_above_answers_the_second_time(kubo, tmp_path):
    data = noise(3_000_000, 3)
    cid = add(kubo, data)
    with open_stack(tmp_path, memory("ram", 10**8), net(kubo.gateway)) as store:
        assert store.get(cid) == data
        (tier,) = (tier for tier in store.tiers if tier.name == "net")
        before = tier.plugin.health()[0].answers
        assert store.get(cid) == data
        assert tier.plugin.health()[0].answers == before


def test_directories_and_hamts_are_walked(own_kubo, tmp_path):
    node = own_kubo(config={"Import.UnixFSHAMTDirectorySizeThreshold": "1KB"}).start()
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    for number in range(300):
        (tree / f"file-{number}").write_bytes(noise(20, number))
    (tree / "sub" / "deep").write_bytes(noise(5000, 1))
    root = Cid.parse(node.run("add", "-Qr", str(tree)).strip())
    with open_stack(tmp_path / "stack", memory("ram", 10**8), net(node.gateway)) as store:
        (tier,) = (tier for tier in store.tiers if tier.name == "net")
        assert parse_node(tier.block(root)).type == "hamt"
        assert len(list(store.ls(root))) == 301
        assert store.get(f"{root}/file-123") == noise(20, 123)
        assert store.get(f"{root}/sub/deep") == noise(5000, 1)


def test_a_copy_on_disk_outlives_the_gateway(own_kubo, tmp_path):
    node = own_kubo().start()
    data = noise(5_000_000, 4)
    cid = add(node, data)
    with open_stack(tmp_path, disk("ssd", tmp_path / "blobs"), net(node.gateway)) as store:
        assert store.has(cid)
        assert not any(copy for copy in store.stat(cid).copies)
        store.copy(cid, "ssd")
        node.kill()
        assert store.get(cid) == data
        assert store.verify(cid)
        with pytest.raises(StoreError):
            store.get(add(node, b"something else", "--only-hash"))


def test_a_directory_is_copied_whole(kubo, tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(20):
        (tree / f"{number}").write_bytes(noise(3000, number))
    root = Cid.parse(kubo.run("add", "-Qr", str(tree)).strip())
    with open_stack(tmp_path / "stack", disk("ssd", tmp_path / "blobs"), net(kubo.gateway)) as store:
        store.copy(root, "ssd")
    with open_stack(tmp_path / "stack", disk("ssd", tmp_path / "blobs")) as store:
        assert store.get(f"{root}/7") == noise(3000, 7)


def test_a_small_range_of_a_large_file_costs_little(kubo, tmp_path):
    data = noise(64 << 20, 5)
    cid = add(kubo, data)
    with open_stack(tmp_path, net(kubo.gateway)) as store:
        offset = 40_000_000
        assert store.get(cid, offset, 65536) == data[offset : offset + 65536]
        (tier,) = store.tiers
        assert tier.meter.bytes_read <= 3 << 20


def test_what_is_nowhere_is_said_to_be_nowhere(kubo, tmp_path):
    absent = file(noise(1000, 99)).root
    with open_stack(tmp_path, memory("ram", 10**6), net(kubo.gateway)) as store:
        with pytest.raises(BlobNotFound):
            store.get(absent)
        assert not store.has(absent)


def test_nothing_is_ever_written_to_a_gateway(kubo, tmp_path):
    with open_stack(tmp_path, memory("ram", 10**6), net(kubo.gateway)) as store, pytest.raises(ZigguratError):
        store.put(b"mine")


def test_half_a_dag_at_each_of_two_gateways_makes_a_whole(tmp_path):
    data = noise(200_000, 6)
    sample = file(data, leaf=5000, fan=8)
    pairs = list(sample.blocks.items())
    with (
        RogueGateway(dict(pairs[:20])) as one,
        RogueGateway(dict(pairs[20:])) as two,
        open_stack(tmp_path, net(one.url, two.url)) as store,
    ):
        assert store.get(sample.root) == data


def test_threads_share_one_tier(kubo, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    blobs = [noise(400_000 + number, number) for number in range(16)]
    cids = [add(kubo, data) for data in blobs]
    with open_stack(tmp_path, net(kubo.gateway)) as store, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(store.get, cids)) == blobs
