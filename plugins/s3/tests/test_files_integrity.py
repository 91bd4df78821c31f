"""Downloads are held against what the service knows of the whole object: what differs is no file."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import random
import socket
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.servers.s3 import S3Server, Versitygw
from tests.support.servers.wire import Relay, Scripted

from ziggurat.errors import CorruptBlob, TierUnavailable
from ziggurat_s3 import ConnectionOptions, S3Files, S3Options
from ziggurat_s3._checksums import CHEAPEST_FIRST, begun
from ziggurat_s3.files import ObjectDamaged, TransferIncomplete

FilesOn = Callable[..., S3Files]
MIB = 1 << 20
LARGE = random.Random(5).randbytes(5 * MIB + 3)
IN_PARTS = random.Random(6).randbytes(17 * MIB)
TIME = {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}


# What there is to be held against


def test_our_uploads_are_held_against_something_when_they_come_back(
    s3_server: S3Server, files_on: FilesOn, tmp_path: Path
) -> None:
    files, bucket = files_on(s3_server), s3_server.make_bucket()
    in_parts = "md5" if s3_server.make == "rclone" else "crc32"
    whole = "crc64nvme" if s3_server.make == "versitygw" else "md5"
    for content, wanted in ((b"", "md5"), (b"small", "md5"), (LARGE, whole), (IN_PARTS, in_parts)):
        files.upload_object(io.BytesIO(content), bucket, "d/k")
        target = io.BytesIO()
        assert files.download_object(bucket, "d/k", target).checked == wanted
        assert target.getvalue() == files.get_object(bucket, "d/k") == content
        (tmp_path / "k").unlink(missing_ok=True)
        assert [one.checked for one in files.dl_dir(bucket, "d", tmp_path).results] == [wanted]
        assert (tmp_path / "k").read_bytes() == content


@pytest.mark.parametrize("make", ["minio", "versitygw"])
@pytest.mark.parametrize("name", [name for name in CHEAPEST_FIRST if name not in ("md5", "sha512")])
def test_every_checksum_that_services_know(
    request: pytest.FixtureRequest, files_on: FilesOn, tmp_path: Path, make: str, name: str
) -> None:
    server: S3Server = request.getfixturevalue(make)
    bucket = server.make_bucket()
    server.client.put_object(Bucket=bucket, Key="k", Body=LARGE, ChecksumAlgorithm=name.upper())
    assert files_on(server).dl_file(bucket, "k", tmp_path / "k").checked == name
    assert (tmp_path / "k").read_bytes() == LARGE


def test_without_its_library_a_checksum_is_left_alone(
    versitygw: S3Server, files_on: FilesOn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "awscrt", None)
    bucket = versitygw.make_bucket()
    versitygw.client.put_object(Bucket=bucket, Key="k", Body=LARGE)
    assert files_on(versitygw).dl_file(bucket, "k", tmp_path / "k").checked == "md5"


def test_the_checksum_of_parts_says_nothing_of_the_whole(minio: S3Server, files_on: FilesOn) -> None:
    bucket, target = minio.make_bucket(), io.BytesIO()
    minio.connect(request_checksum_calculation="when_supported").upload_fileobj(
        io.BytesIO(IN_PARTS), bucket, "k"
    )
    assert "-" in minio.client.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["ChecksumCRC32"]
    assert files_on(minio).download_object(bucket, "k", target).checked == ""
    assert target.getvalue() == IN_PARTS


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_checksums_do_not_know_how_the_bytes_came(pieces: list[bytes]) -> None:
    for name in CHEAPEST_FIRST:
        one, other = begun(name), begun(name)
        assert one is not None
        assert other is not None
        one.update(b"".join(pieces))
        for piece in pieces:
            other.update(memoryview(piece))
        assert one.digest() == other.digest(), name


@pytest.mark.parametrize(
    ("name", "digest"),
    # https://reveng.sourceforge.io/crc-catalogue/all.htm
    [("crc32", "cbf43926"), ("crc32c", "e3069283"), ("crc64nvme", "ae8b14860a799888")],
)
def test_the_check_values_of_the_catalogue(name: str, digest: str) -> None:
    running = begun(name)
    assert running is not None
    running.update(b"123456789")
    assert running.digest().hex() == digest
    assert begun("crc64") is None


# What differs


def every_way(files: S3Files, bucket: str, folder: Path, size: int) -> None:
    """Each kind of download of the key d/k fails, and leaves a file as it was."""
    (folder / "k").write_bytes(b"before")
    said = f"s3://{bucket}/d/k: the .* of what came is .*, and the service says .*: download it again"
    with pytest.raises(ObjectDamaged, match=said) as caught:
        files.dl_file(bucket, "d/k", folder / "k")
    assert isinstance(caught.value, CorruptBlob)
    assert (caught.value.op, caught.value.key, caught.value.retryable) == ("dl_file", "d/k", False)
    with pytest.raises(ObjectDamaged):
        files.dl_file(bucket, "d/k", folder / "new")
    with pytest.raises(TransferIncomplete) as incomplete:
        files.dl_dir(bucket, "d", folder)
    assert [type(one.error) for one in incomplete.value.report.failures] == [ObjectDamaged]
    with pytest.raises(ObjectDamaged):
        files.get_object(bucket, "d/k")
    target = io.BytesIO()
    with pytest.raises(ObjectDamaged):
        files.download_object(bucket, "d/k", target)
    assert len(target.getvalue()) == (0 if size <= 4 * MIB else size)
    assert (folder / "k").read_bytes() == b"before"
    assert os.listdir(folder) == ["k"]


@pytest.mark.parametrize("content", [b"small", LARGE, IN_PARTS], ids=["small", "large", "in parts"])
def test_a_bit_that_flips_on_the_disk_of_the_service(
    versitygw: Versitygw, files_on: FilesOn, tmp_path: Path, content: bytes
) -> None:
    files, bucket = files_on(versitygw), versitygw.make_bucket()
    files.upload_object(io.BytesIO(content), bucket, "d/k")
    with versitygw.file(bucket, "d/k").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(bytes([content[-1] ^ 1]))
    every_way(files, bucket, tmp_path, len(content))


class Altering(Relay):
    """A relay that alters what a service says in one place."""

    truth, lie = b"this is true", b"this is fake"

    def _pass(self, source: socket.socket, target: socket.socket, upward: bool) -> None:
        super()._pass(source if upward else cast("socket.socket", _Altered(source)), target, upward)


class _Altered:
    """A connection on which the truth is replaced where one piece has it whole."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def recv(self, size: int) -> bytes:
        data = self._connection.recv(size)
        return data.replace(Altering.truth, Altering.lie)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.mark.parametrize("size", [1000, 5 * MIB])
