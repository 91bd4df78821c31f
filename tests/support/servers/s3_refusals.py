"""How S3 services refuse, and what each refusal is in the contract."""

from __future__ import annotations

from tests.support.servers.wire import error_body

from ziggurat.errors import (
    TierDenied,
    TierError,
    TierFull,
    TierThrottled,
    TierTimeout,
    TierUnavailable,
    Unsupported,
)

__all__ = ["REFUSALS", "body_of"]

REFUSALS: list[tuple[int, str, type[TierError], str, bool]] = [
    # status, code (and message), our error, what it says, whether it may pass
    (503, "SlowDown", TierThrottled, "slow down", True),
    (429, "TooManyRequests", TierThrottled, "slow down", True),
    (429, "RateLimit: quota exceeded, requests per second", TierThrottled, "slow down", True),
    (503, "ServiceUnavailable", TierUnavailable, "try again", True),
    (500, "InternalError", TierUnavailable, "try again", True),
    (502, "", TierUnavailable, "502", True),
    (504, "", TierTimeout, "too slow", True),
    (400, "RequestTimeout", TierTimeout, "too slow", True),
    (403, "RequestTimeTooSkewed", TierDenied, "the clock of this machine", False),
    (403, "AccessDenied", TierDenied, "allow s3:GetObject.*s3:ListBucket", False),
    (403, "", TierDenied, "allow s3:GetObject.*s3:ListBucket", False),
    (401, "", TierDenied, "wants credentials", False),
    (400, "ExpiredToken", TierDenied, "expired: renew", True),
    (507, "XMinioStorageFull", TierFull, "free space", False),
    (500, "InternalError: no space left on device", TierFull, "free space", False),
    (403, "QuotaExceeded", TierFull, "raise its quota", False),
    (400, "BadDigest", TierUnavailable, "did not receive what was sent", True),
    (400, "XAmzContentSHA256Mismatch", TierUnavailable, "did not receive what was sent", True),
    (403, "InvalidObjectState", TierUnavailable, "archived.*restore", False),
    (
        *(400, "InvalidRequest: The object was stored using a form of Server Side Encryption"),
        *(TierUnavailable, "refused: InvalidRequest: The object was stored using", False),
    ),
    (501, "NotImplemented", Unsupported, "cannot do this", False),
    (409, "OperationAborted", TierUnavailable, "try again", True),
    (418, "Teapot", TierUnavailable, "refused: Teapot", False),
    (404, "", TierUnavailable, "404", False),
    (404, "XAdminUserNotFound", TierDenied, "correct access_key_id", False),
]
"""What a service answers, and what it becomes."""


def body_of(code: str) -> bytes:
    """The body of a refusal of the list; none for one without a code."""
    name, _, message = code.partition(": ")
    return error_body(name, message or "Said") if code else b""
