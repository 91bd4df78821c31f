"""The s3 tier on services of its own, against the better of boto3 and obstore on the same service.

The clients are as their manuals use them, with their own defaults; which one is better is tried first. A blob
is read as a stream by all, because that is how both clients are fastest.
"""

from __future__ import annotations

import hashlib
import io
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import obstore
from obstore.store import S3Store
from tests.bench.harness import Case, Row, limit, pairs
from tests.bench.workshop import KIB, MIB, Table, fill_file, open_stack, raw_cid, scratch, threads
from tests.support.servers.s3 import MAKES, S3Server

from ziggurat import Cid, Store
from ziggurat.backend import Blob, Context
from ziggurat_s3 import S3, S3Options

Work = Callable[[], object]


def cases() -> list[Case]:
    """The cases of this module."""
    return [
        Case("s3-small", _small),
        Case("s3-large", _large),
        Case("s3-proved", _proved),
        Case("s3-cold", _cold),
        Case("s3-range", _range),
    ]


@contextmanager
def _server(make: str) -> Iterator[tuple[S3Server, Path]]:
    with scratch() as folder:
        server = MAKES[make](folder / make).start()
        os.environ["BENCH_SECRET"] = server.secret_key
        try:
            yield server, folder
        finally:
            server.stop()


class _Clients:
    """The tier's own hooks, and the two clients, on one bucket."""

    def __init__(self, server: S3Server, folder: Path) -> None:
        self.bucket = server.make_bucket()
        options = S3Options(
            bucket=self.bucket,
            endpoint_url=server.endpoint,
            access_key_id=server.access_key,
            secret_access_key=server.secret_key,
        )
        self.ours = S3(options, Context("s3", "store", catalog="bench", spool=folder / "spool"))
        self.ours.identify(claim=True)
        self.boto: Any = server.connect(max_pool_connections=32, s3={"addressing_style": "path"})
        self.store = S3Store(
            self.bucket,
            endpoint=server.endpoint,
            access_key_id=server.access_key,
            secret_access_key=server.secret_key,
            region=server.region,
            client_options={"allow_http": True},
        )

    def get_boto(self, key: str) -> None:
        for _ in self.boto.get_object(Bucket=self.bucket, Key=key)["Body"].iter_chunks(MIB):
            pass

    def get_obstore(self, key: str) -> None:
        for _ in obstore.get(self.store, key).stream(MIB):
            pass

    def get_ours(self, key: str) -> None:
        answer = self.ours.get(key, None)
        if isinstance(answer, Blob):
            for _ in answer.chunks():
                pass


def _better(name: str, ours: Work, peers: dict[str, Work], n: int, target: float | None = None) -> Row:
    """A row against the peer that is faster here."""
    medians = {}
    for peer, work in peers.items():
        times = []
        for _ in range(4):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        medians[peer] = statistics.median(times[1:])
    best = min(medians, key=lambda peer: medians[peer])
    return pairs(name, _timed(ours), _timed(peers[best]), n, against=best, target=target)


def _timed(work: Work) -> Callable[[], float | None]:
    def run() -> None:
        work()

    return run


def _small(quick: bool) -> Iterator[Row]:
    count = 40 if quick else 320
    data = os.urandom(4 * KIB)
    for make in ("minio", "versitygw"):
        with _server(make) as (server, folder):
            clients = _Clients(server, folder)
            keys = [str(raw_cid(number).key) for number in range(count)]
            for key in keys:
                clients.ours.put(key, data, None)
            for many in (1, 16):

                def all_of(one: Callable[[str], object], many: int = many, keys: list[str] = keys) -> Work:
                    shares = [keys[part::many] for part in range(many)]

                    def work() -> None:
                        todo = list(shares)
                        threads(many, lambda: [one(key) for key in todo.pop()])

                    return work

                ways = {
                    "get": (
                        lambda key, c=clients: c.ours.get(key, None),
                        lambda key, c=clients: c.boto.get_object(Bucket=c.bucket, Key=key)["Body"].read(),
                        lambda key, c=clients: obstore.get(c.store, key).bytes(),
                    ),
                    "put": (
                        lambda key, c=clients: c.ours.put(key, data, None),
                        lambda key, c=clients: c.boto.put_object(Bucket=c.bucket, Key=key, Body=data),
                        lambda key, c=clients: obstore.put(c.store, key, data),
                    ),
                }
                for what, (ours, boto, other) in ways.items():
                    name = f"s3 tier on {make}: {what} of 4 KiB, {many} thread{'s' * (many > 1)}"
                    peers = {"boto3": all_of(boto), "obstore": all_of(other)}
                    yield _better(name, all_of(ours), peers, 3 if quick else 21, 0.9)


