"""The two short ways of a read: a block in memory by its text, and a blob that is one block."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ziggurat import Cid, Store, open_store
from ziggurat.errors import BlobNotFound, CorruptBlob, InvalidCid, StoreUnavailable, TierUnavailable


def tier(folder: Path, **more: object) -> dict[str, object]:
    return {"name": folder.name, "backend": "disk", "role": "store", "options": {"path": str(folder)}, **more}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    config = {"store": {"path": str(tmp_path / "vault"), "min_copies": 2}}
    with open_store({**config, "tier": [tier(tmp_path / "first"), tier(tmp_path / "second")]}) as store:
        yield store


def plugin(store: Store, name: str) -> Any:
    return next(one for one in store.tiers if one.name == name).plugin


def test_a_lie_ends_the_turn_of_its_tier_alone(store: Store) -> None:
    cid = store.put(b"the truth").cid
    plugin(store, "first").put(str(cid), b"a lie....")
    assert store.get(cid) == b"the truth"
    assert [type(failure) for failure in store.failures()] == [CorruptBlob]
    plugin(store, "second").put(str(cid), b"a lie....")
    with pytest.raises(StoreUnavailable) as caught:
        store.get(cid)
    assert [failure.tier for failure in caught.value.failures] == ["first", "second"]  # type: ignore[attr-defined] # tier errors


def test_absent_and_cannot_tell_differ(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = Cid.of(b"never put")
    for _ in range(2):  # a flight that stayed open would hang the second
        with pytest.raises(BlobNotFound):
            store.get(absent)
    cid = store.put(b"on both").cid
    asked: list[str] = []

    def down(_self: object, key: str, byte_range: object) -> None:
        asked.append(key)
        raise TierUnavailable("is away")

    monkeypatch.setattr(type(plugin(store, "first")._copies), "get", down)
    with pytest.raises(StoreUnavailable):
        store.get(cid)
    assert asked == [str(cid)] * 2  # each tier once: an error is not hidden by asking again


def test_readers_of_one_block_share_its_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"store": {"path": str(tmp_path / "vault")}}
    ram = {"name": "ram", "backend": "memory", "capacity": 1 << 20}
    with open_store({**config, "tier": [ram, tier(tmp_path / "disk")]}) as store:
        data = os.urandom(5000)
        cid = store.put(data).cid
        copies = type(plugin(store, "disk")._copies)
        real, slowly = copies.get, threading.Event()
        asked: list[str] = []

        def get(self: object, key: str, byte_range: object) -> object:
            asked.append(key)
            slowly.wait(0.2)
            return real(self, key, byte_range)

        monkeypatch.setattr(copies, "get", get)
        found: list[bytes] = []
        readers = [threading.Thread(target=lambda: found.append(store.get(cid))) for _ in range(16)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        assert found == [data] * 16
        assert asked == [str(cid)]
        assert store.get(str(cid)) is store.get(cid)  # out of memory, by the text as by the CID
        assert store.get(cid, 10, 20) == data[10:30]
        assert store.get(cid, 5000) == b""
        assert asked == [str(cid)]


def test_the_key_of_a_node_is_no_reference(tmp_path: Path) -> None:
    config = {"store": {"path": str(tmp_path / "vault")}}
    ram = {"name": "ram", "backend": "memory", "capacity": 10 << 20}
    with open_store({**config, "tier": [ram, tier(tmp_path / "disk")]}) as store:
        data = os.urandom(3 << 20)
        cid = store.put(data).cid
        assert store.get(cid) == data == store.get(str(cid))
        assert plugin(store, "ram").get(cid.cache_key) is not None
        with pytest.raises(InvalidCid):
            store.get(cid.cache_key)
