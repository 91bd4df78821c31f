"""dag-cbor and dag-json blocks, against those of a real node."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.servers.kubo import KuboNode
from tests.support.values import cids, linked, values

from ziggurat.content import DAG_CBOR, DAG_JSON, Cid, Value, dagcbor, dagjson, links
from ziggurat.errors import MalformedContent

CODECS = {"dag-cbor": (DAG_CBOR, dagcbor), "dag-json": (DAG_JSON, dagjson)}

# Kubo's integers have 64 bits, the sign among them.
shared = values(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.text(st.characters(codec="utf-8"), max_size=20)
    | st.binary(max_size=30)
    | cids
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shared)
def test_each_writes_and_reads_the_block_of_the_other(kubo_session: KuboNode, value: Value) -> None:
    for name, (codec, module) in CODECS.items():
        block = module.encode(value)
        for given_as, (_, other) in CODECS.items():
            put = kubo_session.rpc("dag/put", other.encode(value), input_codec=given_as, store_codec=name)
            assert put["Cid"]["/"] == str(Cid.of(block, codec))
        for asked_as, (_, other) in CODECS.items():
            got = kubo_session.ask("dag/get", arg=str(Cid.of(block, codec)), output_codec=asked_as)
            assert other.decode(got) == value
        assert set(links(block, codec)) == set(linked(value))


LEAF = Cid.of(b"leaf of a foreign block")
HEX = "d82a582500" + LEAF.bytes.hex()


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("dag-cbor", bytes.fromhex("82f93c00" + HEX)),  # a float of 16 bits
        ("dag-cbor", bytes.fromhex("82fb3ff199999999999a" + HEX)),
        ("dag-cbor", bytes.fromhex("a2616201" + "6161" + HEX)),  # keys out of order
        ("dag-cbor", bytes.fromhex("82f7" + HEX)),  # undefined
        ("dag-json", f' {{"b": 1.50, "a": {{"/": "{LEAF}"}}}}\n'.encode()),
        ("dag-json", f'{{"a":{{"/":"{LEAF.encode("base36")}"}}}}'.encode()),
        ("dag-json", f'{{"x":1,"/":"{LEAF}"}}'.encode()),  # no link: another key stands first
        ("dag-json", f'[{{"/":{{"bytes":"AAE="}}}},{{"/":"{LEAF}"}}]'.encode()),
    ],
)
def test_a_node_finds_the_same_links_in_a_block_that_is_not_canonical(
    kubo: KuboNode, name: str, block: bytes
) -> None:
    codec, module = CODECS[name]
    kubo.ask("block/put", b"leaf of a foreign block", cid_codec="raw")
    cid = Cid.parse(kubo.rpc("block/put", block, cid_codec=name)["Key"])
    assert cid == Cid.of(block, codec)
    rows = kubo.ask("refs", arg=str(cid), offline="true").splitlines()
    assert {Cid.parse(json.loads(row)["Ref"]) for row in rows} == set(links(block, codec))
    if b"3ff199" not in block.hex().encode():
        with pytest.raises(MalformedContent):
            module.decode(block)


LEAF = Cid.of(b"a leaf to link to")
CBOR_LINK = b"\xd8\x2a\x58\x25\x00" + LEAF.bytes
ODD_CBOR = [
    b"%s",
    b"\x9f%s\xff",
    b"\xbf\x61a%s\xff",
    b"\xa2\x61b%s\x61a%s",
    b"\xa2\x61a%s\x61a\x01",
    b"\x82\xf9\x3c\x00%s",
    b"\x82\xfa\x3f\x80\x00\x00%s",
    b"\x82\xf7%s",
    b"\xa1\x01%s",
    b"\xa1%s\x01",
    b"\xa1\x41a%s",
    b"\x82\xc1\x01%s",
    b"\x82\xc2\x41\x01%s",
    b"\x98\x01%s",
    b"\x82\xe0%s",
    b"\x82\xf9\x7e\x00%s",
    b"\x82\x62\xc3\x28%s",
    b"%s\x00",
    b"\x82\x7f\x61a\xff%s",
    b"\xd9\x00\x2a" + CBOR_LINK[2:],
    b"\xd8\x2a\x58\x24" + LEAF.bytes,
]
ODD_JSON = [
    b'{"/":"%s"}',
    b' [ {"/" : "%s" } ]',
    b'{"b":1,"a":{"/":"%s"}}',
    b'{"/":"%s","x":1}',
    b'{"x":1,"/":"%s"}',
    b'{"/":{"/":"%s"}}',
    b'{"/":{"bytes":"AA"},"l":{"/":"%s"}}',
    b'{"/":{"bytes":1,"l":{"/":"%s"}}}',
    b'{"/":{"bytes":{"/":"%s"}}}',
    b'{"\\u002f":"%s"}',
    b'{"/":null,"l":{"/":"%s"}}',
    b'{"/":["%s"]}',
    b'{"a":{"/":"%s"},"a":2}',
    b'{"/":"/ipfs/%s"}',
    b'[1e2,{"/":"%s"}]',
    b'[-0,{"/":"%s"}]',
    b'["\xff",{"/":"%s"}]',
    b'{"/":{"x":{"/":"%s"}}}',
    b'{"/":{"bytes":"AA==","l":{"/":"%s"}}}',
    b'{"/":{},"l":{"/":"%s"}}',
    b'{"/":{"bytes":"AA","x":1},"b":{"/":"%s"}}',
    b'{"/":{"/":"%s"},"b":2}',
    b'["\\ud800",{"/":"%s"}]',
    b'{"/":"%s"}x',
]


def test_no_link_that_the_node_follows_is_passed_over(kubo: KuboNode) -> None:
    """We may follow more than a node that refuses a block, or refuse one ourselves; never less in silence."""
    kubo.rpc("block/put", b"a leaf to link to", cid_codec="raw")
    same = 0
    for name, codec, link, odd in (
        ("dag-cbor", DAG_CBOR, CBOR_LINK, ODD_CBOR),
        ("dag-json", DAG_JSON, str(LEAF).encode(), ODD_JSON),
    ):
        for block in (one.replace(b"%s", link) for one in odd):
            key = kubo.rpc("block/put", block, cid_codec=name)["Key"]
            told = kubo.ask("refs", arg=key, offline="true", unique="true").splitlines()
            rows = [json.loads(row) for row in told]
            try:
                ours = links(block, codec)
            except MalformedContent:
                continue
            if not any(row["Err"] for row in rows):
                assert [str(cid) for cid in ours] == [row["Ref"] for row in rows], block
                same += 1
    assert same > 20
