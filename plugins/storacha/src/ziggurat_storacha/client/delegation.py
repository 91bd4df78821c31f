"""A delegation: a UCAN with the blocks of its proofs, and the archives in which it travels.

Three forms, all read, each written as the official library writes it:

- an *archive*: a CAR whose root is ``{"ucan@0.9.1": cid}``, the root block last;
- a *plain CAR*: the proofs first, the UCAN last, which is the older form;
- a *text*: ``m`` and the base64 of a CID that carries the archive in itself (codec 0x202, identity hash).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from attrs import define, field

from ziggurat.content import DAG_CBOR, Cid, dagcbor, read_car, write_car
from ziggurat.content.varint import decode_varint, encode_varint
from ziggurat.errors import MalformedContent, UnsupportedContent, ZigguratError
from ziggurat_storacha.client.keys import Key
from ziggurat_storacha.client.ucan import Capability, Ucan, decode_ucan, issue_ucan

__all__ = [
    "CAR",
    "MAX_ARCHIVE",
    "MAX_BLOCKS",
    "MAX_MESSAGE_BLOCK",
    "Delegation",
    "archive",
    "delegate",
    "extract",
    "from_text",
    "links_in",
    "plain_car",
    "read_blocks",
    "read_delegations",
    "read_proof",
    "to_text",
    "write_blocks",
]

CAR: Final = 0x0202
"""Multicodec of a CAR."""
MAX_ARCHIVE: Final = 32 << 20
"""Largest archive or message taken, bytes."""
MAX_BLOCKS: Final = 16384
MAX_MESSAGE_BLOCK: Final = 8 << 20
"""Largest block of an archive or message taken, bytes. More than content has: a receipt holds whole lists,
and ``access/claim`` answers with the archives of all delegations in one block."""
_VARIANT = "ucan@0.9.1"
_IDENTITY = 0


@define(eq=False, frozen=True)
class Delegation:
    """A UCAN and what came with it; the signatures are not proved by reading it.

    Two are equal when they are the same UCAN.

    Attributes:
        ucan: The statement.
        blocks: Other blocks that came with it, by CID, proved: its proofs, and what its capabilities and
            facts link to.
    """

    ucan: Ucan
    blocks: Mapping[Cid, bytes] = field(factory=dict, repr=False)

    @property
    def cid(self) -> Cid:
        """The CID of the UCAN."""
        return self.ucan.cid

    def __eq__(self, other: object) -> bool:
        return self.cid == other.cid if isinstance(other, Delegation) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.cid)

    def proofs(self, known: Container[Cid] = ()) -> Iterator[Delegation]:
        """Give the delegations that it rests on, each once, those of its proofs excepted.

        One that did not come with it is left out, and so is one that cannot be read: it proves nothing, and
        the others stay good.

        Args:
            known: CIDs of others to leave out.
        """
        for cid in dict.fromkeys(self.ucan.proofs):
            if cid in self.blocks and cid not in known:
                with suppress(ZigguratError):
                    yield self.view(cid)

    def view(self, cid: Cid) -> Delegation:
        """Read a UCAN among its blocks.

        Raises:
            MalformedContent: The block did not come, or is no UCAN.
        """
        if cid == self.cid:
            return self
        block = self.blocks.get(cid)
        if block is None:
            raise MalformedContent(f"the UCAN {cid} is needed and did not come with {self.cid}", cid=cid)
        return Delegation(decode_ucan(block, cid), self.blocks)

    def export(self) -> Iterator[tuple[Cid, bytes]]:
        """Give the blocks that belong to it: proofs first, each once, then what it links to, then itself.

        A proof that cannot be read goes along as it is, without what it may rest on.
        """
        seen: set[Cid] = set()
        for cid in self.ucan.proofs:
            yield from self._chain(cid, seen)
        for cid in _attached(self.ucan):
            if cid in self.blocks and cid not in seen:
                seen.add(cid)
                yield cid, self.blocks[cid]
        if self.cid not in seen:
            yield self.cid, self.ucan.block

    def _chain(self, cid: Cid, seen: set[Cid]) -> Iterator[tuple[Cid, bytes]]:
        # With a stack of its own: how long a chain is, is the sender's choice.
        stack = [(cid, False)]
        while stack:
            cid, done = stack.pop()
            block = self.blocks.get(cid)
            if block is None or cid in seen:
                continue
            if done:
                seen.add(cid)
                yield cid, block
            else:
                stack.append((cid, True))
                # Anybody may delegate to an account, in other forms too, and the service hands that on.
                with suppress(ZigguratError):
                    below = decode_ucan(block, cid).proofs
                    stack.extend((one, False) for one in reversed(below) if one not in seen)


def delegate(
    key: Key,
    audience: str,
    capabilities: Sequence[Capability],
    *,
    expiration: int | None,
    issuer: str = "",
    proofs: Iterable[Delegation] = (),
    facts: Sequence[Mapping[str, Any]] = (),
    nonce: str | None = None,
    not_before: int | None = None,
    attached: Mapping[Cid, bytes] | None = None,
) -> Delegation:
    """Make and sign a delegation, with the blocks of its proofs.

    Args:
        key: Who signs.
        audience: DID of whom it is for.
        capabilities: What it is about, at least one.
        expiration: Unix seconds, None for never.
        issuer: DID of who says it, if not the key's own.
        proofs: What entitles the issuer.
        facts: What is said besides.
        nonce: What makes it differ from others of the same content.
        not_before: Unix seconds after which it holds.
        attached: Blocks that its capabilities or facts link to.

    Raises:
        MalformedContent: A DID, an ability or a resource that is none, or above a limit.
        UnsupportedContent: A value that the data model does not have.
    """
    listed = tuple(proofs)
    ucan = issue_ucan(
        key,
        audience,
        capabilities,
        expiration=expiration,
        issuer=issuer,
        proofs=[proof.cid for proof in listed],
        facts=facts,
        nonce=nonce,
        not_before=not_before,
    )
    blocks: dict[Cid, bytes] = {}
    for proof in listed:
        blocks.update(proof.export())
    return Delegation(ucan, blocks | dict(attached or {}))


def links_in(value: object) -> Iterator[Cid]:
    """Give the links in a value of the data model, in order."""
    if isinstance(value, Cid):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from links_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from links_in(inner)


def _attached(ucan: Ucan) -> Iterator[Cid]:
    for capability in ucan.capabilities:
        yield from links_in(capability.nb)
    for fact in ucan.facts:
        yield from (value for value in fact.values() if isinstance(value, Cid))


def write_blocks(roots: Iterable[Cid], blocks: Iterable[tuple[Cid, bytes]]) -> bytes:
    """Write a CARv1, each block once."""
    return b"".join(write_car(roots, dict(blocks).items()))


def read_blocks(data: bytes) -> tuple[tuple[Cid, ...], dict[Cid, bytes]]:
    """Read a CAR of UCANs or of a message, and prove each block.

    Returns:
        Its roots, and its blocks in order.

    Raises:
        MalformedContent: Not a CAR, cut short, above a limit, or a block that is not its CID's.
    """
    if len(data) > MAX_ARCHIVE:
        raise MalformedContent(f"a CAR of {len(data)} bytes is above the limit of {MAX_ARCHIVE}")
    car = read_car([data], max_block=MAX_MESSAGE_BLOCK)
    blocks: dict[Cid, bytes] = {}
    for cid, block in car:
        if not cid.matches(block):
            raise MalformedContent(f"the block {cid} of a CAR has other bytes than its CID says", cid=cid)
        blocks[cid] = block
        if len(blocks) > MAX_BLOCKS:
            raise MalformedContent(f"a CAR of more than {MAX_BLOCKS} blocks")
    return car.roots, blocks


def archive(delegation: Delegation) -> bytes:
    """Write the archive of a delegation."""
    variant = dagcbor.encode({_VARIANT: delegation.cid})
    root = Cid.of(variant, DAG_CBOR)
    return write_blocks([root], [*delegation.export(), (root, variant)])


def plain_car(delegation: Delegation) -> bytes:
    """Write the older form: a CAR of the blocks, the UCAN as its root and last block."""
    return write_blocks([delegation.cid], delegation.export())


def extract(data: bytes) -> Delegation:
    """Read an archive.

    Raises:
        MalformedContent: Not an archive of a UCAN.
        UnsupportedContent: A UCAN of another version or form.
    """
    roots, blocks = read_blocks(data)
    if len(roots) != 1 or roots[0] not in blocks:
        raise MalformedContent("an archive of a UCAN has one root, and that root's block")
    variant = dagcbor.decode(blocks[roots[0]])
    if not (isinstance(variant, dict) and len(variant) == 1):
        raise MalformedContent("the root of the archive names no UCAN")
    ((name, cid),) = variant.items()
    if name != _VARIANT or not isinstance(cid, Cid):
        if str(name).startswith("ucan@"):
            raise UnsupportedContent(f"an archive of {str(name)[:40]!a}; this program speaks {_VARIANT}")
        raise MalformedContent("the root of the archive names no UCAN")
    del blocks[roots[0]]
    return _from_blocks(cid, blocks)


def _from_blocks(cid: Cid, blocks: dict[Cid, bytes]) -> Delegation:
    block = blocks.pop(cid, None)
    if block is None:
        raise MalformedContent(f"the UCAN {cid} is named and not there", cid=cid)
    return Delegation(decode_ucan(block, cid), blocks)


def read_delegations(data: bytes) -> list[Delegation]:
    """Read the delegations that a plain CAR names as roots; without roots, its last block.

    Raises:
        MalformedContent: Not such a CAR.
        UnsupportedContent: A UCAN of another version or form.
    """
    roots, blocks = read_blocks(data)
    if not blocks:
        raise MalformedContent("a CAR without blocks holds no UCAN")
    return [_from_blocks(cid, dict(blocks)) for cid in roots or [next(reversed(blocks))]]


def read_proof(data: bytes) -> Delegation:
    """Read a proof in any of its forms: an archive, a plain CAR, or the text of one.

    Raises:
        MalformedContent: None of these.
        UnsupportedContent: A UCAN of another version or form.
    """
    head = data.lstrip()[:2]
    if head[:1] == b"m" or head.isalpha():
        return from_text(data.decode("ascii", "replace"))
    roots, blocks = read_blocks(data)
    if len(roots) == 1 and blocks.get(roots[0], b"")[:12] == b"\xa1\x6a" + _VARIANT.encode():
        return extract(data)
    # A plain CAR's roots are the official tools' own business: they wrote none, or a wrong one; the last
    # block is the UCAN.
    if not blocks:
        raise MalformedContent("a CAR without blocks holds no UCAN")
    return _from_blocks(next(reversed(blocks)), blocks)


def to_text(delegation: Delegation) -> str:
    """Write the text form."""
    data = archive(delegation)
    head = b"\x01" + encode_varint(CAR) + encode_varint(_IDENTITY) + encode_varint(len(data))
    return "m" + base64.b64encode(head + data).rstrip(b"=").decode()


def from_text(text: str) -> Delegation:
    """Read the text form, or the base64 of a plain CAR, which some tools print.

    Raises:
        MalformedContent: Neither; the message does not show it.
        UnsupportedContent: A UCAN of another version or form.
    """
    bare = "".join(text.split())
    try:
        if bare.startswith("m") and (data := _carried(_base64(bare[1:]))) is not None:
            return read_proof(data)
        return read_proof(_base64(bare.rstrip("=")))
    except (ValueError, binascii.Error) as error:
        if isinstance(error, MalformedContent):
            raise
        raise MalformedContent(
            "not the text of a proof: give what 'storacha delegation create --base64' prints"
        ) from None


def _base64(text: str) -> bytes:
    data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    if base64.b64encode(data).rstrip(b"=").decode() != text:
        raise ValueError("not canonical base64")
    return data


def _carried(data: bytes) -> bytes | None:
    """The CAR inside an identity CID; None if this is no CID."""
    if data[:1] != b"\x01":
        return None
    codec, at = decode_varint(data, 1)
    hashed, at = decode_varint(data, at)
    size, at = decode_varint(data, at)
    if codec != CAR or hashed != _IDENTITY or len(data) - at != size:
        raise ValueError("not a CID that carries a CAR")
    return data[at:]
