"""Uploads on the real service: sent once, listed last, taken up again, removed with what is theirs alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from plugins.storacha.tests.spaces import MIB, Space, large, make_space
from tests.support.servers.storacha import StorachaServer

from ziggurat.backend import Evicted, Stat
from ziggurat.content import DAG_PB, Cid
from ziggurat.errors import ContentMismatch, MalformedContent, TierDenied, TierFull, ZigguratError
from ziggurat.testing._content import DagSample, SourceError, car_bytes, file, noise, raw
from ziggurat_storacha import Storacha
from ziggurat_storacha.uploads import Uploads, cut, shard_cid, shard_digest


def names(server: StorachaServer) -> list[str]:
    return [one["name"] for one in server.log()]


def puts(server: StorachaServer) -> int:
    return len(server.log("PUT blob"))


def test_an_upload_is_listed_last(tier: Storacha, storacha: StorachaServer) -> None:
    sample = large()
    stat = tier.put(sample.root.key, sample.dag())
    asked = names(storacha)
    assert asked[-1] == "upload/add" or asked.index("upload/add") > asked.index("space/index/add")
    assert max(place for place, name in enumerate(asked) if name == "PUT blob") < asked.index(
        "space/index/add"
    )
    assert puts(storacha) == 5  # four shards and the index
    assert stat.stored is not None
    assert stat.stored > sample.tsize
    assert len(stat.note or b"") == 34


def test_what_is_there_is_not_sent_again(
    tier: Storacha, uploads: Uploads, storacha: StorachaServer, space: Space, tmp_path: Path
) -> None:
    sample = large()
    first = tier.put(sample.root.key, sample.dag())
    storacha.forget()
    again = space.open(tmp_path, shard_size=MIB)
    unread = sample.failing(0, SourceError("it was read"))
    held = again.put(sample.root.key, unread)
    assert held.note == first.note
    assert puts(storacha) == 0
    # Without the list entry, the shards are found.
    uploads.service.call("upload/remove", space.did, {"root": sample.root})
    storacha.forget()
    assert again.put(sample.root.key, sample.dag()) == first
    assert puts(storacha) == 0
    again.close()


def test_a_listed_upload_whose_shards_are_gone_is_sent_again(
    tier: Storacha, uploads: Uploads, storacha: StorachaServer
) -> None:
    sample = large()
    tier.put(sample.root.key, sample.dag())
    row = uploads.get(sample.root)
    assert row is not None
    uploads.blobs.remove([shard_digest(row.shards[1])])
    storacha.forget()
    tier.put(sample.root.key, sample.dag())
    assert "space/blob/add" in names(storacha)
    row = uploads.get(sample.root)
    assert row is not None
    assert None not in uploads.blobs.sizes([shard_digest(shard) for shard in row.shards])


def test_an_evict_leaves_nothing_in_the_space(tier: Storacha, uploads: Uploads) -> None:
    sample, other = large(), raw(noise(300, 9))
    stat = tier.put(sample.root.key, sample.dag())
    kept = tier.put(other.root.key, other.dag())
    gone = tier.evict(sample.root.key, stat.note)
    assert gone.had
    assert "cannot be taken back" in gone.kept
    assert [row.root for row in uploads.list()] == [other.root]
    assert {row.size for row in uploads.blobs.list()} == {*_sizes(uploads, other, kept)}
    assert tier.evict(sample.root.key, stat.note) == Evicted(False)
    assert list(tier.scan()) == [str(other.root.key)]


def _sizes(uploads: Uploads, sample: DagSample, stat: Stat) -> Iterator[int]:
    row = uploads.get(sample.root)
    assert row is not None
    assert stat.note is not None
    found = uploads.blobs.sizes([*(shard_digest(shard) for shard in row.shards), stat.note])
    yield from (size for size in found if size is not None)


def test_an_evict_without_its_note_finds_the_index(tier: Storacha, uploads: Uploads) -> None:
    sample = large()
    tier.put(sample.root.key, sample.dag())
    assert tier.evict(sample.root.key, None).had
    assert list(uploads.blobs.list()) == []


def test_an_evict_takes_the_indexes_of_every_put(
    tier: Storacha, uploads: Uploads, space: Space, tmp_path: Path
) -> None:
    sample = large(7)
    first = tier.put(sample.root.key, sample.dag())
    whole = space.open(tmp_path)
    assert whole.connection.uploads.add(sample.root, sample.blocks.items()).index != first.note
    whole.close()
    row = uploads.get(sample.root)
    assert row is not None
    assert len(row.shards) == 5
    assert tier.evict(sample.root.key, first.note).had
    assert list(uploads.blobs.list()) == []


def test_an_evict_that_broke_off_is_finished_with_the_note(
    tier: Storacha, uploads: Uploads, storacha: StorachaServer
) -> None:
    sample = large()
    stat = tier.put(sample.root.key, sample.dag())
    storacha.fault("space/blob/remove")
    with pytest.raises(ZigguratError):
        tier.evict(sample.root.key, stat.note)
    assert not tier.has(sample.root.key)
    assert len(list(uploads.blobs.list())) == 5
    assert not tier.evict(sample.root.key, stat.note).had
    assert list(uploads.blobs.list()) == []


def test_a_shard_that_another_upload_uses_stays(tier: Storacha, uploads: Uploads, space: Space) -> None:
    sample, other = large(), raw(noise(100, 1))
    stat = tier.put(sample.root.key, sample.dag())
    row = uploads.get(sample.root)
    assert row is not None
    uploads.service.call("upload/add", space.did, {"root": other.root, "shards": [row.shards[0]]})
    gone = tier.evict(sample.root.key, stat.note)
    assert "1 of its shards stay" in gone.kept
    assert [one.digest for one in uploads.blobs.list()] == [shard_digest(row.shards[0])]


def test_lists_come_in_pages(uploads: Uploads) -> None:
    roots = []
    for number in range(5):
        sample = raw(noise(50, number))
        uploads.add(sample.root, sample.blocks.items())
        roots.append(sample.root)
    for page in (1, 2, 5, 100):
        assert [row.root for row in uploads.list(page)] == roots[::-1]
        assert len(list(uploads.blobs.list(page))) == 10
    assert all(row.inserted and row.shards for row in uploads.list())


def test_a_list_that_breaks_off_does_not_end(
    tier: Storacha, uploads: Uploads, storacha: StorachaServer
) -> None:
    for number in range(3):
        sample = raw(noise(50, number))
        uploads.add(sample.root, sample.blocks.items())
    storacha.fault("upload/list", skip=2)
    rows = uploads.list(1)
    assert [next(rows), next(rows)]
    with pytest.raises(ZigguratError):
        list(rows)


def test_a_ready_car_goes_as_it_is(uploads: Uploads, storacha: StorachaServer) -> None:
    sample = file(noise(3000, 4))
    car = car_bytes(sample.root, sample.blocks.items())
    done = uploads.add_car(car)
    assert done.root == sample.root
    (shard,) = done.shards
    assert uploads.blobs.sizes([shard_digest(shard)]) == [len(car)]
    assert uploads.add_car(car).sent == 0
    with pytest.raises(MalformedContent, match="names 0 roots"):
        uploads.add_car(b"\x11\xa2eroots\x80gversion\x01")
    wrong = bytearray(car)
    wrong[-1] ^= 1
    storacha.forget()
    with pytest.raises(MalformedContent, match="not its CID's"):
        uploads.add_car(bytes(wrong))
    assert storacha.log() == []


def test_a_broken_source_publishes_nothing_and_another_attempt_goes_on(
    tier: Storacha, storacha: StorachaServer
) -> None:
    sample = large(5)
    error = SourceError("halfway")
    with pytest.raises(SourceError) as caught:
        tier.put(sample.root.key, sample.failing(8, error))
    assert caught.value is error
    assert not tier.has(sample.root.key)
    tier.put(sample.root.key, sample.dag())
    assert puts(storacha) == 5  # whatever had arrived before


def test_a_dag_that_is_not_its_roots_is_refused(tier: Storacha) -> None:
    sample, other = large(), file(noise(400, 8))
    with pytest.raises(ContentMismatch, match="does not begin with its root"):
        tier.put(sample.root.key, other.dag())
    assert not tier.has(sample.root.key)


def test_a_root_of_version_0_is_the_same_root(tier: Storacha, uploads: Uploads) -> None:
    sample = file(noise(900, 6), wrapped=True)
    old = Cid.from_bytes(b"\x12\x20" + sample.root.digest)
    assert old.version == 0
    uploads.add(
        old, [(Cid.from_bytes(b"\x12\x20" + cid.digest), block) for cid, block in sample.blocks.items()]
    )
    assert tier.has(sample.root.key)
    assert list(tier.scan()) == [str(sample.root.key)]
    found = tier.get(sample.root.key, None)
    assert dict(found.pairs()) == sample.blocks  # type: ignore[union-attr] # a plain dag-pb key gives a Dag
    assert tier.evict(sample.root.key, None).had
    assert list(uploads.list()) == []


def test_progress_counts_every_shard_once(uploads: Uploads) -> None:
    sample = large()
    told: list[int] = []
    uploads.add(sample.root, sample.blocks.items(), progress=told.append)
    shards = [len(shard.data) for shard in cut(sample.root, sample.blocks.items(), MIB)]
    assert sorted(told) == sorted(shards)


def test_a_space_without_a_plan_and_a_foreign_one_are_refused(space: Space, tmp_path: Path) -> None:
    sample = raw(b"x")
    other = make_space(space.server, "another@example.org")
    foreign = space.open(tmp_path, space=other.did)
    with pytest.raises(TierDenied, match="no proof lets"):
        foreign.has(sample.root.key)
    foreign.close()
    owner = type(other.owner).generate()
    unpaid = Space(space.server, owner, space.agent, space.account)
    tier = unpaid.open(tmp_path)
    with pytest.raises(ZigguratError, match=r"plan|provision") as caught:
        tier.put(sample.root.key, sample.dag())
    assert isinstance(caught.value, TierFull) or "storage" in str(caught.value).lower()
    tier.close()


def test_many_are_put_at_once_and_each_has_its_own_answer(tier: Storacha) -> None:
    samples = [raw(noise(200, number)) for number in range(12)]
    items = [(one.root.key, one.dag(), None) for one in samples]
    items.insert(5, (Cid.of(b"x", DAG_PB).key, samples[0].dag(), None))
    answers = tier.put_many(items)
    assert isinstance(answers.pop(5) if isinstance(answers, list) else None, ContentMismatch)
    assert all(isinstance(one, Stat) for one in answers)
    assert sorted(tier.scan()) == sorted(str(one.root.key) for one in samples)


def test_the_cid_of_a_shard_leads_back_to_its_digest() -> None:
    digest = b"\x12\x20" + bytes(range(32))
    assert shard_digest(shard_cid(digest)) == digest
    assert str(shard_cid(digest)).startswith("bagbaiera")
