"""The command line's start."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from tests.bench.harness import Case, Row, limit
from tests.bench.workshop import caller

_MOST = 150.0  # ms
_LIBRARIES = (
    "apsw",
    "boto3",
    "botocore",
    "httpx",
    "lmdb",
    "obstore",
    "requests",
    "rich",
    "stamina",
    "urllib3",
)


def cases() -> list[Case]:
    """The cases of this module."""
    return [Case("start", _start)]


def _start(quick: bool) -> Iterator[Row]:
    def milliseconds() -> float:
        start = time.perf_counter()
        subprocess.run([caller(), "--version"], check=True, capture_output=True)
        return (time.perf_counter() - start) * 1e3

    milliseconds()
    name = "`ziggurat --version`"
    yield limit(name, milliseconds, 5 if quick else 21, at_most=_MOST, unit="ms")

    def imported() -> float:
        command = [sys.executable, "-X", "importtime", "-m", "ziggurat", "--version"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        packages = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
        assert "ziggurat" in packages
        return len([one for one in packages if one in _LIBRARIES or one.startswith("ziggurat_")])

    yield limit(f"backends and their libraries imported by {name}", imported, at_most=0, unit="packages")
