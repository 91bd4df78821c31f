"""Decentralized identifiers: their text, and the bytes that stand for them in a UCAN.

Source: https://github.com/storacha/specs and the multicodec table. ``did:key`` is a multicodec public key
in base58btc; every other method is ``0x0d1d`` and the UTF-8 of what follows ``did:``. An e-mail address
``a@b.c`` is the account ``did:mailto:b.c:a``.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote

from ziggurat.content.multibase import base58, decode_base58
from ziggurat.content.varint import decode_varint, encode_varint
from ziggurat.errors import MalformedContent, UnsupportedContent

__all__ = [
    "ED25519",
    "account_of",
    "did_bytes",
    "did_text",
    "email_of",
    "is_account",
    "parse_did",
    "public_key",
]

ED25519: Final = 0xED
_CORE: Final = 0x0D1D
_KEY_CODES: Final = frozenset({ED25519, 0xE7, 0xEA, 0xEB, 0x1200, 0x1201, 0x1202, 0x1205})
"""Multicodecs of public keys that a ``did:key`` may carry; only Ed25519 is verified."""

_MAX_DID = 2048
_TEXT = re.compile(r"did:[a-z0-9]+:[A-Za-z0-9._:%*+!'()~-]+")
_KEY, _MAILTO = "did:key:z", "did:mailto:"
_UNQUOTED = "!'()*~-._"  # what ECMAScript's encodeURIComponent leaves as it is, besides letters and digits


def parse_did(text: str) -> str:
    """Check the text of a DID, and give it back.

    Raises:
        MalformedContent: Not a DID, or a ``did:key`` that is not the canonical text of a known kind of key.
    """
    did_bytes(text)
    return text


def did_bytes(text: str) -> bytes:
    """Give the bytes that stand for a DID in a UCAN.

    Raises:
        MalformedContent: Not a DID.
    """
    if len(text) > _MAX_DID or not _TEXT.fullmatch(text):
        raise MalformedContent(f"{text[:80]!a} is not a DID, such as did:key:z6Mk... or did:web:example.org")
    if not text.startswith("did:key:"):
        return encode_varint(_CORE) + text[4:].encode()
    try:
        if not text.startswith(_KEY):
            raise ValueError("not base58btc")
        data = decode_base58(text[len(_KEY) :])
        code, at = decode_varint(data, 0)
    except ValueError as error:
        raise MalformedContent(f"{text[:80]!a} is not a did:key: {error}") from None
    _check_key(code, len(data) - at, text[:80])
    return data


def did_text(data: bytes) -> str:
    """Give the text of a DID that stands as bytes in a UCAN.

    Raises:
        MalformedContent: These bytes are no DID.
    """
    try:
        code, at = decode_varint(data, 0)
        if len(data) > _MAX_DID:
            raise ValueError("too long")
        if code != _CORE:
            _check_key(code, len(data) - at, "a DID")
            return _KEY + base58(data)
        text = f"did:{data[at:].decode()}"
    except ValueError as error:
        raise MalformedContent(f"not the bytes of a DID: {error}") from None
    if text.startswith("did:key:") or not _TEXT.fullmatch(text):
        raise MalformedContent(f"not the bytes of a DID: they say {text[:80]!a}")
    return text


def _check_key(code: int, size: int, what: str) -> None:
    if code not in _KEY_CODES:
        raise MalformedContent(f"{what}: a key of the unknown kind {code:#x}")
    if code == ED25519 and size != 32:
        raise MalformedContent(f"{what}: an Ed25519 key has 32 bytes, not {size}")


def public_key(text: str) -> bytes:
    """Give the 32 bytes of the Ed25519 key that a ``did:key`` is.

    Raises:
        MalformedContent: Not a DID.
        UnsupportedContent: No ``did:key``, or a key of another kind than Ed25519.
    """
    data = did_bytes(text)
    if not text.startswith(_KEY):
        raise UnsupportedContent(f"{text} says no key by itself")
    code, at = decode_varint(data, 0)
    if code != ED25519:
        raise UnsupportedContent(f"{text} is a key of the kind {code:#x}; only Ed25519 keys are verified")
    return data[at:]


def is_account(text: str) -> bool:
    """Tell whether a DID is an account that an e-mail address names."""
    return text.startswith(_MAILTO)


def account_of(email: str) -> str:
    """Give the account of an e-mail address; an account's DID is given back as it is.

    Raises:
        MalformedContent: Neither.
    """
    if is_account(email):
        email_of(email)
        return email
    local, at, domain = email.rpartition("@")
    if not (at and local and domain) or re.search(r"[\s\x00-\x1f]", email):
        raise MalformedContent(f"{email[:80]!a} is not an e-mail address, such as ada@example.org")
    return parse_did(_MAILTO + quote(domain, safe=_UNQUOTED) + ":" + quote(local, safe=_UNQUOTED))


def email_of(account: str) -> str:
    """Give the e-mail address of an account ``did:mailto:DOMAIN:LOCAL``.

    Raises:
        MalformedContent: Not an account.
    """
    parts = account.split(":")
    if len(parts) != 4 or not is_account(parse_did(account)) or not all(parts[2:]):
        raise MalformedContent(f"{account[:80]!a} is not an account, such as did:mailto:example.org:ada")
    return f"{unquote(parts[3])}@{unquote(parts[2])}"
