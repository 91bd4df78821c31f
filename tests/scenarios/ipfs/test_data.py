"""dag-cbor and dag-json DAGs between a real Kubo node and stores of the bytes form."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.servers.kubo import KuboNode

from ziggurat import Cid, Store, open_store
from ziggurat.content import DAG_CBOR, dagcbor, write_car
from ziggurat.errors import BlobNotFound, StoreUnavailable, UnsupportedContent

Open = Callable[..., Store]


def put(kubo: KuboNode, value: object, codec: str, *, pin: bool = False) -> Cid:
    """What ``ipfs dag put`` makes of JSON."""
    text = json.dumps(value).encode()
    told = kubo.rpc("dag/put", text, input_codec="dag-json", store_codec=codec, pin=str(pin).lower())
    return Cid.parse(told["Cid"]["/"])


def link(cid: object) -> dict[str, str]:
    return {"/": str(cid)}


def blocks_of(kubo: KuboNode, root: Cid) -> set[Cid]:
    """What the node itself finds beneath a root, with it."""
    rows = kubo.ask("refs", arg=str(root), recursive="true", unique="true", offline="true").splitlines()
    return {root, *(Cid.parse(json.loads(row)["Ref"]) for row in rows)}


@pytest.fixture
def mixed(kubo: KuboNode, tmp_path: Path) -> Cid:
    """dag-cbor over dag-json, over a file of several levels, a folder with a HAMT, raw and dag-pb leaves."""
    file = kubo.run("add", "-Q", "--pin=false", "--chunker=size-1000", stdin=bytes(range(256)) * 100).strip()
    old = kubo.run("add", "-Q", "--pin=false", "--cid-version=0", "--raw-leaves=false", stdin=b"old").strip()
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(60):
        (folder / f"entry number {number}").write_bytes(b"%d" % number)
    shards = kubo.run("add", "-rQ", "--pin=false", str(folder)).strip()
    inner = put(kubo, {"file": link(file), "half": 1.5, "bytes": {"/": {"bytes": "AAE"}}}, "dag-json")
    return put(
        kubo, [link(inner), {"shards": link(shards), "old": link(old)}, link(inner)], "dag-cbor", pin=True
    )


def test_a_dag_of_the_node_goes_to_disk_and_back_whole(stack: Open, kubo: KuboNode, mixed: Cid) -> None:
    whole = blocks_of(kubo, mixed)
    assert len(whole) > 80
    store = stack()
    receipt = store.adopt(mixed, "ipfs")
    assert (receipt.type, receipt.copies) == ("block", ("ipfs",))
    own = kubo.ask("block/get", arg=str(mixed))
    assert store.get(mixed) == own
    assert receipt.size == len(own)
    # The node does not say how large such a DAG is there; it is what a put of it would take.
    (copy,) = store.stat(mixed).copies
    assert copy.stored == store.export_car(mixed, Path(kubo.folder) / "mixed.car")
    (finding,) = store.verify(mixed)
    assert finding.ok
    store.copy(mixed, "disk")
    assert all(found.ok for found in store.verify(tier="disk"))
    assert "not ours" in store.evict(mixed, "ipfs").kept
    kubo.wipe()
    said: Any = dagcbor.decode(own)
    inner, shards = said[0], said[1]["shards"]
    assert store.get(f"{shards}/entry number 7") == b"7"
    assert store.get(inner) == kubo_json(store, inner)
    store.copy(mixed, "ipfs")
    assert blocks_of(kubo, mixed) == whole
    assert kubo.pins()[str(mixed)].startswith("ziggurat:")
    kubo.rpc("repo/gc", quiet="true")
    assert blocks_of(kubo, mixed) == whole
    for found in list(store.verify(tier="disk")):
        store.evict(found.cid, "disk")
    assert store.get(f"{shards}/entry number 59") == b"59"
    (finding,) = store.verify(mixed)
    assert finding.ok


def kubo_json(store: Store, cid: Cid) -> bytes:
    """The block of the dag-json part, as its links say it must be."""
    block = store.get(cid)
    assert Cid.of(block, cid.codec) == cid
    assert json.loads(block)["half"] == 1.5
    return block


def test_a_dag_goes_out_as_one_pin_and_goes_with_it(stack: Open, kubo: KuboNode) -> None:
    store = stack("ipfs")
    leaf = b"leaf" * 100
    pairs = {Cid.of(leaf): leaf}
    for number in range(20):
        block = dagcbor.encode({"number": number, "links": list(pairs)[-3:]})
        pairs[Cid.of(block, DAG_CBOR)] = block
    root = list(pairs)[-1]
    car = b"".join(write_car([root], pairs.items()))
    (receipt,) = store.import_car([car])
    assert receipt.copies == ("ipfs",)
    assert set(kubo.pins()) == {str(root)}
    assert blocks_of(kubo, root) == set(pairs)
    assert store.has(root)
    assert store.has(list(pairs)[5])
    assert store.stat(root).type == "block"
    for cid, block in pairs.items():
        assert store.get(cid) == block
    store.export_car(root, Path(kubo.folder) / "out.car")
    store.remove(root)
    assert sum(found.blobs for found in store.gc()) == 1
    assert kubo.pins() == {}
    kubo.rpc("repo/gc", quiet="true")
    with pytest.raises(BlobNotFound):
        store.get(root)
    assert str(root) in kubo.run("dag", "import", str(kubo.folder / "out.car"))
    assert blocks_of(kubo, root) == set(pairs)


def test_a_part_that_the_node_lost_is_noticed(stack: Open, kubo: KuboNode) -> None:
    leaf = kubo.rpc("block/put", b"to be lost", cid_codec="raw")["Key"]
    root = put(kubo, {"leaf": link(leaf)}, "dag-cbor", pin=True)
    store = stack()
    store.adopt(root, "ipfs")
    kubo.rpc("pin/rm", arg=str(root))
    kubo.rpc("block/rm", arg=leaf)
    (finding,) = store.verify(root)
    assert not finding.ok
    with pytest.raises((BlobNotFound, StoreUnavailable)):
        store.copy(root, "disk")
    with pytest.raises((BlobNotFound, StoreUnavailable)):
        store.adopt(root, "ipfs")


def test_a_codec_that_nobody_reads_is_not_adopted(stack: Open, kubo: KuboNode) -> None:
    git = kubo.rpc("block/put", b"blob 3\0abc", cid_codec="git-raw", mhtype="sha2-256")["Key"]
    root = put(kubo, {"git": link(git)}, "dag-json", pin=True)
    store = stack()
    with pytest.raises(UnsupportedContent, match="0x78"):
        store.adopt(root, "ipfs")
    assert list(store.roots()) == []
    assert store.get(git) == b"blob 3\0abc"


def test_a_gateway_gives_data_to_those_who_copy_it(kubo: KuboNode, tmp_path: Path, mixed: Cid) -> None:
    config = {
        "store": {"path": str(tmp_path / "vault")},
        "tier": [
            {"name": "disk", "backend": "disk", "role": "store", "options": {"path": str(tmp_path / "disk")}},
            {"name": "net", "backend": "gateway", "role": "source", "options": {"urls": [kubo.gateway]}},
        ],
    }
    whole = blocks_of(kubo, mixed)
    with open_store(config) as store:
        assert store.has(mixed)
        store.copy(mixed, "disk")
        kubo.stop()
        store.export_car(mixed, tmp_path / "out.car")
    kubo.start()
    kubo.wipe()
    kubo.run("dag", "import", str(tmp_path / "out.car"))
    assert blocks_of(kubo, mixed) == whole
