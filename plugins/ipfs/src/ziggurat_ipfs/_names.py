"""Names that can change: how they are written, and how one leads to another until a CID comes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from attrs import evolve, frozen

from ziggurat.content import Cid
from ziggurat.errors import BlobNotFound, InvalidCid, TierUnavailable, UnsupportedContent
from ziggurat_ipfs._ipns import LIBP2P_KEY, IpnsRecord

__all__ = ["MOST_HOPS", "Name", "Resolved", "follow", "parse_name", "resolved"]

MOST_HOPS = 8
"""Names that may point to each other before a CID must come."""


@frozen
class Name:
    """A name, read.

    Attributes:
        text: As a gateway knows it, after ``/ipns/``.
        key: The key that signs it, None for DNSLink.
        path: What follows it, without a slash in front.
    """

    text: str
    key: Cid | None
    path: str = ""


@frozen
class Resolved:
    """What a name points to now.

    Attributes:
        name: The name that was asked.
        target: ``/ipfs/CID`` or ``/ipns/NAME``, with a path.
        seconds: How long that may be remembered, None when nobody said.
        proved: The key of the name signed it; otherwise it is the gateway's word.
        gateway: Who said it: the address of a gateway, or of a node.
    """

    name: str
    target: str
    seconds: float | None
    proved: bool
    gateway: str

    @property
    def cid(self) -> Cid:
        """The CID of the target; InvalidCid if it is another name."""
        return Cid.parse(self.target.removeprefix("/ipfs/").partition("/")[0])

    def then(self, further: Resolved) -> Resolved:
        """The answer after what this points to was resolved too: as short-lived and as proved as both."""
        known = [one for one in (self.seconds, further.seconds) if one is not None]
        return evolve(
            further, name=self.name, seconds=min(known, default=None), proved=self.proved and further.proved
        )


def parse_name(text: str) -> Name:
    """Read ``/ipns/NAME[/PATH]``, ``ipns://NAME[/PATH]`` or ``NAME[/PATH]``.

    Raises:
        InvalidCid: Neither a key's name nor a domain.
        UnsupportedContent: The name of a key that it does not carry.
    """
    bare = text.removeprefix("ipns://").removeprefix("/ipns/")
    name, _, path = bare.partition("/")
    try:
        key = Cid.parse(name)
    except InvalidCid:
        labels = name.removesuffix(".").split(".")
        fine = all(label and label.replace("-", "").replace("_", "").isalnum() for label in labels)
        if len(labels) > 1 and fine and name.isascii() and len(name) < 254:
            return Name(name.removesuffix(".").lower(), None, path)
        raise InvalidCid(
            f"{name[:80]!a} is no name: give a key such as k51…, or a domain with a DNSLink", cid=name[:80]
        ) from None
    if key.codec != LIBP2P_KEY or key.identity is None:
        raise UnsupportedContent(f"{name} does not carry its key: give the name as k51…", cid=name)
    return Name(key.encode("base36"), key, path)


def resolved(name: Name, record: IpnsRecord, teller: str) -> Resolved:
    """What a record that its key signed says, if it is still valid.

    Raises:
        TierUnavailable: It is over, so nobody knows what the name points to now.
    """
    left = (record.until - datetime.now(UTC)).total_seconds()
    if left <= 0:
        raise TierUnavailable(
            f"the record of {name.text} at {teller} ended {record.until:%Y-%m-%d %H:%M} UTC"
        )
    return Resolved(name.text, record.value, max(0.0, min(left, record.ttl)), True, teller)


def follow(text: str, step: Callable[[Name], Resolved]) -> Resolved:
    """What a name points to now, through further names to a CID.

    Args:
        text: As `parse_name` reads it.
        step: Tells what one name points to.

    Returns:
        The path it leads to, with the shortest lifetime on the way; proved where every step was.

    Raises:
        InvalidCid, UnsupportedContent: No name, or of a kind that is not read.
        BlobNotFound: It leads in a circle.
        Exception: What `step` raised.
    """
    name = parse_name(text)
    answer: Resolved | None = None
    for _ in range(MOST_HOPS):
        found = step(name)
        if name.path:
            found = evolve(found, target=f"{found.target.rstrip('/')}/{name.path}")
        answer = found if answer is None else answer.then(found)
        if not answer.target.startswith("/ipns/"):
            _ = answer.cid  # what is no CID is said here
            return answer
        name = parse_name(answer.target)
    raise BlobNotFound(f"{text} leads from name to name and to no CID", cid=text)
