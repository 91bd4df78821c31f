"""Large uploads that a kill left behind: listed with their age, ended by it, and said by `delete_bucket`."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path
from typing import TypeVar

import pytest
from tests.support.servers.s3 import Rclone, S3Server
from tests.support.servers.wire import Scripted, error_body

from ziggurat.errors import TierDenied, TierUnavailable, Unsupported
from ziggurat_s3 import ConnectionOptions, S3Files
from ziggurat_s3._multiparts import Multiparts

T = TypeVar("T")
FilesOn = Callable[..., S3Files]
MIB = 1 << 20

UPLOAD = """
import sys
from ziggurat_s3 import ConnectionOptions, S3Files
endpoint, access, secret, bucket, path = sys.argv[1:]
files = S3Files(ConnectionOptions(endpoint_url=endpoint, access_key_id=access, secret_access_key=secret))
files.ul_file(path, bucket, "d/a b", progress_callback=lambda count: (print(count, flush=True), input()))
"""


def begin(server: S3Server, bucket: str, key: str, size: int = 100) -> str:
    """Begin an upload and send one part of it."""
    upload: str = server.client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    server.client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"x" * size)
    return upload


def test_a_kill_in_mid_upload_leaves_nothing_that_is_not_found_and_ended(
    s3_server: S3Server, files: S3Files, child: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    bucket, path = s3_server.make_bucket(), tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(30 * MIB)
    process = child(UPLOAD, s3_server.endpoint, s3_server.access_key, s3_server.secret_key, bucket, path)
    assert process.stdout is not None
    assert int(process.stdout.readline()) == 8 * MIB  # it waits there, with a part at the service or more
    process.kill()
    process.wait()
    (left,) = files.ls_uploads(bucket)
    assert (left.address, left.bucket, left.key) == (f"s3://{bucket}/d/a b", bucket, "d/a b")
    assert left.parts >= 1
    assert left.size >= 8 * MIB
    assert left.last_part is not None
    assert 0 <= left.age < 3600
    assert files.rm_uploads(bucket) == []  # it may be under way
    assert files.rm_uploads(bucket, older_than=float("nan")) == []
    assert s3_server.uploads(bucket) == ["d/a b"]
    told: list[object] = []
    ended = files.rm_uploads(bucket, older_than=0, upload_callback=told.append)
    assert [one.upload_id for one in ended] == [left.upload_id]
    assert told == ended
    assert s3_server.uploads(bucket) == []
    assert list(files.ls_uploads(bucket)) == []
    assert s3_server.keys(bucket) == []
    files.delete_bucket(bucket)


def test_only_what_was_named_is_ended(s3_server: S3Server, files: S3Files, bucket: str) -> None:
    for key in ("d/x", "d/x", "d/y z+%/ö", "dd", "e"):
        begin(s3_server, bucket, key)

    def below(where: str) -> list[str]:
        return sorted(one.key for one in files.ls_uploads(bucket, where))

    assert below("d") == below("d/") == ["d/x", "d/x", "d/y z+%/ö"]
    assert below("d/x") == ["d/x", "d/x"]
    assert below("d/x/") == below("nothing") == []
    assert sorted(one.key for one in files.rm_uploads(bucket, "d", older_than=0)) == [
        "d/x",
        "d/x",
        "d/y z+%/ö",
    ]
    assert sorted(s3_server.uploads(bucket)) == ["dd", "e"]
    assert [one.key for one in files.rm_uploads(bucket, "e", older_than=0)] == ["e"]
    assert below("") == ["dd"]
    files.rm_uploads(bucket, older_than=0)


def test_a_key_finds_what_minio_lists_no_more(own_s3: Callable[[str], S3Server], files_on: FilesOn) -> None:
    """After a start it lists uploads by the whole name of an object alone."""
    server = own_s3("minio")
    bucket = server.make_bucket()
    upload = begin(server, bucket, "d/x")
    server.kill()
    server.start()
    files = files_on(server)
    assert [one.upload_id for one in files.ls_uploads(bucket, "d/x")] == [upload]
    assert [one.upload_id for one in files.rm_uploads(bucket, "d/x", older_than=0)] == [upload]
    assert list(files.ls_uploads(bucket, "d/x")) == []


def test_no_such_bucket_has_no_uploads_to_end(s3_server: S3Server, files: S3Files) -> None:
    for call in (lambda: list(files.ls_uploads("never-made")), lambda: files.rm_uploads("never-made")):
        with pytest.raises(
            TierUnavailable, match=r"s3://never-made/: there is no bucket.*bucket create never-made'"
        ):
            call()


# -- what no service does on demand: a past --------------------------------------------------------

NOW = datetime.now(UTC)
Answer = Callable[[str, str, bytes], tuple[int, bytes]]


def page(tag: str, rows: str, more: str = "") -> bytes:
    return f'<?xml version="1.0"?><{tag}>{more}{rows}</{tag}>'.encode()


def upload_row(key: str, hours: float) -> str:
    begun = (NOW - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"<Upload><Key>{key}</Key><UploadId>{key}-id</UploadId><Initiated>{begun}</Initiated></Upload>"


def parts_page(*hours: float) -> bytes:
    """Parts that arrived so long ago; of one that is infinitely old no time is told."""
    rows = ""
    for number, ago in enumerate(hours, 1):
        rows += f'<Part><PartNumber>{number}</PartNumber><ETag>"e"</ETag><Size>5</Size>'
        if ago < inf:
            when = (NOW - timedelta(hours=ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
            rows += f"<LastModified>{when}</LastModified>"
        rows += "</Part>"
    return page("ListPartsResult", rows)


def files_at(url: str) -> S3Files:
    options = ConnectionOptions(endpoint_url=url, access_key_id="a", secret_access_key="hush-hush")
    return S3Files(options, attempts=3, max_wait=0.05)


def test_the_last_part_tells_whether_somebody_works_on_it() -> None:
    begun = {
        "old": 100.0,
        "busy": 100.0,
        "empty": 30.0,
        "young": 1.0,
        "whole": 90.0,
        "gone": 90.0,
        "untold": 80.0,
    }
    parts = {"old": (99.0, 26.0), "busy": (99.0, 2.0, 50.0), "empty": (), "young": (0.25,), "gone": (88.0,)}
    parts["untold"] = (70.0, inf)
    aborted: list[str] = []

    def answer(method: str, path: str, _: bytes) -> tuple[int, bytes]:
        key = path.partition("?")[0].rpartition("/")[2]
        if "uploads" in path:
            rows = "".join(upload_row(each, hours) for each, hours in begun.items())
            return 200, page("ListMultipartUploadsResult", rows)
        if key == "whole" or (method == "DELETE" and key == "gone"):
            return 404, error_body("NoSuchUpload")  # completed or ended since it was listed
        if method == "DELETE":
            aborted.append(key)
            return 204, b""
        return 200, parts_page(*parts[key])

    with Scripted(answer) as server:
        files = files_at(server.url)
        listed = {one.key: one for one in files.ls_uploads("bucket")}
        hours = {"old": 26, "busy": 2, "empty": 30, "young": 0, "gone": 88, "untold": 0}
        assert {key: round(one.age / 3600) for key, one in listed.items()} == hours
        assert (listed["busy"].parts, listed["busy"].size) == (3, 15)
        assert aborted == []
        assert [one.key for one in files.rm_uploads("bucket")] == ["old", "empty"]
        assert aborted == ["old", "empty"]


def test_a_listing_of_several_pages_is_read_to_its_end() -> None:
    def answer(method: str, path: str, _: bytes) -> tuple[int, bytes]:
        more = "<IsTruncated>true</IsTruncated>"
        if "uploadId" in path:
            if "part-number-marker=1" in path:
                return 200, parts_page(1, 2)
            following = f"{more}<NextPartNumberMarker>1</NextPartNumberMarker>"
            return 200, parts_page(3).replace(b"<Part>", f"{following}<Part>".encode())
        if "key-marker=k1" in path:
            return 200, page("ListMultipartUploadsResult", upload_row("k2", 9))
        following = "<NextKeyMarker>k1</NextKeyMarker><NextUploadIdMarker>k1-id</NextUploadIdMarker>"
        return 200, page("ListMultipartUploadsResult", upload_row("k1", 9), more + following)

    with Scripted(answer) as server:
        assert [(one.key, one.parts) for one in files_at(server.url).ls_uploads("bucket")] == [
            ("k1", 3),
            ("k2", 3),
        ]


def small_pages(server: S3Server, bucket: str) -> list[str]:
    """The keys of the uploads, read in pages of three."""

    def ask(_: str, function: Callable[[], T]) -> T:
        return function()

    uploads = Multiparts(lambda: server.client, {"Bucket": bucket, "MaxUploads": 3}, ask)
    return [one.key for one in uploads.listed("")]


def test_several_uploads_to_one_key_are_listed_once_across_pages(s3_server: S3Server, bucket: str) -> None:
    """versitygw refuses the markers that it gives; MinIO gives all in one page."""
    keys = list("abbccdeffg")
    for key in keys:
        s3_server.client.create_multipart_upload(Bucket=bucket, Key=key)
    assert small_pages(s3_server, bucket) == keys


def test_more_uploads_to_one_key_than_a_page_holds(s3_server: S3Server, bucket: str) -> None:
    for key in "abbbbc":
        s3_server.client.create_multipart_upload(Bucket=bucket, Key=key)
    if s3_server.make == "versitygw":
        with pytest.raises(TierUnavailable, match="not where: end some first"):
            small_pages(s3_server, bucket)
    else:
        assert small_pages(s3_server, bucket) == list("abbbbc")


@pytest.mark.parametrize(
    ("code", "error"), [("InvalidArgument", TierUnavailable), ("AccessDenied", TierDenied)]
)
def test_a_page_that_is_refused_again_is_an_error(code: str, error: type[Exception]) -> None:
    asked: list[str] = []

    def answer(method: str, path: str, _: bytes) -> tuple[int, bytes]:
        if "uploadId" in path:
            return 200, parts_page(1)
        asked.append(path)
        if "key-marker" in path:
            return 403 if code == "AccessDenied" else 400, error_body(code)
        more = "<IsTruncated>true</IsTruncated>"
        following = "<NextKeyMarker>k2</NextKeyMarker><NextUploadIdMarker>k2-id</NextUploadIdMarker>"
        rows = upload_row("k1", 9) + upload_row("k2", 9)
        return 200, page("ListMultipartUploadsResult", rows, more + following)

    with Scripted(answer) as server:
        found = files_at(server.url).ls_uploads("bucket")
        assert [next(found).key, next(found).key] == ["k1", "k2"]
        with pytest.raises(error, match=code):
            next(found)
    assert ["key-marker=k1" in path for path in asked] == [False, False, True][: len(asked)]
    assert len(asked) == (3 if code == "InvalidArgument" else 2)


@pytest.mark.parametrize("marker", ["", "<NextKeyMarker>k</NextKeyMarker>"])
def test_a_listing_without_end_is_an_error(marker: str) -> None:
    def answer(method: str, path: str, _: bytes) -> tuple[int, bytes]:
        if "uploadId" in path:
            return 200, parts_page(1)
        more = f"<IsTruncated>true</IsTruncated>{marker}"
        return 200, page("ListMultipartUploadsResult", upload_row("k", 1), more)

    with Scripted(answer) as server, pytest.raises(TierUnavailable, match="not where") as caught:
        list(files_at(server.url).ls_uploads("bucket"))
    assert (caught.value.op, caught.value.retryable) == ("ls_uploads", False)


def test_an_upload_that_an_attempt_without_an_answer_ended_is_told() -> None:
    known = {"k"}

    def answer(method: str, path: str, _: bytes) -> tuple[int, bytes]:
        if method == "DELETE":
            if known:
                known.clear()
                return 503, error_body("SlowDown")  # too late: it is done
            return 404, error_body("NoSuchUpload")
        if "uploadId" in path:
            return 200, parts_page(50)
        return 200, page("ListMultipartUploadsResult", upload_row("k", 50))

    with Scripted(answer) as server:
        assert [one.key for one in files_at(server.url).rm_uploads("bucket")] == ["k"]


def test_who_may_not_end_uploads_is_told_so() -> None:
    def answer(method: str, path: str, _: bytes) -> tuple[int, bytes]:
        if method == "DELETE":
            return 403, error_body("AccessDenied")
        if "uploadId" in path:
            return 200, parts_page(50)
        return 200, page("ListMultipartUploadsResult", upload_row("k", 50))

    with Scripted(answer) as server:
        files = files_at(server.url)
        with pytest.raises(TierDenied, match=r"s3://bucket/k.*AccessDenied") as caught:
            files.rm_uploads("bucket")
        assert (caught.value.op, caught.value.key) == ("rm_uploads", "k")
        assert "hush" not in f"{caught.value!r}"


# -- what keeps a bucket ------------------------------------------------------------------------------


def test_a_bucket_that_is_kept_by_uploads_says_so(rclone: Rclone, files_on: FilesOn) -> None:
    files, bucket = files_on(rclone), rclone.make_bucket()
    begin(rclone, bucket, "k")
    with pytest.raises(Unsupported, match=f"unfinished uploads, which .*uploads rm.*s3://{bucket}/") as told:
        files.delete_bucket(bucket)
    assert "objects" not in str(told.value)
    files.rm_uploads(bucket, older_than=0)
    files.delete_bucket(bucket)
    assert not files.bucket_exists(bucket)


def test_a_bucket_that_is_kept_by_objects_or_versions_says_so(minio: S3Server, files_on: FilesOn) -> None:
    files, bucket = files_on(minio), minio.make_bucket()
    minio.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    files.upload_object(io.BytesIO(b"x"), bucket, "k")
    with pytest.raises(Unsupported, match=f"objects, which empty_bucket.*rm -r --all s3://{bucket}/"):
        files.delete_bucket(bucket)
    files.empty_bucket(bucket)
    with pytest.raises(Unsupported, match="it holds older versions, which a lifecycle rule"):
        files.delete_bucket(bucket)
    for row in minio.client.list_object_versions(Bucket=bucket)["DeleteMarkers"]:
        minio.client.delete_object(Bucket=bucket, Key="k", VersionId=row["VersionId"])
    for row in minio.client.list_object_versions(Bucket=bucket)["Versions"]:
        minio.client.delete_object(Bucket=bucket, Key="k", VersionId=row["VersionId"])
    files.delete_bucket(bucket)


# -- from a shell -------------------------------------------------------------------------------------


def test_the_command_line_lists_and_ends_them(
    minio: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in minio.environment.items():
        monkeypatch.setenv(name, value)
    bucket, program = minio.make_bucket(), [sys.executable, "-m", "ziggurat", "s3"]
    address = f"s3://{bucket}/d/k"
    pipe = subprocess.Popen([*program, "up", "-", address], stdin=subprocess.PIPE)
    assert pipe.stdin is not None
    try:
        pipe.stdin.write(bytes(40 * MIB))
        pipe.stdin.flush()
        for _ in range(600):
            if minio.uploads(bucket):
                break
            time.sleep(0.05)
    finally:
        pipe.kill()
        pipe.communicate()

    def said(*words: str) -> tuple[int, list[dict[str, object]]]:
        done = subprocess.run([*program, "uploads", *words, "--json"], capture_output=True, text=True)
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    code, (found,) = said("ls", f"s3://{bucket}/d")
    assert (code, found["address"], found["key"]) == (0, address, "d/k")
    assert {"upload_id", "begun", "last_part", "age", "parts", "size"} <= set(found)
    assert said("rm", address) == (0, [])
    code, (ended,) = said("rm", "--older-than", "0", address)
    assert (code, ended["action"], ended["upload_id"]) == (0, "ended", found["upload_id"])
    assert minio.uploads(bucket) == []
    assert said("ls", f"s3://{bucket}", "s3://never-made")[0] == 5
    assert said("rm", "--older-than", "-1", address)[0] == 2
    plain = subprocess.run([*program, "uploads", "ls", f"s3://{bucket}"], capture_output=True, text=True)
    assert (plain.returncode, plain.stdout, plain.stderr) == (0, "", "")
