"""The ipfs tier on a Kubo node of its own, against curl and single commands on the same node.

The node runs offline with its default datastore. Puts are of fresh content, and the node is emptied between
runs, outside the time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import urllib3
from tests.bench.harness import Case, Row, limit, pairs
from tests.bench.workshop import KIB, MIB, Table, open_stack, scratch
from tests.support.servers.kubo import KuboNode

from ziggurat import Store
from ziggurat.backend import Context
from ziggurat.content import (
    RAW,
    Cid,
    Dag,
    car_header,
    car_section_size,
    import_stream,
    profile_by_name,
    write_car,
)
from ziggurat_ipfs import Ipfs, IpfsOptions

_PROFILE = profile_by_name("unixfs-v1-2025")


def cases() -> list[Case]:
    """The cases of this module."""
    return [
        Case("ipfs-put", _put),
        Case("ipfs-get", _get),
        Case("ipfs-many", _many),
        Case("ipfs-has", _has),
        Case("ipfs-range", _range),
    ]


@contextmanager
def _node() -> Iterator[tuple[KuboNode, Path]]:
    with scratch() as folder:
        node = KuboNode(folder / "kubo").start()
        try:
            yield node, folder
        finally:
            node.stop()


def _tier(node: KuboNode) -> Table:
    options = {"api": node.api}
    return {"name": "node", "backend": "ipfs", "role": "store", "publish": True, "options": options}


def _backend(node: KuboNode) -> Ipfs:
    return Ipfs(IpfsOptions(api=node.api), Context("node", "store", catalog="bench"))


def _dag(data: bytes) -> tuple[Cid, Dag]:
    """The DAG of some data, named and at hand."""
    made = import_stream([data], _PROFILE)
    blocks = list(made.nodes.items())
    blocks += [(Cid.of(data[at : at + MIB], RAW), data[at : at + MIB]) for at in range(0, len(data), MIB)]
    size = len(car_header([made.root])) + sum(car_section_size(cid, len(block)) for cid, block in blocks)
    return made.root, Dag(lambda: iter(blocks), size=size, car=lambda: write_car((made.root,), blocks))


def _curl(*arguments: str) -> None:
    subprocess.run(["curl", "-sf", "-X", "POST", *arguments, "-o", "/dev/null"], check=True)


def _put(quick: bool) -> Iterator[Row]:
    size = (8 if quick else 64) * MIB
    with _node() as (node, folder):
        ipfs, car = _backend(node), folder / "ready.car"

        def ours() -> float:
            root, dag = _dag(os.urandom(size))
            start = time.perf_counter()
            ipfs.put(root.key, dag)
            taken = time.perf_counter() - start
            node.wipe()
            return taken

        def peer() -> float:
            _, dag = _dag(os.urandom(size))
            with car.open("wb") as file:
                file.writelines(dag.car())
            start = time.perf_counter()
            _curl("-F", f"file=@{car}", f"{node.api}/api/v0/dag/import?stats=true")
            taken = time.perf_counter() - start
            node.wipe()
            return taken

        name = f"ipfs tier: put {size // MIB} MiB, CID known"
        yield pairs(name, ours, peer, 3 if quick else 9, against="curl, ready CAR to dag/import", target=0.8)


def _get(quick: bool) -> Iterator[Row]:
    size = (8 if quick else 64) * MIB
    with _node() as (node, folder), open_stack(folder / "vault", _tier(node)) as store:
        cid = store.put(os.urandom(size)).cid

        def ours() -> None:
            for _ in store.stream(cid):
                pass

        def peer() -> None:
            _curl(f"{node.api}/api/v0/dag/export?arg={cid}&progress=false")

        name = f"ipfs tier: proved get of {size // MIB} MiB"
        yield pairs(name, ours, peer, 3 if quick else 9, against="curl on dag/export", target=1.2)


def _many(quick: bool) -> Iterator[Row]:
    """Besides the target, what bounds it: what the node itself takes for as many named pins."""
    count = 100 if quick else 1000
    name = f"{count:,} blobs of 4 KiB"
    with _node() as (node, _):
        node.wipe()  # a fresh one has a pin of its own
        ipfs = _backend(node)
        kept = urllib3.connection_from_url(node.api)

        def ours() -> float:
            items = []
            for _ in range(count):
                block = os.urandom(4 * KIB)
                cid = Cid.of(block, RAW)
                size = len(car_header([cid])) + car_section_size(cid, len(block))
                items.append((cid.key, Dag(partial(iter, [(cid, block)]), size=size), None))
            start = time.perf_counter()
            answers = ipfs.put_many(items)
            taken = time.perf_counter() - start
            assert not any(isinstance(answer, Exception) for answer in answers)
            node.wipe()
            return taken

        def peer() -> float:
            blobs = [os.urandom(4 * KIB) for _ in range(count)]
            start = time.perf_counter()
            for blob in blobs:
                fields = {"file": ("blob", blob)}
                kept.request("POST", "/api/v0/add?pin=true&quiet=true", fields=fields)
            taken = time.perf_counter() - start
            assert len(node.pins()) == count
            node.wipe()
            return taken

        def bare() -> float:
            blobs = {Cid.of(block, RAW): block for block in (os.urandom(4 * KIB) for _ in range(count))}
            car = {"file": ("car", b"".join(write_car(blobs, blobs.items())))}
            cids = {"file": ("cids", "\n".join(map(str, blobs)))}
            start = time.perf_counter()
            kept.request("POST", "/api/v0/dag/import?pin-roots=false", fields=car)
            kept.request("POST", "/api/v0/pin/add?name=bench&offline=true", fields=cids)
            taken = time.perf_counter() - start
            assert len(node.pins()) == count
            node.wipe()
            return taken

        n, each, calls = 3 if quick else 7, "one add call each", "one dag/import and one pin/add"
        yield pairs(f"ipfs tier: put_many of {name}", ours, peer, n, against=each, target=5.0)
        yield pairs(f"Kubo: {calls} of {name}", bare, peer, n, against=each)
        yield pairs(f"ipfs tier: put_many of {name}, beside the bare calls", ours, bare, n, against=calls)


def _has(quick: bool) -> Iterator[Row]:
    with _node() as (node, _):
        ipfs = _backend(node)
        absent = [import_stream([os.urandom(2 * MIB)], _PROFILE).root for _ in range(50 if quick else 200)]
        kept = urllib3.connection_from_url(node.api)
        ipfs.has(absent[0].key)

        def ours() -> None:
            for cid in absent:
                assert not ipfs.has(cid.key)

        def peer() -> None:
            for cid in absent:
                kept.request("POST", f"/api/v0/pin/ls?arg={cid}&type=recursive")

        name = "ipfs tier: has of an absent CID"
        yield pairs(name, ours, peer, 3 if quick else 9, against="pin/ls of it", target=1 / 3)


_BOTH_WAYS = """
import os, resource, sys, tempfile
from ziggurat import open_store
api, mib = sys.argv[1], int(sys.argv[2])
tier = {"name": "node", "backend": "ipfs", "role": "store", "publish": True, "options": {"api": api}}
with tempfile.TemporaryDirectory(dir=sys.argv[3]) as folder:
    path = os.path.join(folder, "big")
    with open(path, "wb") as file:
        for _ in range(mib):
            file.write(os.urandom(1 << 20))
    with open_store({"store": {"path": folder + "/vault"}, "tier": [tier]}) as store:
        store.put(os.urandom(3 << 20))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        from pathlib import Path
        cid = store.put(Path(path)).cid
        for _ in store.stream(cid):
            pass
        print(cid, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


_GATEWAY = """
import resource, sys
from ziggurat import open_store
url, cid, folder = sys.argv[1:]
tier = {"name": "web", "backend": "gateway", "options": {"urls": [url]}}
with open_store({"store": {"path": folder + "/none"}, "tier": [tier]}) as store:
    store.get(cid, 0, 3 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in store.stream(cid):
        pass
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def _range(quick: bool) -> Iterator[Row]:
    mib = 64 if quick else 1024
    with _node() as (node, folder):
        asked = [sys.executable, "-c", _BOTH_WAYS, node.api, str(mib), str(folder)]
        cid, grown = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split()
        name = f"ipfs tier: memory that a put and a get of {mib} MiB take"
        yield limit(name, partial(float, grown), at_most=200, unit="MiB")
        asked = [sys.executable, "-c", _GATEWAY, node.gateway, cid, str(folder)]
        grown = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
        name = f"gateway tier: memory that a get of {mib} MiB takes"
        yield limit(name, partial(float, grown), at_most=200, unit="MiB")
        offsets = iter(range(5 * MIB - 32 * KIB, mib * MIB, 7 * MIB))

        def fetched() -> float:
            with open_stack(folder / f"vault-{next(offsets)}", _tier(node)) as store:
                assert len(store.get(cid, next(offsets), 64 * KIB)) == 64 * KIB
                return _read(store) / MIB

        name = f"ipfs tier: bytes fetched for 64 KiB out of {mib} MiB"
        yield limit(name, fetched, 3, at_most=3, unit="MiB")


def _read(store: Store) -> int:
    return sum(tier.meter.bytes_read for tier in store.tiers)
