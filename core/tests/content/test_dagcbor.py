"""DAG-CBOR: canonical bytes out, nothing else in; the links of blocks that others wrote."""

from __future__ import annotations

import contextlib
import struct
import subprocess
import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.values import PUT_BY_KUBO, linked, values, with_floats

from ziggurat.content import DAG_CBOR, MAX_BLOCK, Cid, Value, links
from ziggurat.content.dagcbor import decode, encode
from ziggurat.content.datamodel import MAX_NESTING
from ziggurat.errors import BlobTooLarge, MalformedContent, UnsupportedContent

LEAF = Cid.of(b"leaf")
LINK = b"\xd8\x2a\x58\x25\x00" + LEAF.bytes


@pytest.mark.parametrize(("value", "cid"), [(value, cid) for value, cid, _ in PUT_BY_KUBO])
def test_the_cid_is_that_of_kubo(value: Value, cid: str) -> None:
    assert str(Cid.of(encode(value), DAG_CBOR)) == cid


@given(values())
def test_a_value_comes_back_from_its_one_encoding(value: Value) -> None:
    block = encode(value)
    assert decode(block) == value
    assert encode(decode(block)) == block
    assert decode(memoryview(block)) == value
    assert sorted(links(block, DAG_CBOR), key=str) == sorted(set(linked(value)), key=str)


@given(values(), st.data())
def test_a_damaged_block_is_refused_or_is_canonical(value: Value, data: st.DataObject) -> None:
    block = bytearray(encode(value))
    for _ in range(data.draw(st.integers(1, 3))):
        block[data.draw(st.integers(0, len(block) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(block[: data.draw(st.integers(0, len(block)))])
    for candidate in (bytes(block), cut):
        try:
            found = decode(candidate)
        except MalformedContent:
            continue
        with contextlib.suppress(UnsupportedContent):  # a float, which is read and not written
            assert encode(found) == candidate
        assert set(linked(found)) == set(links(candidate, DAG_CBOR))


@given(st.binary(max_size=60))
def test_noise_is_refused_by_one_error(noise: bytes) -> None:
    for read in (decode, lambda block: links(block, DAG_CBOR)):
        with contextlib.suppress(MalformedContent):
            read(noise)


@pytest.mark.parametrize(
    ("block", "reads_links"),
    [
        ("1801", True),  # an integer longer than needed
        ("190018", True),
        ("590001ff", True),  # a length longer than needed
        ("d9002a" + LINK[2:].hex(), True),  # a tag longer than needed
        ("9b0000000000000001" + LINK.hex(), True),
        ("a2616201616102", True),  # keys out of order
        ("a262616101616202", True),  # keys by their letters, not by their length
        ("f93c00", True),  # floats of 16 and 32 bits
        ("fa3f800000", True),
        ("f97e00", True),  # NaN and infinity
        ("fb7ff8000000000000", True),
        ("fb7ff0000000000000", True),
        ("f7", True),  # undefined
        ("e0", True),  # a simple value
        ("f820", True),
        ("a2616101616102", False),  # a key twice
        ("a10102", False),  # a key that is no text
        ("a1" + LINK.hex() + "01", False),
        ("9f01ff", False),  # indefinite lengths
        ("bf616101ff", False),
        ("7f6161ff", False),
        ("5f4161ff", False),
        ("ff", False),
        ("c101", False),  # other tags, which a CBOR library understands
        ("c24101", False),
        ("c249010000000000000000", False),
        ("c48201187b", False),
        ("d81c81d81d00", False),
        ("d9010081" + "01", False),
        ("d9d9f701", False),
        ("d82a4100", False),  # a link without a CID
        ("d82a" + LINK[5:].hex(), False),
        ("d82a5824" + LEAF.bytes.hex(), False),  # a CID without its zero byte
        ("d82a7825" + "00" + LEAF.bytes.hex(), False),  # as text
        ("d82a" + LINK.hex(), False),  # a link in a link
        ("d82a5826" + "00" + LEAF.bytes.hex() + "00", False),  # a byte behind the CID
        ("d82a5819" + "0001781114" + "00" * 20, False),  # sha1
        ("0102", False),  # something behind it
        ("6180", False),  # not UTF-8
        ("61", False),
        ("", False),
        ("1c", False),
        ("f818", False),
        ("5bffffffffffffffff", False),  # lengths that nothing has
        ("9bffffffffffffffff", False),
        ("bb7fffffffffffffff", False),
    ],
)
def test_what_is_not_canonical_is_refused(block: str, reads_links: bool) -> None:
    with pytest.raises(MalformedContent):
        decode(bytes.fromhex(block))
    if reads_links:
        expected = (LEAF,) if LEAF.bytes.hex() in block else ()
        assert links(bytes.fromhex(block), DAG_CBOR) == expected
    else:
        with pytest.raises(MalformedContent):
            links(bytes.fromhex(block), DAG_CBOR)


@given(with_floats)
def test_links_are_found_beside_floats_that_we_do_not_write(value: Value) -> None:
    block = _with_floats(value)
    assert set(links(block, DAG_CBOR)) == set(linked(value))
    assert decode(block) == value


def _with_floats(value: Value) -> bytes:
    """`encode`, with floats in 64 bits: what other writers make."""
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, list):
        head = bytes((0x80 | len(value),))
        return head + b"".join(map(_with_floats, value))
    if isinstance(value, dict):
        pairs = sorted((encode(key), item) for key, item in value.items())
        return bytes((0xA0 | len(value),)) + b"".join(key + _with_floats(item) for key, item in pairs)
    return encode(value)


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        [float("nan")],
        {"a": float("inf")},
        1 << 64,
        -(1 << 64) - 1,
        {1: 2},
        {b"a": 1},
        {LEAF: 1},
        "\ud800",
        {"\udfff": 1},
        bytearray(b"x"),
        {1, 2},
        object(),
        2j,
    ],
)
def test_what_the_codec_has_not_is_not_written(value: object) -> None:
    with pytest.raises(UnsupportedContent):
        encode(value)  # type: ignore[arg-type] # what the types forbid is tried on purpose