def _large(quick: bool) -> Iterator[Row]:
    size = (16 if quick else 64) * MIB
    noise = os.urandom(size)
    for make in ("minio", "versitygw"):
        with _server(make) as (server, folder):
            clients = _Clients(server, folder)
            for many in (1, 16):
                data = noise[: size if many == 1 else 16 * MIB]  # sixteen at once fill a disk
                each = len(data) // MIB

                def at_once(one: Callable[[str], object], many: int = many) -> Work:
                    def work() -> None:
                        keys = [str(raw_cid(number).key) for number in range(many)]
                        threads(many, lambda: one(keys.pop()))

                    return work

                for number in range(many):
                    clients.ours.put(str(raw_cid(number).key), data, None)
                tail = f"of {each} MiB, {many} thread{'s' * (many > 1)}"
                yield _better(
                    f"s3 tier on {make}: get {tail}",
                    at_once(clients.get_ours),
                    {"boto3": at_once(clients.get_boto), "obstore": at_once(clients.get_obstore)},
                    3 if quick else 9,
                    0.9,
                )
                ways = (
                    lambda key, c=clients, d=data: c.ours.put(key, d, None),
                    lambda key, c=clients, d=data: c.boto.put_object(Bucket=c.bucket, Key=key, Body=d),
                    lambda key, c=clients, d=data: c.boto.upload_fileobj(io.BytesIO(d), c.bucket, key),
                    lambda key, c=clients, d=data: obstore.put(c.store, key, d),
                )
                names = ("boto3 put_object", "boto3 upload_fileobj", "obstore")
                yield _better(
                    f"s3 tier on {make}: put {tail}",
                    at_once(ways[0]),
                    {name: at_once(way) for name, way in zip(names, ways[1:], strict=True)},
                    3 if quick else 7,
                    0.9,
                )


def _tier(server: S3Server, bucket: str) -> Table:
    options = {
        "bucket": bucket,
        "endpoint_url": server.endpoint,
        "access_key_id": server.access_key,
        "secret_access_key": {"env": "BENCH_SECRET"},
    }
    return {"name": "s3", "backend": "s3", "role": "store", "options": options}


def _proved(quick: bool) -> Iterator[Row]:
    """Gets and streams against clients that hash what streams by, and gets against such that keep it too."""
    size, n = (16 if quick else 64) * MIB, 3 if quick else 41
    for make in ("minio", "versitygw"):
        with _server(make) as (server, folder):
            clients = _Clients(server, folder)
            with open_stack(folder / "vault", _tier(server, clients.bucket)) as store:
                cid = store.put(os.urandom(size)).cid
                passing, kept = _hashing(clients, str(cid))

                def got(store: Store = store, cid: Cid = cid) -> None:
                    assert len(store.get(cid)) == size

                def streamed(store: Store = store, cid: Cid = cid) -> None:
                    assert sum(map(len, store.stream(cid))) == size

                what = f"of {size // MIB} MiB"
                yield _better(f"s3 stack on {make}: proved get {what}", got, passing, n, 0.75)
                yield _better(f"s3 stack on {make}: proved get {what}, kept by both", got, kept, n, 0.75)
                yield _better(f"s3 stack on {make}: proved stream {what}", streamed, passing, n)


