"""Delegated routing: asking who has a block, and which of those speak HTTP.

Source: https://specs.ipfs.tech/routing/http-routing-v1/.
"""

from __future__ import annotations

import ipaddress
import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import cachetools

from ziggurat.backend import Cid
from ziggurat.errors import TierError, TierUnavailable
from ziggurat_ipfs.gateway._http import Client
from ziggurat_ipfs.gateway._wire import Line

__all__ = ["Routers", "url_of"]

PROTOCOL = "transport-ipfs-gateway-http"
_LONGEST_ANSWER = 1 << 20
_MOST_RECORDS = 100
_REMEMBERED, _SECONDS = 1024, 60.0


class Routers:
    """Delegated routers, and what they said lately.

    Args:
        client: Asks.
        urls: Their addresses.
    """

    def __init__(self, client: Client, urls: Sequence[str]) -> None:
        self._client = client
        self._urls = [url.rstrip("/") for url in urls]
        self._lock = threading.Lock()
        self._known: cachetools.TTLCache[Cid, tuple[str, ...]] = cachetools.TTLCache(_REMEMBERED, _SECONDS)

    def __bool__(self) -> bool:
        return bool(self._urls)

    def gateways(self, cid: Cid) -> tuple[tuple[str, ...], list[TierError]]:
        """Addresses of gateways that say they have a block, and why some router could not tell.

        An answer is remembered for a minute; a router that failed is asked again.
        """
        with self._lock:
            known = self._known.get(cid)
        if known is not None:
            return known, []
        found: list[str] = []
        failures: list[TierError] = []
        for router in self._urls:
            try:
                found.extend(self._ask(router, cid))
            except TierError as error:
                failures.append(error)
        urls = tuple(dict.fromkeys(found))
        if not failures:
            with self._lock:
                self._known[cid] = urls
        return urls, failures

    def _ask(self, router: str, cid: Cid) -> list[str]:
        url = f"{router}/routing/v1/providers/{cid.key}?filter-protocols={PROTOCOL}"
        answer = self._client.ask("GET", url, {"Accept": "application/json"}, Line())
        try:
            if answer.status != 200:
                error = answer.refusal()
                if error is not None:
                    raise error
                return []
            body = answer.body(_LONGEST_ANSWER)
        finally:
            answer.close()
        try:
            records = list(_records(json.loads(body if body is not None else b"too long")))
        except (ValueError, RecursionError) as error:
            raise TierUnavailable(f"{router} answered what is no list of providers") from error
        near = _is_near(urlsplit(router).hostname or "")
        found = (url_of(address, near=near) for address in records)
        return [one for one in found if one is not None]


def _records(answer: Any) -> Iterator[str]:
    """The addresses of the providers that speak the gateway protocol.

    Raises:
        ValueError: Not the shape of an answer.
    """
    providers = answer.get("Providers") if isinstance(answer, dict) else ()
    if providers is None:
        return
    if not isinstance(providers, list) or not isinstance(answer, dict):
        raise ValueError("no list of providers")
    for record in providers[:_MOST_RECORDS]:
        # The filter is a request; a router that does not know it sends everybody.
        if isinstance(record, dict) and PROTOCOL in _texts(record.get("Protocols")):
            yield from _texts(record.get("Addrs"))


def _texts(value: object) -> Iterable[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def url_of(address: str, *, near: bool = False) -> str | None:
    """The URL of an HTTP multiaddr, None if it is not one that a stranger may send us to.

    Anybody can announce any address, so one without TLS, or inside a private network, is taken only from
    a router that is on this machine or in this network itself.

    Args:
        address: Such as ``/dns/gateway.example/tcp/443/https`` or ``/ip4/192.0.2.1/tcp/443/tls/http``.
        near: The router is on this machine or in this network.
    """
    parts = address.split("/")[1:]
    if len(parts) < 5 or parts[2] != "tcp" or not (parts[3].isascii() and parts[3].isdecimal()):
        return None
    kind, host, port, rest = parts[0], parts[1], int(parts[3]), parts[4:]
    if len(rest) == 4 and rest[:2] == ["tls", "sni"]:
        rest = ["tls", *rest[3:]]
    secure = rest in (["https"], ["tls", "http"])
    if not 0 < port < 65536 or not (secure or rest == ["http"]):
        return None
    if kind in ("ip4", "ip6"):
        try:
            number = ipaddress.ip_address(host)
        except ValueError:
            return None
        if not number.is_global and not near:
            return None
        host = f"[{number}]" if number.version == 6 else str(number)
    elif kind not in ("dns", "dns4", "dns6") or not _is_name(host) or (_is_near(host) and not near):
        return None
    if not secure and not near:
        return None
    usual = port == (443 if secure else 80)
    return f"{'https' if secure else 'http'}://{host.lower()}" + ("" if usual else f":{port}")


def _is_name(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    fine = all(label and len(label) < 64 and label.replace("-", "").isalnum() for label in labels)
    return fine and host.isascii() and len(host) < 254


def _is_near(host: str) -> bool:
    name = host.lower().removesuffix(".")
    if "." not in name and ":" not in name:
        return True  # "localhost", or a name of the local network
    if name.endswith((".localhost", ".local", ".internal", ".lan", ".home.arpa")):
        return True
    try:
        return not ipaddress.ip_address(name).is_global
    except ValueError:
        return False
