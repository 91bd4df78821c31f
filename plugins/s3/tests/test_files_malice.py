"""File operations against a service that lies: no key leaves the folder, no source is deleted on its word."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from tests.support.servers.s3 import S3Server
from tests.support.servers.wire import Scripted, error_body, listing_body

from ziggurat.errors import TierError, TierThrottled, TierUnavailable, Unsupported
from ziggurat_s3 import ConnectionOptions, S3Files
from ziggurat_s3.files import ObjectChanged, TransferIncomplete

Answer = tuple[int, bytes, dict[str, str]]


def files_at(url: str, **options: object) -> S3Files:
    given = {"attempts": 2, "max_wait": 0.02, **options}
    connection = ConnectionOptions(endpoint_url=url, access_key_id="a", secret_access_key="b")
    return S3Files(connection, **given)  # type: ignore[arg-type] # the test's own words


BAD_KEYS = [
    "../outside",
    "a/../../outside",
    "/etc/outside",
    "a//b",
    "./outside",
    "..",
    "a/..",
    "nul\0byte",
    "/",
    "link/outside",
    "link",
    "n" * 300,
]


@pytest.mark.parametrize("prefix", ["", "d/"])
def test_no_key_leaves_the_folder(tmp_path: Path, prefix: str) -> None:
    outside, target = tmp_path / "outside-folder", tmp_path / "target"
    outside.mkdir()
    target.mkdir()
    (target / "link").symlink_to(outside)
    keys = [prefix + key for key in BAD_KEYS] + [prefix + "good", prefix + "sub/good"]

    def answer(method: str, path: str, body: bytes) -> Answer:
        if "list-type" in path:
            return 200, listing_body(keys), {}
        tag = hashlib.md5(b"evil").hexdigest()
        return 200, b"evil", {"ETag": f'"{tag}"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}

    with Scripted(answer) as service, pytest.raises(TransferIncomplete) as caught:
        files_at(service.url).dl_dir("bucket", prefix, target)
    report = caught.value.report
    done = {one.key.removeprefix(prefix) for one in report.results}
    assert done >= {"good", "sub/good"}
    assert done <= {"good", "sub/good", "link"}  # a file may replace a symlink, and not go through it
    assert os.listdir(outside) == []
    assert sorted(os.listdir(tmp_path)) == ["outside-folder", "target"]
    assert all(path.is_relative_to(target) for path in tmp_path.rglob("*") if path.name == "good")
    assert not (tmp_path / "outside").exists()
    assert not Path("/etc/outside").exists()


class FakeObjects:
    """A service that copies and deletes as a test lets it.

    Attributes:
        objects: What it says that it holds, by key.
        deleted: Keys that it was asked to delete.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.deleted: list[str] = []
        self.on_copy: Callable[[str, str], Answer | None] = lambda source, target: None

    def __call__(self, method: str, path: str, body: bytes) -> Answer:
        key = unquote(urlsplit(path).path).removeprefix("/bucket/")
        if method == "PUT":
            answer = self.on_copy("source", key)
            if answer is not None:
                return answer
            self.objects[key] = self.objects["source"]
            tag = hashlib.md5(self.objects[key]).hexdigest()
            return 200, f'<CopyObjectResult><ETag>"{tag}"</ETag></CopyObjectResult>'.encode(), {}
        if method == "DELETE":
            self.deleted.append(key)
            return 204, b"", {}
        if key == "/bucket":
            return 200, b"", {}
        if key not in self.objects:
            return 404, b"", {}
        content = self.objects[key]
        tag = hashlib.md5(content).hexdigest()
        head = {"ETag": f'"{tag}"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        return 200, content, head

    def tag(self, key: str) -> str:
        return hashlib.md5(self.objects[key]).hexdigest()


def result(tag: str) -> Answer:
    return 200, f'<CopyObjectResult><ETag>"{tag}"</ETag></CopyObjectResult>'.encode(), {}


@pytest.mark.parametrize(
    ("lie", "error", "said"),
    [
        ("nothing", TierUnavailable, "is not there"),
        ("short", TierUnavailable, "has 3 bytes instead of 7"),
        ("other", TierUnavailable, "was replaced meanwhile"),
        ("damaged", TierUnavailable, "has the tag"),
        ("error", TierUnavailable, "InternalError"),
        ("changed", ObjectChanged, "changed while it was moved"),
        ("precondition", ObjectChanged, "changed in the meantime"),
        ("slow", TierThrottled, "slow down"),
    ],
)
def test_a_move_deletes_nothing_on_a_word_alone(lie: str, error: type[TierError], said: str) -> None:
    service = FakeObjects()
    service.objects["source"] = b"content"

    def copy(source: str, target: str) -> Answer | None:
        if lie == "nothing":
            return result(service.tag("source"))
        if lie == "short":
            service.objects[target] = b"con"
            return result(service.tag(target))
        if lie == "other":
            service.objects[target] = b"tnetnoc"
            return result(service.tag("source"))
        if lie == "damaged":
            service.objects[target] = b"c0ntent"
            return result(service.tag(target))
        if lie == "error":
            return 200, error_body("InternalError"), {}
        if lie == "precondition":
            return 412, error_body("PreconditionFailed"), {}
        if lie == "slow":
            return 503, error_body("SlowDown"), {}
        service.objects[target] = service.objects["source"]
        service.objects["source"] = b"another content"
        return result(service.tag(target))

    service.on_copy = copy
    with Scripted(service) as scripted, pytest.raises(error, match=said):
        files_at(scripted.url).mv_file("bucket", "source", "bucket", "target")
    assert service.deleted == []


def test_an_honest_move_deletes_its_source() -> None:
    service = FakeObjects()
    service.objects["source"] = b"content"
    with Scripted(service) as scripted:
        files_at(scripted.url).mv_file("bucket", "source", "bucket", "target")
        assert service.deleted == ["source"]
        with pytest.raises(Unsupported, match="onto itself"):
            files_at(scripted.url).mv_file("bucket", "source", "bucket", "source")


@pytest.mark.parametrize("truth", [True, False])
def test_an_answer_that_got_lost_on_the_way(truth: bool) -> None:
    """The first completion is carried out and its answer lost; the second finds no upload any more."""
    content = bytes(9 << 20)
    parts = [hashlib.md5(content[: 8 << 20]), hashlib.md5(content[8 << 20 :])]
    joined = hashlib.md5(b"".join(part.digest() for part in parts)).hexdigest() + "-2"
    completions = []

    def answer(method: str, path: str, body: bytes) -> bytes | Answer:
        if method == "POST" and "uploads" in path:
            xml = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
            return 200, xml.encode(), {}
        if method == "PUT":
            return 200, b"", {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}
        if method == "POST":
            completions.append(path)
            return b"" if len(completions) == 1 else (404, error_body("NoSuchUpload"), {})
        if method == "HEAD":
            return (
                200,
                b"",
                {"ETag": f'"{joined if truth else "0" * 32}"', "Content-Length": str(len(content))},
            )
        return 204, b"", {}

    with Scripted(answer) as service:
        files = files_at(service.url)
        if truth:
            assert files.upload_object(io.BytesIO(content), "bucket", "k").e_tag == joined
        else:
            with pytest.raises(TierUnavailable, match="given up meanwhile"):
                files.upload_object(io.BytesIO(content), "bucket", "k")
    assert len(completions) == 2


def test_a_part_that_arrives_damaged_is_sent_again() -> None:
    seen: list[str] = []

    def answer(method: str, path: str, body: bytes) -> Answer:
        if method == "POST" and "uploads" in path:
            xml = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
            return 200, xml.encode(), {}
        if method == "PUT":
            seen.append(path)
            data = b"damaged" if len(seen) == 1 else body
            return 200, b"", {"ETag": f'"{hashlib.md5(data).hexdigest()}"'}
        if method == "POST":
            xml = '<CompleteMultipartUploadResult><ETag>"x"</ETag></CompleteMultipartUploadResult>'
            return 200, xml.encode(), {}
        return 204, b"", {}

    with Scripted(answer) as service:
        files_at(service.url).upload_object(io.BytesIO(bytes(9 << 20)), "bucket", "k")
    assert len(seen) == 3


def test_an_answer_that_is_too_short_or_cut_is_no_file(tmp_path: Path) -> None:
    head = 'Content-Type: x\r\nETag: "e"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT'
    raw = f"HTTP/1.1 200 OK\r\n{head}\r\nContent-Length: 100\r\n\r\nshort".encode()
    with Scripted(lambda method, path, body: raw) as service, pytest.raises(TierUnavailable) as caught:
        files_at(service.url).dl_file("bucket", "k", tmp_path / "k")
    assert caught.value.retryable
    assert os.listdir(tmp_path) == []


def test_symlinks_in_the_target_are_not_followed_on_a_real_service(
    versitygw: S3Server, files_on: Callable[..., S3Files], tmp_path: Path
) -> None:
    bucket, outside, target = versitygw.make_bucket(), tmp_path / "outside", tmp_path / "target"
    outside.mkdir()
    target.mkdir()
    (outside / "file").write_bytes(b"mine")
    (target / "sub").symlink_to(outside)
    (target / "file").symlink_to(outside / "file")
    for key in ("sub/file", "file"):
        versitygw.client.put_object(Bucket=bucket, Key=key, Body=b"theirs")
    with pytest.raises(TransferIncomplete, match="1 of 2"):
        files_on(versitygw).dl_dir(bucket, "", target)
    assert (outside / "file").read_bytes() == b"mine"
    assert (target / "file").read_bytes() == b"theirs"
    assert not (target / "file").is_symlink()


@pytest.mark.parametrize("key", ["k", "odd//k"])
@pytest.mark.parametrize("lie", ["another tag", "whole again"])
def test_a_read_that_goes_on_takes_nothing_of_another_object(tmp_path: Path, key: str, lie: str) -> None:
    """A service that breaks off once, and then heeds neither If-Match nor Range."""
    old, new = b"a" * 100, b"b" * 100
    heads: list[bool] = []

    def answer(method: str, path: str, body: bytes) -> bytes | Answer:
        heads.append(True)
        if len(heads) == 1:
            head = 'ETag: "old"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 100'
            return f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode() + old[:60]
        time = {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        if len(heads) == 2 and lie == "another tag":
            return 206, new[60:], {"ETag": '"new"', "Content-Range": "bytes 60-99/100", **time}
        return 200, new, {"ETag": '"new"' if lie == "another tag" else '"old"', **time}

    with Scripted(answer) as service:
        files = files_at(service.url)
        try:
            files.dl_file("bucket", key, tmp_path / "k")
        except TierError:
            assert os.listdir(tmp_path) == []
        else:
            assert (tmp_path / "k").read_bytes() == new


def test_metadata_said_anew_keeps_the_key_of_the_encryption() -> None:
    sent: list[str] = []

    def answer(method: str, path: str, body: bytes) -> Answer:
        if method == "PUT":
            return result("0" * 32)
        kms = {
            "x-amz-server-side-encryption": "aws:kms",
            "x-amz-server-side-encryption-aws-kms-key-id": "key-1",
        }
        return 200, b"", {"ETag": f'"{"0" * 32}"', **kms}

    with Scripted(answer) as service:
        files = files_at(service.url)
        client = files._service.s3
        client.meta.events.register(
            "before-send.s3.CopyObject",
            lambda request, **_: sent.append(
                str(request.headers.get("x-amz-server-side-encryption-aws-kms-key-id"))
            ),
        )
        files.set_metadata("bucket", "k", {"a": "b"})
    assert "key-1" in sent[0]
