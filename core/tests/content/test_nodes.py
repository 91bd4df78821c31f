"""dag-pb nodes, UnixFS in them, and leaves."""

from __future__ import annotations

import contextlib
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.content import (
    DAG_CBOR,
    DAG_PB,
    MAX_BLOCK,
    RAW,
    Cid,
    Link,
    decode_node,
    encode_node,
    leaf_block,
    leaf_payload,
    parse_node,
    proves_leaf,
)
from ziggurat.content.varint import encode_varint
from ziggurat.errors import InvalidCid, MalformedContent, UnsupportedContent

LEAF = Cid.of(b"leaf")

cids = st.builds(
    Cid.of,
    st.binary(max_size=40),
    st.sampled_from([RAW, DAG_PB, DAG_CBOR]),
    st.sampled_from(["sha2-256", "identity"]),
) | st.builds(lambda block: Cid.of(block, DAG_PB, version=0), st.binary(max_size=8))
links = st.builds(Link, cids, st.binary(max_size=200), st.integers(0, (1 << 64) - 1))
nodes = st.tuples(st.lists(links, max_size=6), st.none() | st.binary(max_size=200))


def field(number: int, value: int | bytes) -> bytes:
    """One protobuf field."""
    if isinstance(value, int):
        return encode_varint(number << 3) + encode_varint(value)
    return encode_varint(number << 3 | 2) + encode_varint(len(value)) + value


def unixfs(links: list[Link], *fields: bytes) -> bytes:
    return encode_node(links, b"".join(fields))


@given(nodes)
def test_node_round_trip(node: tuple[list[Link], bytes | None]) -> None:
    block = encode_node(*node)
    read_links, data = decode_node(block)
    assert (list(read_links), data) == node
    assert [link.cid.bytes for link in read_links] == [link.cid.bytes for link in node[0]]
    assert decode_node(memoryview(block)) == (read_links, data)


@given(nodes, st.data())
def test_a_cut_node_is_refused_or_is_canonical(
    node: tuple[list[Link], bytes | None], data: st.DataObject
) -> None:
    block = encode_node(*node)
    cut = block[: data.draw(st.integers(0, len(block)))]
    try:
        found = decode_node(cut)
    except MalformedContent:
        return
    assert encode_node(*found) == cut


@given(nodes, st.data())
def test_a_flipped_bit_changes_the_node_or_is_refused(
    node: tuple[list[Link], bytes | None], data: st.DataObject
) -> None:
    block = bytearray(encode_node(*node))
    cid = Cid.of(block, DAG_PB)
    if not block:
        return
    bit = data.draw(st.integers(0, 8 * len(block) - 1))
    block[bit >> 3] ^= 1 << (bit & 7)
    assert not cid.matches(block)
    try:
        found = decode_node(block)
    except MalformedContent:
        return
    assert found != (tuple(node[0]), node[1]) or bytes(block) != encode_node(*node)


@given(st.binary(max_size=300))
def test_garbage_is_refused(data: bytes) -> None:
    for parse in (decode_node, parse_node):
        with contextlib.suppress(MalformedContent, UnsupportedContent):
            parse(data)


@given(st.binary(max_size=100), st.lists(links, max_size=3))
def test_garbage_in_a_good_node(data: bytes, node_links: list[Link]) -> None:
    try:
        node = parse_node(encode_node(node_links, data))
    except (MalformedContent, UnsupportedContent):
        return
    assert node.links == tuple(node_links)


@pytest.mark.parametrize(
    "block",
    [
        b"\x0a\x01x\x12\x26\x0a\x24" + LEAF.bytes,  # data before a link
        b"\x0a\x00\x0a\x00",
        b"\x0a\x80\x00",  # a length that is longer than needed
        b"\x0a\x05abc",
        b"\x12\x00",
        b"\x12\x02\x12\x00",  # a link without a CID
        b"\x12\x28\x0a\x24" + LEAF.bytes + b"\x18\x80",
        b"\x12\x2a\x0a\x24" + LEAF.bytes + b"\x18\x01\x12\x00",  # fields of a link out of order
        b"\x12\x2a\x0a\x24" + LEAF.bytes + b"\x18\x01\x18\x01",
        b"\x12\x28\x0a\x24" + LEAF.bytes + b"\x20\x01",
        b"\x12\x24\x0a\x22" + LEAF.bytes[:-2],
        b"\x1a\x00",
        b"\x08\x01",
        b"\xff" * 12,
        bytes(MAX_BLOCK + 1),
    ],
)
def test_what_is_not_a_node(block: bytes) -> None:
    with pytest.raises(MalformedContent):
        decode_node(block)


