"""Traces of requests: CSV lines ``time,key,size[,op]``, a store's own access log, or the binary format.

Either may be compressed by gzip or xz. The binary format is little-endian unsigned 32-bit ids, one for each
request, followed by as many sizes in bytes; it has no times, so each request is one second after the one
before.
"""

from __future__ import annotations

import array
import csv
import gzip
import io
import logging
import lzma
import math
import sys
import zlib
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import cast

from ziggurat.errors import ConfigError
from ziggurat.policy.simulation import Request

__all__ = ["read_log", "read_trace"]

_log = logging.getLogger(__name__)

_XZ, _GZIP = b"\xfd7zXZ\0", b"\x1f\x8b"
_HEAD = 4096
_READS = ("", "get", "read")
_MOST = 1 << 50  # bytes of one block: more is a slip of the pen, and no array holds it
_LINE = "expected time,key,size or time,key,size,op"


def read_trace(path: Path) -> list[Request]:
    """Read a whole trace.

    Args:
        path: The file; a pipe will do.

    Returns:
        The reads in the order of time; lines of other operations are left out.

    Raises:
        ConfigError: It is no trace, or empty; the message names the line.
        OSError: It cannot be read.
    """
    try:
        with path.open("rb") as raw, _unpacked(raw) as file:
            binary = not _is_text(file.peek(_HEAD)[:_HEAD])
            found = _binary(path, file.read()) if binary else list(_strict(path, file))
    except (lzma.LZMAError, zlib.error, gzip.BadGzipFile, EOFError) as error:
        raise ConfigError(f"trace {path} is damaged: {error}") from error
    if not found:
        raise ConfigError(f"trace {path} has no reads; record one with access_log = true in [store]")
    found.sort(key=itemgetter(0))
    return found


def read_log(files: Sequence[Path], last: int | None = None) -> list[Request]:
    """Read a store's own log.

    Args:
        files: Its files, oldest first.
        last: Only so many reads, the newest.

    Raises:
        ConfigError: There is no read. A line that cannot be read is left out, with a warning in the log.
        OSError: A file cannot be read.
    """
    found: list[Request] = []
    for path in files:
        torn = 0
        with path.open("rb") as file:
            for _, request in _lines(file):
                if request is None:
                    torn += 1  # a write that a full disk, or a crash, cut short
                else:
                    found.append(request)
        if torn:
            _log.warning("%s: %d lines could not be read and do not count", path, torn)
    if not found:
        raise ConfigError(
            "this store has recorded no reads; write access_log = true in [store] and use it for a while, "
            "or name a trace with --trace"
        )
    found.sort(key=itemgetter(0))  # batches of several processes overlap
    return found if last is None else found[-last:]


def _unpacked(raw: io.BufferedReader) -> io.BufferedReader:
    """What a file holds, without its compression."""
    head = raw.peek(len(_XZ))
    if head.startswith(_XZ):
        return io.BufferedReader(cast("io.RawIOBase", lzma.open(raw)))
    if head.startswith(_GZIP):
        return io.BufferedReader(cast("io.RawIOBase", gzip.open(raw)))
    return raw


def _is_text(head: bytes) -> bool:
    """Numbers of four bytes are hardly ever text: they would have no zero and no control character."""
    return not any(byte < 32 and byte not in b"\t\r\n" for byte in head)


def _binary(path: Path, data: bytes) -> list[Request]:
    numbers = array.array("I")
    if len(data) % 8:
        raise ConfigError(
            f"trace {path} is neither text, {_LINE}, nor as many 32-bit sizes as ids; only gzip and xz are "
            "unpacked"
        )
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    half = len(numbers) // 2
    names = {number: str(number) for number in set(numbers[:half])}
    return [(float(at), names[numbers[at]], numbers[half + at]) for at in range(half)]


def _strict(path: Path, file: io.BufferedReader) -> Iterator[Request]:
    for number, request in _lines(file):
        if request is None:
            raise ConfigError(f"trace {path}, line {number}: {_LINE}")
        yield request


def _lines(file: io.BufferedReader) -> Iterator[tuple[int, Request | None]]:
    """The reads with their lines, and None for a line that is none."""
    names: dict[str, str] = {}
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="")
    rows, number = csv.reader(text), 0
    try:
        while True:
            number += 1
            try:
                row = next(rows, None)
                if row is None:
                    return
                if not row or (number == 1 and row[:3] == ["time", "key", "size"]):
                    continue
                at, size = float(row[0]), int(row[2])
                if not math.isfinite(at) or not 0 <= size <= _MOST or not row[1] or len(row) > 4:
                    raise ValueError
            except (ValueError, IndexError, csv.Error):
                yield number, None
                continue
            if len(row) < 4 or row[3] in _READS:
                yield number, (at, names.setdefault(row[1], row[1]), size)
    finally:
        text.detach()  # its owner closes the file
