"""Plain counters of what one tier did since it was opened."""

from __future__ import annotations

from attrs import define

__all__ = ["Meter"]


@define(eq=False)
class Meter:
    """Counts of one tier; sizes in payload bytes.

    Fields are added to without a lock: under the interpreter's lock ``x += n`` on an attribute is not
    interrupted, and a counter is never read to decide anything.

    Attributes:
        hits, misses: Reads that were answered with content, or with "absent".
        bytes_read, bytes_written: Bytes moved out of the tier and into it.
        evictions: Copies or blocks given up.
        errors: Calls that failed.
    """

    hits: int = 0
    misses: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    evictions: int = 0
    errors: int = 0
