"""Names that can change: IPNS keys, which prove themselves, and DNSLink, where a gateway's word must do."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from attrs import evolve, frozen

from ziggurat.backend import Cid
from ziggurat.errors import InvalidCid, MalformedContent, TierError, TierUnavailable, UnsupportedContent
from ziggurat_ipfs.gateway._health import Gateways, Peer
from ziggurat_ipfs.gateway._http import Answer, Client
from ziggurat_ipfs.gateway._ipns import LIBP2P_KEY, MAX_RECORD, read_record
from ziggurat_ipfs.gateway._wire import Line

__all__ = ["MOST_HOPS", "Name", "Names", "Resolved", "parse_name"]

MOST_HOPS = 8
"""Names that may point to each other before a CID must come."""

_RECORD_TYPE = "application/vnd.ipfs.ipns-record"


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
        gateway: Who said it.
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


class Names:
    """Questions about names to one gateway at a time.

    Args:
        client: Asks.
        gateways: Where a gateway that forges a record is dropped.
    """

    def __init__(self, client: Client, gateways: Gateways) -> None:
        self._client, self._gateways = client, gateways

    def ask(self, peer: Peer, name: Name, line: Line) -> Resolved | None:
        """What a gateway says a name points to, None if it knows no such name.

        Raises:
            CorruptBlob: The record is not signed by the name's key; the gateway was dropped.
            TierError: It could not tell, or the record is over.
        """
        return (
            self._record(peer, name, name.key, line) if name.key is not None else self._link(peer, name, line)
        )

    def _record(self, peer: Peer, name: Name, key: Cid, line: Line) -> Resolved | None:
        url = f"{peer.url}/ipns/{name.text}?format=ipns-record"
        answer = self._client.ask("GET", url, {"Accept": _RECORD_TYPE}, line)
        try:
            if not _there(answer):
                return None
            if answer.type != _RECORD_TYPE:
                raise TierUnavailable(f"{peer.url} gives no records of names; ask another gateway")
            data = answer.body(MAX_RECORD)
        finally:
            answer.close()
        if data is None:
            raise TierUnavailable(f"{peer.url} gives a record above {MAX_RECORD} bytes for {name.text}")
        try:
            record = read_record(key, data)
        except MalformedContent as error:
            raise self._gateways.drop(peer, f"gave a false record: {error.message}") from error
        left = (record.until - datetime.now(UTC)).total_seconds()
        if left <= 0:
            raise TierUnavailable(
                f"the record of {name.text} at {peer.url} ended {record.until:%Y-%m-%d %H:%M} UTC"
            )
        return Resolved(name.text, record.value, min(left, record.ttl), True, peer.url)

    def _link(self, peer: Peer, name: Name, line: Line) -> Resolved | None:
        url = f"{peer.url}/ipns/{name.text}?format=raw"
        start = time.monotonic()
        answer = self._client.ask("HEAD", url, {"Accept": "application/vnd.ipld.raw"}, line)
        try:
            if not _there(answer):
                return None
            root = answer.headers.get("X-Ipfs-Roots", "").split(",")[0].strip()
            age = _max_age(answer.headers.get("Cache-Control", ""))
        finally:
            answer.close()
        try:
            cid = Cid.parse(root)
        except InvalidCid:
            raise TierUnavailable(f"{peer.url} does not say what {name.text} points to") from None
        seconds = None if age is None else max(0.0, age - (time.monotonic() - start))
        return Resolved(name.text, f"/ipfs/{cid}", seconds, False, peer.url)


def _there(answer: Answer) -> bool:
    if answer.status == 200:
        return True
    error: TierError | None = answer.refusal()
    if error is not None:
        raise error
    return False


def _max_age(text: str) -> float | None:
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        if name.lower() == "max-age" and value.isascii() and value.isdecimal():
            return float(value[:10])
    return None
