"""Claims: what an indexing service says of a digest: which index knows it, and where bytes are.

``GET {indexer}/claims?multihash=z…`` answers with a CAR whose root is
``{"index/query/result@0.1": {claims, indexes}}``. Nothing
of it is trusted: an index is proved by its digest, and every block by its own. A claim that is not signed by
the key that its issuer names is left out and logged; an issuer that names none, a did:web, is not asked.

Source: the package ``@storacha/indexing-service-client``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from ziggurat.content import Cid, dagcbor, read_car
from ziggurat.content.multibase import base58
from ziggurat.errors import (
    ContentMismatch,
    MalformedContent,
    TierUnavailable,
    UnsupportedContent,
    ZigguratError,
)
from ziggurat_storacha.client.transport import Transport
from ziggurat_storacha.client.ucan import Capability, decode_ucan, verify_ucan
from ziggurat_storacha.uploads.blobs import content_digest
from ziggurat_storacha.uploads.index import MAX_INDEX
from ziggurat_storacha.uploads.shards import multihash

__all__ = ["Found", "query_claims", "read_claims"]

log = logging.getLogger("ziggurat.storacha")

_VARIANT = "index/query/result@0.1"
_MOST = 4096  # claims of one answer that are read


@frozen
class Found:
    """What is claimed.

    Attributes:
        indexes: Multihashes of index blobs that know the digest, the newest last, those of `own` after all
            others.
        own: Those of them that are said to be of the upload whose root has the digest.
        locations: URLs of bytes by their multihash.
        inlined: Index blobs that came with the answer, by multihash; not proved.
    """

    indexes: tuple[bytes, ...]
    own: tuple[bytes, ...]
    locations: Mapping[bytes, tuple[str, ...]]
    inlined: Mapping[bytes, bytes] = field(factory=dict, repr=False)


def query_claims(transport: Transport, indexer: str, digest: bytes) -> Found:
    """Ask an indexing service about a multihash.

    Args:
        transport: How to ask.
        indexer: Its URL, as it stands before ``/claims``.
        digest: What is looked for.

    Raises:
        TierError: It could not be asked, or answered something else.
    """
    url = f"{indexer.rstrip('/')}/claims?multihash=z{base58(digest)}"
    reply = transport.fetch("GET", url, option="indexer_url", redirects=True, limit=MAX_INDEX)
    try:
        return read_claims(reply.body, digest)
    except (ZigguratError, KeyError, TypeError, ValueError) as error:
        raise TierUnavailable(
            f"{indexer} does not answer as an indexing service does; correct indexer_url"
        ) from error


def read_claims(body: bytes, asked: bytes) -> Found:
    """Read what an indexing service answered.

    Args:
        body: The CAR.
        asked: The multihash that was asked about.

    Raises:
        ZigguratError, KeyError, TypeError, ValueError: It is something else.
    """
    car = read_car([body], max_block=MAX_INDEX)
    blocks = dict(car)
    (root,) = car.roots
    result = _map(_map(dagcbor.decode(blocks[root]))[_VARIANT])
    indexes: dict[bytes, None] = {}
    own: dict[bytes, None] = {}
    locations: dict[bytes, tuple[str, ...]] = {}
    inlined: dict[bytes, bytes] = {}
    for link in list(result.get("claims") or ())[:_MOST]:
        for capability in _capabilities(blocks[link], link):
            nb = capability.nb or {}
            if capability.can == "assert/index" and isinstance(nb.get("index"), Cid):
                (own if content_digest(nb) == asked else indexes)[multihash(nb["index"])] = None
            elif capability.can == "assert/location" and (about := content_digest(nb)) is not None:
                if nb.get("range"):
                    continue  # a part of something else; the index says the same better
                known = locations.get(about, ())
                locations[about] = (*known, *(_url(one) for one in nb["location"] if _url(one) not in known))
    for link in _map(result.get("indexes") or {}).values():
        if isinstance(link, Cid) and link in blocks:
            inlined[multihash(link)] = blocks[link]
            indexes.setdefault(multihash(link))
    return Found((*(one for one in indexes if one not in own), *own), tuple(own), locations, inlined)


def _capabilities(block: bytes, link: Cid) -> tuple[Capability, ...]:
    """What a claim says; nothing if somebody else than its issuer signed it."""
    ucan = decode_ucan(block, link)
    try:
        verify_ucan(ucan)
    except UnsupportedContent:
        pass  # a did:web, whose key only itself could say
    except ContentMismatch as error:
        log.warning("a claim is left out: %s", error.message)
        return ()
    return ucan.capabilities


def _map(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise MalformedContent("not a map")
    return value


def _url(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith(("http://", "https://")):
        raise MalformedContent("not the URL of a location")
    return value