def _hashing(clients: _Clients, key: str) -> tuple[dict[str, Work], dict[str, Work]]:
    """What a person would write to check a digest: hash bytes as they stream by, or keep and hash them."""

    def body() -> Any:
        return clients.boto.get_object(Bucket=clients.bucket, Key=key)["Body"]

    def hashed(pieces: Iterator[Any]) -> None:
        hasher = hashlib.sha256()
        for piece in pieces:
            hasher.update(piece)

    passing: dict[str, Work] = {
        "boto3 and sha256": lambda: hashed(body().iter_chunks(MIB)),
        "obstore and sha256": lambda: hashed(iter(obstore.get(clients.store, key).stream(MIB))),
    }
    kept: dict[str, Work] = {
        "boto3's bytes and sha256": lambda: hashed(iter([body().read()])),
        "obstore's bytes and sha256": lambda: hashed(iter([obstore.get(clients.store, key).bytes()])),
    }
    return passing, kept


def _cold(quick: bool) -> Iterator[Row]:
    for make in ("minio", "versitygw"):
        with _server(make) as (server, folder):
            yield _cold_on(server, folder, 50 if quick else 300, 3 if quick else 31)


def _cold_on(server: S3Server, folder: Path, count: int, n: int) -> Row:
    clients = _Clients(server, folder)
    tier = _tier(server, clients.bucket)
    ram: Table = {"name": "ram", "backend": "memory", "role": "cache", "capacity": 10**8}
    numbers = iter(range(100))

    def stack() -> Store:
        """The same catalog over empty caches."""
        ssd: Table = {"name": "ssd", "backend": "disk", "role": "cache", "capacity": 10**8}
        ssd["options"] = {"path": str(folder / f"cache-{next(numbers)}")}
        return open_stack(folder / "vault", ram, ssd, tier)

    with stack() as store:
        cids = [store.put(os.urandom(4 * KIB)).cid for _ in range(count)]

    def ours() -> float:
        with stack() as store:
            store.get(cids[0])
            start = time.perf_counter()
            for cid in cids[1:]:
                store.get(cid)
            return time.perf_counter() - start

    def peer() -> float:
        obstore.get(clients.store, str(cids[0])).bytes()
        start = time.perf_counter()
        for cid in cids[1:]:
            obstore.get(clients.store, str(cid)).bytes()
        return time.perf_counter() - start

    name = f"memory, disk, s3 on {server.make}: cold get of 4 KiB through the stack"
    return pairs(name, ours, peer, n, against="obstore", target=1 / 1.5)


_BOTH_WAYS = """
import os, re, sys
from pathlib import Path
from ziggurat import open_store
endpoint, access, bucket, folder, source = sys.argv[1:6]
options = {"bucket": bucket, "endpoint_url": endpoint, "access_key_id": access,
    "secret_access_key": {"env": "BENCH_SECRET"}}
tier = {"name": "s3", "backend": "s3", "role": "store", "options": options}
def peak():  # of this program alone: what getrusage says begins with what its parent had
    with open("/proc/self/status") as file:
        return int(re.search(r"VmHWM:\\s+(\\d+)", file.read())[1])
with open_store({"store": {"path": folder}, "tier": [tier]}) as store:
    store.put(os.urandom(3 << 20))
    before = peak()
    cid = store.put(Path(source)).cid
    for _ in store.stream(cid):
        pass
    print(cid, (peak() - before) / 1024)
"""


def _range(quick: bool) -> Iterator[Row]:
    mib = 64 if quick else 1024
    with _server("versitygw") as (server, folder):
        bucket = server.make_bucket()
        fill_file(folder / "source", mib * MIB)
        asked = [sys.executable, "-c", _BOTH_WAYS, server.endpoint, server.access_key, bucket]
        asked += [str(folder / "first"), str(folder / "source")]
        cid, grown = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split()
        name = f"s3 tier: memory that a put and a get of {mib} MiB take"
        yield limit(name, lambda: float(grown), at_most=250, unit="MiB")
        offsets = iter(range(5 * MIB - 32 * KIB, mib * MIB, 7 * MIB))

        def fetched() -> float:
            with open_stack(folder / f"vault-{next(offsets)}", _tier(server, bucket)) as store:
                assert len(store.get(cid, next(offsets), 64 * KIB)) == 64 * KIB
                return sum(tier.meter.bytes_read for tier in store.tiers) / MIB

        name = f"s3 tier: bytes fetched for 64 KiB out of {mib} MiB"
        yield limit(name, fetched, 3, at_most=2.1, unit="MiB")
