"""Fixtures for every test of this repository: S3 services and the proxy, one of each for a process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.servers.s3 import MAKES, S3Server
from tests.support.servers.toxiproxy import Toxiproxy

__all__ = ["minio", "own_s3", "rclone", "s3_server", "toxiproxy", "versitygw"]


def _running(make: str, factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = MAKES[make](factory.mktemp(make)).start()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """MinIO; share it: work in buckets of your own (`S3Server.make_bucket`), and do not stop it."""
    yield from _running("minio", tmp_path_factory)


@pytest.fixture(scope="session")
def versitygw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """versitygw, to be shared like `minio`."""
    yield from _running("versitygw", tmp_path_factory)


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """rclone, to be shared like `minio`."""
    yield from _running("rclone", tmp_path_factory)


@pytest.fixture(params=MAKES)
def s3_server(request: pytest.FixtureRequest) -> S3Server:
    """Each make in turn."""
    server: S3Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def own_s3(tmp_path: Path) -> Iterator[Callable[[str], S3Server]]:
    """Makes running servers that a test may stop, freeze and kill: `own_s3("minio")`; they go with it."""
    made: list[S3Server] = []

    def make(name: str) -> S3Server:
        made.append(MAKES[name](tmp_path / f"{name}-{len(made)}"))
        return made[-1].start()

    yield make
    for server in made:
        server.remove()


@pytest.fixture(scope="session")
def toxiproxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toxiproxy]:
    """The proxy; each test puts proxies of its own before a server."""
    proxy = Toxiproxy(tmp_path_factory.mktemp("toxiproxy")).start()
    yield proxy
    proxy.remove()
