"""``[tier.options]`` of a gateway tier."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from attrs import Attribute, field, frozen, validators

from ziggurat.content import MAX_BLOCK

__all__ = ["GatewayOptions", "check_url", "is_here"]

_OWN = frozenset(
    (
        *("accept", "accept-encoding", "cache-control", "connection", "content-length", "content-type"),
        *("expect", "host", "range", "te", "trailer", "transfer-encoding", "upgrade"),
    )
)
"""Headers that say what is asked and how it travels."""


def check_url(url: object) -> None:
    """Refuse what is not the plain address of a gateway or a router.

    Raises:
        ValueError: Not an ``http://`` or ``https://`` URL, or one with a user, a query or a fragment.
    """
    if not isinstance(url, str):
        raise ValueError("a URL is a text such as 'https://gateway.example'")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"not a URL: {error}") from None
    if parts.username is not None or parts.password is not None:
        # Said without the URL itself: its password must not reach a message.
        raise ValueError("a URL here has no user or password: gateways are asked as anybody asks them")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not a URL: write 'https://gateway.example', with its scheme")
    if parts.query or parts.fragment:
        raise ValueError(f"{url!r} has a query or fragment: give the address that stands before /ipfs/")
    if parts.path.rstrip("/").endswith("/ipfs"):
        raise ValueError(f"{url!r} ends in /ipfs: give the address that stands before it")


def _urls(instance: object, attribute: Attribute[Any], value: tuple[str, ...]) -> None:  # noqa: ARG001 - attrs' signature
    for url in value:
        check_url(url)
    if len({url.rstrip("/") for url in value}) < len(value):
        raise ValueError("a URL is named twice")


def _check_headers(url: str, headers: Mapping[str, str]) -> None:
    """Refuse headers that would not arrive, or not only where they should; no value is repeated."""
    if not isinstance(headers, Mapping):
        raise ValueError(f"headers of {url} are a table of names and values")
    parts = urlsplit(url)
    if parts.scheme != "https" and not is_here(parts.hostname or ""):
        raise ValueError(f"headers may be secret, and {url} would get them in the clear: use https")
    for name, value in headers.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", name) or name.lower() in _OWN:
            raise ValueError(f"{name!r} is no header that can be set here")
        if not isinstance(value, str) or not re.fullmatch(r"[\x20-\x7e]{1,4096}", value):
            raise ValueError(f"the value of the header {name} is not one line of ASCII")
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError(f"a header of {url} is named twice: capitals make no difference")


def is_here(host: str) -> bool:
    """True for a name or number of this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _positive(unit: str, help_: str, default: float) -> Any:
    check: list[Any] = [validators.instance_of((int, float)), validators.gt(0)]
    return field(default=default, validator=check, metadata={"unit": unit, "help": help_})


@frozen
class GatewayOptions:
    """Which gateways are asked, and how patiently.

    Attributes:
        urls: Addresses of gateways, as they stand before ``/ipfs/``; the first is asked first until
            another proves faster.
        routing: Addresses of delegated routers, as they stand before ``/routing/v1/``: who else has what
            these gateways lack.
        hedge: Seconds after which another gateway is asked the same.
        patience: Seconds for one block to arrive, the gateway's own search included.
        search: The gateways may search their network; otherwise they are asked for what they hold.
        max_block: Bytes of the largest block that is taken.
        headers: What to send beside each question to a gateway or router, such as an authorization: a table
            of headers for each of the addresses above. Nobody else gets them.
    """

    urls: tuple[str, ...] = field(
        default=(),
        validator=_urls,
        metadata={"help": "addresses of trustless gateways, such as ['https://gateway.example']"},
    )
    routing: tuple[str, ...] = field(
        default=(),
        validator=_urls,
        metadata={"help": "delegated routers (/routing/v1) that find further gateways"},
    )
    hedge: float = _positive("seconds", "after this time another gateway is asked the same", 1.0)
    patience: float = _positive("seconds", "time for one block to arrive, search included", 30.0)
    search: bool = field(
        default=True,
        validator=validators.instance_of(bool),
        metadata={"help": "gateways may search their network for what they do not hold"},
    )
    max_block: int = field(
        default=MAX_BLOCK,
        validator=[validators.instance_of(int), validators.ge(1), validators.le(MAX_BLOCK)],
        metadata={"unit": "bytes", "help": "largest block taken; the network exchanges 2 MiB at most"},
    )

    headers: Mapping[str, Mapping[str, str]] = field(
        factory=dict,
        repr=False,
        metadata={
            "secret": True,
            "help": "for an address: its headers, such as Authorization, each by reference",
        },
    )

    def __attrs_post_init__(self) -> None:
        if not self.urls and not self.routing:
            raise ValueError("name at least one gateway in urls, or a router in routing")
        known = {url.rstrip("/") for url in (*self.urls, *self.routing)}
        for url, headers in self.headers.items():
            if url.rstrip("/") not in known:
                raise ValueError(f"headers are for {url!r}, which is neither in urls nor in routing")
            _check_headers(url, headers)
