"""Directories of a service whose listings and deletions are wrong: nothing is touched or left out by it."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.support.servers.wire import Scripted, error_body, listing_body

from ziggurat.errors import TierDenied, TierError, TierUnavailable, Unsupported
from ziggurat_s3 import ConnectionOptions, S3Files
from ziggurat_s3.files import TransferIncomplete

Answer = tuple[int, bytes, dict[str, str]]


def files_at(url: str, **options: object) -> S3Files:
    given = {"attempts": 2, "max_wait": 0.02, **options}
    connection = ConnectionOptions(endpoint_url=url, access_key_id="a", secret_access_key="b")
    return S3Files(connection, **given)  # type: ignore[arg-type] # the test's own words


def result(tag: str) -> Answer:
    return 200, f'<CopyObjectResult><ETag>"{tag}"</ETag></CopyObjectResult>'.encode(), {}


@pytest.mark.parametrize("operation", ["rm_dir", "mv_dir", "dl_dir"])
def test_what_is_listed_beside_a_directory_is_not_touched(tmp_path: Path, operation: str) -> None:
    """A service that lists "ab/x" when it is asked for "a/"."""
    asked: list[str] = []

    def answer(method: str, path: str, body: bytes) -> Answer:
        asked.append(method)
        return 200, listing_body([] if "prefix=to" in path else ["ab/x"]), {}

    with Scripted(answer) as service:
        files = files_at(service.url)
        work = {
            "rm_dir": partial(files.rm_dir, "bucket", "a"),
            "mv_dir": partial(files.mv_dir, "bucket", "a", "bucket", "to"),
            "dl_dir": partial(files.dl_dir, "bucket", "a", tmp_path),
        }[operation]
        with pytest.raises(TierUnavailable, match="names 'ab/x', which is not below it"):
            work()
    assert set(asked) == {"GET"}


@pytest.mark.parametrize("token", ["", "<NextContinuationToken>t</NextContinuationToken>"])
def test_a_listing_that_never_ends_is_an_error(token: str) -> None:
    page = f"<ListBucketResult><IsTruncated>true</IsTruncated>{token}</ListBucketResult>".encode()
    with (
        Scripted(lambda method, path, body: (200, page, {})) as service,
        pytest.raises(TierUnavailable, match="says that there is more, and not where"),
    ):
        list(files_at(service.url).ls_dir("bucket"))


@pytest.mark.parametrize("operation", ["dl_dir", "cp_dir"])
def test_a_listing_that_breaks_off_is_told_with_what_was_done(tmp_path: Path, operation: str) -> None:
    pages: list[str] = []
    tag = hashlib.md5(b"text").hexdigest()

    def answer(method: str, path: str, body: bytes) -> Answer:
        if "list-type" in path and "prefix=to" in path:
            return 200, listing_body([]), {}
        if "list-type" in path:
            pages.append(path)
            first = "continuation-token" not in path
            denied = (403, error_body("AccessDenied"), dict[str, str]())
            return (200, listing_body(["d/a", "d/b"], more=True), {}) if first else denied
        if method == "PUT":
            return result(tag)
        return 200, b"text", {"ETag": f'"{tag}"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}

    with Scripted(answer) as service:
        files = files_at(service.url)
        down = partial(files.dl_dir, "bucket", "d", tmp_path)
        work = down if operation == "dl_dir" else partial(files.cp_dir, "bucket", "d", "bucket", "to")
        with pytest.raises(TransferIncomplete) as caught:
            work()
    report = caught.value.report
    assert [one.key for one in report.failures] == ["d/"]
    assert isinstance(report.failures[0].error, TierDenied)
    assert {one.key.rpartition("/")[2] for one in report.results} == {"a", "b"}
    assert len(pages) == 2


@pytest.mark.parametrize("operation", ["dl_dir", "cp_dir", "mv_dir"])
def test_content_under_the_name_of_the_directory_is_told_not_left_out(tmp_path: Path, operation: str) -> None:
    asked: list[str] = []

    def answer(method: str, path: str, body: bytes) -> Answer:
        asked.append(method)
        return 200, listing_body(["d/"] if "prefix=d" in path else []), {}

    with Scripted(answer) as service:
        files = files_at(service.url)
        work = {
            "dl_dir": partial(files.dl_dir, "bucket", "d", tmp_path),
            "cp_dir": partial(files.cp_dir, "bucket", "d", "other", ""),
            "mv_dir": partial(files.mv_dir, "bucket", "d", "other", ""),
        }[operation]
        with pytest.raises(TransferIncomplete, match="1 of 1") as caught:
            work()
    assert isinstance(caught.value.report.failures[0].error, Unsupported)
    assert set(asked) == {"GET"}


def test_files_that_one_by_one_cannot_be_read_leave_the_others_their_turn(tmp_path: Path) -> None:
    keys = [f"d/{number:02}" for number in range(40)]

    def answer(method: str, path: str, body: bytes) -> Answer:
        if "list-type" in path:
            return 200, listing_body(keys), {}
        if urlsplit(path).path < "/bucket/d/30":
            return 403, error_body("InvalidObjectState"), {}
        return 200, b"text", {"ETag": '"e"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}

    with Scripted(answer) as service, pytest.raises(TransferIncomplete, match="30 of 40") as caught:
        files_at(service.url).dl_dir("bucket", "d", tmp_path)
    assert len(caught.value.report.results) == 10
    assert all("archived" in str(one.error) for one in caught.value.report.failures)


@pytest.mark.parametrize(
    ("code", "kind", "retryable"),
    [
        ("AccessDenied", "TierDenied", False),
        ("SlowDown", "TierThrottled", True),
        ("InternalError", "TierUnavailable", True),
        ("ServiceUnavailable", "TierUnavailable", True),
        ("Teapot", "TierUnavailable", False),
    ],
)
def test_one_refusal_among_many_deletions_is_told(code: str, kind: str, retryable: bool) -> None:
    asked: list[str] = []

    def answer(method: str, path: str, body: bytes) -> Answer:
        if "list-type" in path:
            return 200, listing_body([f"d/{number}" for number in ([2] if asked else range(4))]), {}
        asked.append(path)
        refused = f"<Error><Key>d/2</Key><Code>{code}</Code><Message>locked</Message></Error>"
        return 200, f"<DeleteResult>{refused}</DeleteResult>".encode(), {}

    with Scripted(answer) as service, pytest.raises(TransferIncomplete, match="1 of 4") as caught:
        files_at(service.url).rm_dir("bucket", "d")
    (failure,) = caught.value.report.failures
    assert (failure.key, type(failure.error).__name__) == ("d/2", kind)
    assert isinstance(failure.error, TierError)
    assert failure.error.retryable is retryable
    assert "s3://bucket/d/2" in str(failure.error)


def test_a_service_that_cannot_delete_many_is_asked_one_by_one() -> None:
    deleted: list[str] = []

    def answer(method: str, path: str, body: bytes) -> Answer:
        if "list-type" in path:
            return 200, listing_body([] if deleted else ["d/0", "d/1"]), {}
        if method == "POST":
            return 501, error_body("NotImplemented"), {}
        deleted.append(path)
        return 204, b"", {}

    with Scripted(answer) as service:
        assert files_at(service.url).rm_dir("bucket", "d").count("removed") == 2
    assert len(deleted) == 2


def test_what_is_listed_after_its_deletion_was_not_deleted() -> None:
    def answer(method: str, path: str, body: bytes) -> Answer:
        if "list-type" in path:
            return 200, listing_body(["d/0", "d/1"] if not deleted else ["d/1"]), {}
        deleted.append(path)
        return 200, b"<DeleteResult></DeleteResult>", {}

    deleted: list[str] = []
    with Scripted(answer) as service, pytest.raises(TransferIncomplete, match="lists it still") as caught:
        files_at(service.url).rm_dir("bucket", "d")
    assert [one.key for one in caught.value.report.results] == ["d/0"]
