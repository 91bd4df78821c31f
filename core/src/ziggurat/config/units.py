"""Sizes and durations as people write them: "100 MB", "1 GiB", "500 ms", "2 min".

Decimal and binary units are those of IEC 80000-13: MB is 10^6 bytes, MiB is 2^20. A microsecond is "us".
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

__all__ = [
    "MAX_SIZE",
    "SIZE_UNITS",
    "TIME_UNITS",
    "format_duration",
    "format_size",
    "parse_duration",
    "parse_size",
]

SIZE_UNITS: Mapping[str, int] = {
    "B": 1,
    "kB": 10**3,
    "KiB": 2**10,
    "MB": 10**6,
    "MiB": 2**20,
    "GB": 10**9,
    "GiB": 2**30,
    "TB": 10**12,
    "TiB": 2**40,
}
"""Bytes in each unit of size."""

TIME_UNITS: Mapping[str, Fraction] = {
    "us": Fraction(1, 1_000_000),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "min": Fraction(60),
    "h": Fraction(3600),
}
"""Seconds in each unit of time."""

MAX_SIZE = 2**63 - 1
"""The largest size in bytes: what SQLite and every file system still count."""

MAX_SECONDS = 10**9
"""The longest duration, 31 years: what every timer still counts."""

_QUANTITY = re.compile(r"([0-9]{1,400}(?:\.[0-9]{1,400})?)[ \t]*([^\s0-9.]{0,12})", re.ASCII)


def parse_size(value: str | int) -> int:
    """Read a size.

    Args:
        value: Bytes as an integer, or text: a number, and a unit of `SIZE_UNITS` (bytes without one).

    Returns:
        Bytes, from 0 to `MAX_SIZE`.

    Raises:
        ValueError: Not a size, not a whole number of bytes, or out of range.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        size = Fraction(value)
    else:
        size = _parse(value, SIZE_UNITS, "B", "a size", '"100 MB" or "1 GiB"')
    if size.denominator != 1:
        raise ValueError(f"{value!r} is not a whole number of bytes")
    if not 0 <= size <= MAX_SIZE:
        raise ValueError("a size is from 0 B to 2^63 - 1 B")
    return int(size)


def parse_duration(value: str | float) -> float:
    """Read a duration.

    Args:
        value: Seconds as a number, or text: a number, and a unit of `TIME_UNITS` (seconds without one).

    Returns:
        Seconds, from 0 to 10^9.

    Raises:
        ValueError: Not a duration, or out of range.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("a duration is a finite number of seconds")
        seconds = Fraction(value)
    else:
        seconds = _parse(value, TIME_UNITS, "s", "a duration", '"500 ms" or "5 s"')
    if not 0 <= seconds <= MAX_SECONDS:
        raise ValueError(f"a duration is from 0 s to {MAX_SECONDS} s")
    return float(seconds)


def format_size(size: int) -> str:
    """Write a size exactly, in the unit that makes it shortest; `parse_size` gives it back.

    Args:
        size: Bytes.

    Returns:
        Text such as "100 MB", "1.5 GB", "64 MiB" or "1234567 B".
    """
    return _format(Fraction(size), {unit: Fraction(factor) for unit, factor in SIZE_UNITS.items()}, "B")


def format_duration(seconds: float) -> str:
    """Write a duration exactly, in the unit that makes it shortest; `parse_duration` gives it back.

    Args:
        seconds: The duration.

    Returns:
        Text such as "500 ms", "5 s" or "2 min".
    """
    # The decimal digits that a float shows, not the binary fraction that it is.
    return _format(Fraction(repr(seconds)), TIME_UNITS, "s")


def _parse(
    value: object, units: Mapping[str, int] | Mapping[str, Fraction], plain: str, what: str, example: str
) -> Fraction:
    if not isinstance(value, str):
        raise ValueError(f"expected {what} such as {example}")
    found = _QUANTITY.fullmatch(value.strip())
    if found is None:
        raise ValueError(f"{_shorten(value)} is not {what} such as {example}")
    number, unit = found.groups()
    unit = unit or plain
    if unit not in units:
        folded = {known.casefold(): known for known in units}
        alike = [name for name in folded if name[:1] == unit[:1].casefold()]
        near = difflib.get_close_matches(unit.casefold(), alike, 2, 0.5)
        near = near[:1] if unit.casefold() in near else near
        names = " or ".join(repr(folded[name]) for name in near)
        hint = f"did you mean {names}?" if near else f"units are {', '.join(units)}"
        raise ValueError(f"{_shorten(value)} has the unknown unit {unit!r}; {hint}")
    return Fraction(number) * units[unit]


def _format(amount: Fraction, units: Mapping[str, Fraction], plain: str) -> str:
    """Take the shortest exact text of at most three decimals; at equal length the largest unit."""
    if not amount:
        return f"0 {plain}"
    texts = []
    smallest = min(units.values())
    for unit, factor in units.items():
        thousandths = amount / factor * 1000
        if thousandths.denominator == 1 and (amount >= factor or factor == smallest):
            whole, part = divmod(int(thousandths), 1000)
            decimals = f".{part:03}".rstrip("0").rstrip(".")
            texts.append((len(f"{whole}{decimals}"), -factor, f"{whole}{decimals} {unit}"))
    if texts:
        return min(texts)[2]
    return f"{Decimal(repr(float(amount))):f} {plain}"


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
