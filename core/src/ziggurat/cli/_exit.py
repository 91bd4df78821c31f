"""Exit codes, and the one table that turns an error into one.

====  ==================================================================================
code  meaning
====  ==================================================================================
0     done
1     any other failure; ``has``: no
2     the command line is wrong
3     the configuration or a plugin cannot be used
4     not found: every tier answered, and none holds it
5     could not tell: a tier did not answer
6     content is wrong: bytes that are not the CID's, or that do not parse
7     full
8     refused: a pin, a last copy, a tier that denies
130   interrupted
141   the reader of our output went away (what a shell reports for SIGPIPE)
====  ==================================================================================
"""

from __future__ import annotations

from enum import IntEnum

from ziggurat import errors

__all__ = ["TABLE", "Exit", "exit_code"]


class Exit(IntEnum):
    """What the process ends with."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    CONFIG = 3
    NOT_FOUND = 4
    UNKNOWN = 5
    WRONG = 6
    FULL = 7
    REFUSED = 8
    INTERRUPTED = 130
    CLOSED_PIPE = 141


TABLE: tuple[tuple[type[Exception], Exit], ...] = (
    (errors.ConfigError, Exit.CONFIG),
    (errors.PluginError, Exit.CONFIG),
    (errors.InvalidCid, Exit.USAGE),
    (errors.RangeError, Exit.USAGE),
    (errors.BlobNotFound, Exit.NOT_FOUND),
    (errors.StoreUnavailable, Exit.UNKNOWN),
    (errors.TierUnavailable, Exit.UNKNOWN),
    (errors.ContentMismatch, Exit.WRONG),
    (errors.CorruptBlob, Exit.WRONG),
    (errors.MalformedContent, Exit.WRONG),
    (errors.StoreFull, Exit.FULL),
    (errors.TierFull, Exit.FULL),
    (errors.BlobPinned, Exit.REFUSED),
    (errors.LastCopy, Exit.REFUSED),
    (errors.TierDenied, Exit.REFUSED),
)
"""The first class that an error is an instance of decides; anything else is `Exit.FAILED`."""


def exit_code(error: BaseException) -> Exit:
    """Give the exit code of an error; a read that found nothing but wrong bytes could tell, and did."""
    failures = error.failures if isinstance(error, errors.StoreUnavailable) else ()
    if failures and all(isinstance(failure, errors.CorruptBlob) for failure in failures):
        return Exit.WRONG
    for kind, code in TABLE:
        if isinstance(error, kind):
            return code
    return Exit.FAILED
