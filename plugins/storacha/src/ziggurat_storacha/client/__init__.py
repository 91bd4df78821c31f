"""A client of Storacha's upload service: UCANs, messages, receipts, proofs, and what they are used for."""

from __future__ import annotations

from ziggurat_storacha.client.delegation import (
    Delegation,
    archive,
    delegate,
    extract,
    from_text,
    plain_car,
    read_proof,
    to_text,
)
from ziggurat_storacha.client.did import account_of, email_of, parse_did
from ziggurat_storacha.client.keys import Key
from ziggurat_storacha.client.pace import Pace
from ziggurat_storacha.client.proofs import Authority, Proofs, validate
from ziggurat_storacha.client.receipts import Failure, Receipt
from ziggurat_storacha.client.service import Endpoints, Service
from ziggurat_storacha.client.transport import Transport
from ziggurat_storacha.client.ucan import Capability, Ucan

__all__ = [
    "Authority",
    "Capability",
    "Delegation",
    "Endpoints",
    "Failure",
    "Key",
    "Pace",
    "Proofs",
    "Receipt",
    "Service",
    "Transport",
    "Ucan",
    "account_of",
    "archive",
    "delegate",
    "email_of",
    "extract",
    "from_text",
    "parse_did",
    "plain_car",
    "read_proof",
    "to_text",
    "validate",
]
