"""The one place where what a service says, or does not say, becomes an error of the contract."""

from __future__ import annotations

import re
from typing import Final

from ziggurat.errors import (
    BlobTooLarge,
    TierDenied,
    TierError,
    TierFull,
    TierThrottled,
    TierTimeout,
    TierUnavailable,
    Unsupported,
    ZigguratError,
)
from ziggurat_storacha.client.receipts import Failure

__all__ = ["bare", "odd_answer", "of_failure", "of_status", "unreachable"]

_FULL: Final = frozenset(
    {"InsufficientStorage", "NotEnoughStorageCapacity", "MissingCapacity", "StorageQuotaExceeded"}
)
_DENIED: Final = frozenset(
    {
        "Unauthorized",
        "InvalidAudience",
        "InvalidClaim",
        "InvalidSignature",
        "Expired",
        "NotValidBefore",
        "Revoked",
        "UnavailableProof",
        "SessionEscalation",
        "DIDKeyResolutionError",
        "DIDResolutionError",
        "PrincipalAlignmentError",
        "MalformedCapability",
        "EscalatedCapability",
        "AccountBlocked",
        "SpaceUnauthorized",
        "ProofNotFound",
        "InvalidRevocationScope",
        "UnauthorizedRevocation",
    }
)
_PASSING: Final = frozenset(
    {
        "ServiceUnavailable",
        "CandidateUnavailable",
        "AllocatedMemoryHadNotBeenWrittenTo",
        "AwaitError",
        "StorageOperationFailed",
        "RevocationsStoreFailure",
        "ReplicationCandidateUnavailable",
        "AccessClaimFailure",
        "HandlerExecutionError",
        "NetworkError",
    }
)
_THROTTLED: Final = frozenset({"RateLimited", "TooManyRequests", "RateLimitExceeded"})
_TOO_LARGE: Final = frozenset({"BlobSizeOutsideOfSupportedRange", "BlobSizeLimitExceeded"})
_ADVICE: Final = {
    "SpaceUnknown": "provision the space with a plan: 'ziggurat storacha space provision'",
    "NoStorageProvider": "provision the space with a plan: 'ziggurat storacha space provision'",
    "SpaceAlreadyProvisioned": "it has a plan already; nothing needs to be done",
    "AccountPlanMissing": "choose a plan for the account on the service's own pages",
    "PlanNotFound": "choose a plan for the account on the service's own pages",
    "AccountBlocked": "ask those who run the service",
    "InvalidAudience": "set service_did to the DID of the service at service_url",
    "Revoked": "the delegation was taken back; ask for a new one",
    "Expired": "renew the delegation, or set this machine's clock",
}
_SHORT = 300


def of_failure(failure: Failure, can: str, where: str) -> ZigguratError:
    """The error of the contract for a receipt that says failure.

    Args:
        failure: What the receipt says.
        can: What was asked for.
        where: URL of the service.
    """
    name = _short(_one_line(failure.name)) or "an unnamed error"
    said = f": {_short(_one_line(failure.message))}" if failure.message else ""
    text = f"{where} answered {can} with {name}{said}"
    advice = _advice(failure)
    if advice:
        text = f"{text}; {advice}"
    if failure.name in _FULL:
        return TierFull(f"{text}; free space, or change the plan" if not advice else text)
    if failure.name in _THROTTLED:
        return TierThrottled(text, retryable=True)
    if failure.name in _TOO_LARGE:
        return BlobTooLarge(text)
    if failure.name == "HandlerNotFound":
        return Unsupported(f"{where} has no {can}; {_instead(can)}")
    if failure.name in _DENIED:
        return TierDenied(text)
    return TierUnavailable(text, retryable=failure.name in _PASSING)


def odd_answer(can: str) -> TierUnavailable:
    """The error of the contract for a success that says something else than the protocol does."""
    return TierUnavailable(f"the service answered {can} in an unknown form; it may be of another version")


