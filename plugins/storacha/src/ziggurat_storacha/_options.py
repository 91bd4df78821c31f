"""``[tier.options]`` of a storacha tier."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from attrs import Attribute, field, frozen, validators

__all__ = ["StorachaOptions", "check_url"]


def check_url(text: str) -> str:
    """Check the address of an endpoint, and give it back.

    Raises:
        ValueError: Not an http or https URL, or one with a user, a password or a fragment.
    """
    parts = urlsplit(text)
    if "@" in (parts.netloc or text):
        raise ValueError("an address of a service holds no user and no password")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
        raise ValueError(f"{text[:120]!a} is not an address such as https://up.example.org")
    return text


def _url(_: object, attribute: Attribute[str], value: str) -> None:
    if value:
        try:
            check_url(value)
        except ValueError as error:
            raise ValueError(f"{attribute.name}: {error}") from None


def _did(_: object, attribute: Attribute[str], value: str) -> None:
    if value and not re.fullmatch(r"did:[a-z0-9]+:\S+", value):
        raise ValueError(f"{attribute.name} is a DID, such as did:web:up.example.org")


@frozen
class StorachaOptions:
    """Which service keeps the blobs, in which space, and who we are there.

    Attributes:
        service_url: Where the upload service takes invocations; no service is assumed.
        service_did: DID of the service.
        service_key: ``did:key`` that speaks for a service whose DID is a did:web; "" to ask it there.
        receipts_url: Where receipts are polled, "" for ``receipt/`` under `service_url`.
        gateway_url: A gateway, as it stands before ``/ipfs/``; "" for none.
        indexer_url: The indexing service, as it stands before ``/claims``; "" for none.
        space: DID or name of the space, "" for the current one of the state file.
        key: Text of the agent's private key, "" for that of the state file.
        proof: Text of a delegation of the space to that key, "" for those of the state file.
        state: The file with key, delegations and spaces, which the official tools read too; None for the
            user's own.
        wait_budget: Seconds that one call may wait in all because the service asks to slow down.
        shard_size: Bytes of the CARs that an upload is cut into; three of each upload under way are in
            memory at a time.
        parallel: Uploads of one batch that are under way at a time.
    """

    service_url: str = field(
        default="", validator=_url, metadata={"help": "where the upload service takes invocations"}
    )
    service_did: str = field(default="", validator=_did, metadata={"help": "DID of the service"})
    service_key: str = field(
        default="", validator=_did, metadata={"help": "did:key of the service; default: what it says itself"}
    )
    receipts_url: str = field(
        default="",
        validator=_url,
        metadata={"help": "where receipts are polled; default: receipt/ under service_url"},
    )
    gateway_url: str = field(
        default="", validator=_url, metadata={"help": "a gateway, as it stands before /ipfs/"}
    )
    indexer_url: str = field(
        default="", validator=_url, metadata={"help": "the indexing service, as it stands before /claims"}
    )
    space: str = field(default="", metadata={"help": "DID or name of the space; default: the current one"})
    key: str = field(
        default="", repr=False, metadata={"secret": True, "help": "private key of the agent, Mg…"}
    )
    proof: str = field(
        default="", repr=False, metadata={"secret": True, "help": "text of a delegation to that key"}
    )
    state: Path | None = field(
        default=None, metadata={"help": "file with key, delegations and spaces; default: the user's own"}
    )
    wait_budget: float = field(
        default=60.0,
        validator=validators.ge(0),
        metadata={
            "unit": "seconds",
            "help": "how long one call may wait because the service asks to slow down",
        },
    )

    shard_size: int = field(
        default=16 << 20,
        validator=[validators.instance_of(int), validators.ge(1 << 20), validators.le(4 << 30)],
        metadata={"unit": "bytes", "help": "size of the CARs that an upload is cut into"},
    )
    parallel: int = field(
        default=8,
        validator=[validators.instance_of(int), validators.ge(1), validators.le(64)],
        metadata={"help": "uploads of one batch that are under way at a time"},
    )

    @proof.validator
    def _with_key(self, _: object, proof: str) -> None:
        if proof and not self.key:
            raise ValueError("a proof is made out to a key: give key too")
