from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.config import format_duration, format_size, parse_duration, parse_size
from ziggurat.config.units import MAX_SIZE, SIZE_UNITS, TIME_UNITS


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("100 MB", 100_000_000),
        ("1MiB", 1 << 20),
        ("1.5 GB", 1_500_000_000),
        ("0.5 KiB", 512),
        ("2 TiB", 2 << 40),
        ("3 TB", 3 * 10**12),
        ("1 GiB", 1 << 30),
        ("7 kB", 7000),
        ("12 B", 12),
        ("12", 12),
        (" 12 B ", 12),
        (0, 0),
        (123, 123),
        (f"{MAX_SIZE}", MAX_SIZE),
    ],
)
def test_sizes(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("100 mb", "did you mean 'MB'?"),
        ("100 KB", "did you mean 'kB'?"),
        ("100 GIB", "did you mean 'GiB'?"),
        ("100 M", "did you mean 'MB' or 'MiB'?"),
        ("100 parsec", "units are B, kB"),
        ("1.5 B", "not a whole number of bytes"),
        ("-1 B", "is not a size"),
        ("", "is not a size"),
        ("1e3", "is not a size"),
        ("1_000", "is not a size"),
        ("MB", "is not a size"),
        ("1 MB 2", "is not a size"),
        ("\u0663 MB", "is not a size"),
        ("9" * 5000, "is not a size"),
        ("9" * 300 + " TB", "from 0 B to 2^63 - 1 B"),
        (-1, "from 0 B to 2^63 - 1 B"),
        (2**63, "from 0 B to 2^63 - 1 B"),
        (True, "expected a size"),
        (1.0, "expected a size"),
        (None, "expected a size"),
    ],
)
def test_wrong_sizes(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"size|bytes|unit") as caught:
        parse_size(text)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1us", 0.000001),
        ("250 us", 0.00025),
        ("500 ms", 0.5),
        ("5 s", 5.0),
        ("2 min", 120.0),
        ("1 h", 3600.0),
        ("0.1s", 0.1),
        ("7", 7.0),
        (3, 3.0),
        (0.25, 0.25),
    ],
)
def test_durations(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("5 µs", "units are us"),
        ("5 Us", "did you mean 'us'?"),
        ("5 m", "did you mean 'ms' or 'min'?"),
        ("5 S", "did you mean 's'?"),
        ("5 d", "units are us, ms, s, min, h"),
        ("-5 s", "is not a duration"),
        ("inf", "is not a duration"),
        (math.inf, "finite"),
        (math.nan, "finite"),
        (-1, "from 0 s"),
        (10**400, "from 0 s"),
        (True, "expected a duration"),
    ],
)
def test_wrong_durations(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"duration|unit") as caught:
        parse_duration(text)
    assert words in str(caught.value)


@given(st.integers(0, MAX_SIZE))
def test_a_formatted_size_reads_back(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.integers(0, 1000), st.sampled_from(sorted(SIZE_UNITS)))
def test_a_size_with_a_unit_reads_back(number: int, unit: str) -> None:
    size = parse_size(f"{number} {unit}")
    assert size == number * SIZE_UNITS[unit]
    assert parse_size(format_size(size)) == size


@given(st.floats(0, 10**9))
def test_a_formatted_duration_reads_back(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(0, 1000), st.sampled_from(sorted(TIME_UNITS)))
def test_a_duration_with_a_unit_reads_back(number: int, unit: str) -> None:
    seconds = parse_duration(f"{number} {unit}")
    assert seconds == float(number * TIME_UNITS[unit])


@given(st.text(max_size=30))
@settings(max_examples=300)
def test_any_text_is_a_quantity_or_a_value_error(text: str) -> None:
    for parse in (parse_size, parse_duration):
        with contextlib.suppress(ValueError):
            assert parse(text) >= 0


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (100_000_000, "100 MB"),
        (1_500_000_000, "1.5 GB"),
        (64 << 20, "64 MiB"),
        (1 << 40, "1 TiB"),
        (1000, "1 kB"),
        (512, "512 B"),
        (1_234_567, "1234567 B"),
    ],
)
def test_the_shortest_exact_text(size: int, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.000001, "1 us"),
        (0.00025, "250 us"),
        (0.001, "1 ms"),
        (0.5, "500 ms"),
        (5.0, "5 s"),
        (90, "90 s"),
        (120, "2 min"),
    ],
)
def test_durations_as_people_write_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
