"""Where a node's RPC answers: URLs, multiaddrs, Unix sockets, and the file in which a daemon writes it."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from attrs import frozen

__all__ = ["Address", "api_file", "parse_address"]

_PORTS = {"http": 80, "https": 443}
_HOSTS = ("ip4", "ip6", "dns", "dns4", "dns6")


@frozen
class Address:
    """A place where an RPC answers.

    Attributes:
        scheme: "http", "https" or "unix".
        host: Name or number of the host; the path of the socket for "unix".
        port: TCP port; 0 for "unix".
        prefix: Path before ``/api/v0``, without a slash at its end.
    """

    scheme: str
    host: str
    port: int = 0
    prefix: str = ""

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"/unix{self.host}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}"


def parse_address(text: str) -> Address:
    """Read an address.

    Args:
        text: A URL (``http://127.0.0.1:5001``), a multiaddr (``/ip4/127.0.0.1/tcp/5001``, ``/dns4/…``, with
            ``/http``, ``/https`` or ``/tls/http`` behind it), or a socket (``/unix/run/ipfs.sock``).

    Raises:
        ValueError: None of these; the message does not repeat what may be a password.
    """
    text = text.strip()
    if text.startswith("/"):
        return _multiaddr(text)
    parts = urlsplit(text)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("not an address of an RPC: give http://host:port, /ip4/…/tcp/… or /unix/path")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address has no user and password: use the options user and password")
    if parts.query or parts.fragment:
        raise ValueError("an address of an RPC ends with its path: drop what stands behind ? or #")
    prefix = parts.path.rstrip("/").removesuffix("/api/v0")
    return Address(parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme], prefix)


def _multiaddr(text: str) -> Address:
    if text.startswith("/unix/"):
        return Address("unix", text.removeprefix("/unix"))
    words = text.strip("/").split("/")
    if len(words) < 4 or words[0] not in _HOSTS or words[2] != "tcp" or not words[3].isdigit():
        raise ValueError(f"not the multiaddr of an RPC: {text}: give /ip4/…/tcp/… or /unix/path")
    schemes = {"": "http", "http": "http", "https": "https", "tls/http": "https"}
    scheme = schemes.get("/".join(words[4:]))
    if scheme is None:
        raise ValueError(f"the multiaddr {text} ends with what is neither http nor https")
    return Address(scheme, words[1], int(words[3]))


def api_file(repo: Path | None) -> Path:
    """The file in which a running daemon writes the address of its RPC.

    Args:
        repo: The node's repository, or None for ``$IPFS_PATH`` and then ``~/.ipfs``.
    """
    if repo is None:
        repo = Path(os.environ.get("IPFS_PATH") or "~/.ipfs")
    return repo.expanduser() / "api"
