"""The contract, on real services of three makes."""

from __future__ import annotations

import threading
from hashlib import sha256
from pathlib import Path

import pytest
from tests.support.servers.s3 import S3Server

from ziggurat.content import Cid
from ziggurat.errors import TierUnavailable
from ziggurat.testing import BackendConformance, Subject
from ziggurat.testing._kit import Kit
from ziggurat_s3 import S3Options, backend


def bucket(medium: Path) -> str:
    return f"kit-{sha256(str(medium).encode()).hexdigest()[:24]}"


def options_for(server: S3Server, medium: Path) -> S3Options:
    return S3Options(
        bucket=bucket(medium),
        prefix="ipfs/",
        layout="spread",
        create_bucket=True,
        endpoint_url=server.endpoint,
        access_key_id=server.access_key,
        secret_access_key=server.secret_key,
    )


@pytest.fixture
def subject(s3_server: S3Server) -> Subject:
    def unmake(medium: Path) -> None:
        for key in s3_server.keys(bucket(medium)):
            s3_server.client.delete_object(Bucket=bucket(medium), Key=key)
        s3_server.client.delete_bucket(Bucket=bucket(medium))

    return Subject(backend, lambda medium: options_for(s3_server, medium), break_medium=unmake, examples=8)


class TestS3(BackendConformance):
    @pytest.fixture(params=["minio", "versitygw"])
    def s3_server(self, request: pytest.FixtureRequest) -> S3Server:
        server: S3Server = request.getfixturevalue(request.param)
        return server

    @pytest.fixture
    def subject(self, subject: Subject) -> Subject:
        return subject


class TestRclone(BackendConformance):
    """rclone replaces the file beneath an object in place, so one check is another.

    Who reads an object at that moment is broken off, or gets bytes of both. Blobs are only ever replaced by
    the same bytes, or by the right ones when they are mended, and the core proves what it reads.
    """

    @pytest.fixture
    def s3_server(self, rclone: S3Server) -> S3Server:
        return rclone

    @pytest.fixture
    def subject(self, subject: Subject) -> Subject:
        return subject

    def test_readers_during_a_replacement_see_the_old_or_the_new(self, kit: Kit) -> None:
        tier = kit.open()
        data = bytes(range(256)) * 160
        key = Cid.of(data).key
        tier.put(key, data)
        done = threading.Event()
        seen: list[object] = []

        def read() -> None:
            while not done.is_set():
                answer = tier.attempt("get", key, None, None)
                assert answer == data or (isinstance(answer, TierUnavailable) and answer.retryable), answer
                seen.append(answer)

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for _ in range(50):
            tier.put(key, data)
        done.set()
        for reader in readers:
            reader.join()
        assert data in seen
        assert tier.read(key) == data
