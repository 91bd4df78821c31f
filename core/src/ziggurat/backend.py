"""Author surface: everything a backend imports, with `ziggurat.content` and `ziggurat.errors`.

A backend is a class whose methods carry `@hookimpl`, a `BackendType` that describes it, and an entry
point in the group ``ziggurat.backends`` that names the `BackendType`. The manual of the hooks is
`ziggurat.plugin.hookspecs.BackendSpec`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import pluggy
from attrs import Factory, field, frozen, validators

from ziggurat.content import Blob, Cid, Dag, Key, as_key

__all__ = [
    "CONTRACT",
    "BackendType",
    "Blob",
    "ByteRange",
    "Capabilities",
    "Cid",
    "Context",
    "Dag",
    "Evicted",
    "Form",
    "Info",
    "Key",
    "Medium",
    "Role",
    "Stat",
    "Timeouts",
    "as_key",
    "hookimpl",
]

CONTRACT = 1
"""Version of the contract that this core speaks."""

Form = Literal["bytes", "dag"]
Role = Literal["cache", "store", "source"]

hookimpl = pluggy.HookimplMarker("ziggurat")
"""Marks a method as the implementation of the hook of the same name."""


@frozen
class ByteRange:
    """A non-empty range of a blob's plain bytes.

    Attributes:
        offset: First byte, from 0.
        length: Bytes, at least 1.
    """

    offset: int = field(validator=validators.ge(0))
    length: int = field(validator=validators.ge(1))

    @property
    def stop(self) -> int:
        """The byte after the last one."""
        return self.offset + self.length


@frozen
class Info:
    """What a user says about a blob; it travels with the copy where the medium can keep it.

    Attributes:
        content_type: A media type such as ``text/plain``, or None.
        tags: Short labels.
        metadata: Free text by name.
    """

    content_type: str | None = None
    tags: Mapping[str, str] = Factory(dict)
    metadata: Mapping[str, str] = Factory(dict)


@frozen
class Stat:
    """What a tier knows of a copy without reading it.

    Attributes:
        size: Plain bytes of the blob, None when unknown.
        stored: Bytes that the copy occupies, None when unknown.
        info: What the medium keeps of `Info`.
        note: At most 1 KiB that the backend wants back with the next `get` or `evict`; no secrets.
    """

    size: int | None = None
    stored: int | None = None
    info: Info | None = None
    note: bytes | None = None


@frozen
class Evicted:
    """The answer of an evict that has more to say than yes or no.

    Attributes:
        had: True if there was a claim.
        kept: What the medium goes on holding for others, a sentence for the user; "" for nothing.
    """

    had: bool
    kept: str = ""

    def __bool__(self) -> bool:
        return self.had


@frozen
class Medium:
    """Who a medium is, and which catalogs use it.

    Attributes:
        id: Stable name of the medium itself, such as a UUID or a peer ID.
        catalogs: Identifiers of every catalog that left a marker, the owner's first; empty where a
            medium keeps no markers.
    """

    id: str
    catalogs: tuple[str, ...] = ()


@frozen
class Capabilities:
    """What a backend can do beyond the hooks that it implements.

    Attributes:
        form: What `put` receives and `get` returns for a plain dag-pb key: its bytes, or its DAG.
        ranges: `get` understands `byte_range`; otherwise it never sees one.
        volatile: What it keeps is gone with the process; such a tier can only be a cache.
        local: No network: no retry, breaker or memory of "not there" by default.
        public: What it receives may be seen by anybody and cannot be taken back.
        durable: As a store, what `put` returned survives a power cut.
        max_blob: Largest blob it takes in bytes, None for no limit.
    """

    form: Form = field(default="bytes", validator=validators.in_(("bytes", "dag")))
    ranges: bool = True
    volatile: bool = False
    local: bool = False
    public: bool = False
    durable: bool = False
    max_blob: int | None = None


@frozen
class Timeouts:
    """Seconds that a backend may wait: to connect, for the next byte, for a whole call."""

    connect: float = 10.0
    idle: float = 60.0
    total: float | None = None


@frozen
class Context:
    """What a factory is told about the tier that it makes a backend for.

    Attributes:
        tier: Name of the tier.
        role: What the tier is for.
        catalog: Identifier of the catalog that uses the tier, "" when the stack has none.
        spool: A folder for temporary files, private to the store; it exists.
        timeouts: Seconds; the backend hands them to its client.
        logger: ``ziggurat.tier.<name>``.
        capacity: Bytes the user allows, None for no limit. The core enforces it.
    """

    tier: str
    role: Role
    catalog: str = ""
    spool: Path = Path()
    timeouts: Timeouts = Timeouts()
    logger: logging.Logger = Factory(lambda: logging.getLogger("ziggurat.tier"))
    capacity: int | None = None


@frozen
class BackendType:
    """What an entry point in ``ziggurat.backends`` names.

    Attributes:
        factory: Called with the options and the `Context`; returns the plugin object. It makes no
            connection and touches no medium: that waits for the first call.
        options: The attrs class of ``[tier.options]``; its fields, validators and converters are the
            check, its docstring and field metadata (``{"help": ...}``) the documentation.
        capabilities: What instances can do, before options are known.
        default_cache_capacity: Bytes of a cache that states no capacity, None to require one.
        contract: Version of the contract that the backend was written for.
    """

    factory: Callable[[Any, Context], object]
    options: type[Any]
    capabilities: Capabilities = Capabilities()
    default_cache_capacity: int | None = None
    contract: int = CONTRACT
