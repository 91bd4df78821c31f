"""UCAN 0.9.1: a signed statement that its issuer lets its audience do things; an invocation is one too.

Source: https://github.com/ucan-wg/spec/tree/0.9.1 and the data model of ``@ipld/dag-ucan``. The block is
DAG-CBOR; what is signed is the JWT form of the same statement: ``base64url(header).base64url(payload)`` in
DAG-JSON. A block is read only if writing its statement again gives the same bytes, so that no two blocks say
the same: a revocation names a block.

Keys of maps are sorted by their bytes in the signed form. The official library sorts by UTF-16 units, which
differs only where characters above U+FFFF meet some of U+E000 to U+FFFF in the keys of one map.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import Factory, evolve, field, frozen

from ziggurat.content import DAG_CBOR, MAX_BLOCK, Cid, dagcbor, dagjson
from ziggurat.content.varint import decode_varint
from ziggurat.errors import ContentMismatch, MalformedContent, UnsupportedContent, ZigguratError
from ziggurat_storacha.client.did import did_bytes, did_text, is_account
from ziggurat_storacha.client.keys import ABSENT, EDDSA, NON_STANDARD, Key, verify

__all__ = [
    "MAX_CAPABILITIES",
    "MAX_PROOFS",
    "MAX_UCAN",
    "VERSION",
    "Capability",
    "Ucan",
    "decode_ucan",
    "issue_ucan",
    "verify_ucan",
]

VERSION: Final = "0.9.1"
MAX_UCAN: Final = MAX_BLOCK
"""Largest block of a UCAN taken, bytes; an ``upload/add`` takes some 41 for each shard."""
MAX_CAPABILITIES: Final = 1024
MAX_PROOFS: Final = 4096
_MAX_TIME = 1 << 53

_ABILITY = re.compile(r"\*|[^/\sA-Z]+(?:/[^/\sA-Z]+)+")
_RESOURCE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_VERSIONS = re.compile(r"\d{1,4}\.\d{1,4}\.\d{1,4}")
_REQUIRED = frozenset({"v", "iss", "aud", "s", "att", "exp", "prf"})
_OPTIONAL = frozenset({"fct", "nnc", "nbf"})
_ESCAPES = {"\\u0008": "\\b", "\\u000c": "\\f", "\\u2028": "\u2028", "\\u2029": "\u2029"}
_ESCAPED = re.compile(r"\\u0008|\\u000c|\\u2028|\\u2029|\\.")


@frozen
class Capability:
    """Something that may be done to something.

    Attributes:
        can: The ability, such as ``space/blob/add``, ``space/*`` or ``*``.
        resource: A URI, the `with` of the format: a space's DID, an account's, or ``ucan:*`` for all that the
            issuer has.
        nb: Caveats of a delegation, or arguments of an invocation, in the IPLD data model; None where the
            capability has no such field.
    """

    can: str
    resource: str
    nb: Mapping[str, Any] | None = None


@frozen
class Ucan:
    """One statement, its signature not yet proved.

    Attributes:
        issuer: DID of who says it.
        audience: DID of who may use it, or is asked to do it.
        capabilities: What it is about.
        expiration: Unix seconds from which it is void, None for never.
        proofs: CIDs of the UCANs that entitle the issuer.
        facts: What is said besides.
        nonce: What makes two statements of the same content differ, or None.
        not_before: Unix seconds after which it holds, or None.
        signature: A varsig; an account's is `ziggurat_storacha.client.keys.ABSENT`.
        version: Of the format.
        block: The statement's block.
        cid: The block's CID.
    """

    issuer: str
    audience: str
    capabilities: tuple[Capability, ...]
    expiration: int | None
    proofs: tuple[Cid, ...] = ()
    facts: tuple[Mapping[str, Any], ...] = ()
    nonce: str | None = None
    not_before: int | None = None
    signature: bytes = field(default=b"", repr=False)
    version: str = VERSION
    block: bytes = field(default=b"", repr=False, eq=False)
    cid: Cid = field(default=Factory(lambda self: Cid.of(self.block, DAG_CBOR), takes_self=True))

    def expired(self, now: float | None = None) -> bool:
        """Tell whether it holds no more, now or at a Unix time."""
        return self.expiration is not None and self.expiration <= int(_now(now))

    def too_early(self, now: float | None = None) -> bool:
        """Tell whether it does not hold yet, now or at a Unix time."""
        return self.not_before is not None and int(_now(now)) <= self.not_before


def _now(now: float | None) -> float:
    return time.time() if now is None else now


def issue_ucan(
    key: Key,
    audience: str,
    capabilities: Sequence[Capability],
    *,
    expiration: int | None,
    issuer: str = "",
    proofs: Sequence[Cid] = (),
    facts: Sequence[Mapping[str, Any]] = (),
    nonce: str | None = None,
    not_before: int | None = None,
) -> Ucan:
    """Make and sign a statement.

    Args:
        key: Who signs.
        audience: DID of whom it is for.
        capabilities: What it is about, at least one.
        expiration: Unix seconds, None for never.
        issuer: DID of who says it, if not the key's own: a did:web that the key speaks for.
        proofs: CIDs of the UCANs that entitle the issuer.
        facts: What is said besides.
        nonce: What makes it differ from others of the same content.
        not_before: Unix seconds after which it holds.

    Raises:
        MalformedContent: A DID, an ability or a resource that is none, or above a limit.
        UnsupportedContent: A value that the data model does not have.
    """
    unsigned = Ucan(
        issuer or key.did,
        audience,
        tuple(capabilities),
        expiration,
        tuple(proofs),
        tuple(facts),
        nonce or None,
        not_before or None,
        block=b"-",
    )
    _check_limits(unsigned)
    signature = key.sign(_signed_bytes(unsigned, "EdDSA"))
    block = dagcbor.encode({**_model(unsigned), "v": VERSION, "s": signature})
    if len(block) > MAX_UCAN:
        raise MalformedContent(f"a UCAN of {len(block)} bytes is above the limit of {MAX_UCAN}")
    return evolve(unsigned, signature=signature, block=block, cid=Cid.of(block, DAG_CBOR))


def decode_ucan(block: bytes, cid: Cid | None = None) -> Ucan:
    """Read the block of a UCAN, strictly; its signature is not proved.

    Args:
        block: The block.
        cid: The CID under which it was found, proved before; None to name it here.

    Raises:
        MalformedContent: Not a UCAN, not written canonically, or above a limit.
        UnsupportedContent: A UCAN in the JWT form, or of another version.
    """
    if len(block) > MAX_UCAN:
        raise MalformedContent(f"a UCAN of {len(block)} bytes is above the limit of {MAX_UCAN}")
    if cid is not None and cid.codec != DAG_CBOR:
        raise UnsupportedContent(
            f"the UCAN {cid} is in another form than DAG-CBOR, which is not read", cid=cid
        )
    name = Cid.of(block, DAG_CBOR) if cid is None else cid
    try:
        return _read(dagcbor.decode(block), block, name)
    except UnsupportedContent:
        raise
    except ZigguratError as error:
        raise MalformedContent(f"not a UCAN: {error.message}", cid=name) from error


def verify_ucan(ucan: Ucan, key: str = "") -> None:
    """Prove the signature of a UCAN.

    Args:
        ucan: What was read.
        key: The ``did:key`` that speaks for its issuer; by default the issuer itself.

    Raises:
        ContentMismatch: The signature is not the issuer's.
        UnsupportedContent: No Ed25519 signature, or an issuer that says no key by itself.
    """
    code, _ = decode_varint(ucan.signature, 0)
    if code != EDDSA:
        what = (
            "absent: an attestation must vouch for it"
            if is_account(ucan.issuer)
            else f"of the kind {code:#x}"
        )
        raise UnsupportedContent(f"the signature of the UCAN {ucan.cid} is {what}", cid=ucan.cid)
    if not verify(key or ucan.issuer, _signed_bytes(ucan, "EdDSA"), ucan.signature):
        raise ContentMismatch(
            f"the UCAN {ucan.cid} is not signed by {ucan.issuer}: it was changed or forged", cid=ucan.cid
        )


def _model(ucan: Ucan) -> dict[str, Any]:
    """The statement as it stands in the block, without version and signature."""
    model: dict[str, Any] = {
        "iss": did_bytes(ucan.issuer),
        "aud": did_bytes(ucan.audience),
        "att": [_written(one) for one in ucan.capabilities],
        "exp": ucan.expiration,
        "prf": list(ucan.proofs),
    }
    return model | _optional(ucan)


def _optional(ucan: Ucan) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if ucan.facts:
        found["fct"] = [dict(fact) for fact in ucan.facts]
    if ucan.nonce:
        found["nnc"] = ucan.nonce
    if ucan.not_before:
        found["nbf"] = ucan.not_before
    return found


def _written(one: Capability) -> dict[str, Any]:
    if not _ABILITY.fullmatch(one.can):
        raise MalformedContent(f"{one.can[:80]!a} is not an ability, such as space/info or space/*")
    if not _RESOURCE.fullmatch(one.resource):
        raise MalformedContent(f"{one.resource[:80]!a} is not a resource, such as did:key:z6Mk...")
    table: dict[str, Any] = {"can": one.can, "with": one.resource}
    return table if one.nb is None else table | {"nb": dict(one.nb)}


def _signed_bytes(ucan: Ucan, algorithm: str) -> bytes:
    """The JWT form without its signature."""
    payload = {
        "iss": ucan.issuer,
        "aud": ucan.audience,
        "att": [_written(one) for one in ucan.capabilities],
        "exp": ucan.expiration,
        "prf": [str(cid) for cid in ucan.proofs],
        **_optional(ucan),
    }
    header = {"alg": algorithm, "typ": "JWT", "ucv": ucan.version}
    return _base64url(_json(header)) + b"." + _base64url(_json(payload))


def _json(value: dict[str, Any]) -> bytes:
    # The signer's JSON is ECMAScript's, which escapes less than Kubo's.
    text = dagjson.encode(value).decode()
    return _ESCAPED.sub(lambda match: _ESCAPES.get(match[0], match[0]), text).encode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _read(value: Any, block: bytes, cid: Cid) -> Ucan:
    table = _map(value, "it")
    missing, unknown = _REQUIRED - table.keys(), table.keys() - _REQUIRED - _OPTIONAL
    if missing or unknown:
        raise MalformedContent(
            f"it has no {min(missing)!r}" if missing else f"unknown field {min(unknown)!a}"
        )
    version = table["v"]
    if version != VERSION:
        shown = version if isinstance(version, str) and _VERSIONS.fullmatch(version) else "?"
        raise UnsupportedContent(f"a UCAN of version {shown}; this program speaks {VERSION}", cid=cid)
    signature = _typed(table["s"], bytes, "s")
    _check_signature(signature)
    read = Ucan(
        issuer=did_text(_typed(table["iss"], bytes, "iss")),
        audience=did_text(_typed(table["aud"], bytes, "aud")),
        capabilities=tuple(_capability(one) for one in _list(table["att"], "att", MAX_CAPABILITIES)),
        expiration=None if table["exp"] is None else _time(table["exp"], "exp"),
        proofs=tuple(_typed(one, Cid, "prf") for one in _list(table["prf"], "prf", MAX_PROOFS)),
        facts=tuple(_map(one, "fct") for one in _list(table.get("fct", []), "fct", MAX_PROOFS)),
        nonce=_typed(table["nnc"], str, "nnc") if "nnc" in table else None,
        not_before=_time(table["nbf"], "nbf") if "nbf" in table else None,
        signature=signature,
        version=version,
        block=block,
        cid=cid,
    )
    if not read.capabilities:
        raise MalformedContent("it has no capability")
    if dagcbor.encode({**_model(read), "v": version, "s": signature}) != block:
        raise MalformedContent("it would be written with other bytes")
    return read


def _check_limits(ucan: Ucan) -> None:
    """What reading would refuse, and writing lets through."""
    if not 0 < len(ucan.capabilities) <= MAX_CAPABILITIES:
        raise MalformedContent(
            f"a UCAN of {len(ucan.capabilities)} capabilities: it has one, and is not above the limit of"
            f" {MAX_CAPABILITIES}"
        )
    if max(len(ucan.proofs), len(ucan.facts)) > MAX_PROOFS:
        raise MalformedContent(f"a UCAN with more than {MAX_PROOFS} proofs or facts is above the limit")
    for name, moment in (("expiration", ucan.expiration), ("not_before", ucan.not_before)):
        if moment is not None and not 0 < moment < _MAX_TIME:
            raise MalformedContent(f"the {name} {moment} of a UCAN is no time in Unix seconds")


def _check_signature(signature: bytes) -> None:
    try:
        code, at = decode_varint(signature, 0)
        size, at = decode_varint(signature, at)
    except ValueError as error:
        raise MalformedContent(f"its signature: {error}") from None
    if code == NON_STANDARD:
        whole = signature == ABSENT or 0 < size < len(signature) - at <= size + 64
    else:
        whole = len(signature) - at == size and (code != EDDSA or size == 64)
    if not whole or len(signature) > 1024:
        raise MalformedContent("its signature has another length than it says")


def _capability(value: Any) -> Capability:
    table = _map(value, "att")
    if unknown := table.keys() - {"can", "with", "nb"}:
        raise MalformedContent(f"unknown field {min(unknown)!a} in a capability")
    can, resource = (_typed(table.get(name), str, name) for name in ("can", "with"))
    return Capability(can, resource, _map(table["nb"], "nb") if "nb" in table else None)


def _typed(value: Any, kind: type[Any], name: str) -> Any:
    if type(value) is not kind:
        raise MalformedContent(f"its {name!r} is a {type(value).__name__}, not a {kind.__name__}")
    return value


def _time(value: Any, name: str) -> int:
    seconds: int = _typed(value, int, name)
    if not 0 < seconds < _MAX_TIME:
        raise MalformedContent(f"its {name!r} is no time")
    return seconds


def _map(value: Any, name: str) -> dict[str, Any]:
    table: dict[str, Any] = _typed(value, dict, name)
    return table


def _list(value: Any, name: str, limit: int) -> list[Any]:
    items: list[Any] = _typed(value, list, name)
    if len(items) > limit:
        raise MalformedContent(f"its {name!r} has {len(items)} entries, above the limit of {limit}")
    return items
