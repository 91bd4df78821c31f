"""What the tests of the disk backend share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from ziggurat.backend import Blob, Context
from ziggurat_disk import Disk, DiskOptions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "disk"


@pytest.fixture
def make(folder: Path) -> Iterator[Callable[..., Disk]]:
    """Makes backends on one folder and closes them afterwards."""
    made: list[Disk] = []

    def one(*, role: str = "store", catalog: str = "catalog-1", path: Path = folder, **options: Any) -> Disk:
        capacity = options.pop("capacity", 10**12)
        context = Context("tier", role, catalog=catalog, capacity=capacity)  # type: ignore[arg-type] # a test's own word
        made.append(Disk(DiskOptions(path=path, **options), context))
        return made[-1]

    yield one
    for disk in made:
        disk.close()


@pytest.fixture
def disk(make: Callable[..., Disk]) -> Disk:
    return make()


@pytest.fixture
def read() -> Callable[[bytes | Blob | None], bytes | None]:
    """Gives all bytes of an answer, closed afterwards."""

    def whole(answer: bytes | Blob | None) -> bytes | None:
        if not isinstance(answer, Blob):
            return answer
        with answer:
            return answer.read()

    return whole


@pytest.fixture
def media(folder: Path) -> Callable[[str], tuple[bytes | None, bytes | None]]:
    """Gives what the row and the file of a key hold, past the backend."""

    def both(key: str) -> tuple[bytes | None, bytes | None]:
        connection = apsw.Connection(f"{folder}/small.db")
        row = connection.execute("SELECT data FROM small WHERE key = ?", (key,)).get
        connection.close()
        file = folder / "files" / key.partition(".")[0][-2:] / key
        return row, file.read_bytes() if file.exists() else None

    return both


@pytest.fixture
def child() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts Python processes that print lines and read what the test writes; kills what is left of them."""
    started: list[subprocess.Popen[str]] = []

    def start(script: str, *arguments: object) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", script, *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()
