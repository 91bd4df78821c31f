"""Requests to gateways and routers: one address, one answer, nothing followed that leads elsewhere."""

from __future__ import annotations

import email.utils
import time
import urllib.request
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from types import MappingProxyType
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, ReadTimeoutError, SSLError
from urllib3.response import BaseHTTPResponse

from ziggurat.backend import Cid, Timeouts
from ziggurat.errors import (
    TierDenied,
    TierError,
    TierThrottled,
    TierTimeout,
    TierUnavailable,
    Unsupported,
    ZigguratError,
)
from ziggurat_ipfs.gateway._options import is_here
from ziggurat_ipfs.gateway._wire import POOLS, Line, Watch

__all__ = ["Answer", "Client", "retry_after", "where_to"]

_PIECE = 1 << 18
_REDIRECTS = 3
_AGENT = "ziggurat"
_NO_CAR = (400, 405, 406, 415, 501)
_LONGEST_REST = 3600.0
_SECRET = 4  # letters from which a value is hidden in messages


class Client:
    """Asks over kept connections; makes none before the first question.

    Args:
        timeouts: Seconds to connect, and for the next byte.
        patience: Seconds for one question in all.
        headers: What to send besides, by the address that it is for; a redirect that is followed gets it too.
    """

    def __init__(
        self,
        timeouts: Timeouts,
        patience: float,
        headers: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    ) -> None:
        self._headers = {
            url.rstrip("/"): {name.lower(): value for name, value in given.items()}
            for url, given in headers.items()
        }
        self.patience = patience
        self.watch = Watch()
        self._timeout = urllib3.Timeout(connect=timeouts.connect, read=min(timeouts.idle, patience))
        self._managers: dict[str, urllib3.PoolManager] = {}

    def ask(
        self, method: str, url: str, headers: Mapping[str, str], line: Line, cid: Cid | None = None
    ) -> Answer:
        """Ask and read the head of the answer, within `patience` seconds.

        Args:
            method: "GET" or "HEAD".
            url: The whole address.
            headers: What to say beside it.
            line: What the request goes over.
            cid: What a redirect to a subdomain must name.

        Raises:
            TierUnavailable: Nothing answered, or not in time.
            TierDenied: It sends us to somebody else.
        """
        self.watch.limit(line, self.patience)
        asked, own = url, self._for(url)
        for _ in range(_REDIRECTS + 1):
            with self.translated(url, line), line.used():
                # No content coding: what would unpack to more than was counted is never asked for.
                said = {"user-agent": _AGENT, **own, "accept-encoding": "identity", **headers}
                response = self._manager(asked).request(
                    method, asked, headers=said, retries=False, redirect=False,
                    preload_content=False, timeout=self._timeout,
                )  # fmt: skip
                if method == "HEAD":
                    response.drain_conn()  # there is no body, but only this gives the connection back
            if response.status not in (301, 302, 303, 307, 308):
                return Answer(self, url, response, line)
            response.close()
            with self.translated(url, line):
                asked = where_to(asked, response.headers.get("Location", ""), cid)
        self.watch.free(line)
        raise TierUnavailable(f"{_host(url)} redirects in a circle")

    def _for(self, url: str) -> Mapping[str, str]:
        """The headers of the address that a question goes to."""
        parts = urlsplit(url)
        for base, given in self._headers.items():
            mine = urlsplit(base)
            same = (parts.scheme, parts.netloc) == (mine.scheme, mine.netloc)
            if same and parts.path.startswith(f"{mine.path}/"):
                return given
        return {}

    def hide(self, text: str) -> str:
        """A gateway's words without what it was sent in confidence: some repeat the request."""
        for given in self._headers.values():
            for value in given.values():
                for part in (value, value.rpartition(" ")[2]):
                    text = text.replace(part, "***") if len(part) >= _SECRET else text
        return text

    def close(self) -> None:
        """Cut what is under way, and close the kept connections."""
        self.watch.cut_all()
        for manager in list(self._managers.values()):
            manager.clear()

    def _manager(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        host = parts.hostname or ""
        # This machine is asked without a proxy: elsewhere it is another, and the headers may be secret.
        proxy = "" if is_here(host) else urllib.request.getproxies().get(parts.scheme, "")
        if proxy and urllib.request.proxy_bypass(host):
            proxy = ""
        manager = self._managers.get(proxy)
        if manager is None:
            manager = (
                urllib3.ProxyManager(proxy, num_pools=32, maxsize=32)
                if proxy
                else urllib3.PoolManager(num_pools=32, maxsize=32)
            )
            manager.pool_classes_by_scheme = POOLS
            manager = self._managers.setdefault(proxy, manager)
        return manager

    def translated(self, url: str, line: Line) -> _Translated:
        """Errors of the wire, as ours."""
        return _Translated(self.watch, url, line)


class _Translated:
    """The one translation of what urllib3 and sockets raise; ends the line when something is raised."""

    def __init__(self, watch: Watch, url: str, line: Line) -> None:
        self._watch, self._url, self._line = watch, url, line

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None:
            return
        self._watch.free(self._line)
        where = _host(self._url)
        if self._line.late:
            raise TierTimeout(
                f"{where} did not answer within {self._line.allowed:g} s", retryable=True
            ) from error
        if isinstance(error, ZigguratError):
            return
        if isinstance(error, urllib3.exceptions.TimeoutError | ReadTimeoutError | TimeoutError):
            raise TierTimeout(f"{where} did not answer in time", retryable=True) from error
        if isinstance(error, SSLError):
            raise TierUnavailable(f"{where} cannot be trusted to be itself: {_brief(error)}") from error
        if isinstance(error, HTTPError | HTTPException | OSError | ValueError):
            raise TierUnavailable(f"{where} broke off: {_brief(error)}", retryable=True) from error


class Answer:
    """What came back: status and headers at once, the body as it is read."""

    def __init__(self, client: Client, url: str, response: BaseHTTPResponse, line: Line) -> None:
        self._client, self._url, self._response, self._line = client, url, response, line
        self.status: int = response.status
        self.headers: Mapping[str, str] = response.headers
        self.type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def framed(self) -> bool:
        """The answer says how long it is, so that a body which is cut short is known to be."""
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "").lower()
        return chunked or "Content-Length" in self.headers

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes in; each wait is bounded by the line's limit."""
        if self.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
            raise TierUnavailable(f"{_host(self._url)} packs its answer although it was asked not to")
        read = self._response.read1
        while True:
            with self._client.translated(self._url, self._line):
                piece = read(_PIECE, decode_content=False)
                if not piece:
                    if self._line.late:
                        raise ConnectionAbortedError("cut")  # a body without a length just ends
                    self._response.drain_conn()  # nothing is left, but only this gives the connection back
            if not piece:
                return
            yield piece

    def body(self, limit: int) -> bytes | None:
        """The whole body, None if it is longer than `limit` bytes."""
        length = self.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) > limit:
            return None
        out = bytearray()
        for piece in self.pieces():
            out += piece
            if len(out) > limit:
                return None
        return bytes(out)

    def limit(self, seconds: float) -> None:
        """Give the next block so many seconds from now."""
        self._client.watch.limit(self._line, seconds)

    def rest(self) -> None:
        """Stop the clock: nobody waits."""
        self._client.watch.free(self._line)

    def close(self) -> None:
        """Let the connection go: kept when the body was read to its end, closed otherwise."""
        self.rest()
        self._line.done()
        self._response.close()

    def refusal(self) -> TierError | None:
        """What a status other than success means: an error, or None for "absent"."""
        status, where = self.status, _host(self._url)
        try:
            text = _brief(self._client.hide((self.body(1 << 14) or b"").decode("utf-8", "replace")))
        except TierError:
            text = ""
        if status in (404, 412):
            return None
        said = f"{where} answered {status}" + (f": {text}" if text else "")
        after = retry_after(self.headers.get("Retry-After", ""))
        if status == 429 or (status == 503 and after is not None):
            return TierThrottled(f"{where} asks to be left alone", retryable=True, retry_after=after)
        if status == 504:
            return TierTimeout(said, retryable=True)
        if status >= 500 and status != 501:
            return TierUnavailable(said, retryable=True)
        if status in (401, 402, 403, 407, 410, 451):
            return TierDenied(f"{said}; it does not give this to us, perhaps it wants headers")
        if status in _NO_CAR:
            return Unsupported(f"{said}; perhaps it is no trustless gateway")
        return TierUnavailable(f"{said}, which is no answer of a trustless gateway")


