"""A proxy that spoils connections on demand: between a client under test and any server of the tests."""

from __future__ import annotations

import itertools
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen
from tests.support.servers.build import Program, built
from tests.support.servers.process import ServerProcess, free_port

__all__ = ["TOXIPROXY", "Proxy", "Toxiproxy"]

TOXIPROXY = Program("toxiproxy", "github.com/Shopify/toxiproxy/v2/cmd/server", "v2.5.0")

_ATTEMPTS = 5  # a free port may be taken before the server binds it


class Toxiproxy:
    """One server, which makes proxies.

    Args:
        folder: Where its log goes; made if need be.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._binary = str(built(TOXIPROXY))
        self._process = ServerProcess(folder / "log")
        self._numbers = itertools.count(1)
        self._api = ""

    def start(self) -> Toxiproxy:
        """Start it, and wait until it answers."""
        for attempt in range(_ATTEMPTS):
            port = free_port()
            self._api = f"http://127.0.0.1:{port}"
            try:
                self._process.start(
                    [self._binary, "-host", "127.0.0.1", "-port", str(port)],
                    lambda: self.call("GET", "/proxies") == {},
                )
            except RuntimeError:
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                break
        return self

    def call(self, method: str, path: str, **body: object) -> Any:
        """What its HTTP API answers, None for nothing."""
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(self._api + path, data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    @contextmanager
    def before(self, url: str) -> Iterator[Proxy]:
        """A proxy before a server, as long as the block lasts.

        Args:
            url: Of the server, such as ``http://127.0.0.1:9000``.
        """
        name = f"proxy-{next(self._numbers)}"
        made = self.call("POST", "/proxies", name=name, listen="127.0.0.1:0", upstream=urlsplit(url).netloc)
        try:
            yield Proxy(self, name, f"http://{made['listen']}")
        finally:
            self.call("DELETE", f"/proxies/{name}")

    def remove(self) -> None:
        """End it, with every proxy."""
        self._process.stop()


@frozen
class Proxy:
    """A way to a server that can be spoiled.

    Attributes:
        owner: The server that runs it.
        name: Of the proxy.
        url: Where clients connect.
    """

    owner: Toxiproxy
    name: str
    url: str

    @contextmanager
    def toxic(
        self, kind: str, *, upstream: bool = False, share: float = 1.0, **attributes: int
    ) -> Iterator[None]:
        """Spoil connections, as long as the block lasts.

        Args:
            kind: ``latency`` (latency, jitter: ms), ``bandwidth`` (rate: kB/s), ``timeout`` (timeout: ms
                until it closes, 0 never: a half-open connection), ``reset_peer`` (timeout: ms),
                ``slow_close`` (delay: ms), ``slicer`` (average_size, delay), ``limit_data`` (bytes, then
                it closes).
            upstream: What the client sends, not what it receives.
            share: Of the connections, 1.0 for all.
            attributes: As named above.
        """
        made = self.owner.call(
            "POST",
            f"/proxies/{self.name}/toxics",
            type=kind,
            stream="upstream" if upstream else "downstream",
            toxicity=share,
            attributes=attributes,
        )
        try:
            yield
        finally:
            self.owner.call("DELETE", f"/proxies/{self.name}/toxics/{made['name']}")

    @contextmanager
    def down(self) -> Iterator[None]:
        """Cut every connection and accept none, as long as the block lasts."""
        self.owner.call("POST", f"/proxies/{self.name}", enabled=False)
        try:
            yield
        finally:
            self.owner.call("POST", f"/proxies/{self.name}", enabled=True)
