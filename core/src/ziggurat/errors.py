"""The one error tree.

::

    ZigguratError
      ConfigError(ValueError)
        UnknownBackend                no installed distribution offers that backend
        DuplicateTier                 two tiers share a name
      PluginError                     a plugin cannot be used; names distribution and version
        PluginConflict                two distributions offer one name
        ContractMismatch              made for another version of the contract
      BlobError                       about one blob; `.cid`
        InvalidCid(ValueError)        not a CID, or one that is refused by name
        BlobNotFound(LookupError)     every tier answered: none holds it
        NotAFile                      a directory or symlink where a file is needed
        BlobTooLarge                  larger than the tier or the format takes
        BlobPinned                    a pin keeps it
        LastCopy                      the last store copy of something that is kept
        ContentMismatch               bytes that are not the CID's
        MalformedContent(ValueError)  a CAR, node or path that does not parse, or exceeds a limit
        UnsupportedContent            well formed, but refused by name (hash, codec, chunker)
      TierError                       one tier could not do it; `.tier .op .key .retryable`
        TierUnavailable               cannot be reached, or its medium is not there
          TierTimeout
          TierThrottled               asked to slow down; `.retry_after` in seconds
        TierFull
        TierDenied                    credentials, permissions, or a medium that others use
        Unsupported                   the backend cannot do this
        RangeError(ValueError)        a byte range outside the blob
        CorruptBlob                   the tier gave bytes that fail their proof
        BackendFault                  an exception the plugin did not translate: a bug in it
      StoreError                      about the store as a whole; `.failures`
        StoreUnavailable              not found, but some tier could not answer
        NotDurable                    too few copies were made
        StoreFull                     every tier that may take the blob is full, or the catalog's disk

Messages are lower case, name the tier and say what to do next. Every error pickles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = [
    "BackendFault",
    "BlobError",
    "BlobNotFound",
    "BlobPinned",
    "BlobTooLarge",
    "ConfigError",
    "ContentMismatch",
    "ContractMismatch",
    "CorruptBlob",
    "DuplicateTier",
    "InvalidCid",
    "LastCopy",
    "MalformedContent",
    "NotAFile",
    "NotDurable",
    "PluginConflict",
    "PluginError",
    "RangeError",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "TierDenied",
    "TierError",
    "TierFull",
    "TierThrottled",
    "TierTimeout",
    "TierUnavailable",
    "UnknownBackend",
    "Unsupported",
    "UnsupportedContent",
    "ZigguratError",
]


def _rebuild(cls: type[ZigguratError], args: tuple[Any, ...], state: dict[str, Any]) -> ZigguratError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class ZigguratError(Exception):
    """Base of everything that Ziggurat raises on purpose.

    Args:
        message: One line, lower case, that names what failed and what to do next.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy())


class ConfigError(ZigguratError, ValueError):
    """The configuration cannot be used.

    Attributes:
        problems: One line for each problem found, each with file, line, path and a suggestion.
    """

    def __init__(self, message: str = "", *, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class UnknownBackend(ConfigError):
    """No installed distribution offers the backend that a tier names."""


class DuplicateTier(ConfigError):
    """Two tiers share one name."""


class PluginError(ZigguratError):
    """A plugin is installed but cannot be used.

    Attributes:
        distribution: Name of the distribution that offers it, or "".
        version: That distribution's version, or "".
    """

    def __init__(self, message: str = "", *, distribution: str = "", version: str = "") -> None:
        super().__init__(message)
        self.distribution, self.version = distribution, version


class PluginConflict(PluginError):
    """Two distributions offer one name."""


class ContractMismatch(PluginError):
    """The plugin was made for another version of the contract."""


class BlobError(ZigguratError):
    """Something about one blob.

    Attributes:
        cid: Canonical text of the CID, or the text that was given, or "".
    """

    def __init__(self, message: str = "", *, cid: object = "") -> None:
        super().__init__(message)
        self.cid = str(cid)


class InvalidCid(BlobError, ValueError):
    """Not a CID, or one whose hash or codec is refused by name."""


class BlobNotFound(BlobError, LookupError):
    """Every tier answered, and none holds the blob (or the path leads nowhere)."""


class NotAFile(BlobError):
    """A directory or a symlink where a file is needed."""


class BlobTooLarge(BlobError):
    """Larger than the tier, or the format, takes."""


class BlobPinned(BlobError):
    """A pin keeps the blob; unpin it first."""


class LastCopy(BlobError):
    """The last store copy of a blob that is kept."""


class ContentMismatch(BlobError):
    """Bytes that are not those of the CID."""


class MalformedContent(BlobError, ValueError):
    """A CAR, a node or a path that does not parse, or that exceeds a limit."""


class UnsupportedContent(BlobError):
    """Well formed, but refused by name: a hash, a codec, a chunker, a layout."""


class TierError(ZigguratError):
    """One tier could not do one operation.

    A backend gives the message, `retryable` and `retry_after`; the tier that called it fills in
    `tier`, `op` and `key`.

    Attributes:
        tier: Name of the tier, or "" before the tier filled it in.
        op: The operation, such as "get".
        key: The key it was about, or "".
        retryable: True when the same call may succeed later.
        retry_after: Seconds to wait first, or None when the medium did not say.
    """

    def __init__(
        self,
        message: str = "",
        *,
        tier: str = "",
        op: str = "",
        key: str = "",
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.tier, self.op, self.key = tier, op, str(key)
        self.retryable, self.retry_after = retryable, retry_after

    def __str__(self) -> str:
        where = f"tier {self.tier!r}" if self.tier else ""
        return ": ".join(part for part in (where, self.op, self.message) if part)


class TierUnavailable(TierError):
    """The tier cannot be reached, or its medium is not there."""


class TierTimeout(TierUnavailable):
    """The tier did not answer in time."""


class TierThrottled(TierUnavailable):
    """The tier asked to slow down."""


class TierFull(TierError):
    """The tier has no room."""


class TierDenied(TierError):
    """Credentials, permissions, or a medium that several catalogs use."""


class Unsupported(TierError):
    """The backend cannot do this."""


class RangeError(TierError, ValueError):
    """A byte range outside the blob."""


class CorruptBlob(TierError):
    """The tier gave bytes that fail their proof."""


class BackendFault(TierError):
    """An exception that the plugin did not translate: a bug in the plugin."""


class StoreError(ZigguratError):
    """Something about the store as a whole.

    Attributes:
        failures: What each tier answered, in the order it was asked.
        cid: Canonical text of the CID it was about, or "".
    """

    def __init__(self, message: str = "", *, failures: Sequence[Exception] = (), cid: object = "") -> None:
        super().__init__(message)
        self.failures = tuple(failures)
        self.cid = str(cid)

    def __str__(self) -> str:
        if not self.failures:
            return self.message
        return f"{self.message} ({'; '.join(str(failure) for failure in self.failures)})"


class StoreUnavailable(StoreError):
    """Not found, but some tier could not answer or gave wrong bytes: it may be there."""


class NotDurable(StoreError):
    """Fewer copies were made than `min_copies` asks for."""


class StoreFull(StoreError):
    """Every tier that may take the blob is full, or the disk of the catalog."""
