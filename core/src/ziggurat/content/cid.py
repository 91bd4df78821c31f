"""Content identifiers: what a block is named by, and how its bytes are proved.

Source: https://github.com/multiformats/cid. Bytes are kept inside; texts are made once.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

from ziggurat.content.hashes import HASHES_BY_CODE, IDENTITY, MAX_IDENTITY, hash_by_name, hash_title
from ziggurat.content.key import Key
from ziggurat.content.multibase import (
    BASES,
    base32,
    base58,
    decode_base32,
    decode_base58,
    decode_multibase,
    encode_multibase,
)
from ziggurat.content.varint import decode_varint, encode_varint
from ziggurat.errors import InvalidCid, UnsupportedContent

__all__ = ["DAG_CBOR", "DAG_JSON", "DAG_PB", "MAX_BLOCK", "RAW", "Cid"]

RAW: Final = 0x55
DAG_PB: Final = 0x70
DAG_CBOR: Final = 0x71
DAG_JSON: Final = 0x0129

MAX_BLOCK: Final = 2 * 1024 * 1024
"""Largest block in bytes: what the IPFS network exchanges."""

_MAX_TEXT = 512
_bytes = bytes
_V1_RAW_SHA256 = b"\x01\x55\x12\x20"
_V1_PB_SHA256 = b"\x01\x70\x12\x20"
_V0 = b"\x12\x20"
_V1_PB = b"\x01\x70"
_new = object.__new__
_put = object.__setattr__


class Cid:
    """An immutable content identifier, version 0 or 1.

    Two CIDs are equal when they name the same block in the same codec: version 0 and version 1 of it are
    equal, and share their keys.

    Attributes:
        bytes: The binary CID.
        version: 0 or 1.
        codec: Multicodec of the block, such as `RAW` or `DAG_PB`.
        hash_code: Multihash code, such as 0x12 for sha2-256.
        digest: The hash of the block; of an identity CID the block itself.
        identity: The block that an identity CID carries, or None.
        cache_key: The key of this one block in a cache, a plain `str`: ``bafy….block`` for dag-pb, the
            canonical text for any other codec.
    """

    __slots__ = (
        "_block_key",
        "_key",
        "_nodes_key",
        "_text",
        "bytes",
        "cache_key",
        "codec",
        "digest",
        "hash_code",
        "identity",
        "version",
    )

    bytes: _bytes
    version: int
    codec: int
    hash_code: int
    digest: _bytes
    identity: _bytes | None
    cache_key: str
    _text: str | None
    _key: Key | None
    _nodes_key: Key | None
    _block_key: Key | None

    def __new__(cls, text: str) -> Cid:
        """The same as `parse`."""
        return cls.parse(text)

    @classmethod
    def parse(cls, text: str) -> Cid:
        """Read the text of a CID.

        Args:
            text: Version 0 in base58btc, or version 1 in base58btc, base32, base36, base16 or base64url
                with its multibase prefix, in canonical form; ``/ipfs/`` or ``ipfs://`` may stand before it,
                no path behind it.

        Raises:
            InvalidCid: Not the canonical text of a CID, or its hash is not on the allow-list.
        """
        if not isinstance(text, str):
            raise TypeError(f"the text of a CID is a str, not {type(text).__name__}")
        bare = text
        if text.startswith("/ipfs/"):
            bare = text[6:]
        elif text.startswith("ipfs://"):
            bare = text[7:]
        if not bare or len(bare) > _MAX_TEXT:
            _refuse(text, "empty" if not bare else f"longer than {_MAX_TEXT} characters")
        if "/" in bare:
            _refuse(text, "a path follows it; give the CID alone")
        canonical: str | None = None
        try:
            if bare[0] == "b":
                data = decode_base32(bare[1:])
                canonical = bare
            elif len(bare) == 46 and bare.startswith("Qm"):
                data = decode_base58(bare)
                if len(data) != 34 or data[:2] != _V0:
                    _refuse(text, "not a sha2-256 multihash")
                return _make(data, 0, DAG_PB, 0x12, data[2:], None)
            else:
                data = decode_multibase(bare)
        except ValueError as error:
            if isinstance(error, InvalidCid):
                raise
            _refuse(text, _reason(error))
        if data[:2] == _V0:
            _refuse(text, "version 0 has no multibase prefix")
        try:
            cid, end = cls.read(data, 0, _text=canonical)
        except InvalidCid as error:
            raise InvalidCid(f"{_shown(text)} is not a usable CID: {error.message}", cid=_cut(text)) from None
        if end != len(data):
            _refuse(text, "bytes follow its digest")
        return cid

    @classmethod
    def from_bytes(cls, data: _bytes | bytearray | memoryview) -> Cid:
        """Read a binary CID that fills `data` exactly.

        Raises:
            InvalidCid: Not a CID, or its hash is not on the allow-list.
        """
        data = _bytes(data)
        head = data[:4]
        if len(data) == 36:
            if head == _V1_RAW_SHA256:
                return _make(data, 1, RAW, 0x12, data[4:], None)
            if head == _V1_PB_SHA256:
                return _make(data, 1, DAG_PB, 0x12, data[4:], None)
        cid, end = cls.read(data, 0)
        if end != len(data):
            raise InvalidCid("bytes follow the digest of a binary CID")
        return cid

    @classmethod
    def read(cls, data: _bytes | memoryview, at: int, *, _text: str | None = None) -> tuple[Cid, int]:
        """Read a binary CID at a position of `data`.

        Returns:
            The CID, and the position after it.

        Raises:
            InvalidCid: No CID stands there, or its hash is not on the allow-list.
        """
        if data[at : at + 2] == _V0:
            end = at + 34
            digest = _bytes(data[at + 2 : end])
            if len(digest) != 32:
                raise InvalidCid("a binary CID is cut short")
            return _make(_V0 + digest, 0, DAG_PB, 0x12, digest, None), end
        try:
            version, place = decode_varint(data, at)
            if version != 1:
                raise InvalidCid(f"version {version} of CIDs is not known")
            codec, place = decode_varint(data, place)
            code, place = decode_varint(data, place)
            size, place = decode_varint(data, place)
        except ValueError as error:
            if isinstance(error, InvalidCid):
                raise
            raise InvalidCid(f"{error} in a binary CID") from None
        known = HASHES_BY_CODE.get(code)
        if known is None and code != IDENTITY:
            raise InvalidCid(f"hash {hash_title(code)} is not supported")
        if known is not None and size != known.size:
            raise InvalidCid(f"a {known.name} digest has {known.size} bytes, not {size}")
        if known is None and size > MAX_IDENTITY:
            raise InvalidCid(f"an identity CID of {size} bytes is above the limit of {MAX_IDENTITY}")
        end = place + size
        digest = _bytes(data[place:end])
        if len(digest) != size:
            raise InvalidCid("a binary CID is cut short")
        identity = digest if known is None else None
        return _make(_bytes(data[at:end]), 1, codec, code, digest, identity, _text), end

    @classmethod
    def of(
        cls,
        block: _bytes | bytearray | memoryview,
        codec: int = RAW,
        hash_name: str = "sha2-256",
        version: int = 1,
    ) -> Cid:
        """Name a block.

        Args:
            block: Its bytes.
            codec: Its multicodec.
            hash_name: A name of `ziggurat.content.hashes.HASHES`, or "identity".
            version: 1, or 0 for dag-pb under sha2-256.

        Raises:
            UnsupportedContent: An unknown hash, a version that cannot express it, or a block too large for
                an identity CID.
        """
        if version not in (0, 1):
            raise UnsupportedContent(f"version {version} of CIDs is not known; use 0 or 1")
        if version == 0 and (codec != DAG_PB or hash_name != "sha2-256"):
            raise UnsupportedContent("a version 0 CID names dag-pb under sha2-256 only; use version 1")
        if hash_name == "identity":
            digest = _bytes(block)
            if len(digest) > MAX_IDENTITY:
                raise UnsupportedContent(
                    f"a block above {MAX_IDENTITY} bytes does not fit in an identity CID"
                )
            code = IDENTITY
        else:
            known = hash_by_name(hash_name)
            code, digest = known.code, known.new(block).digest()
        multihash = encode_varint(code) + encode_varint(len(digest)) + digest
        data = multihash if version == 0 else b"\x01" + encode_varint(codec) + multihash
        return _make(data, version, codec, code, digest, digest if code == IDENTITY else None)

    def matches(self, block: _bytes | bytearray | memoryview) -> bool:
        """Prove a block: True if these are the bytes that the CID names."""
        if self.identity is not None:
            return self.identity == block
        return HASHES_BY_CODE[self.hash_code].new(block).digest() == self.digest

    def encode(self, base: str) -> str:
        """Write the CID in a base of `ziggurat.content.multibase.BASES`, such as "base36".

        Version 0 has a text in base58btc only: in any other base its version 1 is written.

        Raises:
            UnsupportedContent: An unknown base.
        """
        if base not in BASES:
            raise UnsupportedContent(f"base {base!r} is not supported; use one of {', '.join(BASES)}")
        if self.version == 0:
            return str(self) if base == "base58btc" else encode_multibase(base, _V1_PB + self.bytes)
        return encode_multibase(base, self.bytes)

    @property
    def key(self) -> Key:
        """The plain key: the canonical text of version 1."""
        key = self._key
        if key is None:
            key = Key(self.cache_key.removesuffix(".block"), self)
            _put(self, "_key", key)
        return key

    @property
    def nodes_key(self) -> Key:
        """The key of the nodes of a dag-pb blob; ValueError for any other codec."""
        key = self._nodes_key
        if key is None:
            if self.codec != DAG_PB:
                raise ValueError(f"{self} is not dag-pb: it has no nodes")
            key = Key(self.cache_key.removesuffix(".block") + ".nodes", self)
            _put(self, "_nodes_key", key)
        return key

    @property
    def block_key(self) -> Key:
        """The key of this one block: its own kind for dag-pb, the plain key for any other codec."""
        if self.codec != DAG_PB:
            return self.key
        key = self._block_key
        if key is None:
            key = Key(self.cache_key, self)
            _put(self, "_block_key", key)
        return key

    def __str__(self) -> str:
        text = self._text
        if text is None:
            if self.version == 0:
                text = base58(self.bytes)
            elif self.codec == DAG_PB:
                text = self.cache_key[:-6]
            else:
                text = self.cache_key
            _put(self, "_text", text)
        return text

    def __repr__(self) -> str:
        return f"Cid({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Cid):
            return NotImplemented
        return self.digest == other.digest and self.codec == other.codec and self.hash_code == other.hash_code

    def __hash__(self) -> int:
        return hash(self.digest)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a CID is immutable: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a CID is immutable: {name} cannot be deleted")

    def __reduce__(self) -> tuple[Any, ...]:
        return Cid.from_bytes, (self.bytes,)

    def __copy__(self) -> Cid:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Cid:
        return self


def _setter(name: str) -> Any:
    return Cid.__dict__[name].__set__


# The slots' own setters: a frozen object is filled three times as fast as through object.__setattr__.
_set_bytes, _set_version, _set_codec = _setter("bytes"), _setter("version"), _setter("codec")
_set_hash_code, _set_digest, _set_identity = _setter("hash_code"), _setter("digest"), _setter("identity")
_set_cache_key, _set_text = _setter("cache_key"), _setter("_text")
_set_key, _set_nodes_key, _set_block_key = _setter("_key"), _setter("_nodes_key"), _setter("_block_key")


def _make(
    data: bytes,
    version: int,
    codec: int,
    code: int,
    digest: bytes,
    identity: bytes | None,
    text: str | None = None,
) -> Cid:
    cid: Cid = _new(Cid)
    _set_bytes(cid, data)
    _set_version(cid, version)
    _set_codec(cid, codec)
    _set_hash_code(cid, code)
    _set_digest(cid, digest)
    _set_identity(cid, identity)
    if codec != DAG_PB:
        if text is None:
            text = "b" + base32(data)
        _set_cache_key(cid, text)
    elif version == 0:
        _set_cache_key(cid, "b" + base32(_V1_PB + data) + ".block")
    else:
        _set_cache_key(cid, (text or "b" + base32(data)) + ".block")
        text = None  # str() cuts it out of the cache key: few nodes are ever shown
    _set_text(cid, text)
    _set_key(cid, None)
    _set_nodes_key(cid, None)
    _set_block_key(cid, None)
    return cid


def _cut(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."


def _shown(text: str) -> str:
    return ascii(_cut(text))


def _reason(error: ValueError) -> str:
    own = ("not ", "unknown ")
    return str(error) if str(error).startswith(own) else "not the canonical text of its bytes"


def _refuse(text: str, why: str) -> NoReturn:
    raise InvalidCid(f"{_shown(text)} is not a CID: {why}", cid=_cut(text))
