"""What services refuse, told to who uses files: the fix that a message names is one that its reader has."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.servers.s3 import S3Server
from tests.support.servers.wire import Scripted, error_body

from ziggurat.errors import TierDenied, TierError, TierUnavailable, Unsupported
from ziggurat_s3 import ConnectionOptions, S3Files

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
        (404, "NoSuchBucket", TierUnavailable, "correct its name, or create it"),
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
            assert "create_bucket" not in str(told.value)


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