def test_a_link_under_a_refused_hash_is_named() -> None:
    cid = b"\x01\x55\x1e\x20" + bytes(32)
    with pytest.raises(MalformedContent, match=r"link 0 .* blake3") as caught:
        decode_node(field(2, field(1, cid)))
    assert isinstance(caught.value.__cause__, InvalidCid)


def test_a_link_may_lack_name_and_size() -> None:
    found, data = decode_node(field(2, field(1, LEAF.bytes)) + field(2, field(1, LEAF.bytes) + field(3, 7)))
    assert found == (Link(LEAF, b"", 0), Link(LEAF, b"", 7))
    assert data is None


def test_a_node_full_of_tiny_links_costs_bounded_memory() -> None:
    tiny = field(2, field(1, b"\x01\x55\x00\x00"))
    block = tiny * (MAX_BLOCK // len(tiny))
    tracemalloc.start()
    try:
        with pytest.raises(MalformedContent, match="links"):
            decode_node(block)
        assert tracemalloc.get_traced_memory()[1] < 64_000_000
    finally:
        tracemalloc.stop()


def test_too_large_a_node_is_not_encoded() -> None:
    with pytest.raises(MalformedContent, match="limit"):
        encode_node((), bytes(MAX_BLOCK))


def test_a_file_node() -> None:
    two = [Link(LEAF, b"", 4), Link(LEAF, b"", 4)]
    node = parse_node(unixfs(two, field(1, 2), field(3, 7), field(4, 4), field(4, 3)))
    assert (node.type, node.size, node.block_sizes, node.is_file) == ("file", 7, (4, 3), True)
    packed = parse_node(unixfs(two, field(1, 2), field(3, 7), field(4, bytes([4, 3]))))
    assert packed.block_sizes == (4, 3)
    leaf = parse_node(unixfs([], field(1, 0), field(2, b"abc")))
    assert (leaf.type, leaf.size, leaf.data, leaf.is_file) == ("raw", 3, b"abc", True)


@pytest.mark.parametrize(
    "fields",
    [
        [field(1, 2)],
        [field(1, 2), field(4, 4)],
        [field(1, 2), field(4, 4), field(4, 4), field(4, 4)],
        [field(1, 2), field(3, 9), field(4, 4), field(4, 4)],
        [field(1, 2), field(4, (1 << 64) - 1), field(4, (1 << 64) - 1)],
        [field(1, 5), field(2, b"\x03")],
        [field(1, 5), field(2, b"\x03"), field(5, 0x22), field(6, 255)],
        [field(1, 5), field(2, b"\x01"), field(5, 0x22), field(6, 256)],
        [field(1, 5), field(2, b"\x03" + bytes(32)), field(5, 0x22), field(6, 256)],
        [field(1, 5), field(2, b"\x03"), field(5, 0x22), field(6, 1 << 40)],
        [field(1, 5), field(2, b"\x03"), field(5, 0x12), field(6, 256)],
        [field(1, 6)],
    ],
)
def test_unixfs_that_contradicts_itself(fields: list[bytes]) -> None:
    with pytest.raises((MalformedContent, UnsupportedContent)):
        parse_node(unixfs([Link(LEAF, b"", 4), Link(LEAF, b"", 4)], *fields))


def test_an_inner_node_with_data_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedContent, match="both links and data"):
        parse_node(unixfs([Link(LEAF, b"", 4)], field(1, 2), field(2, b"x"), field(4, 4)))


