"""Agent messages and receipts: what the official library recorded, and what nobody should take."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from ziggurat.content import DAG_CBOR, RAW, Cid, dagcbor, dagjson
from ziggurat.errors import ContentMismatch, MalformedContent, ZigguratError
from ziggurat_storacha.client.delegation import Delegation, delegate, read_blocks, write_blocks
from ziggurat_storacha.client.keys import Key
from ziggurat_storacha.client.messages import read_message, write_message
from ziggurat_storacha.client.receipts import decode_receipt, issue_receipt, verify_receipt
from ziggurat_storacha.client.ucan import Capability, decode_ucan

SIGNER = Key(bytes(range(32)))
RAN = Cid.of(b"an invocation", DAG_CBOR)


def raw(text: str) -> bytes:
    return base64.b64decode(text)


def shown(value: object) -> Any:
    import json

    return json.loads(dagjson.encode(value))  # type: ignore[arg-type] # it came out of a decoder


def test_official_receipts_decode_and_verify(official: dict[str, Any]) -> None:
    service = official["service"]
    for one in official["receipts"]:
        blocks = {Cid.parse(cid): raw(block) for cid, block in one["blocks"]}
        block = raw(one["block"])
        receipt = decode_receipt(block, Cid.of(block, DAG_CBOR), blocks)
        assert str(receipt.cid) == one["cid"], one["name"]
        assert str(receipt.ran) == one["ran"]
        assert receipt.issuer == one["issuer"]
        assert [str(cid) for cid in receipt.fork] == one["fork"]
        if "ok" in one["out"]:
            assert receipt.failure is None
            assert shown(receipt.ok) == one["out"]["ok"]
        else:
            assert receipt.failure is not None
            assert receipt.failure.name == one["out"]["error"]["name"]
            assert receipt.failure.message == one["out"]["error"]["message"]
        issuer = service["did"] if one["issuer"] == service["did"] else one["issuer"]
        verify_receipt(receipt, issuer, one["key"])
        for cid in receipt.fork:
            assert receipt.task(cid).cid == cid


def verified(block: bytes, one: dict[str, Any]) -> None:
    receipt = decode_receipt(block, Cid.of(block, DAG_CBOR), {})
    verify_receipt(receipt, one["issuer"], one["key"])


def test_one_flipped_bit_of_a_receipt_is_refused(official: dict[str, Any]) -> None:
    one = next(one for one in official["receipts"] if one["name"] == "forks")
    block = raw(one["block"])
    for bit in range(8 * len(block)):
        changed = bytearray(block)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ZigguratError):
            verified(bytes(changed), one)


def test_a_receipt_of_somebody_else_is_refused(official: dict[str, Any]) -> None:
    one = next(one for one in official["receipts"] if one["name"] == "ok")
    block = raw(one["block"])
    receipt = decode_receipt(block, Cid.of(block, DAG_CBOR), {})
    with pytest.raises(ContentMismatch, match="issued by"):
        verify_receipt(receipt, official["service"]["did"], official["service"]["key"])
    with pytest.raises(ContentMismatch, match="not signed by"):
        verify_receipt(receipt, one["issuer"], SIGNER.did)


def test_official_messages_are_read_and_written_alike(official: dict[str, Any]) -> None:
    for one in official["messages"]:
        body = raw(one["body"])
        message = read_message(body)
        assert [str(cid) for cid in message.execute] == one["invocations"], one["name"]
        assert {str(ran): str(cid) for ran, cid in message.report.items()} == one["report"]
        for ran in message.report:
            receipt = message.receipt(ran)
            assert receipt is not None
            assert receipt.ran == ran
        roots, blocks = read_blocks(body)
        assert [str(root) for root in roots] == [one["root"]]
        assert write_blocks(roots, blocks.items()) == body
        if one["name"] in ("one", "three"):
            again = [
                Delegation(decode_ucan(message.blocks[cid], cid), message.blocks) for cid in message.execute
            ]
            assert write_message(again) == body


def test_a_receipt_inside_a_conclusion_is_found(official: dict[str, Any]) -> None:
    one = next(one for one in official["messages"] if one["name"] == "conclude")
    inner = next(one for one in official["receipts"] if one["name"] == "ok")
    message = read_message(raw(one["body"]))
    found = message.receipt(Cid.parse(inner["ran"]))
    assert found is not None
    assert str(found.cid) == inner["cid"]
    verify_receipt(found, inner["issuer"], inner["key"])
    assert message.receipt(RAN) is None


def test_a_receipt_of_our_own_reads_back() -> None:
    cid, block = issue_receipt(SIGNER, RAN, {"done": [1, b"2", RAN]})
    receipt = decode_receipt(block, cid, {})
    assert receipt.ok == {"done": [1, b"2", RAN]}
    verify_receipt(receipt, SIGNER.did, SIGNER.did)


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"ocm": {}, "sig": b""},
        {"ocm": {"ran": RAN, "out": {}, "fx": {"fork": []}}, "sig": b""},
        {"ocm": {"ran": RAN, "out": {"ok": 1, "error": 2}, "fx": {"fork": []}}, "sig": b""},
        {"ocm": {"ran": RAN, "out": {"ok": 1}, "fx": {"fork": [1]}}, "sig": b""},
        {"ocm": {"ran": "x", "out": {"ok": 1}, "fx": {"fork": []}}, "sig": b""},
        {"ocm": {"ran": RAN, "out": {"ok": 1}, "fx": {"fork": []}}, "sig": "x"},
        {"ocm": {"ran": RAN, "out": {"ok": 1}, "fx": {"fork": []}, "iss": "nobody"}, "sig": b""},
        {"ocm": {"ran": RAN, "out": {"ok": 1}, "fx": {"fork": []}, "x": 1}, "sig": b""},
    ],
)
def test_what_is_no_receipt_is_refused(value: Any) -> None:
    block = dagcbor.encode(value)
    with pytest.raises(MalformedContent, match="is not a receipt"):
        decode_receipt(block, Cid.of(block, DAG_CBOR), {})


@pytest.mark.parametrize(
    "error", [None, "text", {}, {"message": "no name"}, {"name": 5, "message": ["x"]}, 7]
)
def test_a_failure_is_read_whatever_the_service_says(error: Any) -> None:
    ocm: Any = {
        "ran": RAN,
        "out": {"error": error},
        "fx": {"fork": []},
        "meta": {},
        "iss": SIGNER.did,
        "prf": [],
    }
    block = dagcbor.encode({"ocm": ocm, "sig": SIGNER.sign(dagcbor.encode(ocm))})
    receipt = decode_receipt(block, Cid.of(block, DAG_CBOR), {})
    verify_receipt(receipt, SIGNER.did, SIGNER.did)
    assert receipt.failure is not None
    assert receipt.failure.name == ""


def message_of(value: Any, *more: bytes) -> bytes:
    root = dagcbor.encode(value)
    name = Cid.of(root, DAG_CBOR)
    return write_blocks([name], [*((Cid.of(block, DAG_CBOR), block) for block in more), (name, root)])


def test_what_is_no_message_is_refused() -> None:
    variant = "ucanto/message@7.0.0"
    refused: tuple[Any, ...] = (
        None,
        {},
        {variant: []},
        {variant: {"execute": [1]}},
        {variant: {"report": []}},
        {variant: {"report": {"x": RAN}}},
        {variant: {"report": {str(RAN): 1}}},
        {variant: {}, "more": 1},
        {"ucanto/message@8.0.0": {}},
    )
    for value in refused:
        with pytest.raises(MalformedContent, match="not an agent message"):
            read_message(message_of(value))
    for body in (b"", b"<html>", write_blocks([], []), write_blocks([RAN], []), bytes(100)):
        with pytest.raises(MalformedContent, match="not an agent message"):
            read_message(body)


def test_a_message_that_names_what_is_not_there_is_refused() -> None:
    message = read_message(
        message_of({"ucanto/message@7.0.0": {"report": {str(RAN): Cid.of(b"", DAG_CBOR)}}})
    )
    with pytest.raises(MalformedContent, match="did not come with it"):
        message.receipt(RAN)
    cid, block = issue_receipt(SIGNER, Cid.of(b"another", DAG_CBOR), {})
    message = read_message(message_of({"ucanto/message@7.0.0": {"report": {str(RAN): cid}}}, block))
    with pytest.raises(MalformedContent, match="is that of"):
        message.receipt(RAN)


def test_a_changed_block_is_refused() -> None:
    made = delegate(SIGNER, SIGNER.did, [Capability("a/b", SIGNER.did)], expiration=None)
    body = bytearray(write_message([made]))
    at = bytes(body).index(made.ucan.block) + 20
    body[at] ^= 1
    with pytest.raises(MalformedContent, match="other bytes than its CID"):
        read_message(bytes(body))


def test_blocks_travel_once() -> None:
    proof = delegate(SIGNER, SIGNER.did, [Capability("a/b", SIGNER.did)], expiration=None)
    calls = [
        delegate(
            SIGNER, SIGNER.did, [Capability("a/b", SIGNER.did)], expiration=None, proofs=[proof], nonce=n
        )
        for n in "ab"
    ]
    _, blocks = read_blocks(write_message(calls))
    assert len(blocks) == 4
    assert Cid.of(b"x", RAW) not in blocks
