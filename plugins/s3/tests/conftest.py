"""What the tests of the S3 plugin share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.servers.s3 import S3Server

from ziggurat.backend import Context, Timeouts
from ziggurat_s3 import S3, S3Files, S3Options
from ziggurat_s3._connection import ConnectionOptions


def options(server: S3Server, **given: Any) -> S3Options:
    """Options for a service, whose endpoint and keys a test may replace."""
    known: dict[str, Any] = {
        "endpoint_url": server.endpoint,
        "access_key_id": server.access_key,
        "secret_access_key": server.secret_key,
    }
    return S3Options(**{**known, **given})


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., S3]]:
    """Makes backends on a service, by default on a new bucket, and closes them afterwards."""
    made: list[S3] = []

    def one(server: S3Server, **given: Any) -> S3:
        role, catalog = given.pop("role", "store"), given.pop("catalog", "catalog-1")
        timeouts = given.pop("timeouts", Timeouts(connect=5, idle=20))
        spool = given.pop("spool", tmp_path / "spool")
        if "bucket" not in given:
            given["bucket"] = server.make_bucket()
        context = Context("tier", role, catalog=catalog, spool=spool, timeouts=timeouts)
        made.append(S3(options(server, **given), context))
        return made[-1]

    yield one
    for s3 in made:
        s3.close()


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
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def options_of(server: S3Server, endpoint: str = "") -> ConnectionOptions:
    """The owner of a service, as options."""
    return ConnectionOptions(
        endpoint_url=endpoint or server.endpoint,
        access_key_id=server.access_key,
        secret_access_key=server.secret_key,
    )


@pytest.fixture
def files_on() -> Callable[..., S3Files]:
    """Makes file operations on a server, by a proxy if one is given."""

    def make(server: S3Server, endpoint: str = "", **options: object) -> S3Files:
        given = {"attempts": 3, "max_wait": 0.2, **options}
        return S3Files(options_of(server, endpoint), **given)  # type: ignore[arg-type] # the test's own words

    return make


@pytest.fixture
def files(s3_server: S3Server, files_on: Callable[..., S3Files]) -> S3Files:
    """File operations on each make in turn."""
    return files_on(s3_server)


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    """An empty bucket on it."""
    return s3_server.make_bucket()
