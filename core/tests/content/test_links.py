"""The links of a block of any codec."""

from __future__ import annotations

import pytest

from ziggurat.content import DAG_CBOR, DAG_JSON, DAG_PB, RAW, Cid, Link, encode_node, links, links_readable
from ziggurat.content.dagcbor import encode as cbor
from ziggurat.content.dagjson import encode as json
from ziggurat.errors import MalformedContent, UnsupportedContent

ONE, TWO = Cid.of(b"one"), Cid.of(b"two", DAG_PB, version=0)


@pytest.mark.parametrize(
    ("codec", "block"),
    [
        (DAG_PB, encode_node([Link(TWO, b"b", 1), Link(ONE, b"c", 1), Link(TWO, b"d", 1)], b"data")),
        (DAG_CBOR, cbor([TWO, {"a": ONE, "b": TWO}])),
        (DAG_JSON, json([TWO, {"a": ONE, "b": TWO}])),
    ],
)
def test_each_link_is_given_once_in_the_order_of_the_block(codec: int, block: bytes) -> None:
    found = links(block, codec)
    assert found == (TWO, ONE)
    assert [cid.version for cid in found] == [0, 1]
    assert links(memoryview(block), codec) == found
    assert links_readable(codec)


@pytest.mark.parametrize("codec", [RAW, 0x51, 0x0200])
def test_raw_bytes_and_plain_cbor_and_json_have_no_links(codec: int) -> None:
    assert links_readable(codec)
    assert links(cbor([ONE]), codec) == ()


@pytest.mark.parametrize("codec", [0x72, 0x78, 0x85, 0x90])
def test_another_codec_is_refused_by_its_number(codec: int) -> None:
    assert not links_readable(codec)
    with pytest.raises(UnsupportedContent, match=f"0x{codec:x}"):
        links(b"", codec)


@pytest.mark.parametrize("codec", [DAG_PB, DAG_CBOR, DAG_JSON])
def test_a_block_that_is_not_of_its_codec_is_refused(codec: int) -> None:
    with pytest.raises(MalformedContent):
        links(b"\xff\xff\xff", codec)
