"""File operations, one file at a time, on every make: what goes in comes out, under every key."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.servers.s3 import S3Server

from ziggurat.errors import TierUnavailable, Unsupported
from ziggurat_s3 import S3Files
from ziggurat_s3.files import ObjectNotFound, _copy

MIB = 1 << 20
NUMBERS = itertools.count()

# What XML cannot hold is kept by every make, and listed by versitygw as something else.
UNLISTED = "".join(map(chr, {*range(32), 0xFFFE, 0xFFFF} - {9, 10}))
segments = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/" + UNLISTED), min_size=1, max_size=12
).filter(lambda text: text not in (".", "..") and len(text.encode()) < 200)
keys = st.one_of(
    st.sampled_from(
        ["a b+c%20ü😀?#&=x", "%2e%2e", "+", "tab\tx", "nl\nx", "a\\b", "'\"<>&", "e\u0301", "..."]
    ),
    st.lists(segments, min_size=1, max_size=3).map("/".join),
)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(key=keys, content=st.binary(max_size=300))
def test_any_key_there_and_back(
    files: S3Files, bucket: str, s3_server: S3Server, tmp_path: Path, key: str, content: bytes
) -> None:
    key = f"{next(NUMBERS)}/{key}"
    local, back = tmp_path / "local", tmp_path / "back"
    local.write_bytes(content)
    made = files.ul_file(local, bucket, key)
    assert (made.action, made.bucket, made.key, made.size) == ("uploaded", bucket, key, len(content))
    assert s3_server.read(bucket, key) == content == files.get_object(bucket, key)
    assert key in s3_server.keys(bucket)
    got = files.dl_file(bucket, key, back)
    assert back.read_bytes() == content
    assert (got.size, got.e_tag, got.local_path) == (len(content), made.e_tag, back)
    moved = files.mv_file(bucket, key, bucket, key + "-moved")
    assert (moved.action, moved.source, moved.size) == ("moved", f"s3://{bucket}/{key}", len(content))
    assert files.get_object(bucket, key + "-moved") == content
    with pytest.raises(ObjectNotFound):
        files.get_object(bucket, key)
    assert files.rm_file(bucket, key + "-moved") is not None
    assert files.rm_file(bucket, key + "-moved") is None


@pytest.mark.parametrize("key", ["/leading", "//two", "in//between", "trailing/", "a/./b", "a/../b", ".."])
def test_slashes_and_dots_are_kept_or_refused_never_changed(
    files: S3Files, bucket: str, s3_server: S3Server, key: str
) -> None:
    before = s3_server.make_bucket()
    try:
        files.upload_object(io.BytesIO(b"inside"), bucket, key)
    except (Unsupported, TierUnavailable) as error:
        assert f"s3://{bucket}/{key}" in str(error)
        assert s3_server.keys(bucket) == []
        assert ".." not in key.split("/") or isinstance(error, Unsupported)
    else:
        assert files.get_object(bucket, key) == b"inside"
        assert files.cp_file(bucket, key, before, "plain").size == 6
        assert files.get_object(before, "plain") == b"inside"
        assert files.rm_file(bucket, key) is not None
        assert s3_server.keys(bucket) == []


def test_a_move_to_another_name_of_the_same_object_deletes_nothing(
    files: S3Files, bucket: str, s3_server: S3Server
) -> None:
    s3_server.client.put_object(Bucket=bucket, Key="one", Body=b"inside")
    for other in ("/one", "ONE", "one"):
        try:
            files.mv_file(bucket, "one", bucket, other)
        except (Unsupported, TierUnavailable):
            assert s3_server.read(bucket, "one") == b"inside"
        else:
            assert s3_server.keys(bucket) == [other]
            files.mv_file(bucket, other, bucket, "one")
    assert s3_server.keys(bucket) == ["one"]


@pytest.mark.parametrize("size", [0, 1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 19 * MIB + 5])
def test_sizes_around_a_part(
    files: S3Files, bucket: str, s3_server: S3Server, tmp_path: Path, size: int
) -> None:
    content = random.Random(size).randbytes(size)
    local, back, told = tmp_path / "local", tmp_path / "back", [0]
    local.write_bytes(content)
    files.ul_file(local, bucket, "k", metadata={"colour": "blue"}, progress_callback=told.append)
    assert sum(told) == size
    assert hashlib.sha256(s3_server.read(bucket, "k")).digest() == hashlib.sha256(content).digest()
    told = []
    files.dl_file(bucket, "k", back, progress_callback=told.append)
    assert back.read_bytes() == content
    assert sum(told) == size
    assert files.get_metadata(bucket, "k").metadata == {"colour": "blue"}
    assert s3_server.uploads(bucket) == []


class Dripping(io.RawIOBase):
    """A file that cannot be sought and gives a little at a time."""

    def __init__(self, content: bytes, fail_at: int = -1) -> None:
        self._inner, self._fail_at = io.BytesIO(content), fail_at

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if 0 <= self._fail_at <= self._inner.tell():
            raise OSError("the source broke")
        return self._inner.readinto(memoryview(buffer)[:70_001])


def test_file_objects_that_cannot_be_sought(files: S3Files, bucket: str) -> None:
    content = random.Random(1).randbytes(17 * MIB)
    told: list[int] = []
    made = files.upload_object(Dripping(content), bucket, "k", progress_callback=told.append)  # type: ignore[arg-type] # raw
    assert made.size == sum(told) == len(content)
    target = io.BytesIO(b"before ")
    target.seek(0, 2)
    told = []
    files.download_object(bucket, "k", target, progress_callback=told.append)
    assert target.getvalue() == b"before " + content
    assert sum(told) == len(content)
    rest = io.BytesIO(b"not this, this")
    rest.seek(10)
    files.upload_object(rest, bucket, "k")
    assert files.get_object(bucket, "k") == b"this"


@pytest.mark.parametrize("fail_at", [0, 100, 17 * MIB])
def test_a_source_that_fails_leaves_nothing_and_is_not_blamed_on_the_service(
    files: S3Files, bucket: str, s3_server: S3Server, fail_at: int
) -> None:
    with pytest.raises(OSError, match="the source broke"):
        files.upload_object(Dripping(bytes(20 * MIB), fail_at), bucket, "k")  # type: ignore[arg-type] # raw
    assert s3_server.keys(bucket) == []
    assert s3_server.uploads(bucket) == []
    with pytest.raises(TypeError, match="binary"):
        files.upload_object(io.StringIO("text"), bucket, "k")  # type: ignore[arg-type] # the mistake
    assert s3_server.keys(bucket) == []


def test_what_travels_is_kept_by_copies_and_moves(files: S3Files, bucket: str, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("<p>")
    files.ul_file(path, bucket, "k", metadata={"Author": "me", "year": "2026"})
    wanted = ("text/html", {"author": "me", "year": "2026"})

    def of(key: str) -> tuple[object, object]:
        info = files.get_metadata(bucket, key)
        return info.content_type, dict(info.metadata)

    assert of("k") == wanted
    files.cp_file(bucket, "k", bucket, "copy")
    files.mv_file(bucket, "copy", bucket, "moved")
    assert of("moved") == wanted
    info = files.set_metadata(bucket, "moved", {"year": "2027"})
    assert dict(info.metadata) == {"year": "2027"}
    assert of("moved") == ("text/html", {"year": "2027"})
    files.set_metadata(bucket, "moved", {}, content_type="text/plain")
    assert of("moved") == ("text/plain", {})
    assert files.get_object(bucket, "moved") == b"<p>"
    for metadata in ({"year": "zwölf"}, {"a b": "x"}, {"x": "two\nlines"}, {"": "x"}):
        with pytest.raises(Unsupported, match="metadata"):
            files.set_metadata(bucket, "moved", metadata)
        with pytest.raises(Unsupported, match="metadata"):
            files.ul_file(path, bucket, "other", metadata=metadata)
    assert of("moved") == ("text/plain", {})


def test_large_copies_go_by_parts(
    files: S3Files, bucket: str, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_copy, "_WHOLE_LIMIT", 10 * MIB)
    monkeypatch.setattr(_copy, "_PART", 5 * MIB)
    content = random.Random(3).randbytes(16 * MIB + 7)
    (tmp_path / "big.html").write_bytes(content)
    files.ul_file(tmp_path / "big.html", bucket, "big", metadata={"colour": "blue"})
    files.mv_file(bucket, "big", bucket, "moved")
    assert s3_server.keys(bucket) == ["moved"]
    assert files.get_object(bucket, "moved") == content
    info = files.get_metadata(bucket, "moved")
    assert (info.content_type, dict(info.metadata)) == ("text/html", {"colour": "blue"})
    assert s3_server.uploads(bucket) == []


def test_tags_are_kept_by_large_copies(
    minio: S3Server, files_on: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_copy, "_WHOLE_LIMIT", 5 * MIB)
    monkeypatch.setattr(_copy, "_PART", 5 * MIB)
    bucket = minio.make_bucket()
    minio.client.put_object(Bucket=bucket, Key="k", Body=bytes(6 * MIB), Tagging="a=1&b=x%20y")
    files_on(minio).cp_file(bucket, "k", bucket, "copy")
    tags = minio.client.get_object_tagging(Bucket=bucket, Key="copy")["TagSet"]
    assert sorted((one["Key"], one["Value"]) for one in tags) == [("a", "1"), ("b", "x y")]


def test_what_boto3_uploads_is_what_we_upload(
    files: S3Files, bucket: str, s3_server: S3Server, tmp_path: Path
) -> None:
    for size in (0, 5000, 20 * MIB):
        path = tmp_path / f"{size}.json"
        path.write_bytes(random.Random(size).randbytes(size))
        files.ul_file(path, bucket, "ours", metadata={"a": "b"})
        s3_server.client.upload_file(
            str(path),
            bucket,
            "theirs",
            ExtraArgs={"Metadata": {"a": "b"}, "ContentType": "application/json"},
        )
        ours = s3_server.client.head_object(Bucket=bucket, Key="ours")
        theirs = s3_server.client.head_object(Bucket=bucket, Key="theirs")
        for name in ("ETag", "ContentLength", "ContentType", "Metadata"):
            assert ours[name] == theirs[name], name


def test_what_is_not_there(files: S3Files, bucket: str, s3_server: S3Server, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    for call in (
        lambda: files.get_object(bucket, "no/such"),
        lambda: files.dl_file(bucket, "no/such", tmp_path / "new"),
        lambda: files.cp_file(bucket, "no/such", bucket, "x"),
        lambda: files.mv_file(bucket, "no/such", bucket, "x"),
        lambda: files.get_metadata(bucket, "no/such"),
        lambda: files.set_metadata(bucket, "no/such", {}),
        lambda: files.dl_dir(bucket, "no/such", tmp_path / "folder"),
    ):
        with pytest.raises(ObjectNotFound, match=f"s3://{bucket}/no/such") as caught:
            call()
        assert caught.value.op
        assert caught.value.key.startswith("no/such")
        assert isinstance(caught.value, LookupError)
    for of_no_bucket in (
        lambda: files.get_object("no-such-bucket", "k"),
        lambda: files.ul_file(path, "no-such-bucket", "k"),
        lambda: list(files.ls_dir("no-such-bucket")),
        lambda: files.rm_file("no-such-bucket", "k"),
        lambda: files.ul_dir(tmp_path, "no-such-bucket"),
    ):
        with pytest.raises(TierUnavailable, match="there is no bucket 'no-such-bucket'"):
            of_no_bucket()
    assert sorted(os.listdir(tmp_path)) == ["file"]
    with pytest.raises(FileNotFoundError):
        files.ul_file(tmp_path / "gone", bucket, "k")
    with pytest.raises(IsADirectoryError):
        files.ul_file(tmp_path, bucket, "k")
    s3_server.client.put_object(Bucket=bucket, Key="k", Body=b"x")
    with pytest.raises(IsADirectoryError):
        files.dl_file(bucket, "k", tmp_path)
    with pytest.raises(FileNotFoundError):
        files.dl_file(bucket, "k", tmp_path / "no/folder")
    assert s3_server.keys(bucket) == ["k"]


def test_buckets(files: S3Files, s3_server: S3Server) -> None:
    name = s3_server.make_bucket() + "-more"
    assert not files.bucket_exists(name)
    files.create_bucket(name)
    assert files.bucket_exists(name)
    assert name in [one.name for one in files.list_buckets()]
    files.upload_object(io.BytesIO(b"x"), name, "k")
    with pytest.raises(Unsupported, match="not empty"):
        files.delete_bucket(name)
    with pytest.raises(Unsupported, match="empty_bucket"):
        files.rm_dir(name, "")
    assert s3_server.keys(name) == ["k"]
    assert files.empty_bucket(name).count("removed") == 1
    files.delete_bucket(name)
    assert not files.bucket_exists(name)
    with pytest.raises(TierUnavailable, match="no bucket"):
        files.delete_bucket(name)
    assert files.get_session().get_credentials().access_key == s3_server.access_key  # type: ignore[union-attr] # it has some
