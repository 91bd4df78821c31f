"""Room for large results, in pages that are quick to fill."""

from __future__ import annotations

import io
import mmap
from collections.abc import Callable
from functools import cache

__all__ = ["room_for"]

_LARGE = 4 << 20
"""Bytes from which large pages pay, as in NumPy (https://numpy.org/doc/stable/reference/global_state.html)."""


def room_for(size: int) -> io.BytesIO:
    """Room of so many bytes, to be filled through `getbuffer` and given by `getvalue` without a copy.

    Fresh memory costs a fault for each page of 4 KiB that is first written to, which takes three times as
    long as the writing. On Linux large room is asked for in large pages, as NumPy does.

    Args:
        size: Bytes.

    Raises:
        MemoryError, OverflowError: There is no such room.
    """
    room = io.BytesIO(bytes(size))  # which the system has promised, and not made yet
    if size >= _LARGE and (advise := _advise()) is not None:
        advise(room.getbuffer())
    return room


@cache
def _advise() -> Callable[[memoryview], None] | None:
    """Asks for large pages under a buffer, None where nobody knows how."""
    advice = getattr(mmap, "MADV_HUGEPAGE", None)
    if advice is None:
        return None
    try:
        import ctypes  # late: commands that read nothing do without

        madvise = ctypes.CDLL(None).madvise
    except (ImportError, OSError, AttributeError):  # a Python that cannot call its C library
        return None
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)

    def advise(view: memoryview) -> None:
        with view:
            start = ctypes.addressof(ctypes.c_char.from_buffer(view))
            inside = -start % mmap.PAGESIZE
            madvise(start + inside, len(view) - inside, advice)  # advice: nothing is lost when it is refused

    return advise