def _advice(failure: Failure) -> str:
    if failure.name in _ADVICE:
        return _ADVICE[failure.name]
    if failure.name != "Unauthorized":
        return ""
    if "revoked" in failure.message:
        return _ADVICE["Revoked"]
    if "expired" in failure.message or "not valid before" in failure.message.lower():
        return _ADVICE["Expired"]
    return "log in again, or ask the space's owner for a delegation"


def _instead(can: str) -> str:
    if can in ("space/allocate", "space/limit"):
        return (
            "it offers plan/get and usage/report instead: 'ziggurat storacha plan', 'ziggurat storacha usage'"
        )
    return "ask those who run it, or correct service_url"


def of_status(status: int, body: bytes, url: str, option: str) -> TierError:
    """The error of the contract for a status of HTTP that is not the one expected, 429 excepted.

    Args:
        status: The status.
        body: The beginning of the body.
        url: What was asked.
        option: The option that names the endpoint.
    """
    said, url = _said(body), bare(url)
    text = f"{url} answered with status {status}{said}"
    if status in (401, 403):
        return TierDenied(
            f"{text}; what answers there is protected: correct {option}, or the proxy before it"
        )
    if status == 413:
        return TierFull(f"{text}: what was sent is too large for it")
    if status in (408, 504):
        return TierTimeout(f"{text}; try again later", retryable=True)
    if status in (500, 502, 503, 520, 521, 522, 523, 524):
        return TierUnavailable(f"{text}; try again, or set {option} to a service that runs", retryable=True)
    return TierUnavailable(f"{text}: no such service is there; set {option} to one that runs")


def _said(body: bytes) -> str:
    text = " ".join(body[:2000].decode("utf-8", "replace").split())
    if not text or text.startswith("<") or re.search(r"[^\x20-\x7e]", text):
        return ""
    return f" ({_short(text)})"


def bare(url: str) -> str:
    """A URL without its query: that of a place to send bytes to is as good as a password."""
    return url.partition("?")[0]


def _one_line(text: str) -> str:
    """Words of a service in one line that moves no cursor."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _short(text: str) -> str:
    return text if len(text) <= _SHORT else text[: _SHORT - 3] + "..."


def unreachable(error: Exception, url: str, option: str) -> TierError:
    """The error of the contract for a connection that failed.

    Args:
        error: What the HTTP library raised.
        url: What was asked.
        option: The option that names the endpoint.
    """
    import requests
    import urllib3

    cause, url = _root(error), bare(url)
    if isinstance(error, requests.exceptions.SSLError):
        return TierDenied(f"{url}: no trusted connection; check the certificate, or correct {option}")
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return TierTimeout(
            f"{url}: no connection in time; is the service running? {option} names it", retryable=True
        )
    if isinstance(error, requests.exceptions.Timeout):
        return TierTimeout(f"{url}: no answer in time; try again", retryable=True)
    if isinstance(cause, urllib3.exceptions.NameResolutionError):
        return TierUnavailable(
            f"{url}: there is no such host; the service may be gone: set {option} to one that runs",
            retryable=True,
        )
    if isinstance(cause, urllib3.exceptions.NewConnectionError | ConnectionRefusedError):
        return TierUnavailable(
            f"{url}: no connection; start the service, or set {option} to one that runs", retryable=True
        )
    if isinstance(
        error,
        requests.exceptions.InvalidURL
        | requests.exceptions.MissingSchema
        | requests.exceptions.InvalidSchema
        | requests.exceptions.TooManyRedirects,
    ):
        return TierUnavailable(f"{url} is not an address that can be asked; correct {option}")
    return TierUnavailable(f"{url}: the connection broke ({type(cause).__name__}); try again", retryable=True)


def _root(error: BaseException) -> BaseException:
    """What lies under the layers of the HTTP library."""
    seen = error
    for _ in range(8):
        below = getattr(seen, "reason", None) or (seen.args[0] if seen.args else None)
        if not isinstance(below, BaseException):
            break
        seen = below
    return seen
