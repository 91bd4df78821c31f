"""Stacks over real S3 services."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.servers.s3 import S3Server
from tests.support.servers.toxiproxy import Toxiproxy

from ziggurat import Cid, Store, open_store
from ziggurat.backend import Info
from ziggurat.errors import BlobNotFound, StoreUnavailable, TierDenied, ZigguratError

MIB = 1 << 20
DATA = random.Random(3).randbytes(3 * MIB + 5)

Open = Callable[..., Store]


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens stores; each `catalog` is a folder, and so another catalog."""
    opened: list[Store] = []

    def one(*tiers: dict[str, Any], catalog: str = "one") -> Store:
        opened.append(open_store({"store": {"path": str(tmp_path / catalog)}, "tier": list(tiers)}))
        return opened[-1]

    yield one
    for store in opened:
        store.close()


def s3(server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch, **more: Any) -> dict[str, Any]:
    monkeypatch.setenv("VAULT_SECRET", server.secret_key)
    options = {
        "bucket": bucket,
        "prefix": "ipfs/",
        "endpoint_url": more.pop("endpoint_url", server.endpoint),
        "access_key_id": server.access_key,
        "secret_access_key": {"env": "VAULT_SECRET"},
    }
    retry = {"attempts": 2, "max_wait": 0.1}
    return {"name": "s3", "backend": "s3", "role": "store", "options": options, "retry": retry, **more}


def disk(folder: Path, **more: Any) -> dict[str, Any]:
    return {"name": "disk", "backend": "disk", "role": "store", "options": {"path": str(folder)}, **more}


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def test_three_tiers(
    stack: Open, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3_server.make_bucket()
    ram = {"name": "ram", "backend": "memory", "role": "cache", "capacity": "10 MB"}
    ssd = disk(tmp_path / "cache", role="cache", capacity="100 MB")
    store = stack(ram, ssd, s3(s3_server, bucket, monkeypatch))
    receipt = store.put(DATA)
    assert s3_server.read(bucket, f"ipfs/{receipt.cid}") == DATA  # what `aws s3 cp` gives is the file
    assert store.get(receipt.cid) == DATA
    assert store.get(receipt.cid, MIB - 5, 10) == DATA[MIB - 5 : MIB + 5]
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a file").write_bytes(DATA[:70_000])
    root = store.put_dir(folder).cid
    assert store.get(f"{root}/deep/a file") == DATA[:70_000]
    assert all(finding.ok for finding in store.verify())
    store.remove(receipt.cid)
    store.remove(root)
    store.gc()
    assert s3_server.keys(bucket) == ["ipfs/.ziggurat/marker.json"]


def test_what_the_service_keeps_is_the_file_and_a_wrong_byte_is_not_read(
    stack: Open, versitygw: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = versitygw.make_bucket()
    both = stack(s3(versitygw, bucket, monkeypatch), disk(tmp_path / "disk"))
    cid = both.put(DATA).cid
    both.copy(cid, "disk")
    file = versitygw.data / bucket / "ipfs" / str(cid)
    assert file.read_bytes() == DATA
    flip(file, 2 * MIB)
    pieces = both.stream(cid)
    assert b"".join(map(bytes, pieces)) == DATA  # from the other tier, from the last proved byte on
    assert both.get(cid, 2 * MIB - 3, 6) == DATA[2 * MIB - 3 : 2 * MIB + 3]
    assert {finding.tier: finding.ok for finding in both.verify(cid)} == {"s3": False, "disk": True}
    alone = stack(s3(versitygw, bucket, monkeypatch), catalog="alone")
    with pytest.raises(ZigguratError):
        alone.get(cid)
    assert alone.get(cid, 0, MIB) == DATA[:MIB]


def test_two_catalogs_share_a_bucket_and_neither_collects(
    stack: Open, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3_server.make_bucket()
    one = stack(s3(s3_server, bucket, monkeypatch))
    first = one.put(DATA).cid
    two = stack(s3(s3_server, bucket, monkeypatch), catalog="two")
    second = two.put(DATA[1:]).cid
    assert two.get(first) == DATA
    assert one.get(second) == DATA[1:]
    before = s3_server.keys(bucket)
    for store, cid in ((one, first), (two, second)):
        store.remove(cid)
        (told,) = store.gc()
        assert (told.blobs, "2 catalogs use this medium" in told.refused) == (0, True)
        with pytest.raises(TierDenied, match="2 catalogs use this medium"):
            store.evict(cid, "s3")
    assert s3_server.keys(bucket) == before
    assert two.get(first) == DATA


def test_a_service_that_is_away_is_not_an_empty_one(
    stack: Open, minio: S3Server, toxiproxy: Toxiproxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = minio.make_bucket()
    with toxiproxy.before(minio.endpoint) as proxy:
        store = stack(s3(minio, bucket, monkeypatch, endpoint_url=proxy.url))
        cid = store.put(DATA, info=Info("text/plain")).cid
        with proxy.down():
            with pytest.raises(StoreUnavailable):
                store.get(cid)
            with pytest.raises(StoreUnavailable):
                store.has(Cid.of(b"absent"))
        with pytest.raises(BlobNotFound):
            store.get(Cid.of(b"absent"))
        assert store.get(cid) == DATA
        both = stack(
            s3(minio, bucket, monkeypatch, endpoint_url=proxy.url), disk(tmp_path / "disk"), catalog="both"
        )
        both.copy(cid, "disk")
        with proxy.toxic("limit_data", bytes=2 * MIB):
            assert both.get(cid) == DATA  # broken off there, and gone on with here
