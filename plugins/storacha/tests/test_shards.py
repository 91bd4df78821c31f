"""Shards and indexes: cut, written and read, against the official library's and against garbage."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.content import RAW, Cid, read_car
from ziggurat.errors import MalformedContent
from ziggurat.testing._content import file, noise
from ziggurat_storacha.uploads.index import Index, decode_index, encode_index
from ziggurat_storacha.uploads.shards import cut, digest_of, multihash, shard_of_car

blocks = st.lists(st.binary(max_size=400), min_size=1, max_size=40, unique=True)


@given(blocks, st.integers(1, 3000))
def test_shards_hold_every_block_where_they_say(data: list[bytes], limit: int) -> None:
    pairs = [(Cid.of(block, RAW), block) for block in data]
    root = pairs[0][0]
    shards = list(cut(root, pairs, limit))
    found = []
    for shard in shards:
        assert shard.digest == digest_of(shard.data)
        car = read_car([shard.data])
        assert car.roots == (root,)
        held = list(car)
        assert len(shard.data) <= limit or len(held) <= 1
        for one, (cid, block) in zip(shard.slices, held, strict=True):
            assert one.digest == multihash(cid)
            assert shard.data[one.offset : one.offset + one.length] == block
        found += held
    assert found == pairs
    assert [one.data for one in cut(root, pairs, limit)] == [one.data for one in shards]


@given(blocks, st.integers(100, 3000))
def test_an_index_reads_back(data: list[bytes], limit: int) -> None:
    pairs = [(Cid.of(block, RAW), block) for block in data]
    made = [(one.digest, len(one.data), one.slices) for one in cut(pairs[0][0], pairs, limit)]
    archive = encode_index(pairs[0][0], made)
    index = decode_index(archive, digest_of(archive))
    assert index == Index.made(pairs[0][0], made)
    assert index.positions.keys() == {multihash(cid) for cid, _ in pairs}


def test_two_roots_never_share_a_shard() -> None:
    one, two = file(noise(900, 1)), file(noise(900, 2))
    pairs = [*one.blocks.items(), *two.blocks.items()]
    mine = {shard.digest for shard in cut(one.root, pairs, 500)}
    assert mine.isdisjoint(shard.digest for shard in cut(two.root, pairs, 500))


def test_an_index_is_the_official_one(official: dict[str, Any]) -> None:
    recorded = official["index"]
    archive = base64.b64decode(recorded["archive"])
    index = decode_index(archive, digest_of(archive))
    shards = [shard_of_car(base64.b64decode(one)) for one in recorded["shards"]]
    root = Cid.parse(recorded["content"])
    assert all(roots == (root,) for roots, _ in shards)
    # It sorts its shards by digest; ours stand in the order of the DAG, so that a reader gets them in it.
    made = sorted((one.digest, len(one.data), one.slices) for _, one in shards)
    assert index == Index.made(root, made)
    # The official archive's blocks may stand in another order; each is the same.
    ours, theirs = read_car([encode_index(root, made)]), read_car([archive])
    assert ours.roots == theirs.roots
    assert dict(ours) == dict(theirs)


@settings(max_examples=300)
@given(st.integers(0), st.integers(0, 255))
def test_a_changed_index_is_refused_and_never_a_surprise(official: Any, place: int, value: int) -> None:
    archive = bytearray(base64.b64decode(official["index"]["archive"]))
    before = bytes(archive)
    archive[place % len(archive)] = value
    if bytes(archive) != before:
        with pytest.raises(MalformedContent, match="not the bytes that its digest names"):
            decode_index(bytes(archive), digest_of(before))
        with pytest.raises(MalformedContent):
            decode_index(bytes(archive), digest_of(bytes(archive)))


@given(st.binary(max_size=200))
def test_garbage_is_no_index(data: bytes) -> None:
    with pytest.raises(MalformedContent):
        decode_index(data, digest_of(data))


def test_a_ready_car_is_proved_before_it_is_taken() -> None:
    sample = file(noise(2000, 3))
    (shard,) = cut(sample.root, sample.blocks.items(), 1 << 20)
    roots, taken = shard_of_car(shard.data)
    assert (roots, taken) == ((sample.root,), shard)
    for place in range(len(shard.data) - 1, 40, -97):
        wrong = bytearray(shard.data)
        wrong[place] ^= 1
        with pytest.raises(MalformedContent):
            shard_of_car(bytes(wrong))
    with pytest.raises(MalformedContent):
        shard_of_car(shard.data[:-1])
