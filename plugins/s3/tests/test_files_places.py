"""What file operations leave alone: whole buckets, devices, neighbours, what is not theirs to end."""

from __future__ import annotations

import io
import os
import random
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.servers.s3 import S3Server, Versitygw

from ziggurat.errors import Unsupported
from ziggurat_s3 import S3Files
from ziggurat_s3.files import TransferIncomplete, _single_files
from ziggurat_s3.files._keys import may_be_one

CONTENT = random.Random(11).randbytes(4 << 20)


def test_a_whole_bucket_is_emptied_by_its_own_name_only(
    files: S3Files, bucket: str, s3_server: S3Server
) -> None:
    for key in ("a/x", "ab/x", "b"):
        s3_server.client.put_object(Bucket=bucket, Key=key, Body=b"x")
    with pytest.raises(Unsupported, match="is a whole bucket: empty_bucket"):
        files.rm_dir(bucket, "")
    assert [one.key for one in files.rm_dir(bucket, "a").results] == ["a/x"]
    assert s3_server.keys(bucket) == ["ab/x", "b"]
    assert files.empty_bucket(bucket).count("removed") == 2
    assert s3_server.keys(bucket) == []


def test_a_device_is_not_replaced_by_a_download(files: S3Files, bucket: str, tmp_path: Path) -> None:
    files.upload_object(io.BytesIO(b"x"), bucket, "d/pipe")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    for name in ("pipe", "link"):
        with pytest.raises(Unsupported, match="is no regular file, and is not replaced"):
            files.dl_file(bucket, "d/pipe", tmp_path / name)
    with pytest.raises(TransferIncomplete, match="is no regular file"):
        files.dl_dir(bucket, "d", tmp_path)
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
    assert (tmp_path / "link").is_symlink()


def test_no_link_among_the_devices_is_replaced_wherever_it_leads(
    files: S3Files, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Standard output may be a file, and /dev/stdout then leads to one."""
    files.upload_object(io.BytesIO(b"x"), bucket, "k")
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "stdout").symlink_to(tmp_path / "file")
    with monkeypatch.context() as patch:
        patch.setattr(_single_files, "_DEVICES", tmp_path)
        with pytest.raises(Unsupported, match="is not replaced"):
            files.dl_file(bucket, "k", tmp_path / "stdout")
    assert (tmp_path / "stdout").is_symlink()
    files.dl_file(bucket, "k", tmp_path / "stdout")
    assert (tmp_path / "stdout").read_bytes() == b"x"


def test_an_interrupt_does_not_wait_for_files_that_have_begun(
    files: S3Files, bucket: str, tmp_path: Path
) -> None:
    for name in ("1", "2", "3"):
        files.upload_object(io.BytesIO(CONTENT), bucket, f"d/{name}")
    told: list[int] = []

    def once(count: int) -> None:
        told.append(count)
        if len(told) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.dl_dir(bucket, "d", tmp_path, progress_callback=once)
    assert len(told) == 1
    assert os.listdir(tmp_path) == []


def test_an_error_of_the_callback_is_no_failure_of_a_file(
    files: S3Files, bucket: str, tmp_path: Path
) -> None:
    files.upload_object(io.BytesIO(CONTENT), bucket, "d/1")

    def broken(_: int) -> None:
        raise BrokenPipeError("nobody looks")

    with pytest.raises(BrokenPipeError):
        files.dl_dir(bucket, "d", tmp_path, progress_callback=broken)


def test_metadata_named_as_a_header_is_metadata(files: S3Files, bucket: str) -> None:
    said = {"cache-control": "never", "content-type": "odd", "storage-class": "cold"}
    files.upload_object(io.BytesIO(b"x"), bucket, "k", content_type="text/plain", metadata=said)
    info = files.get_metadata(bucket, "k")
    assert (dict(info.metadata), info.content_type, dict(info.headers)) == (said, "text/plain", {})
    with pytest.raises(Unsupported, match="differ in case only"):
        files.upload_object(io.BytesIO(b"x"), bucket, "k", metadata={"A": "1", "a": "2"})


@pytest.mark.parametrize("make", ["minio", "versitygw"])  # rclone forgets it at once
def test_metadata_said_anew_keeps_when_the_content_expires(request: pytest.FixtureRequest, make: str) -> None:
    server: S3Server = request.getfixturevalue(make)
    files: S3Files = request.getfixturevalue("files_on")(server)
    bucket, when = server.make_bucket(), datetime(2030, 1, 2, tzinfo=UTC)
    server.client.put_object(Bucket=bucket, Key="k", Body=b"x", Expires=when, CacheControl="no-cache")
    info = files.set_metadata(bucket, "k", {"a": "b"})
    assert info.headers == {"CacheControl": "no-cache", "Expires": "Wed, 02 Jan 2030 00:00:00 GMT"}
    assert server.client.head_object(Bucket=bucket, Key="k")["Expires"] == when


def test_a_directory_moves_to_the_top_of_a_bucket_with_its_marker(
    files: S3Files, bucket: str, s3_server: S3Server
) -> None:
    other = s3_server.make_bucket()
    files.mk_dir(bucket, "d")
    files.upload_object(io.BytesIO(b"x"), bucket, "d/k")
    assert files.cp_dir(bucket, "d", other, "").count("copied") == 1
    assert files.mv_dir(bucket, "d", other, "").count("moved") == 1
    assert s3_server.keys(bucket) == []
    assert s3_server.keys(other) == ["k"]


def test_keys_that_a_service_with_paths_may_take_for_one() -> None:
    assert may_be_one("a/../b", "b")
    assert may_be_one("e\u0301", "\u00e9")
    assert not may_be_one("a/b", "ab")


def test_an_empty_folder_is_a_directory(files: S3Files, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    assert files.ul_dir(tmp_path / "none", bucket, "d").count("made") == 1
    assert files.dl_dir(bucket, "d", tmp_path / "back").results == ()
    assert (tmp_path / "back").is_dir()
    assert files.ul_dir(tmp_path / "none", bucket).results == ()


def test_what_a_service_only_says_that_it_deleted(
    versitygw: Versitygw, request: pytest.FixtureRequest
) -> None:
    """versitygw lists a control character as another character, under which it has nothing."""
    files, bucket = request.getfixturevalue("files_on")(versitygw), versitygw.make_bucket()
    files.upload_object(io.BytesIO(b"x"), bucket, "d/a\x01b")
    with pytest.raises(TransferIncomplete, match="lists it still") as caught:
        files.rm_dir(bucket, "d")
    assert caught.value.report.results == ()
    assert files.get_object(bucket, "d/a\x01b") == b"x"


class Busy(io.RawIOBase):
    """A file that is not ready, as a non-blocking pipe is."""

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> None:
        return None

    def write(self, piece: object) -> None:
        return None


def test_a_file_that_is_not_ready_is_not_at_its_end(files: S3Files, bucket: str, s3_server: S3Server) -> None:
    with pytest.raises(BlockingIOError):
        files.upload_object(Busy(), bucket, "k")  # type: ignore[arg-type] # raw
    assert s3_server.keys(bucket) == []
    s3_server.client.put_object(Bucket=bucket, Key="k", Body=b"x")
    with pytest.raises(BlockingIOError):
        files.download_object(bucket, "k", Busy())  # type: ignore[arg-type] # raw
