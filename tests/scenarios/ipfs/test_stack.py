"""A stack with a real Kubo node: what goes in, what the node makes, and both ways between the forms."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.folders import tree
from tests.support.servers.kubo import KuboNode

from ziggurat import Store
from ziggurat.errors import BlobNotFound, CorruptBlob, LastCopy, NotDurable, StoreUnavailable

Open = Callable[..., Store]


# -- put, get, move ---------------------------------------------------------------------------------


def test_a_file_there_and_back(stack: Open, kubo: KuboNode) -> None:
    store = stack("ipfs")
    data = os.urandom(5_000_000)
    receipt = store.put(data)
    assert receipt.copies == ("ipfs",)
    assert list(kubo.pins()) == [str(receipt.cid)]
    assert store.get(receipt.cid) == data
    assert store.get(receipt.cid, 3_000_000, 70_000) == data[3_000_000:3_070_000]
    store.copy(receipt.cid, "disk")
    assert store.evict(receipt.cid, "ipfs").had
    kubo.wipe()
    assert store.get(receipt.cid) == data
    store.copy(receipt.cid, "ipfs")
    assert list(kubo.pins()) == [str(receipt.cid)]
    store.evict(receipt.cid, "disk")
    assert store.get(receipt.cid) == data


@pytest.mark.parametrize("names", [6, 120])
def test_a_directory_there_and_back(stack: Open, kubo: KuboNode, tmp_path: Path, names: int) -> None:
    folder = tree(tmp_path / "tree", random.Random(names), names=names)
    store = stack("ipfs")
    root = store.put_dir(folder).cid
    assert list(kubo.pins()) == [str(root)]
    inner = (folder / "äöü/inner.bin").read_bytes()
    assert store.get(f"{root}/äöü/inner.bin") == inner
    assert len(list(store.ls(root))) == names + 3
    store.copy(root, "disk")
    store.evict(root, "ipfs")
    kubo.wipe()
    assert store.get(f"{root}/äöü/inner.bin") == inner
    store.copy(root, "ipfs")
    store.evict(root, "disk")
    store.save(root, tmp_path / "out")
    assert subprocess.run(["diff", "-r", "--no-dereference", folder, tmp_path / "out"]).returncode == 0
    store.export_car(root, tmp_path / "tree.car")
    kubo.wipe()
    assert str(root) in kubo.run("dag", "import", str(tmp_path / "tree.car"))


def test_what_another_pin_needs_outlives_every_evict(stack: Open, kubo: KuboNode, tmp_path: Path) -> None:
    """A pin of the store, and one of somebody else, each keep the file that two folders share."""
    store = stack("ipfs")
    shared = os.urandom(3 << 20)
    roots = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shared").write_bytes(shared)
        (tmp_path / name / "own").write_text(name)
        roots.append(store.put_dir(tmp_path / name).cid)
    child = next(entry.cid for entry in store.ls(roots[0]) if entry.path == "shared")
    store.pin(child)
    for root in roots:
        store.remove(root)
    kubo.rpc("pin/rm", arg=str(roots[1]))  # the catalog still knows it
    with pytest.raises(LastCopy, match="part of"):
        store.evict(roots[0], "ipfs")
    kubo.rpc("repo/gc", quiet="true")
    assert store.get(child) == shared
    store.unpin(child)
    kubo.rpc("pin/add", arg=str(child), name="holiday")
    assert store.evict(roots[0], "ipfs").had
    kubo.rpc("repo/gc", quiet="true")
    assert kubo.pins() == {str(child): "holiday"}
    assert kubo.ask("cat", arg=str(child)) == shared


def test_many_small_blobs_at_once(stack: Open, kubo: KuboNode) -> None:
    store = stack("ipfs")
    blobs = [os.urandom(size) for size in (0, 1, 100, 4096, 4096, 70_000)] * 3
    receipts = list(store.put_many(blobs))
    assert [store.get(receipt.cid) for receipt in receipts if not isinstance(receipt, Exception)] == blobs
    assert len(kubo.pins()) == len({bytes(blob) for blob in blobs})


def test_nothing_goes_out_without_publish(stack: Open, kubo: KuboNode) -> None:
    store = stack("ipfs", publish=False)
    receipt = store.put(b"not for everybody")
    assert receipt.copies == ("disk",)
    assert kubo.pins() == {}
    held = kubo.run("add", "-Q", stdin=b"from elsewhere").strip()
    assert store.get(held) == b"from elsewhere"


def test_a_node_that_is_down_is_not_an_empty_one(stack: Open, kubo: KuboNode) -> None:
    store = stack("ipfs")
    data = os.urandom(100_000)
    cid = store.put(data).cid
    kubo.stop()
    with pytest.raises(StoreUnavailable):
        store.get(cid)
    assert store.put(b"while it is down").copies == ("disk",)
    with pytest.raises((StoreUnavailable, NotDurable)):
        store.has(cid)


def test_a_byte_that_the_node_lost_is_never_served(stack: Open, kubo: KuboNode) -> None:
    store = stack("ipfs")
    data = os.urandom(3 << 20)
    cid = store.put(data).cid
    victim = max((kubo.folder / "blocks").rglob("*.data"), key=lambda path: path.stat().st_size)
    block = bytearray(victim.read_bytes())
    block[1000] ^= 1
    kubo.stop()
    victim.chmod(0o644)
    victim.write_bytes(block)
    kubo.start()
    store.close()
    store = stack("ipfs")
    with pytest.raises((CorruptBlob, StoreUnavailable, BlobNotFound)):
        store.get(cid)


# -- what the node makes ----------------------------------------------------------------------------

ODD = {
    "trickle": ["--trickle", "--chunker=size-20000"],
    "rabin": ["--chunker=rabin-10000-20000-40000"],
    "buzhash": ["--chunker=buzhash"],
    "dag-pb leaves": ["--raw-leaves=false", "--chunker=size-10000"],
    "version 0": ["--cid-version=0", "--raw-leaves=false", "--chunker=size-30000", "--max-file-links=3"],
    "inline": ["--inline", "--inline-limit=120", "--chunker=size-100"],
    "mode and mtime": ["--raw-leaves=false", "--mode=0640", "--mtime=1700000000", "--chunker=size-50000"],
    "another hash": ["--hash=blake2b-256", "--chunker=size-50000"],
    "trickle with dag-pb leaves": ["--trickle", "--raw-leaves=false", "--chunker=size-5000"],
}


@pytest.mark.parametrize("name", ODD)
def test_dags_that_others_make_are_proved_and_copied_whole(stack: Open, kubo: KuboNode, name: str) -> None:
    data = random.Random(name).randbytes(1050 if name == "inline" else 400_000)
    text = kubo.run("add", "-Q", *ODD[name], stdin=data).strip()
    store = stack()
    receipt = store.adopt(text, "ipfs")
    assert receipt.size == len(data)
    assert store.get(receipt.cid) == data
    assert store.get(receipt.cid, 333, 500) == data[333:833]
    store.copy(receipt.cid, "disk")
    gone = store.evict(receipt.cid, "ipfs")
    assert gone.had
    assert "not ours" in gone.kept
    kubo.wipe()
    assert store.get(receipt.cid) == data
    store.copy(receipt.cid, "ipfs")
    store.evict(receipt.cid, "disk")
    assert store.get(receipt.cid) == data
    assert next(iter(kubo.pins().values())).startswith("ziggurat:")
    assert kubo.ask("pin/verify", quiet="true") == b""  # it names what is not whole


FOLDERS = {
    "mode and mtime": ["--raw-leaves=false", "--preserve-mode", "--preserve-mtime"],
    "inlined": ["--inline", "--inline-limit=32"],
    "narrow and old": ["--cid-version=0", "--raw-leaves=false", "--max-hamt-fanout=8"],
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_nested_hamt_of_the_node_is_copied_whole_with_its_children(
    stack: Open, kubo: KuboNode, tmp_path: Path, name: str
) -> None:
    folder = tree(tmp_path / "tree", random.Random(5), names=700 if name == "mode and mtime" else 150)
    root = kubo.run("add", "-rQ", *FOLDERS[name], str(folder)).strip()
    store = stack()
    store.adopt(root, "ipfs")
    whole = kubo.ask("refs", arg=root, recursive="true", unique="true")
    store.copy(root, "disk")
    store.evict(root, "ipfs")
    kubo.wipe()
    assert len(list(store.ls(root))) == len(list(folder.iterdir()))
    store.save(root, tmp_path / "out")
    assert subprocess.run(["diff", "-r", "--no-dereference", folder, tmp_path / "out"]).returncode == 0
    store.copy(root, "ipfs")
    again = kubo.ask("refs", arg=root, recursive="true", unique="true", offline="true")
    assert sorted(again.splitlines()) == sorted(whole.splitlines())


@pytest.mark.parametrize("profile", ["unixfs-v1-2025", "unixfs-v0-2015"])
def test_what_is_put_is_what_add_would_name(stack: Open, kubo: KuboNode, profile: str) -> None:
    data = os.urandom(2_500_000)
    store = stack("ipfs", profile=profile)
    cid = store.put(data).cid
    flags = [] if profile == "unixfs-v1-2025" else ["--cid-version=0", "--raw-leaves=false"]
    flags += [] if profile == "unixfs-v1-2025" else ["--chunker=size-262144", "--max-file-links=174"]
    assert kubo.run("add", "-Q", "--only-hash", *flags, stdin=data).strip() == str(cid)
    assert list(kubo.pins()) == [str(cid)]


# -- the command line -------------------------------------------------------------------------------


def test_the_pins_of_a_full_node_are_listed_proved_and_adopted(kubo: KuboNode, tmp_path: Path) -> None:
    (tmp_path / "ziggurat.toml").write_text(
        f"""
