"""The table of exit codes is the documented one, and leaves no error out."""

from __future__ import annotations

import pytest

from ziggurat import errors
from ziggurat.cli._exit import TABLE, Exit, exit_code

EXPECTED = {
    "ZigguratError": 1,
    "ConfigError": 3,
    "UnknownBackend": 3,
    "DuplicateTier": 3,
    "PluginError": 3,
    "PluginConflict": 3,
    "ContractMismatch": 3,
    "BlobError": 1,
    "InvalidCid": 2,
    "BlobNotFound": 4,
    "NotAFile": 1,
    "BlobTooLarge": 1,
    "BlobPinned": 8,
    "LastCopy": 8,
    "ContentMismatch": 6,
    "MalformedContent": 6,
    "UnsupportedContent": 1,
    "TierError": 1,
    "TierUnavailable": 5,
    "TierTimeout": 5,
    "TierThrottled": 5,
    "TierFull": 7,
    "TierDenied": 8,
    "Unsupported": 1,
    "RangeError": 2,
    "CorruptBlob": 6,
    "BackendFault": 1,
    "StoreError": 1,
    "StoreUnavailable": 5,
    "NotDurable": 1,
    "StoreFull": 7,
}


def test_every_error_of_the_tree_has_an_expected_code() -> None:
    assert set(EXPECTED) == set(errors.__all__)


@pytest.mark.parametrize("name", errors.__all__)
def test_code(name: str) -> None:
    assert exit_code(getattr(errors, name)("went wrong")) == EXPECTED[name]


def test_a_read_that_met_wrong_bytes_alone_could_tell() -> None:
    wrong, away = errors.CorruptBlob("wrong"), errors.TierUnavailable("away")
    assert exit_code(errors.StoreUnavailable("x", failures=[wrong, wrong])) == Exit.WRONG
    assert exit_code(errors.StoreUnavailable("x", failures=[wrong, away])) == Exit.UNKNOWN


@pytest.mark.parametrize("error", [OSError(5, "io"), FileNotFoundError(2, "no"), KeyError("x")])
def test_foreign_errors_are_other_failures(error: Exception) -> None:
    assert exit_code(error) == Exit.FAILED


def test_no_row_is_hidden_by_an_earlier_one() -> None:
    seen: list[type[Exception]] = []
    for kind, _ in TABLE:
        assert not any(issubclass(kind, earlier) for earlier in seen)
        seen.append(kind)
