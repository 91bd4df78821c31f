"""The keys that the core itself knows: one table for the check, the JSON Schema and the manual."""

from __future__ import annotations

from collections.abc import Mapping

from ziggurat.config.shapes import Field, Shape
from ziggurat.content import PROFILES

__all__ = ["GROUPS", "NAME", "ROLES", "STORE", "TIER", "TOP"]

ROLES = ("cache", "store", "source")
NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
"""What a tier may be called: it appears in commands, logs and file names."""

_TABLE = Shape("table")
_COUNT = Shape("integer", minimum=1)
_FLAG = Shape("flag")
_PRICE = Shape("number", minimum=0)

TOP: tuple[Field, ...] = (
    Field("store", _TABLE, "What belongs to the store as a whole."),
    Field(
        "tier",
        _TABLE,
        "The tiers, hottest first; `ziggurat config init FILE` writes an example.",
        required=True,
    ),
)

STORE: tuple[Field, ...] = (
    Field(
        "path",
        Shape("path"),
        "Folder of the catalog and the spool. The environment variable ZIGGURAT_STORE_PATH overrides it.",
        "a folder in the user's data folder, named after this file's own path",
    ),
    Field("min_copies", _COUNT, "Store copies that make a put durable.", "1"),
    Field(
        "profile",
        Shape("choice", choices=tuple(PROFILES)),
        "The CID profile (IPIP-0499) that puts use.",
        "unixfs-v1-2025",
    ),
    Field(
        "access_log",
        _FLAG,
        "Record time, key, size and operation of every read, for `ziggurat advise`; bounded and rotated.",
        "false",
    ),
    Field("heat", _TABLE, "The parameters of the documented heat score, which `ziggurat explain` shows."),
)

TIER: tuple[Field, ...] = (
    Field("name", Shape("text"), "The tier's name, unique in the stack.", required=True),
    Field("backend", Shape("text"), 'What keeps the bytes: "name", or "distribution:name".', required=True),
    Field(
        "role",
        Shape("choice", choices=ROLES),
        "A store keeps whole blobs, a cache keeps blocks to read faster, a source is only read.",
        "cache for a volatile backend, source for a read-only one",
    ),
    Field(
        "capacity",
        Shape("size", positive=True),
        'Bytes of payload, such as "100 MB" or "1 GiB".',
        "of a cache what its backend names, of a store no limit",
    ),
    Field(
        "policy",
        Shape("policy"),
        "What a cache keeps: the name of a policy, or a table with its name and its parameters.",
        "of a volatile cache arc, of a persistent one heat",
    ),
    Field("probe", _FLAG, "May be asked for blobs that the catalog does not list there.", "true"),
    Field("publish", _FLAG, "A public backend may receive content, which cannot be taken back.", "false"),
    Field("trusted", _FLAG, "Its bytes need no proof.", "false"),
    Field("enabled", _FLAG, "The tier takes part; false switches it off.", "true"),
    Field("options", _TABLE, "What the backend itself understands."),
    Field("retry", _TABLE, "How often a failure that may pass is tried again."),
    Field("limit", _TABLE, "How much the tier is asked at once."),
    Field("timeout", _TABLE, "How long a call may wait."),
    Field("breaker", _TABLE, "When a failing tier is left alone for a while."),
    Field("cost", _TABLE, "What a read costs, for `ziggurat simulate` and `ziggurat advise`."),
)

GROUPS: Mapping[str, tuple[Field, ...]] = {
    "retry": (
        Field("attempts", _COUNT, "Calls in all, 1 for no retry.", "3; 1 on a local tier"),
        Field("max_wait", Shape("seconds"), "The longest pause between two calls.", "5 s"),
    ),
    "limit": (
        Field("concurrency", _COUNT, "Calls under way at one time.", "16; no limit on a local tier"),
        Field("rate", Shape("number", positive=True), "Calls a second.", "no limit"),
    ),
    "timeout": (
        Field("connect", Shape("seconds", positive=True), "Time to connect.", "10 s"),
        Field("idle", Shape("seconds", positive=True), "Time until the next byte.", "60 s"),
        Field(
            "total",
            Shape("seconds", positive=True),
            "Time of a whole call, and of the body that it gives.",
            "no limit",
        ),
    ),
    "breaker": (
        Field(
            "failures",
            Shape("integer", minimum=0),
            "Failures in a row after which the tier is left alone for a while, 0 for never.",
            "5; 0 on a local tier",
        ),
    ),
    "cost": (
        Field("latency", Shape("seconds"), "Time of one read.", "not counted"),
        Field("per_request", _PRICE, "Price of one read.", "0"),
        Field("per_gb_out", _PRICE, "Price of 10⁹ bytes read.", "0"),
        Field("per_gb_month", _PRICE, "Price of keeping 10⁹ bytes for 30 days.", "0"),
    ),
}
