"""Signed IPNS records: what a name points to, proved by its key.

Source: https://specs.ipfs.tech/ipns/ipns-record/. Only the second signature counts, which covers all of
`data`; only Ed25519 names, which carry their key, are read.
"""

from __future__ import annotations

from datetime import UTC, datetime

from attrs import frozen

from ziggurat.content import Cid
from ziggurat.content.dagcbor import decode
from ziggurat.content.varint import decode_varint
from ziggurat.errors import MalformedContent, UnsupportedContent

__all__ = ["LIBP2P_KEY", "MAX_RECORD", "IpnsRecord", "read_record"]

LIBP2P_KEY = 0x72
MAX_RECORD = 10 << 10
"""Bytes of the longest record that the specification allows."""

_ED25519 = b"\x08\x01\x12\x20"
_SIGNED = b"ipns-signature:"
_SIGNATURE, _DATA = 8, 9


@frozen
class IpnsRecord:
    """A record whose signature holds.

    Attributes:
        value: A path such as ``/ipfs/bafy…``.
        until: When it ends to be valid.
        sequence: Higher means newer.
        ttl: Seconds for which it may be remembered.
    """

    value: str
    until: datetime
    sequence: int
    ttl: float


def read_record(name: Cid, data: bytes) -> IpnsRecord:
    """Read a record and prove that the key of a name signed it; whether it is over is for the caller to say.

    Args:
        name: The name, a CID of the codec libp2p-key.
        data: The record.

    Raises:
        UnsupportedContent: The name does not carry an Ed25519 key.
        MalformedContent: No record, or not signed by that key.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = name.identity
    if name.codec != LIBP2P_KEY or key is None or len(key) != 36 or not key.startswith(_ED25519):
        raise UnsupportedContent(
            f"{name} is not the name of an Ed25519 key; only those are resolved", cid=name
        )
    try:
        fields = _fields(data)
        signed = fields[_DATA]
        Ed25519PublicKey.from_public_bytes(key[4:]).verify(fields[_SIGNATURE], _SIGNED + signed)
        said = decode(signed)
        if not isinstance(said, dict):
            raise ValueError("it holds no map")
        value, validity = said["Value"], said["Validity"]
        kind, sequence, ttl = said["ValidityType"], said["Sequence"], said["TTL"]
        if not isinstance(value, bytes) or not isinstance(validity, bytes) or kind != 0:
            raise ValueError("its fields are of other kinds")
        if not isinstance(sequence, int) or not isinstance(ttl, int):
            raise ValueError("its fields are of other kinds")
        return IpnsRecord(value.decode(), _moment(validity.decode("ascii")), sequence, ttl / 1e9)
    except InvalidSignature:
        raise MalformedContent(f"the record of {name} is not signed by its key", cid=name) from None
    except (ValueError, KeyError, IndexError) as error:
        raise MalformedContent(f"what should be the record of {name} is none: {error}", cid=name) from error


def _fields(data: bytes) -> dict[int, bytes]:
    """The length-delimited fields of a protobuf message; numbers are passed by."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        tag, at = decode_varint(data, at)
        value, at = decode_varint(data, at)
        if tag & 7 == 2:
            if at + value > len(data):
                raise ValueError("cut short")
            found[tag >> 3] = data[at : at + value]
            at += value
        elif tag & 7:
            raise ValueError("no such field")
    return found


def _moment(text: str) -> datetime:
    """A time as RFC 3339 has it; digits beyond microseconds are dropped."""
    whole, dot, rest = text.partition(".")
    if dot:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        whole += f".{digits[:6]:0<6}" + rest[len(digits) :]
    moment = datetime.fromisoformat(whole.replace("Z", "+00:00"))
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