@pytest.mark.parametrize("key", ["k", "a\nb"])
def test_a_bit_that_flips_on_the_way(
    s3_server: S3Server, files_on: FilesOn, tmp_path: Path, size: int, key: str
) -> None:
    bucket = s3_server.make_bucket()
    content = Altering.truth * (size // len(Altering.truth))  # so often that one is in one piece
    s3_server.client.put_object(Bucket=bucket, Key=key, Body=content)
    with Altering(s3_server.endpoint) as relay:
        with pytest.raises(ObjectDamaged):
            files_on(s3_server, relay.url).dl_file(bucket, key, tmp_path / "k")
        assert os.listdir(tmp_path) == []
        # Who wants it all the same has to say so.
        done = files_on(s3_server, relay.url, checksum="none").dl_file(bucket, key, tmp_path / "k")
        assert (done.checked, done.size) == ("", len(content))
    assert Altering.lie in (tmp_path / "k").read_bytes()


# Services that no server here plays


class Knowing(Scripted):
    """A service with one object, of which a HEAD says what a test wants.

    Args:
        content: Of the object.
        e_tag: Of the object.
        head: What a HEAD that asks for checksums says besides; or a status that refuses it.
    """

    def __init__(self, content: bytes, e_tag: str, head: dict[str, str] | int) -> None:
        super().__init__(self._told)
        self._content, self._e_tag, self._head = content, e_tag, head
        self.failing = 0

    def _told(self, method: str, path: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        told = {"ETag": f'"{self._e_tag}"', **TIME}
        if method == "HEAD":
            if self.failing:
                self.failing -= 1
                return 500, b"", {}
            if isinstance(self._head, int):
                if "x-amz-checksum-mode" in self.headers[-1]:
                    return self._head, b"", {}
            else:
                told |= self._head
            return 200, b"", {"Content-Length": str(len(self._content)), **told}
        return 200, self._content, told

    def files(self, **options: Any) -> S3Files:
        connection = ConnectionOptions(endpoint_url=self.url, access_key_id="a", secret_access_key="b")
        return S3Files(connection, **{"attempts": 2, "max_wait": 0.02, **options})

    def heads(self) -> int:
        return sum(1 for method, _ in self.asked if method == "HEAD")


def crc32(content: bytes) -> str:
    return base64.b64encode(zlib.crc32(content).to_bytes(4, "big")).decode()


KMS = {"x-amz-server-side-encryption": "aws:kms"}
FULL = {"x-amz-checksum-type": "FULL_OBJECT"}
OPAQUE: list[dict[str, str]] = [
    KMS,
    {"x-amz-server-side-encryption": "aws:kms:dsse"},
    {"x-amz-server-side-encryption-customer-algorithm": "AES256"},
    {"x-amz-storage-class": "EXPRESS_ONEZONE"},
]
CONTENTS = pytest.mark.parametrize("content", [b"content", LARGE], ids=["small", "large"])


@CONTENTS
@pytest.mark.parametrize("opaque", OPAQUE, ids=lambda said: next(iter(said.values())))
def test_a_tag_that_only_looks_like_an_md5_condemns_nothing(content: bytes, opaque: dict[str, str]) -> None:
    with Knowing(content, "0" * 32, opaque) as service:
        target = io.BytesIO()
        assert service.files().download_object("bucket", "k", target).checked == ""
        assert target.getvalue() == content
    for said, wanted in ((content, "crc32"), (content + b"x", "")):
        with Knowing(content, "0" * 32, {**opaque, **FULL, "x-amz-checksum-crc32": crc32(said)}) as service:
            if wanted:
                assert service.files().download_object("bucket", "k", io.BytesIO()).checked == wanted
            else:
                with pytest.raises(ObjectDamaged, match="the crc32 of what came is"):
                    service.files().get_object("bucket", "k")


@CONTENTS
@pytest.mark.parametrize(
    "head",
    [
        {},
        {"x-amz-checksum-crc32": "AAAAAA=="},  # nobody says of what
        {"x-amz-checksum-type": "COMPOSITE", "x-amz-checksum-crc32": "AAAAAA==-2"},
        {**FULL, "x-amz-checksum-crc32": "AAAAAA==-2"},
        {**FULL, "x-amz-checksum-crc32": "no base64"},
        {**FULL, "x-amz-checksum-crc32": "AAAA"},  # three bytes
        {**FULL, "x-amz-checksum-xxhash3": "AAAAAAAAAAA="},  # one that nobody here computes
        {**FULL, "x-amz-checksum-crc32": "AAAAAA==", "ETag": '"of another version"'},
    ],
)
def test_what_says_nothing_of_the_whole_condemns_nothing(content: bytes, head: dict[str, str]) -> None:
    with Knowing(content, "0" * 32 + "-2", head) as service:
        target = io.BytesIO()
        assert service.files().download_object("bucket", "k", target).checked == ""
        assert target.getvalue() == content
        assert service.heads() == 1


@CONTENTS
@pytest.mark.parametrize("status", [400, 501])
def test_a_service_that_refuses_to_be_asked_for_checksums(content: bytes, status: int) -> None:
    with Knowing(content, "0" * 32, status) as service:
        files = service.files()
        for modes in (1, 1):  # it is asked once, and by boto3's own second question about a status 400
            with pytest.raises(ObjectDamaged, match=r'the md5 of what came .* checksum = "none"'):
                files.get_object("bucket", "k")
            asked = [headers for headers in service.headers if "x-amz-checksum-mode" in headers]
            assert len(asked) == modes
    with Knowing(content, hashlib.md5(content).hexdigest(), status) as service:
        assert service.files().get_object("bucket", "k") == content


@CONTENTS
def test_a_service_that_fails_to_say_what_it_knows_is_asked_again(content: bytes) -> None:
    with Knowing(content, "tag", {**FULL, "x-amz-checksum-crc32": crc32(content)}) as service:
        service.failing = 1
        assert service.files().download_object("bucket", "k", io.BytesIO()).checked == "crc32"
        service.failing = 9
        with pytest.raises(TierUnavailable) as caught:
            service.files().get_object("bucket", "k")
        assert caught.value.retryable


def test_small_files_whose_tag_tells_cost_no_request_more() -> None:
    with Knowing(b"content", hashlib.md5(b"content").hexdigest(), {}) as service:
        assert service.files().get_object("bucket", "k") == b"content"
        assert [method for method, _ in service.asked] == ["GET"]


def test_a_tier_without_checksums_compares_nothing() -> None:
    with Knowing(LARGE, "0" * 32, {}) as service:
        options = S3Options(
            bucket="bucket",
            endpoint_url=service.url,
            access_key_id="a",
            secret_access_key="s",
            checksum="none",
        )
        for files in (S3Files(options), service.files(checksum="none")):
            assert files.download_object("bucket", "k", io.BytesIO()).checked == ""
        assert service.heads() == 0
