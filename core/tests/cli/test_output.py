from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.cli import _output
from ziggurat.errors import (
    BlobNotFound,
    ConfigError,
    CorruptBlob,
    StoreUnavailable,
    TierThrottled,
    TierUnavailable,
)

from .conftest import CID

ANY_TEXT = st.text(st.characters(), max_size=60)  # lone surrogates included


@given(ANY_TEXT)
def test_a_name_cannot_move_the_cursor_or_break_the_line(name: str) -> None:
    shown = _output.printable(name)
    assert shown.isprintable()
    shown.encode("utf-8")
    if name.isprintable():
        assert shown == name


@given(ANY_TEXT)
def test_a_message_is_one_line(message: str) -> None:
    assert len(_output.one_line(message).splitlines()) <= 1


@given(ANY_TEXT)
def test_json_is_one_ascii_line_that_gives_the_name_back(name: str) -> None:
    import contextlib
    import io

    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        _output.print_json({"path": name})
    line = stream.getvalue()
    assert line.isascii()
    assert line.count("\n") == 1
    assert line.endswith("\n")
    assert json.loads(line) == {"path": name}


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_500_000, "1.5 MB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (10**18, "1.0 EB"),
        (10**21, "1000.0 EB"),
    ],
)
def test_size_text(size: int | None, text: str) -> None:
    assert _output.size_text(size) == text


@given(st.integers(0, 10**22))
def test_size_text_is_within_a_twentieth(size: int) -> None:
    number, unit = _output.size_text(size).split()
    exponent = 3 * ("B", "kB", "MB", "GB", "TB", "PB", "EB").index(unit)
    assert abs(float(number) * 10**exponent - size) <= max(0.0501 * 10**exponent, size * 1e-9)


@given(st.lists(st.tuples(ANY_TEXT, ANY_TEXT), max_size=5))
def test_table_keeps_a_line_for_each_row(rows: list[tuple[str, str]]) -> None:
    lines = _output.table(rows, right=[0])
    assert len(lines) == len(rows)
    assert all(len(line.splitlines()) <= 1 for line in lines)


KEYS = {"error", "message", "tier", "op", "cid", "retryable"}


def test_a_tier_error_as_an_object() -> None:
    error = TierThrottled("slow down", tier="archive", op="get", key=f"{CID}.nodes", retryable=True)
    assert _output.describe(error) == {
        "error": "TierThrottled",
        "message": "slow down",
        "tier": "archive",
        "op": "get",
        "cid": CID,
        "retryable": True,
    }
    assert _output.describe(TierUnavailable("gone", key="reports/2026.pdf"))["cid"] is None


def test_a_blob_error_as_an_object() -> None:
    record = _output.describe(BlobNotFound("nobody has it", cid="bafyx"), path="a/b")
    assert record["cid"] == "bafyx"
    assert record["path"] == "a/b"
    assert set(record) >= KEYS


def test_a_store_error_names_what_each_tier_said() -> None:
    failures = [TierUnavailable("gone", tier="a", retryable=True), CorruptBlob("bad", tier="b")]
    record = _output.describe(StoreUnavailable("cannot tell", failures=failures, cid="bafyx"))
    assert record["retryable"] is True
    assert [failure["tier"] for failure in record["failures"]] == ["a", "b"]
    assert record["cid"] == "bafyx"


def test_a_configuration_error_names_its_problems() -> None:
    record = _output.describe(ConfigError("2 problems", problems=["f:1: a", "f:2: b"]))
    assert record["problems"] == ["f:1: a", "f:2: b"]


@pytest.mark.parametrize("error", [OSError(2, "No such file", "a\nb"), KeyError("x"), ValueError()])
def test_foreign_errors_as_objects(error: Exception) -> None:
    record = _output.describe(pickle.loads(pickle.dumps(error)))
    assert set(record) >= KEYS
    assert record["message"]
    assert "\n" not in record["message"]