def retry_after(text: str) -> float | None:
    """Seconds of a Retry-After header, given as such or as a date; at most an hour, None if it says none."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:9]), _LONGEST_REST)
    try:
        when = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(0.0, when - time.time()), _LONGEST_REST)


def where_to(url: str, location: str, cid: Cid | None) -> str:
    """The address that a redirect leads to, where it may be followed.

    Allowed: the same origin, the same host with TLS instead of without, and the subdomain of the same host
    that is named by the CID (https://specs.ipfs.tech/http-gateways/subdomain-gateway/).

    Raises:
        TierDenied: It leads to somebody else.
    """
    try:
        target = urljoin(url, location)
        before, after = urlsplit(url), urlsplit(target)
        ports = before.port, after.port
    except ValueError:
        raise TierDenied(f"{_host(url)} redirects to what is no address") from None
    secured = (
        before.scheme == "http" and after.scheme == "https" and ports in ((None, None), (80, None), (80, 443))
    )
    origin = before.scheme == after.scheme and ports[0] == ports[1]
    if location and not after.username and not after.password and (origin or secured):
        if after.hostname == before.hostname:
            return target
        label, dot, host = (after.hostname or "").partition(".ipfs.")
        if dot and host == before.hostname and cid is not None and label in _labels(cid):
            return target
    raise TierDenied(f"{_host(url)} redirects to {_host(target)}, and is not followed there")


def _labels(cid: Cid) -> tuple[str, ...]:
    return cid.encode("base32"), cid.encode("base36")


def _host(url: str) -> str:
    """An address as far as it is shown: without what a redirect may have put into it."""
    parts = urlsplit(url)
    host = parts.hostname or "?"
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ""
    return _brief(f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}")


def _brief(error: object) -> str:
    text = str(error)
    if isinstance(error, HTTPError) and error.args:
        text = str(error.args[-1])
    clean = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(clean.split())[:160]
