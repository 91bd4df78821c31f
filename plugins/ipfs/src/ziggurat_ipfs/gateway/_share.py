"""Addresses under which anybody with a browser finds a blob.

Sources: https://specs.ipfs.tech/http-gateways/path-gateway/ and …/subdomain-gateway/.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

from attrs import frozen

from ziggurat.content import Cid

__all__ = ["SharedUrl", "share_urls"]

_LABEL = 63
"""Letters of the longest label of a host name (RFC 1035)."""


@frozen
class SharedUrl:
    """An address of a blob at one gateway.

    Attributes:
        style: "path" (``/ipfs/CID``) or "subdomain" (``CID.ipfs.host``: keeps sites apart in a browser).
        url: The address.
    """

    style: str
    url: str


def share_urls(gateway: str, cid: Cid, path: str = "") -> Iterator[SharedUrl]:
    """The addresses of a blob at a gateway; nothing is asked of it.

    A subdomain is left out where there can be none: at a number instead of a name, beneath a path, or where
    the CID is longer than a label of a host name in base32 and in base36.

    Args:
        gateway: Its address, as it stands before ``/ipfs/``.
        cid: The blob; shown as version 1.
        path: What follows the CID, such as "photos/a.jpg"; quoted here.
    """
    parts = urlsplit(gateway.rstrip("/"))
    tail = "".join("/" + quote(one, safe="") for one in path.split("/") if one)
    yield SharedUrl("path", f"{gateway.rstrip('/')}/ipfs/{cid.encode('base32')}{tail}")
    host = parts.hostname or ""
    label = next((text for base in ("base32", "base36") if len(text := cid.encode(base)) <= _LABEL), None)
    if parts.path or label is None or _is_number(host):
        return
    port = f":{parts.port}" if parts.port else ""
    yield SharedUrl("subdomain", f"{parts.scheme}://{label}.ipfs.{host}{port}{tail or '/'}")


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
