"""HTTP: one session of requests, no retries of its own, every failure an error of the contract.

429, and 503 with a Retry-After, are waited for within the budget of `Pace`; all else is the caller's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from typing import IO, TYPE_CHECKING, Any, Final

from attrs import field, frozen

from ziggurat.backend import Timeouts
from ziggurat.errors import TierError, TierTimeout, TierUnavailable
from ziggurat_storacha.client.errors import bare, of_status, unreachable
from ziggurat_storacha.client.pace import Pace

if TYPE_CHECKING:
    import requests

__all__ = ["MAX_REPLY", "Body", "Reply", "Transport", "body_of"]

MAX_REPLY: Final = 64 << 20
"""Largest reply taken whole, bytes."""

Body = bytes | Callable[[], IO[bytes] | Iterable[bytes]]
"""What is sent: bytes, or a function that begins it afresh for each attempt."""

_PIECE = 1 << 16
_SLOW_DOWN = 429


@frozen
class Reply:
    """A whole answer.

    Attributes:
        status: Status of HTTP.
        headers: By name in lower case.
        body: Its bytes.
        url: Where it came from, after redirects.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    url: str


class Transport:
    """Asks over HTTP. Safe to use from several threads; makes no connection before it is asked.

    Args:
        timeouts: Seconds.
        pace: When the service may be asked; None to wait for nobody.
        connections: How many are kept open to one host.
    """

    def __init__(
        self,
        timeouts: Timeouts = Timeouts(),
        pace: Pace | None = None,
        connections: int = 16,
    ) -> None:
        self._timeouts, self._pace, self._connections = timeouts, pace, connections
        self._lock = threading.Lock()
        self._opened: requests.Session | None = None

    def fetch(
        self,
        method: str,
        url: str,
        *,
        option: str,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        expect: Iterable[int] = (200,),
        redirects: bool = False,
        limit: int = MAX_REPLY,
        cancel: threading.Event | None = None,
    ) -> Reply:
        """Ask, and read the whole answer.

        Args:
            method: Of HTTP.
            url: What is asked.
            option: The option that names the endpoint, for messages.
            body: What is sent.
            headers: What goes with it.
            expect: Statuses that are an answer; any other is an error.
            redirects: Follow redirects.
            limit: Largest answer taken, bytes.
            cancel: Ends a wait for the service's permission.

        Raises:
            TierError: No answer, or another one.
        """
        with self.open(
            method,
            url,
            option=option,
            body=body,
            headers=headers,
            expect=expect,
            redirects=redirects,
            cancel=cancel,
        ) as response:
            return Reply(
                response.status_code,
                {name.lower(): value for name, value in response.headers.items()},
                self._whole(response, url, option, limit),
                response.url,
            )

    @contextmanager
    def open(
        self,
        method: str,
        url: str,
        *,
        option: str,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        expect: Iterable[int] = (200,),
        redirects: bool = False,
        cancel: threading.Event | None = None,
    ) -> Iterator[requests.Response]:
        """Ask, and give the answer with its body unread; see `fetch`.

        Read the body with `pieces`, which translates what goes wrong there.
        """
        wanted = frozenset(expect)
        waiting = None if self._pace is None else self._pace.waiting(cancel)
        while True:
            if waiting is not None:
                waiting.turn()
            response = self._send(method, url, option, body, headers, redirects)
            try:
                status = response.status_code
                if status in wanted:
                    yield response
                    return
                asked = response.headers.get("Retry-After")
                if waiting is None or not (status == _SLOW_DOWN or (status == 503 and asked)):
                    raise of_status(status, self._head(response), url, option)
                waiting.refused(asked)
            finally:
                response.close()

    def pieces(self, response: requests.Response, option: str, size: int = _PIECE) -> Iterator[bytes]:
        """Give the body of an answer as it comes, at most `size` bytes at a time.

        Raises:
            TierUnavailable: The connection broke, or the body ended before its length.
        """
        import requests
        import urllib3

        try:
            yield from response.iter_content(size)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _translated(error, response.url, option) from None

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            session, self._opened = self._opened, None
        if session is not None:
            session.close()

    def _session(self) -> requests.Session:
        with self._lock:
            if self._opened is None:
                import requests
                from requests.adapters import HTTPAdapter

                session = requests.Session()
                session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
                session.auth = _as_it_is  # or requests would send what ~/.netrc says of the host
                session.headers["User-Agent"] = "ziggurat-storacha"
                adapter = HTTPAdapter(self._connections, self._connections, max_retries=0)
                session.mount("https://", adapter)
                session.mount("http://", adapter)
                self._opened = session
            return self._opened

    def _send(
        self,
        method: str,
        url: str,
        option: str,
        body: Body | None,
        headers: Mapping[str, str] | None,
        redirects: bool,
    ) -> requests.Response:
        import requests

        try:
            return self._session().request(
                method,
                url,
                data=body() if callable(body) else body,
                headers=dict(headers or {}),
                timeout=(self._timeouts.connect, self._timeouts.idle),
                allow_redirects=redirects,
                stream=True,
            )
        except (requests.RequestException, UnicodeError) as error:
            raise _translated(error, url, option) from None

    def _whole(self, response: requests.Response, url: str, option: str, limit: int) -> bytes:
        out = bytearray()
        until = None if self._timeouts.total is None else time.monotonic() + self._timeouts.total
        for piece in self.pieces(response, option):
            out += piece
            if len(out) > limit:
                raise TierUnavailable(f"{bare(url)} answered with more than {limit} bytes; correct {option}")
            if until is not None and time.monotonic() > until:
                raise TierTimeout(f"{bare(url)}: the answer did not end in time; try again", retryable=True)
        return bytes(out)

    def _head(self, response: requests.Response) -> bytes:
        import requests
        import urllib3

        try:
            return next(response.iter_content(2000), b"")
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError):
            return b""


def _translated(error: Exception, url: str, option: str) -> TierError:
    """The error of the contract; what the library raised is not its cause, for it shows the whole URL."""
    if isinstance(error, OSError) and getattr(error, "request", None) is not None:
        error.request = None  # type: ignore[attr-defined] # it holds headers and body: tokens, invocations
    return unreachable(error, url, option)


def _as_it_is(request: Any) -> Any:
    return request


def body_of(data: bytes) -> Callable[[], IO[bytes]]:
    """Bytes as a body that is sent without being copied by the HTTP library."""
    import io

    return lambda: io.BytesIO(data)