[store]
path = "catalog"
[[tier]]
name = "node"
backend = "ipfs"
role = "store"
publish = true
[tier.options]
api = "{kubo.api}"
"""
    )

    def run(*arguments: str, stdin: bytes = b"") -> tuple[int, list[dict[str, object]], str]:
        done = subprocess.run(
            [sys.executable, "-m", "ziggurat", *arguments],
            cwd=tmp_path,
            input=stdin,
            capture_output=True,
            timeout=60,
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        rows = [json.loads(line) for line in done.stdout.splitlines()] if "--json" in arguments else []
        return done.returncode, rows, done.stderr.decode()

    held = kubo.run("add", "-Q", "--pin-name=holiday", stdin=b"beach" * 1000).strip()
    folder = kubo.run("add", "-rQ", str(tree(tmp_path / "tree", random.Random(3)))).strip()
    assert run("put", "-", stdin=b"ours")[0] == 0
    code, rows, _ = run("ipfs", "pin", "ls", "--json")
    assert code == 0
    assert {row["cid"]: (row["name"] == "holiday", row["ours"]) for row in rows} == {
        held: (True, False),
        folder: (False, False),
        next(str(row["cid"]) for row in rows if row["ours"]): (False, True),
    }
    assert [row["cid"] for row in run("ipfs", "pin", "ls", "--name", "holi", "--json")[1]] == [held]
    assert len(run("ipfs", "pin", "ls", "--ours", "--json")[1]) == 1
    assert len(run("ipfs", "pin", "ls", "--kind", "all", "--json")[1]) > 3
    code, rows, _ = run("ipfs", "pin", "verify", "--json")
    assert (code, len(rows)) == (0, 3)
    code, rows, _ = run("ipfs", "adopt", held, "--json")
    assert (code, [row["size"] for row in rows]) == (0, [5000])
    code, rows, _ = run("ipfs", "adopt", "--all", "--json")
    assert (code, len(rows)) == (0, 3)
    assert run("has", held)[0] == 0
    assert run("ipfs", "adopt", "bafkqaaa")[0] == 4
    assert run("ipfs", "adopt")[0] == 2
    assert run("ipfs", "pin", "ls", "--tier", "nothing")[0] == 3
    assert kubo.pins()[held] == "holiday"
    kubo.stop()
    assert run("ipfs", "pin", "ls")[0] == 5


def test_a_pin_that_is_not_whole_is_found(kubo: KuboNode, tmp_path: Path) -> None:
    from ziggurat.backend import Context
    from ziggurat_ipfs import Ipfs, IpfsOptions

    cid = kubo.run("add", "-Q", "--chunker=size-1000", stdin=os.urandom(5500)).strip()
    files = sorted((kubo.folder / "blocks").rglob("*.data"), key=lambda path: path.stat().st_size)
    victim = next(path for path in files if path.stat().st_size == 1000)
    ipfs = Ipfs(IpfsOptions(repo=kubo.folder), Context("t", "store", "c"))
    assert ipfs.prove(cid)[1] > 5500
    whole = victim.read_bytes()
    for change, words in ((None, "not whole"), (b"x" * 1000, "")):
        kubo.stop()
        victim.chmod(0o644) if victim.exists() else None
        victim.unlink() if change is None else victim.write_bytes(change)
        kubo.start()
        with pytest.raises(CorruptBlob) as caught:
            ipfs.prove(cid)
        assert words in caught.value.message
    victim.write_bytes(whole)
    ipfs.close()