def test_subclasses_are_written_as_what_they_are() -> None:
    class Word(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "something else"

    class Number(int):
        pass

    assert encode({Word("a"): (Word("b"), Number(7), True)}) == encode({"a": ["b", 7, True]})
    assert encode(LEAF.key) == encode(str(LEAF))


def test_nesting_is_limited_both_ways() -> None:
    value: Value = 1
    for _ in range(MAX_NESTING - 1):
        value = [value]
    assert decode(encode(value)) == value
    with pytest.raises(MalformedContent, match="deep"):
        encode([[value]])
    for deep in (b"\x81" * 100_000 + b"\1", b"\xa1\x60" * 100_000 + b"\1", b"\xd8\x2a" * 100_000 + b"\x40"):
        for read in (decode, lambda block: links(block, DAG_CBOR)):
            with pytest.raises(MalformedContent, match="depth"):
                read(deep)
    endless: list[Value] = []
    endless.append(endless)
    with pytest.raises(MalformedContent, match="deep"):
        encode(endless)


def test_the_size_is_limited_both_ways() -> None:
    most = encode(bytes(MAX_BLOCK - 5))
    assert len(most) == MAX_BLOCK
    assert decode(most) == bytes(MAX_BLOCK - 5)
    with pytest.raises(BlobTooLarge):
        encode(bytes(MAX_BLOCK))
    for read in (decode, lambda block: links(block, DAG_CBOR)):
        with pytest.raises(MalformedContent, match="limit"):
            read(most + b"\0")


def test_a_length_that_is_only_stated_costs_no_memory() -> None:
    tracemalloc.start()
    try:
        for kind in (0x40, 0x60, 0x80, 0xA0):
            for width, stated in ((26, 0xFFFFFFFF), (27, 1 << 40)):
                size = 4 if width == 26 else 8
                block = bytes((kind | width,)) + stated.to_bytes(size, "big")
                with pytest.raises(MalformedContent):
                    decode(block)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_the_library_comes_with_the_first_use() -> None:
    code = "import sys, ziggurat, ziggurat.content.dagcbor; sys.exit('cbor2' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
