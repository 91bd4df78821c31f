"""What a removal must leave: the index of another upload, and what somebody uploads at the same time."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest
from plugins.storacha.tests.spaces import MIB, Space, large
from tests.support.servers.storacha import StorachaServer

from ziggurat.backend import Dag
from ziggurat.content import Cid
from ziggurat.errors import TierUnavailable
from ziggurat.testing._content import DagSample, car_bytes, directory, file, noise, raw
from ziggurat_storacha import Storacha
from ziggurat_storacha.client.transport import Transport
from ziggurat_storacha.uploads import Uploads, shard_digest
from ziggurat_storacha.uploads.carstore import CarStore


def beneath(uploads: Uploads) -> tuple[DagSample, DagSample, bytes]:
    """A file that lies in a directory; the directory has an index, the file was stored without one."""
    child = file(noise(3000, 3))
    whole = directory(child=child)
    index = uploads.add(whole.root, whole.blocks.items()).index
    older = CarStore(uploads.service.call, uploads.service.transport, uploads.space)
    older.add(car_bytes(child.root, child.blocks.items()), root=child.root)
    return child, whole, index


def test_the_index_of_a_directory_outlives_a_file_in_it(tier: Storacha, uploads: Uploads) -> None:
    child, whole, index = beneath(uploads)
    assert tier.evict(child.root.key, None).had
    assert None not in uploads.blobs.sizes([index])
    found = tier.get(whole.root.key, None)
    assert isinstance(found, Dag)
    assert dict(found.pairs()) == whole.blocks


def test_a_copy_that_was_found_does_not_take_the_index_of_a_directory_for_its_own(
    tier: Storacha, uploads: Uploads
) -> None:
    child = file(noise(3000, 4))
    whole = directory(child=child)
    done = uploads.add(whole.root, whole.blocks.items())
    uploads.service.call("upload/add", uploads.space, {"root": child.root, "shards": list(done.shards)})
    assert tier.put(child.root.key, child.dag()).note is None
    gone = tier.evict(child.root.key, None)
    assert "1 of its shards stay" in gone.kept
    assert None not in uploads.blobs.sizes([done.made[0][0], done.index])


def test_a_stale_note_does_not_lead_to_the_shards_of_a_directory(tier: Storacha, uploads: Uploads) -> None:
    child, whole, index = beneath(uploads)
    row = uploads.get(whole.root)
    assert row is not None
    direct = tier.connection.reader.direct
    assert direct is not None
    found = direct.index(child.root)
    assert found is not None
    assert found.content == whole.root
    # The directory is being uploaded: its index is registered, and it is not listed yet.
    for root in (child.root, whole.root):
        uploads.service.call("upload/remove", uploads.space, {"root": root})
    assert not tier.evict(child.root.key, b"\x12\x20" + bytes(32)).had
    assert None not in uploads.blobs.sizes([*(shard_digest(shard) for shard in row.shards), index])


def test_both_versions_of_a_root_are_removed(tier: Storacha, uploads: Uploads) -> None:
    sample = file(noise(900, 6), wrapped=True)
    old = Cid.from_bytes(b"\x12\x20" + sample.root.digest)
    uploads.add(sample.root, sample.blocks.items())
    uploads.add(
        old, [(Cid.from_bytes(b"\x12\x20" + cid.digest), block) for cid, block in sample.blocks.items()]
    )
    assert len(list(uploads.list())) == 2
    assert tier.evict(sample.root.key, None).had
    assert not tier.has(sample.root.key)
    assert list(uploads.list()) == []


class Overtaken(Uploads):
    """Between the list that a removal reads and what it then removes, somebody uploads the same again."""

    def used_elsewhere(self, root: Cid, shards: Iterable[bytes]) -> set[bytes]:
        found = super().used_elsewhere(root, shards)
        sample = large(1)
        Uploads(self.service, self.space, shard_size=MIB).add(sample.root, sample.blocks.items())
        return found


def test_what_is_uploaded_again_while_it_is_removed_stays_whole(uploads: Uploads) -> None:
    sample = large(1)
    index = uploads.add(sample.root, sample.blocks.items()).index
    other = Overtaken(uploads.service, uploads.space)
    with pytest.raises(TierUnavailable, match=r"uploaded .* again while it was removed"):
        other.remove(sample.root, [index])
    row = uploads.get(sample.root)
    assert row is not None
    assert None not in uploads.blobs.sizes([*(shard_digest(shard) for shard in row.shards), index])


def test_an_upload_is_not_acknowledged_when_a_removal_took_its_shards(
    uploads: Uploads, space: Space, storacha: StorachaServer
) -> None:
    sample = large(2)
    uploads.add(sample.root, sample.blocks.items())
    other = Uploads(uploads.service, space.did)
    for place in ("space/index/add", "upload/add"):
        storacha.forget()
        storacha.fault(place, how="wait", seconds=250)
        with ThreadPoolExecutor(1) as thread:
            sending = thread.submit(uploads.add, sample.root, sample.blocks.items())
            while not storacha.log(place):
                time.sleep(0.02)
            assert other.remove(sample.root) is not None
            storacha.heal()  # only now does the request go on
            with pytest.raises(TierUnavailable, match="removed by somebody while it was uploaded") as caught:
                sending.result()
        assert caught.value.retryable
        uploads.add(sample.root, sample.blocks.items())
        row = uploads.get(sample.root)
        assert row is not None
        assert None not in uploads.blobs.sizes([shard_digest(shard) for shard in row.shards])


def test_a_list_that_goes_round_in_circles_does_not_end(uploads: Uploads) -> None:
    for number in range(2):
        sample = raw(noise(50, number))
        uploads.add(sample.root, sample.blocks.items())
    first = uploads.service.call("upload/list", uploads.space, {"size": 1})

    class Circling:
        """A service that gives the first page for ever: none can be made to do it."""

        endpoints = uploads.service.endpoints

        def call(self, *_: object) -> object:
            return first

    rows = Uploads(Circling(), uploads.space).list(1)  # type: ignore[arg-type] # it has what a list needs
    with pytest.raises(TierUnavailable, match="round in circles"):
        list(rows)


def test_a_list_of_cars_that_goes_round_in_circles_does_not_end() -> None:
    page = {"results": [{"link": raw(b"x").root, "size": 1}], "cursor": "again"}
    store = CarStore(lambda *_: page, Transport(), "did:key:z6Mk")
    with pytest.raises(TierUnavailable, match="round in circles"):
        list(store.list())
