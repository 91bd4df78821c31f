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
