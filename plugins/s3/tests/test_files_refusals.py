"""What services refuse, told to who uses files: the fix that a message names is one that its reader has."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from tests.support.servers.s3 import Minio, S3Server
from tests.support.servers.s3_refusals import REFUSALS, body_of
from tests.support.servers.wire import Scripted, error_body

from ziggurat.errors import TierDenied, TierError, TierThrottled, TierUnavailable, Unsupported
from ziggurat_s3 import ConnectionOptions, S3Files, S3Options
from ziggurat_s3.files import ObjectNotFound

SECRET = "hush-hush-not-to-be-seen"


def files_at(url: str, region: str = "") -> S3Files:
    options = ConnectionOptions(
        endpoint_url=url, access_key_id="somebody", secret_access_key=SECRET, region_name=region
    )
    return S3Files(options, attempts=2, max_wait=0.01)


def calls(files: S3Files, folder: Path, bucket: str = "bucket") -> dict[str, Callable[[], object]]:
    """One call of each kind: small and large, up and down, one and many, through either library."""
    (folder / "small").write_bytes(b"x")
    return {
        "ul_file": lambda: files.ul_file(folder / "small", bucket, "k"),
        "upload_object": lambda: files.upload_object(io.BytesIO(bytes(17 << 20)), bucket, "k"),
        "get_object": lambda: files.get_object(bucket, "k"),
        "dl_file": lambda: files.dl_file(bucket, "k", folder / "back"),
        "get_metadata": lambda: files.get_metadata(bucket, "k"),
        "cp_file": lambda: files.cp_file(bucket, "k", bucket, "other"),
        "rm_file": lambda: files.rm_file(bucket, "k"),
        "ls_dir": lambda: list(files.ls_dir(bucket)),
        "ls_uploads": lambda: list(files.ls_uploads(bucket)),
        "bucket_exists": lambda: files.bucket_exists(bucket),
    }


def test_a_wrong_region_names_the_right_one_for_small_files_too(tmp_path: Path) -> None:
    """As AWS answers where the bucket stands in the path: the header alone names it."""
    moved = {"x-amz-bucket-region": "eu-west-3"}
    with Scripted(lambda *_: (301, error_body("PermanentRedirect"), moved)) as server:
        for op, call in calls(files_at(server.url), tmp_path).items():
            with pytest.raises(
                TierUnavailable, match='another region: say region_name = "eu-west-3"'
            ) as told:
                call()
            assert (told.value.op, told.value.retryable) == (op, False)
    assert list(tmp_path.iterdir()) == [tmp_path / "small"]


def test_a_real_service_of_another_region_is_named(versitygw: S3Server) -> None:
    options = ConnectionOptions(
        endpoint_url=versitygw.endpoint,
        access_key_id=versitygw.access_key,
        secret_access_key=versitygw.secret_key,
        region_name="eu-west-3",
    )
    files, bucket = S3Files(options), versitygw.make_bucket()
    for call in (
        lambda: files.upload_object(io.BytesIO(b"x"), bucket, "k"),
        lambda: files.get_object(bucket, "k"),
    ):
        with pytest.raises(TierUnavailable, match='another region: say region_name = "us-east-1"'):
            call()
    assert versitygw.keys(bucket) == []


@pytest.mark.parametrize(
    ("status", "code", "kind", "said"),
    [
        (400, "BadDigest", TierUnavailable, "something on the way alters"),
        (501, "NotImplemented", Unsupported, "do without it, or use another service"),
        (404, "NoSuchBucket", TierUnavailable, "correct its name, or create it .*bucket create bucket'"),
    ],
)
def test_no_option_of_a_tier_is_advised(
    status: int, code: str, kind: type[TierError], said: str, tmp_path: Path
) -> None:
    with Scripted(lambda *_: (status, error_body(code))) as server:
        for op, call in calls(files_at(server.url), tmp_path).items():
            if status >= 500 and op in ("get_metadata", "cp_file", "rm_file"):
                continue  # a HEAD, whose answer has no code
            if (op, code) == ("bucket_exists", "NoSuchBucket"):
                assert call() is False
                continue
            with pytest.raises(kind, match=said) as told:
                call()
            assert "tier" not in str(told.value)
            assert "checksum" not in str(told.value)
            assert "create_bucket =" not in str(told.value)


def test_who_asks_wrongly_is_told_what_is_wrong(s3_server: S3Server, tmp_path: Path) -> None:
    bucket = s3_server.make_bucket()
    for access, said in (
        ("nobody", "correct access_key_id"),
        (s3_server.access_key, "correct secret_access_key"),
    ):
        options = ConnectionOptions(
            endpoint_url=s3_server.endpoint, access_key_id=access, secret_access_key=SECRET
        )
        for op, call in calls(S3Files(options), tmp_path, bucket).items():
            with pytest.raises(TierDenied, match=said) as told:
                call()
            assert (told.value.op, told.value.retryable) == (op, False)
            assert SECRET not in f"{told.value!r} {told.value} {told.value.__cause__}"
    assert s3_server.keys(bucket) == []


@pytest.fixture(scope="module")
def refusing() -> Iterator[tuple[str, dict[str, Any]]]:
    """A service that answers whatever stands under "given", and keeps one set of clients alive."""
    answer: dict[str, Any] = {}
    with Scripted(lambda *_: answer["given"]) as server:
        held = files_at(server.url)
        assert held.get_session()
        yield server.url, answer


@pytest.mark.parametrize(("status", "code", "kind", "said", "retryable"), REFUSALS)
def test_what_a_service_refuses_says_what_was_asked(
    status: int,
    code: str,
    kind: type[TierError],
    said: str,
    retryable: bool,
    refusing: tuple[str, dict[str, Any]],
    tmp_path: Path,
) -> None:
    url, answer = refusing
    answer["given"] = (status, body_of(code))
    for op, call in calls(files_at(url), tmp_path).items():
        with pytest.raises(TierError) as told:
            call()
        error = told.value
        assert error.op == op
        assert "s3://bucket/" in str(error)
        assert "\n" not in str(error)
        assert SECRET not in f"{error!r} {error} {error.__cause__} {error.__context__}"
        if (status, code) == (404, ""):
            assert isinstance(error, TierUnavailable)  # nobody says of what
        elif status < 500 or op not in HEADS:  # the answer to a HEAD has no body that says more
            assert type(error) is kind
            assert re.search(said, str(error))
            assert error.retryable is retryable
    assert os.listdir(tmp_path) == ["small"]


HEADS = ("get_metadata", "cp_file", "rm_file", "bucket_exists")
"""What asks for a HEAD first."""


def test_how_long_to_wait_is_said_where_the_service_says_it(tmp_path: Path) -> None:
    with Scripted(lambda *_: (503, error_body("SlowDown"), {"Retry-After": "7"})) as server:
        files = files_at(server.url)
        with pytest.raises(TierThrottled) as told:
            list(files.ls_dir("bucket"))
    assert (told.value.retry_after, told.value.retryable) == (7, True)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("endpoint", "said", "retryable"),
    [
        ("http://no-such-host.invalid", "its name is not known: correct endpoint_url", True),
        ("http://127.0.0.1:1", "no connection: start the service, or correct endpoint_url", True),
        ("https", "no trusted connection.*scheme of endpoint_url.*verify", False),
    ],
)
def test_who_cannot_be_reached(
    endpoint: str, said: str, retryable: bool, minio: Minio, tmp_path: Path
) -> None:
    if endpoint == "https":
        endpoint = minio.endpoint.replace("http:", "https:")
    files = files_at(endpoint)
    for op, call in calls(files, tmp_path).items():
        with pytest.raises(TierError, match=said) as told:
            call()
        assert (told.value.op, told.value.retryable) == (op, retryable)
        assert SECRET not in f"{told.value!r} {told.value.__cause__}"


def test_somebody_elses_bucket_is_asked_at_our_cost(tmp_path: Path) -> None:
    """A service denies whoever does not say that they pay: then every request about an object says it."""
    options = S3Options(
        bucket="any",
        access_key_id="a",
        secret_access_key=SECRET,
        endpoint_url="http://x",
        requester_pays=True,
    )
    with Scripted(lambda *_: (403, error_body("AccessDenied"))) as server:
        files = S3Files(attrs.evolve(options, endpoint_url=server.url))
        asked = calls(files, tmp_path)
        for op in asked.keys() - {"bucket_exists"}:
            with pytest.raises(TierDenied):
                asked[op]()
        assert len(server.headers) >= len(asked) - 1
        assert {each.get("x-amz-request-payer") for each in server.headers} == {"requester"}


def test_keys_that_may_read_only(minio: Minio, tmp_path: Path) -> None:
    """Temporary keys with a policy: what it does not allow is denied, and is not taken for absent."""
    bucket = minio.make_bucket()
    minio.client.put_object(Bucket=bucket, Key="k", Body=b"x")
    options = ConnectionOptions(endpoint_url=minio.endpoint, **minio.temporary_keys(["s3:GetObject"], bucket))
    files = S3Files(options)
    assert files.get_object(bucket, "k") == b"x"
    assert files.get_metadata(bucket, "k").size == 1
    with pytest.raises(ObjectNotFound):
        files.get_object(bucket, "nothing")
    allowed = ("get_object", "dl_file", "get_metadata")
    for op, call in calls(files, tmp_path, bucket).items():
        if op not in allowed:
            with pytest.raises(TierDenied, match="allow s3:GetObject, s3:PutObject") as told:
                call()
            assert told.value.op == op
    assert minio.keys(bucket) == ["k"]
    assert minio.uploads(bucket) == []
