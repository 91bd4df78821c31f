"""Traces of requests: CSV lines ``time,key,size[,op]``, a store's own access log, or the binary format.

The binary format is xz of little-endian unsigned 32-bit ids, one for each request, followed by as many sizes
in bytes; it has no times, so each request is one second after the one before.
"""

from __future__ import annotations

import array
import csv
import lzma
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ziggurat.errors import ConfigError
from ziggurat.policy.simulation import Request

__all__ = ["read_log", "read_trace"]

_XZ = b"\xfd7zXZ\0"
_READS = ("", "get", "read")


def read_trace(path: Path) -> list[Request]:
    """Read a whole trace.

    Args:
        path: The file.

    Returns:
        The reads in the order of the file; lines of other operations are left out.

    Raises:
        ConfigError: It is no trace, or empty; the message names the line.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        binary = file.read(len(_XZ)) == _XZ
    found = _binary(path) if binary else list(_lines(path))
    if not found:
        raise ConfigError(f"trace {path} has no reads; record one with access_log = true in [store]")
    return found


def read_log(files: Sequence[Path], last: int | None = None) -> list[Request]:
    """Read a store's own log.

    Args:
        files: Its files, oldest first.
        last: Only so many reads, the newest.

    Raises:
        ConfigError: A line is none, or there is no read.
        OSError: A file cannot be read.
    """
    found: list[Request] = []
    for path in files:
        found += _lines(path)
    if not found:
        raise ConfigError(
            "this store has recorded no reads; write access_log = true in [store] and use it for a while, "
            "or name a trace with --trace"
        )
    found.sort(key=lambda request: request[0])  # batches of several processes overlap
    return found if last is None else found[-last:]


def _binary(path: Path) -> list[Request]:
    numbers = array.array("I")
    try:
        with lzma.open(path) as file:
            numbers.frombytes(file.read())
    except (lzma.LZMAError, EOFError, ValueError) as error:
        raise ConfigError(f"trace {path} is damaged: {error}") from error
    if sys.byteorder == "big":
        numbers.byteswap()
    if len(numbers) % 2:
        raise ConfigError(f"trace {path} is damaged: it has not as many sizes as ids")
    half = len(numbers) // 2
    names = {number: str(number) for number in set(numbers[:half])}
    return [(float(at), names[numbers[at]], numbers[half + at]) for at in range(half)]


def _lines(path: Path) -> Iterator[Request]:
    names: dict[str, str] = {}
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for number, row in enumerate(csv.reader(file), 1):
            if not row or (number == 1 and row[:3] == ["time", "key", "size"]):
                continue
            try:
                at, size = float(row[0]), int(row[2])
                if not math.isfinite(at) or size < 0 or not row[1] or len(row) > 4:
                    raise ValueError
            except (ValueError, IndexError):
                raise ConfigError(
                    f"trace {path}, line {number}: expected time,key,size or time,key,size,op"
                ) from None
            if len(row) < 4 or row[3] in _READS:
                yield at, names.setdefault(row[1], row[1]), size
