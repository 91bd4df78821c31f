"""DAG-JSON: one form out; what the codec keeps for links and bytes; the links of blocks that others wrote."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.values import PUT_BY_KUBO, linked, values, with_floats

from ziggurat.content import DAG_JSON, MAX_BLOCK, Cid, Value, links
from ziggurat.content.dagjson import decode, encode
from ziggurat.content.datamodel import MAX_NESTING
from ziggurat.errors import BlobTooLarge, MalformedContent, UnsupportedContent

LEAF = Cid.of(b"leaf")
TEXT = str(LEAF)


@pytest.mark.parametrize(("value", "cid"), [(value, cid) for value, _, cid in PUT_BY_KUBO])
def test_the_cid_is_that_of_kubo(value: Value, cid: str) -> None:
    assert str(Cid.of(encode(value), DAG_JSON)) == cid


@given(values())
def test_a_value_comes_back_from_its_one_encoding(value: Value) -> None:
    block = encode(value)
    assert decode(block) == value
    assert encode(decode(block)) == block
    assert set(links(block, DAG_JSON)) == set(linked(value))


@given(values(), st.data())
def test_a_damaged_block_is_refused_or_says_what_it_links_to(value: Value, data: st.DataObject) -> None:
    block = bytearray(encode(value))
    block[data.draw(st.integers(0, len(block) - 1))] = data.draw(st.sampled_from(b'{}[]":,/ \\0\xff'))
    with contextlib.suppress(MalformedContent):
        found = decode(bytes(block))
        assert set(linked(found)) == set(links(bytes(block), DAG_JSON))
        with contextlib.suppress(UnsupportedContent):
            assert decode(encode(found)) == found


@given(st.binary(max_size=60) | st.text('{}[]":/0-.e\\u ', max_size=20).map(str.encode))
def test_noise_is_refused_by_one_error(noise: bytes) -> None:
    for read in (decode, lambda block: links(block, DAG_JSON)):
        with contextlib.suppress(MalformedContent):
            read(noise)


@given(with_floats)
def test_links_are_found_in_any_layout_of_the_same_json(value: Value) -> None:
    def said(part: Value) -> object:
        if isinstance(part, list):
            return [said(item) for item in part]
        if isinstance(part, dict):
            return {key: said(item) for key, item in part.items()}
        return part if isinstance(part, float) else json.loads(encode(part))

    loose = json.dumps(said(value), indent=2).encode()
    assert set(links(loose, DAG_JSON)) == set(linked(value))
    dense = json.dumps(said(value), separators=(",", ":"), sort_keys=True).encode()
    assert decode(dense) == value


@pytest.mark.parametrize(
    ("block", "reads_links"),
    [
        ('{"b":1,"a":2}', True),  # keys out of order
        ("[1, 2]", True),  # space
        ("1\n", True),
        (f'{{"a":1,"/":"{TEXT}"}}', True),  # no link: its first key is another one
        ('{"/":{"bytes":"AAE="}}', True),  # padding
        ('{"/":{"bytes":"AB"}}', True),  # bits that say nothing
        ('{"/":{"bytes":"-_"}}', True),
        ('{"/":{"bytes":"A"}}', True),
        ('{"/":{"bytes":"AAE","x":1}}', True),
        ('{"/":{"bytes":"AAE"},"b":1}', True),
        (f'{{"/":"{LEAF.encode("base36")}"}}', True),  # a base that is not the canonical one
        (f'{{"/":"{TEXT}","a":1}}', False),  # a link, and more
        ('{"/":"nothing"}', False),
        ('{"/":""}', False),
        ('{"/":"baf4bcfgio3hovkftaer3yx6jsnm6navhg4yimwi"}', False),  # sha1
        ('{"a":1,"a":2}', False),
        (f'{{"/":"{TEXT}","/":"{TEXT}"}}', False),
        ("NaN", False),
        ("-Infinity", False),
        ("1e400", False),
        ("-0", False),
        ("18446744073709551616" + "0" * 5000, False),
        ('"\\ud800"', True),  # half a surrogate pair
        ('{"\\ud800":1}', True),
        ("1 2", False),
        ("[1,]", False),
        ("01", False),
        ('"\t"', False),
        ("\ufeff1", False),
        ("", False),
        ("nil", False),
    ],
)
def test_what_is_not_canonical_is_refused(block: str, reads_links: bool) -> None:
    with pytest.raises(MalformedContent):
        decode(block.encode())
    if reads_links:
        expected = (LEAF,) if block.startswith('{"/":"') else ()
        assert links(block.encode(), DAG_JSON) == expected
    else:
        with pytest.raises(MalformedContent):
            links(block.encode(), DAG_JSON)


def test_text_that_is_not_utf8_is_refused() -> None:
    for block in (b'"\xff"', '"a"'.encode("utf-16"), b'"\xed\xa0\x80"'):
        for read in (decode, lambda block: links(block, DAG_JSON)):
            with pytest.raises(MalformedContent, match="UTF-8"):
                read(block)


@pytest.mark.parametrize(
    "value",
    [
        {"/": "text"},
        {"/": TEXT},
        {"/": TEXT, "a": 1},
        {"/": {"bytes": "AAE"}},
        {"/": {"bytes": "AAE", "x": 1}},
        {"/": {"bytes": "AAE"}, "a": 1},
        [{"a": {"/": "x"}}],
    ],
)
def test_a_map_that_would_be_read_as_something_else_is_not_written(value: Value) -> None:
    with pytest.raises(UnsupportedContent):
        encode(value)


@pytest.mark.parametrize(
    "value",
    [
        {"/": 1},
        {"/": None, "a": 1},
        {"/": {"bytes": 1}},
        {"/": {"a": 1, "bytes": "x"}},
        {"+": 1, "/": "x"},
        {"/": [TEXT]},
        {"": "x", "/": {"bytes": "AAE"}},
    ],
)
def test_a_slash_that_is_no_link_is_a_key_like_others(value: Value) -> None:
    assert decode(encode(value)) == value
    assert links(encode(value), DAG_JSON) == ()


@pytest.mark.parametrize("inner", [LEAF, b"x"])
def test_what_stands_under_a_slash_may_be_a_link_or_bytes_itself(inner: Value) -> None:
    # {"/": {"/": …}}: the outer map is a map, since its value is no text and does not begin with "bytes".
    value: Value = {"/": inner}
    assert decode(encode(value)) == value
    assert set(links(encode(value), DAG_JSON)) == set(linked(value))


@pytest.mark.parametrize("value", [1.5, 1 << 64, {1: 2}, "\ud800", {1}, bytearray()])
def test_what_the_codec_has_not_is_not_written(value: object) -> None:
    with pytest.raises(UnsupportedContent):
        encode(value)  # type: ignore[arg-type] # what the types forbid is tried on purpose


def test_nesting_and_size_are_limited_both_ways() -> None:
    value: Value = 1
    for _ in range(MAX_NESTING - 1):
        value = [value]
    assert decode(encode(value)) == value
    with pytest.raises(MalformedContent, match="deep"):
        encode([[value]])
    with pytest.raises(BlobTooLarge):
        encode("x" * MAX_BLOCK)
    deep = b"[" * 200_000 + b"]" * 200_000
    for read in (decode, lambda block: links(block, DAG_JSON)):
        with pytest.raises(MalformedContent, match="deep"):
            read(deep)
        with pytest.raises(MalformedContent, match="limit"):
            read(b'"' + b"x" * MAX_BLOCK + b'"')


@pytest.mark.parametrize(
    "block", [b'"' + b'\\"' * 500_000, b'["' * 500_000, b'{"a":' * 200_000, b" " * 1_000_000]
)
def test_long_nonsense_is_refused_at_once(block: bytes) -> None:
    for read in (decode, lambda block: links(block, DAG_JSON)):
        with pytest.raises(MalformedContent):
            read(block)
