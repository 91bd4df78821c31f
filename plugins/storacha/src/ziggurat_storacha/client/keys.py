"""Ed25519 keys: who signs, who is verified, and the text form that the official tools write.

A private key's text is ``M`` and the base64 of ``8026`` seed ``ed01`` public key (multibase base64pad,
multicodec 0x1300). A signature is a *varsig*: its algorithm's code, its length, its bytes; ``eda103 40``
before the 64 bytes of Ed25519.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ziggurat.content.multibase import base58
from ziggurat.content.varint import encode_varint
from ziggurat.errors import ConfigError
from ziggurat_storacha.client.did import ED25519, public_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["ABSENT", "EDDSA", "NON_STANDARD", "Key", "verify"]

EDDSA: Final = 0xD0ED
"""Code of an Ed25519 signature."""

NON_STANDARD: Final = 0xD000
"""Code of a signature of another kind; its name follows it. An account's is absent: no bytes and no name."""

ABSENT: Final = encode_varint(NON_STANDARD) + b"\0"
"""What stands for the signature of an account, which a ``ucan/attest`` of the service vouches for."""

_HEAD = encode_varint(EDDSA) + encode_varint(64)
_PRIVATE, _PUBLIC = encode_varint(0x1300), encode_varint(ED25519)
_SIZE = len(_PRIVATE) + 32 + len(_PUBLIC) + 32


class Key:
    """A private Ed25519 key, and the DID that it signs for. Neither its repr nor a pickle shows the secret.

    Attributes:
        did: Who signs: the key's own ``did:key``.
    """

    __slots__ = ("_private", "_public", "_seed", "did")

    def __init__(self, seed: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if len(seed) != 32:
            raise ConfigError("an Ed25519 key has a seed of 32 bytes")
        self._seed = bytes(seed)
        self._private: Ed25519PrivateKey = Ed25519PrivateKey.from_private_bytes(self._seed)
        self._public = self._private.public_key().public_bytes_raw()
        self.did = f"did:key:z{base58(_PUBLIC + self._public)}"

    @classmethod
    def generate(cls) -> Key:
        """Make a new key."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def derived(cls, secret: bytes) -> Key:
        """Make the key whose seed is the SHA-256 of a secret, as the HTTP bridge does."""
        return cls(hashlib.sha256(secret).digest())

    @classmethod
    def parse(cls, text: str) -> Key:
        """Read the text of a private key, ``M…``.

        Raises:
            ConfigError: Not such a text; the message does not show it.
        """
        bare = text.strip()
        try:
            if not re.fullmatch(r"M[A-Za-z0-9+/]+={0,2}", bare):
                raise ValueError("its form")
            return cls.from_bytes(base64.b64decode(bare[1:], validate=True))
        except (ValueError, ConfigError):
            raise ConfigError(
                "not a private key: give the text 'Mg...' that 'storacha key create' or"
                " 'ziggurat storacha key' prints"
            ) from None

    @classmethod
    def from_bytes(cls, data: bytes) -> Key:
        """Read the binary form: multicodec, seed, multicodec, public key.

        Raises:
            ConfigError: Not such bytes, or a public key that is not the seed's.
        """
        seed = data[len(_PRIVATE) : len(_PRIVATE) + 32]
        if len(data) != _SIZE or data[: len(_PRIVATE)] != _PRIVATE or (key := cls(seed)).to_bytes() != data:
            raise ConfigError(
                "not the bytes of a private Ed25519 key, or its two halves do not belong together"
            )
        return key

    @classmethod
    def from_words(cls, words: str) -> Key:
        """Read the 24 words that the official tools print for a space (BIP-39, English).

        Raises:
            ConfigError: Not such words; the message does not show them.
        """
        from mnemonic import Mnemonic

        try:
            return cls(bytes(Mnemonic("english").to_entropy(" ".join(words.lower().split()))))
        except (ValueError, LookupError, ConfigError):
            raise ConfigError("not the 24 words of a space: one is wrong, or they are not in order") from None

    @classmethod
    def load(cls, path: Path) -> Key:
        """Read a private key from a file: its text, or 24 words; lines that begin with # are left out.

        Raises:
            ConfigError: The file cannot be read, or holds no key.
        """
        try:
            # What is no text is no key either; the error of decoding it would carry the whole file.
            lines = path.read_bytes().decode("ascii", "replace").splitlines()
        except OSError as error:
            raise ConfigError(f"cannot read the key file {path}: {error}") from error
        found = [line for line in lines if line.strip() and not line.startswith("#")]
        if len(" ".join(found).split()) > 1 and not any(line.startswith("M") for line in found):
            return cls.from_words(" ".join(found))
        if len(found) != 1:
            raise ConfigError(f"the key file {path} must hold exactly one key")
        return cls.parse(found[0])

    def to_bytes(self) -> bytes:
        """The binary form of the private key: a secret."""
        return _PRIVATE + self._seed + _PUBLIC + self._public

    def to_text(self) -> str:
        """The text form of the private key: a secret."""
        return "M" + base64.b64encode(self.to_bytes()).decode()

    def to_words(self) -> str:
        """The private key as 24 words, as the official tools print it for a space: a secret."""
        from mnemonic import Mnemonic

        return Mnemonic("english").to_mnemonic(self._seed)

    def sign(self, message: bytes) -> bytes:
        """Sign; gives a varsig of 68 bytes."""
        return _HEAD + self._private.sign(message)

    def __repr__(self) -> str:
        return f"Key({self.did!r})"

    def __reduce__(self) -> str:
        raise TypeError("a private key is not pickled: it would lie where nobody expects it")


def verify(did: str, message: bytes, signature: bytes) -> bool:
    """Tell whether a varsig is the signature of a ``did:key`` over a message.

    Args:
        did: Whose signature it should be.
        message: What should have been signed.
        signature: The varsig.

    Returns:
        False for a wrong signature and for one of another algorithm.

    Raises:
        MalformedContent: Not a DID.
        UnsupportedContent: A DID that says no Ed25519 key.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    public = public_key(did)
    if len(signature) != 68 or signature[:4] != _HEAD:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature[4:], message)
    except (InvalidSignature, ValueError):
        return False
    return True
