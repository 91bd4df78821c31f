"""What a user says of a blob, as headers of an object, and back.

A name and a value that any service and any tool keeps as they are become user metadata of their own; all
else (Unicode, capitals, tags) stands in one more, ``x-amz-meta-ziggurat``, as JSON in printable ASCII.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ziggurat.backend import Info
from ziggurat.errors import Unsupported

__all__ = ["from_headers", "to_headers"]

_OURS = "ziggurat"
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_VALUE = re.compile(r"(?!=\?)[!-~]+(?: [!-~]+)*")
_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*(?:; ?[!-~]+)*")
_UNSAID = ("binary/octet-stream", "application/octet-stream", "application/x-www-form-urlencoded")
_MOST = 2048  # bytes of user metadata that S3 keeps, names and values together


def to_headers(info: Info | None) -> tuple[str | None, dict[str, str]]:
    """The content type and the user metadata of an object.

    Raises:
        Unsupported: More than S3 keeps.
    """
    if info is None:
        return None, {}
    rest: dict[str, Any] = {}
    kind = info.content_type
    if kind is not None and (kind in _UNSAID or not _TYPE.fullmatch(kind)):
        rest["content_type"], kind = kind, None
    if info.tags:
        rest["tags"] = dict(info.tags)
    metadata = {}
    for name, value in info.metadata.items():
        if name != _OURS and _NAME.fullmatch(name) and _VALUE.fullmatch(value):
            metadata[name] = value
        else:
            rest.setdefault("metadata", {})[name] = value
    if rest:
        # Spaces in headers may be joined on their way.
        text = json.dumps(rest, ensure_ascii=True, separators=(",", ":"))
        metadata[_OURS] = text.replace(" ", "\\u0020").replace("\x7f", "\\u007f")
    size = sum(len(name) + len(value) for name, value in metadata.items())
    if size > _MOST:
        raise Unsupported(f"tags and metadata take {size} bytes, S3 keeps {_MOST} with an object: say less")
    return kind, metadata


def from_headers(content_type: str | None, metadata: Mapping[str, str]) -> Info | None:
    """What `to_headers` was given; of an object that another tool made, what its headers say."""
    plain = {name.lower(): value for name, value in metadata.items()}
    rest = _rest(plain.pop(_OURS, ""))
    kind: object = rest.get("content_type")
    if not isinstance(kind, str):
        kind = None if content_type in (None, "", *_UNSAID) else content_type
    tags = _texts(rest.get("tags"))
    known = {**plain, **_texts(rest.get("metadata"))}
    if kind is None and not tags and not known:
        return None
    return Info(content_type=str(kind) if kind is not None else None, tags=tags, metadata=known)


def _rest(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _texts(found: object) -> dict[str, str]:
    if not isinstance(found, dict):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, str)}
