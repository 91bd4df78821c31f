"""Asking gateways for names: IPNS keys prove themselves, for DNSLink a gateway's word must do."""

from __future__ import annotations

import time

from ziggurat.backend import Cid
from ziggurat.errors import InvalidCid, MalformedContent, TierError, TierUnavailable
from ziggurat_ipfs._ipns import MAX_RECORD, read_record
from ziggurat_ipfs._names import Name, Resolved, resolved
from ziggurat_ipfs.gateway._health import Gateways, Peer
from ziggurat_ipfs.gateway._http import Answer, Client
from ziggurat_ipfs.gateway._wire import Line

__all__ = ["Names"]

_RECORD_TYPE = "application/vnd.ipfs.ipns-record"


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
        return resolved(name, record, peer.url)

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
