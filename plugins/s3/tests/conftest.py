"""What the tests of the S3 plugin share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.servers.s3 import S3Server

from ziggurat_s3 import S3Files
from ziggurat_s3._connection import ConnectionOptions


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
