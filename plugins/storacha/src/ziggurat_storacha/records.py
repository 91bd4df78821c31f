"""One form for what came of anything: for logs, and for programs that read JSON."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from pathlib import PurePath
from typing import Any, Final

import attrs

from ziggurat.content import Cid
from ziggurat.errors import StoreError, TierError, ZigguratError
from ziggurat_storacha.client.delegation import Delegation
from ziggurat_storacha.client.keys import Key

__all__ = ["KEYS", "standard_record"]

KEYS: Final = ("success", "operation", "timestamp", "correlation_id", "error", "error_type")
"""What every record has."""


def standard_record(
    operation: str, outcome: object = None, *, correlation_id: str = "", timestamp: datetime | None = None
) -> dict[str, Any]:
    """Say what came of an operation, in values that JSON has.

    Args:
        operation: What was done, such as "upload".
        outcome: A result of any kind, or the exception that ended it. The fields of a result stand beside the
            others; a list stands under `results`, any other value under `result`. What a result keeps
            out of its own repr, keys and tokens above all, is left out.
        correlation_id: Ties records of one piece of work together; "" for a new one.
        timestamp: When it ended; None for now.

    Returns:
        `success`, `operation`, `timestamp` (ISO 8601, UTC), `correlation_id`, then the result's own, then
        `error` (the message) and `error_type` (the name of its class), None for a success. An error of a tier
        adds `retryable`, `retry_after`, `tier` and `key`; one about a blob `cid`; one of the store
        `failures`.
    """
    record: dict[str, Any] = {
        "success": not isinstance(outcome, BaseException),
        "operation": operation,
        "timestamp": (timestamp or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="milliseconds"),
        "correlation_id": correlation_id or str(uuid.uuid4()),
    }
    more = _failure(outcome) if isinstance(outcome, BaseException) else _success(outcome)
    clash = more.keys() & set(KEYS)
    record |= {(f"result_{name}" if name in clash else name): value for name, value in more.items()}
    failed = isinstance(outcome, BaseException)
    record["error"] = (str(outcome) or type(outcome).__name__) if failed else None
    record["error_type"] = type(outcome).__name__ if failed else None
    return record


def _success(outcome: object) -> dict[str, Any]:
    if outcome is None:
        return {}
    value = _plain(outcome)
    if isinstance(value, dict):
        return value
    return {"results" if isinstance(value, list) else "result": value}


def _failure(error: BaseException) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if isinstance(error, TierError):
        found = {
            "retryable": error.retryable,
            "retry_after": error.retry_after,
            "tier": error.tier or None,
            "key": error.key or None,
        }
    elif isinstance(error, StoreError):
        found = {
            "failures": [{"error": str(one), "error_type": type(one).__name__} for one in error.failures]
        }
    if isinstance(error, ZigguratError) and (cid := getattr(error, "cid", "")):
        found["cid"] = str(cid)
    return found


def _plain(value: object) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)  # JSON has no infinities
    if isinstance(value, Key):
        return value.did
    if isinstance(value, Delegation):
        return str(value.cid)
    if isinstance(value, BaseException):
        return {**_failure(value), "error": str(value), "error_type": type(value).__name__}
    if isinstance(value, Cid | PurePath | uuid.UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    kind: Any = type(value)
    if attrs.has(kind):
        return {
            field.name.lstrip("_"): _plain(getattr(value, field.name))
            for field in attrs.fields(kind)
            if field.repr is not False
        }
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, Iterable):
        return [_plain(inner) for inner in value]
    return repr(value)
