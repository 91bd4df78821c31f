"""How often a service is asked, how much it sends, and how much memory that takes."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.support.servers.s3 import S3Server
from tests.support.servers.wire import Relay

from ziggurat import Store, open_store
from ziggurat.backend import Blob, ByteRange
from ziggurat.content import Cid
from ziggurat_s3 import S3

Make = Callable[..., S3]
MIB = 1 << 20
KEY, ABSENT = Cid.of(b"held").key, Cid.of(b"absent").key


def tier(server: S3Server, endpoint: str, **options: object) -> dict[str, object]:
    known = {
        "endpoint_url": endpoint,
        "access_key_id": server.access_key,
        "secret_access_key": {"env": "THE_SECRET"},
        **options,
    }
    return {"name": "archive", "backend": "s3", "role": "store", "options": known}


def stack(folder: Path, server: S3Server, endpoint: str, **options: object) -> Store:
    os.environ["THE_SECRET"] = server.secret_key
    return open_store({"store": {"path": str(folder)}, "tier": [tier(server, endpoint, **options)]})


def test_each_hook_asks_once(make: Make, s3_server: S3Server) -> None:
    with Relay(s3_server.endpoint) as relay:
        s3 = make(s3_server, endpoint_url=relay.url)
        s3.put(KEY, b"12345", None)

        def asked(call: Callable[[], object]) -> list[str]:
            relay.reset()
            call()
            return relay.methods()

        assert asked(lambda: s3.get(KEY, None)) == ["GET"]
        assert asked(lambda: s3.get(KEY, ByteRange(1, 2))) == ["GET"]
        assert asked(lambda: s3.get(ABSENT, None)) == ["GET"]
        assert asked(lambda: s3.has(KEY)) == ["HEAD"]
        assert asked(lambda: s3.stat(KEY)) == ["HEAD"]
        assert asked(lambda: s3.put(KEY, b"54321", None)) == ["PUT"]
        # A HEAD without an answer can mean the object, the bucket, or the key: one byte tells.
        assert asked(lambda: s3.has(ABSENT)) == ["HEAD", "GET"]
        assert asked(lambda: s3.evict(KEY)) == ["HEAD", "DELETE"]


def test_nothing_is_asked_before_the_first_call(make: Make, minio: S3Server) -> None:
    with Relay(minio.endpoint) as relay:
        make(minio, endpoint_url=relay.url).close()
        assert relay.requests == []
        assert relay.sent == 0


def test_a_blob_that_is_not_read_to_its_end_is_closed(make: Make, minio: S3Server) -> None:
    size = 64 * MIB
    with Relay(minio.endpoint) as relay:
        s3 = make(minio, endpoint_url=relay.url)
        s3.put(KEY, bytes(size), None)
        relay.reset()
        answer = s3.get(KEY, None)
        assert isinstance(answer, Blob)
        pieces = answer.chunks()
        next(pieces)
        answer.close()
        del pieces
        assert s3.get(KEY, ByteRange(0, 3)) == b"\0\0\0"
        assert relay.received < size


def test_a_range_of_a_large_blob_downloads_two_leaves_and_the_nodes(
    s3_server: S3Server, tmp_path: Path
) -> None:
    data = random.Random(2).randbytes(48 * MIB)
    bucket = s3_server.make_bucket()
    with Relay(s3_server.endpoint) as relay:
        with stack(tmp_path / "one", s3_server, relay.url, bucket=bucket) as store:
            cid = store.put(data).cid
        with stack(tmp_path / "one", s3_server, relay.url, bucket=bucket) as store:
            store.has(cid)
            relay.reset()
            at = 20 * MIB - 1000  # across two leaves
            assert store.get(cid, at, 64 << 10) == data[at : at + (64 << 10)]
            assert relay.received < 2 * MIB + (64 << 10)


def test_many_objects_are_listed(make: Make, s3_server: S3Server) -> None:
    s3 = make(s3_server, prefix="ipfs", layout="spread")
    bucket, client = s3._bucket.name, s3_server.client
    keys = {Cid.of(str(n).encode()).key for n in range(1100)}  # more than one page
    for key in keys:
        s3.put(key, b"", None)
    for odd in ("ipfs/a b+%ü", "ipfs/" + Cid.of(b"0").key, "ipfsx/" + Cid.of(b"0").key):
        client.put_object(Bucket=bucket, Key=odd, Body=b"")
    assert sorted(s3.scan()) == sorted(keys)


BOTH_WAYS = """
import os, re, sys
from ziggurat import open_store
endpoint, key, bucket, folder, mib = sys.argv[1:6]
mib = int(mib)
piece = os.urandom(1 << 20)
options = {"bucket": bucket, "endpoint_url": endpoint, "access_key_id": key,
    "secret_access_key": {"env": "THE_SECRET"}}
tier = {"name": "s3", "backend": "s3", "role": "store", "options": options}
def peak():  # of this program alone: what getrusage says begins with what its parent had
    with open("/proc/self/status") as file:
        return int(re.search(r"VmHWM:\\s+(\\d+)", file.read())[1])
with open_store({"store": {"path": folder}, "tier": [tier]}) as store:
    store.put(b"x" * (1 << 20))
    before = peak()
    path = folder + "/source"
    with open(path, "wb") as file:
        for _ in range(mib):
            file.write(piece)
    import pathlib
    cid = store.put(pathlib.Path(path)).cid
    size = sum(len(part) for part in store.stream(cid))
    assert size == mib << 20, size
    print((peak() - before) // 1024, flush=True)
"""


def test_memory_does_not_grow_with_the_blob(
    child: Callable[..., subprocess.Popen[str]], versitygw: S3Server, tmp_path: Path
) -> None:
    os.environ["THE_SECRET"] = versitygw.secret_key
    bucket = versitygw.make_bucket()
    process = child(BOTH_WAYS, versitygw.endpoint, versitygw.access_key, bucket, tmp_path / "store", 512)
    said, _ = process.communicate(timeout=250)
    assert process.returncode == 0
    assert 10 < int(said) < 250, f"{said} MiB for 512"
