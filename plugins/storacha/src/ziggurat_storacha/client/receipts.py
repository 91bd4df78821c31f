"""Receipts: what the executor of an invocation says came of it, signed.

A receipt's block is ``{ocm: {ran, out, fx, meta, iss, prf}, sig}``; the signature covers the bytes of `ocm`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from ziggurat.content import DAG_CBOR, Cid, dagcbor
from ziggurat.errors import ContentMismatch, MalformedContent, ZigguratError
from ziggurat_storacha.client.delegation import MAX_MESSAGE_BLOCK, Delegation
from ziggurat_storacha.client.did import parse_did
from ziggurat_storacha.client.keys import Key, verify
from ziggurat_storacha.client.ucan import decode_ucan

__all__ = ["Failure", "Receipt", "decode_receipt", "issue_receipt", "verify_receipt"]

_START = b"\xa2\x63ocm"
_FIELDS = frozenset({"ran", "out", "fx", "meta", "iss", "prf"})


@frozen
class Failure:
    """Why an invocation failed, in the service's words.

    Attributes:
        name: Its name of the error, such as ``InsufficientStorage``; "" where it gave none.
        message: One line, "" where it gave none.
        more: What else it said.
    """

    name: str
    message: str
    more: Mapping[str, Any] = field(factory=dict, repr=False)


@frozen
class Receipt:
    """The outcome of one invocation, its signature not yet proved.

    Attributes:
        ran: CID of the invocation.
        ok: What a success answers; None for a failure.
        failure: Why it failed; None for a success.
        fork: CIDs of the invocations that it set off.
        issuer: DID of who executed it, "" where it is not said.
        signature: A varsig.
        cid: CID of the receipt's block.
        block: The receipt's block.
        blocks: Other blocks that came with it, by CID, proved.
    """

    ran: Cid
    ok: Any
    failure: Failure | None
    fork: tuple[Cid, ...]
    issuer: str
    signature: bytes = field(repr=False)
    cid: Cid
    block: bytes = field(repr=False)
    blocks: Mapping[Cid, bytes] = field(repr=False, eq=False)

    def task(self, cid: Cid) -> Delegation:
        """Read an invocation that came with the receipt, such as one of `fork`.

        Raises:
            MalformedContent: It did not come, or is no UCAN.
        """
        block = self.blocks.get(cid)
        if block is None:
            raise MalformedContent(
                f"the invocation {cid} did not come with the receipt of {self.ran}", cid=cid
            )
        return Delegation(decode_ucan(block, cid), self.blocks)

    def receipt(self, cid: Cid) -> Receipt:
        """Read another receipt that came with this one.

        Raises:
            MalformedContent: It did not come, or is no receipt.
        """
        block = self.blocks.get(cid)
        if block is None:
            raise MalformedContent(f"the receipt {cid} did not come with that of {self.ran}", cid=cid)
        return decode_receipt(block, cid, self.blocks)


def decode_receipt(block: bytes, cid: Cid, blocks: Mapping[Cid, bytes]) -> Receipt:
    """Read the block of a receipt, strictly; its signature is not proved.

    Args:
        block: The block.
        cid: Its CID, proved before.
        blocks: What came with it.

    Raises:
        MalformedContent: Not a receipt.
    """
    try:
        return _read(dagcbor.decode(block, limit=MAX_MESSAGE_BLOCK), block, cid, blocks)
    except MalformedContent as error:
        raise MalformedContent(f"{cid} is not a receipt: {error.message}", cid=cid) from error


def _read(value: Any, block: bytes, cid: Cid, blocks: Mapping[Cid, bytes]) -> Receipt:
    if not isinstance(value, dict) or value.keys() != {"ocm", "sig"} or not isinstance(value["ocm"], dict):
        raise MalformedContent("it has not the fields of one")
    ocm, signature = value["ocm"], value["sig"]
    ran, out, effects = ocm.get("ran"), ocm.get("out"), ocm.get("fx")
    if ocm.keys() - _FIELDS or not isinstance(ran, Cid) or not isinstance(signature, bytes):
        raise MalformedContent("its outcome has not the fields of one")
    if not isinstance(out, dict) or len(out) != 1 or not out.keys() <= {"ok", "error"}:
        raise MalformedContent("it says neither success nor failure")
    fork = effects.get("fork", []) if isinstance(effects, dict) else None
    if not isinstance(fork, list) or not all(isinstance(one, Cid) for one in fork):
        raise MalformedContent("its effects are no list of invocations")
    issuer = ocm.get("iss", "")
    return Receipt(
        ran=ran,
        ok=out.get("ok"),
        failure=_failure(out["error"]) if "error" in out else None,
        fork=tuple(fork),
        issuer=parse_did(issuer) if isinstance(issuer, str) and issuer else "",
        signature=signature,
        cid=cid,
        block=block,
        blocks=blocks,
    )


def _failure(error: Any) -> Failure:
    table = error if isinstance(error, dict) else {"message": error}
    name, message = table.get("name"), table.get("message")
    more = {key: value for key, value in table.items() if key not in ("name", "message", "stack")}
    return Failure(
        name if isinstance(name, str) else "",
        " ".join(message.split())[:2000] if isinstance(message, str) else "",
        more,
    )


def verify_receipt(receipt: Receipt, issuer: str, key: str) -> None:
    """Prove that a receipt is its executor's.

    Args:
        receipt: What was read.
        issuer: DID of who should have executed the invocation.
        key: The ``did:key`` that speaks for it.

    Raises:
        ContentMismatch: Somebody else's receipt, or a wrong signature.
        ZigguratError: `key` is none.
    """
    if receipt.issuer not in ("", issuer, key):
        raise ContentMismatch(
            f"the receipt of {receipt.ran} is issued by {receipt.issuer}, not by {issuer}; is service_did"
            " that of the service?",
            cid=receipt.cid,
        )
    tail = len(dagcbor.encode({"sig": receipt.signature})) - 1
    if not receipt.block.startswith(_START) or not verify(
        key, receipt.block[len(_START) : -tail], receipt.signature
    ):
        raise ContentMismatch(
            f"the receipt of {receipt.ran} is not signed by {issuer}: it was changed, or service_did or"
            " service_key is not the service's",
            cid=receipt.cid,
        )


def issue_receipt(key: Key, ran: Cid, ok: Any) -> tuple[Cid, bytes]:
    """Make and sign the receipt of a success; gives its CID and block.

    Args:
        key: Who executed the invocation.
        ran: CID of the invocation.
        ok: What it answers.
    """
    ocm: Any = {"ran": ran, "out": {"ok": ok}, "fx": {"fork": []}, "meta": {}, "iss": key.did, "prf": []}
    try:
        block = dagcbor.encode({"ocm": ocm, "sig": key.sign(dagcbor.encode(ocm))})
    except ZigguratError as error:
        raise MalformedContent(f"a receipt cannot say this: {error.message}") from error
    return Cid.of(block, DAG_CBOR), block
