"""Delegations that a test weaves: of a space, of an account whose word the service attests."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ziggurat.content import dagcbor
from ziggurat_storacha.client.delegation import Delegation, delegate
from ziggurat_storacha.client.did import did_bytes
from ziggurat_storacha.client.keys import ABSENT, Key
from ziggurat_storacha.client.proofs import Authority
from ziggurat_storacha.client.ucan import Capability, decode_ucan

__all__ = [
    "ACCOUNT",
    "ALICE",
    "AUTHORITY",
    "BOB",
    "EVE",
    "NOW",
    "SERVICE",
    "SPACE",
    "WANTED",
    "WEB",
    "attest",
    "by_account",
    "grant",
]

NOW = int(time.time())
SPACE, ALICE, BOB, EVE, SERVICE = (Key(bytes([n]) * 32) for n in range(1, 6))
WEB = "did:web:up.example.org"
ACCOUNT = "did:mailto:example.org:ada"
AUTHORITY = Authority(WEB, SERVICE.did)
WANTED = Capability("upload/list", SPACE.did, {})


def grant(
    key: Key,
    audience: str,
    can: str = "*",
    resource: str = SPACE.did,
    *,
    proofs: Sequence[Delegation] = (),
    expiration: int | None = None,
    nb: dict[str, Any] | None = None,
    **more: Any,
) -> Delegation:
    made = [Capability(can, resource, nb)]
    return delegate(key, audience, made, expiration=expiration, proofs=proofs, **more)


def by_account(audience: str, proofs: Sequence[Delegation] = (), resource: str = "ucan:*") -> Delegation:
    """What the service makes out in the name of an account: nobody signs it."""
    signed = delegate(ALICE, audience, [Capability("*", resource)], expiration=None, proofs=proofs)
    value = dagcbor.decode(signed.ucan.block)
    assert isinstance(value, dict)
    block = dagcbor.encode({**value, "iss": did_bytes(ACCOUNT), "s": ABSENT})
    return Delegation(decode_ucan(block), signed.blocks)


def attest(
    proof: Delegation, audience: str, key: Key = SERVICE, issuer: str = WEB, **more: Any
) -> Delegation:
    made = [Capability("ucan/attest", more.pop("resource", WEB), {"proof": proof.cid})]
    return delegate(key, audience, made, expiration=more.pop("expiration", None), issuer=issuer, **more)