@pytest.mark.parametrize(
    "data", [None, b"", b"\0\1\2\3\4", field(2, b"no type"), field(1, b"text"), field(1, 2) * 2, b"\x08"]
)
def test_dag_pb_without_unixfs(data: bytes | None) -> None:
    node = parse_node(encode_node((), data))
    assert node.type is None
    assert not node.is_file
    assert not node.is_directory


def test_mode_and_mtime() -> None:
    mtime = field(1, 1_700_000_000) + b"\x15" + (500_000_000).to_bytes(4, "little")
    node = parse_node(
        unixfs([], field(1, 2), field(2, b"x"), field(3, 1), field(7, 0o100644), field(8, mtime))
    )
    assert node.mode == 0o644
    assert node.mtime == 1_700_000_000.5
    before = parse_node(unixfs([], field(1, 1), field(8, field(1, (1 << 64) - 5))))
    assert before.mtime == -5
    assert before.mode is None


def test_unknown_fields_of_unixfs_are_passed_over() -> None:
    node = parse_node(unixfs([], field(1, 1), field(9, 7), field(10, b"later"), b"\x5d1234", b"\x6112345678"))
    assert node.type == "directory"


def test_symlink_targets_keep_their_bytes() -> None:
    node = parse_node(unixfs([], field(1, 4), field(2, b"a/\xff")))
    assert node.target.encode("utf-8", "surrogateescape") == b"a/\xff"
    with pytest.raises(MalformedContent):
        _ = parse_node(unixfs([], field(1, 1))).target


def leaf_encodings(payload: bytes) -> list[bytes]:
    return [
        unixfs([], field(1, type_), *data, *size)
        for type_ in (2, 0)
        for size in ([], [field(3, len(payload))])
        for data in ([[field(2, payload)]] if payload else [[], [field(2, b"")]])
    ]


@given(st.binary(max_size=300), st.sampled_from(["sha2-256", "sha2-512", "blake2b-256"]))
def test_every_leaf_encoding_is_found(payload: bytes, hash_name: str) -> None:
    for block in leaf_encodings(payload):
        cid = Cid.of(block, DAG_PB, hash_name)
        assert leaf_payload(cid, block) == payload
        assert leaf_block(cid, payload) == block
        assert leaf_block(cid, memoryview(payload)) == block
        assert proves_leaf(cid, payload)
        assert not proves_leaf(cid, payload + b"x")
        assert leaf_block(cid, payload + b"x") is None
    raw = Cid.of(payload, RAW, hash_name)
    assert leaf_block(raw, payload) == payload == leaf_payload(raw, payload)
    assert proves_leaf(raw, bytearray(payload))
    assert leaf_block(raw, payload + b"x") is None


@given(st.binary(max_size=100))
def test_inlined_leaves(payload: bytes) -> None:
    for block in leaf_encodings(payload):
        cid = Cid.of(block, DAG_PB, "identity")
        assert leaf_block(cid, payload) == block
        assert not proves_leaf(cid, payload + b"x")


@given(st.binary(min_size=1, max_size=100), st.data())
def test_a_flipped_bit_of_a_leaf_is_caught(payload: bytes, data: st.DataObject) -> None:
    changed = bytearray(payload)
    bit = data.draw(st.integers(0, 8 * len(payload) - 1))
    changed[bit >> 3] ^= 1 << (bit & 7)
    for block in leaf_encodings(payload):
        assert not proves_leaf(Cid.of(block, DAG_PB), changed)
    assert not proves_leaf(Cid.of(payload), changed)


def test_an_odd_leaf_is_not_re_encoded() -> None:
    block = unixfs([], field(1, 2), field(2, b"odd"), field(3, 3), field(7, 0o644))
    cid = Cid.of(block, DAG_PB)
    assert leaf_payload(cid, block) == b"odd"
    assert leaf_block(cid, b"odd") is None
    assert not proves_leaf(cid, b"odd")


def test_what_is_not_a_leaf() -> None:
    for block in (unixfs([], field(1, 1)), unixfs([Link(LEAF, b"", 4)], field(1, 2), field(4, 4)), b""):
        with pytest.raises(MalformedContent, match="not a leaf"):
            leaf_payload(Cid.of(block, DAG_PB), block)
