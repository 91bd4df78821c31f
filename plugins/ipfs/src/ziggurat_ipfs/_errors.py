"""The one place where what a node says, or does not say, becomes an error of the contract."""

from __future__ import annotations

import json
import re

import urllib3

from ziggurat.errors import TierDenied, TierError, TierFull, TierThrottled, TierTimeout, TierUnavailable

__all__ = ["NOT_HELD", "NOT_PINNED", "Refused", "message_of", "one_line", "refusal", "unreachable"]

_LONGEST = 4096  # letters of a node's words that are looked at
_SHOWN = 300  # and that a message shows

NOT_HELD = re.compile(r"ipld: could not find|block was not found|blockstore: block not found")
"""What Kubo says of a block that it does not have."""

NOT_PINNED = re.compile(r"is not pinned|^not pinned or pinned indirectly|pinned indirectly through")
"""What Kubo says of a CID that is not a root of its pins."""

_FULL = re.compile(r"no space left|disk quota exceeded|quota exceeded|not enough space|storagemax", re.I)
_TIMEOUT = re.compile(r"deadline exceeded|timed out|timeout", re.I)
_PASSING = re.compile(
    r"someone else has the lock|repo\.lock|shutting down|node is closing|context canceled|is locked"
    r"|connection reset|too many open files|unexpected EOF|ErrUnexpectedEOF|database is locked",
    re.I,
)
_DENIED = re.compile(r"permission denied|read-only file system|access denied|operation not permitted", re.I)


class Refused(Exception):
    """What a node answered instead of doing it; never leaves the plugin.

    Attributes:
        status: Status of HTTP; 200 when the failure came late.
        message: The node's own words, one line.
        command: What was asked.
        api: Where.
    """

    def __init__(self, status: int, message: str, command: str, api: str) -> None:
        super().__init__(message)
        self.status, self.message, self.command, self.api = status, message, command, api


def message_of(body: bytes) -> str:
    """The words of an error's body: its JSON message, or its plain text; one line."""
    text = body.decode("utf-8", "replace").strip()
    try:
        told = json.loads(text.splitlines()[0] if text else "")
    except ValueError:
        told = None
    if isinstance(told, dict) and isinstance(told.get("Message"), str):
        text = told["Message"]
    return one_line(text)


def one_line(text: str) -> str:
    """A node's words as one line, whole: the reason often stands at the end of a long one."""
    return " ".join(text.split())[:_LONGEST]


def _shown(said: str) -> str:
    """The words as far as a message shows them: their beginning and their end."""
    return said if len(said) <= _SHOWN else f"{said[: _SHOWN // 2]} ... {said[-_SHOWN // 2 :]}"


def refusal(refused: Refused) -> TierError:
    """The error of the contract for an answer that is not the one that was asked for."""
    status, words = refused.status, refused.message
    said = _shown(words)
    where = f"{refused.command} at {refused.api}"
    if status in (401, 403):
        return _forbidden(refused)
    if status in (301, 302, 303, 307, 308, 404, 405) or (status >= 400 and said.startswith("<")):
        return TierUnavailable(
            f"what answers at {refused.api} is not the RPC of a Kubo node (status {status} for"
            f" {refused.command}): give the address of Addresses.API, not of the gateway"
        )
    if status == 429:
        return TierThrottled(f"{where}: asked to slow down", retryable=True)
    if status in (408, 504) or _TIMEOUT.search(words):
        return TierTimeout(f"{where}: {said or 'too slow'}: try again later", retryable=True)
    if status == 507 or _FULL.search(words):
        return TierFull(f"{where}: {said}: free space on the node, or collect its garbage")
    if _PASSING.search(words) or status in (502, 503):
        return TierUnavailable(f"{where}: {said or f'status {status}'}: try again", retryable=True)
    if NOT_HELD.search(words):
        # A DAG that is not whole: the node may have collected a part while it was being pinned.
        return TierUnavailable(f"{where}: the DAG is not whole there ({said}): try again", retryable=True)
    if _DENIED.search(words):
        return TierDenied(f"{where}: {said}: let the node write to its repository")
    return TierUnavailable(f"{where}: {said or f'status {status}'}: look into the node's log")


def _forbidden(refused: Refused) -> TierDenied:
    said = _shown(refused.message)
    if refused.status == 401 or "authoriz" in said.lower() or "access denied" in said.lower():
        return TierDenied(
            f"{refused.api} wants another authorization for {refused.command}: set token, or user and"
            " password, as API.Authorizations of the node says"
        )
    return TierDenied(
        f"{refused.api} forbids {refused.command} ({said or 'no reason given'}): the node, or a proxy before"
        " it, refuses the Origin, the Referer or the User-Agent; see API.HTTPHeaders of the node"
    )


def unreachable(error: Exception, where: str) -> TierError:
    """The error of the contract for a connection that failed."""
    if isinstance(error, urllib3.exceptions.NewConnectionError | ConnectionRefusedError | FileNotFoundError):
        return TierUnavailable(f"{where}: no connection; start the node, or correct api", retryable=True)
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return TierTimeout(f"{where}: no connection in time; is the node running?", retryable=True)
    if isinstance(error, urllib3.exceptions.TimeoutError | TimeoutError):
        return TierTimeout(f"{where}: no answer in time; try again", retryable=True)
    if isinstance(error, urllib3.exceptions.SSLError):
        return TierDenied(f"{where}: no trusted connection ({error}); check the certificate")
    if isinstance(error, urllib3.exceptions.ProtocolError):
        cause = " ".join(str(error).split())[:200]
        if "BadStatusLine" in cause or "LineTooLong" in cause:
            return TierUnavailable(f"{where}: what answers does not speak HTTP; correct api")
        return TierUnavailable(f"{where}: the connection broke ({cause}); try again", retryable=True)
    return TierUnavailable(f"{where}: {type(error).__name__}: {error}; try again", retryable=True)
