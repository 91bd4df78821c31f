"""Asking a node for names: the signed record where the node has it to give, else the node's word."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from ziggurat.content import Cid
from ziggurat.errors import CorruptBlob, MalformedContent, TierUnavailable
from ziggurat_ipfs._errors import Refused
from ziggurat_ipfs._ipns import MAX_RECORD, IpnsRecord, read_record
from ziggurat_ipfs._names import Name, Resolved, resolved
from ziggurat_ipfs._rpc import Rpc

__all__ = ["ask_name"]

_UNKNOWN = re.compile(r"could not resolve name|routing: not found")
_OFFLINE = re.compile(r"must be run in online mode")
_VALUE = 5  # the kind of a row that brings a record
_GRACE = 5.0  # seconds that a node has beyond the time limit that it was given


def ask_name(rpc: Rpc, name: Name, patience: float | None) -> Resolved | None:
    """What a node says a name points to, None if it knows no such key.

    A daemon without a network gives no records, so its word must do, and how long that holds is not known.

    Args:
        rpc: The node.
        name: A key, or a domain with a DNSLink.
        patience: Seconds to ask the network (the DHT, routers, DNS); None for what the node knows itself.

    Raises:
        CorruptBlob: The node gave a record that the name's key did not sign.
        Refused, TierError: It could not tell, or the record is over. That a domain has no DNSLink looks the
            same as DNS that does not answer.
    """
    options = {"offline": "true"} if patience is None else {"timeout": f"{patience:g}s"}
    limit = None if patience is None else patience + _GRACE
    if name.key is not None and (record := _record(rpc, name, name.key, options, limit)) is not None:
        return resolved(name, record, str(rpc))
    try:
        rows = rpc.call("name/resolve", f"/ipns/{name.text}", patience=limit, recursive="false", **options)
    except Refused as refused:
        if not _UNKNOWN.search(refused.message):
            raise
        if name.key is not None:
            return None
        raise TierUnavailable(
            f"{rpc} found no DNSLink of {name.text}, or could not ask DNS: {refused.message}", retryable=True
        ) from refused
    path = rows[0].get("Path") if rows and isinstance(rows[0], dict) else None
    if not isinstance(path, str) or not path.startswith(("/ipfs/", "/ipns/")):
        raise TierUnavailable(f"name/resolve at {rpc} answered without a path: is it the RPC of a Kubo node?")
    return Resolved(name.text, path, None, False, str(rpc))


def _record(
    rpc: Rpc, name: Name, key: Cid, options: dict[str, str], limit: float | None
) -> IpnsRecord | None:
    """The newest record that a node has of a key's name, proved; None if it has none, or gives none."""
    try:
        rows = rpc.call("routing/get", f"/ipns/{name.text}", patience=limit, **options)
        found = [read_record(key, data) for data in _extras(rows)]
    except Refused as refused:
        if _UNKNOWN.search(refused.message) or _OFFLINE.search(refused.message):
            return None
        raise
    except MalformedContent as error:
        raise CorruptBlob(f"{rpc} gave a false record: {error.message}") from error
    return max(found, key=lambda record: (record.sequence, record.until), default=None)


def _extras(rows: list[object]) -> Iterator[bytes]:
    for row in rows:
        if isinstance(row, dict) and row.get("Type") == _VALUE and isinstance(text := row.get("Extra"), str):
            if len(text) > 2 * MAX_RECORD:
                raise MalformedContent(f"a record above {MAX_RECORD} bytes")
            try:
                yield base64.b64decode(text, validate=True)
            except binascii.Error:
                raise MalformedContent("a record that is no base64") from None
