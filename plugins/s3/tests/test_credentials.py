"""Credentials and endpoints come from wherever boto3 finds them, and obstore has the same."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.support.servers.s3 import S3Server
from tests.support.servers.wire import Scripted

from ziggurat.backend import Context
from ziggurat.content import Cid
from ziggurat.errors import TierDenied
from ziggurat_s3 import S3, ConnectionOptions, S3Options, _credentials
from ziggurat_s3._clients import clients_for

KEY = Cid.of(b"held").key
VARIABLES = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "REGION", "DEFAULT_REGION")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no file of whoever runs the tests."""
    for name in VARIABLES:
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "S3_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def works(options: S3Options) -> None:
    """Both libraries, and every way of sending."""
    s3 = S3(options, Context("tier", "store"))
    s3.put(KEY, b"small", None)
    s3.put(Cid.of(b"large").key, bytes(11 << 20), None)
    assert s3.get(KEY, None) == b"small"
    assert s3.has(KEY)
    assert s3.stat(KEY) is not None
    assert s3.evict(KEY)


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_S3", "S3_ENDPOINT_URL", "AWS_ENDPOINT_URL"])
def test_the_environment(versitygw: S3Server, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", versitygw.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", versitygw.secret_key)
    monkeypatch.setenv("AWS_REGION", versitygw.region)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "nowhere-1")  # AWS_REGION counts more
    monkeypatch.setenv(name, versitygw.endpoint)
    works(S3Options(bucket=versitygw.make_bucket(), part_size=5 << 20))


def test_options_count_more_than_the_environment(
    versitygw: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "none")
    monkeypatch.setenv("AWS_REGION", "nowhere-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("S3_ENDPOINT_URL", "http://127.0.0.1:2")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    options: dict[str, Any] = {
        "bucket": versitygw.make_bucket(),
        "part_size": 5 << 20,
        "endpoint": versitygw.endpoint,
        "accessKey": versitygw.access_key,
        "secretKey": versitygw.secret_key,
        "region": versitygw.region,
    }
    works(S3Options(**options))


def test_a_profile(versitygw: S3Server, tmp_path: Path) -> None:
    keys = f"aws_access_key_id = {versitygw.access_key}\naws_secret_access_key = {versitygw.secret_key}\n"
    (tmp_path / "credentials").write_text(f"[vault]\n{keys}")
    (tmp_path / "config").write_text(
        f"[profile vault]\nregion = {versitygw.region}\nendpoint_url = {versitygw.endpoint}\n"
    )
    bucket = versitygw.make_bucket()
    works(S3Options(bucket=bucket, profile="vault", part_size=5 << 20))
    works(S3Options(bucket=bucket, boto3={"profile_name": "vault"}, part_size=5 << 20))


def test_one_session_and_one_pool_for_each_configuration(minio: S3Server) -> None:
    def options(**given: str) -> S3Options:
        known = {"access_key_id": "a", "secret_access_key": "b", "endpoint": minio.endpoint, **given}
        return S3Options(bucket="bucket", **known)  # type: ignore[arg-type] # texts

    one = clients_for(options().settings())
    again = clients_for(options(prefix="other/").settings())
    assert again is one
    assert clients_for(options(secret_access_key="c").settings()) is not one
    assert one.s3 is again.s3
    assert one.store("bucket") is again.store("bucket")


def test_another_environment_is_another_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = ConnectionOptions().settings()
    made = []
    for endpoint in ("http://127.0.0.1:1", "http://127.0.0.1:2"):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        made.append(clients_for(nothing))  # the first is in use still
        assert made[-1].endpoint == endpoint
        assert clients_for(nothing) is made[-1]


class Sent(Exception):
    """Carries the URL of a request that is not sent."""


def sent(request: Any, **_: object) -> None:
    raise Sent(request.url)


def test_where_the_bucket_stands() -> None:
    def url(**given: str) -> str:
        options = S3Options(bucket="bucket", access_key_id="a", secret_access_key="b", **given)  # type: ignore[arg-type] # texts
        clients = clients_for(options.settings())
        clients.s3.meta.events.register("before-send.s3.GetObject", sent)
        with pytest.raises(Sent) as caught:
            clients.s3.get_object(Bucket="bucket", Key="key")
        theirs = str(caught.value).removesuffix("/key")
        config = clients.store("bucket").config
        ours = str(config["endpoint"])
        virtual = str(config["virtual_hosted_style_request"]).lower() == "true"
        assert theirs == (ours if virtual else f"{ours}/bucket")
        return theirs

    assert url(region="eu-west-1") == "https://bucket.s3.eu-west-1.amazonaws.com"
    assert url(endpoint="https://s3.example.org:9000") == "https://s3.example.org:9000/bucket"
    assert url(endpoint="http://10.0.0.1") == "http://10.0.0.1/bucket"
    oss = "https://oss-cn-beijing.aliyuncs.com"
    assert url(endpoint=oss) == "https://bucket.oss-cn-beijing.aliyuncs.com"
    assert url(endpoint=oss, addressing_style="path") == f"{oss}/bucket"
    assert (
        url(endpoint="https://s3.example.org", addressing_style="virtual") == "https://bucket.s3.example.org"
    )


def role(minio: S3Server, key: str, seconds: float) -> dict[str, str]:
    ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return {
        "Code": "Success",
        "Type": "AWS-HMAC",
        "AccessKeyId": key,
        "SecretAccessKey": minio.secret_key,
        "Token": "",
        "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def test_a_role_of_the_instance(minio: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def metadata(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if method == "PUT":
            return 200, b"token"
        if path.endswith("/security-credentials/"):
            return 200, b"role"
        return 200, json.dumps(role(minio, minio.access_key, 3600)).encode()

    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    with Scripted(metadata) as service:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url)
        works(
            S3Options(
                bucket=minio.make_bucket(), endpoint=minio.endpoint, region=minio.region, part_size=5 << 20
            )
        )
        assert len(service.asked) == 3  # one token, one name, one role: for all requests of both libraries


def test_what_expires_is_renewed_before_it_does(minio: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service for containers gives keys that end soon, and at last one that was taken away."""
    given: list[str] = []
    keys = [minio.access_key] * 3 + ["taken-away"]

    def answer(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        given.append(keys[min(len(given), len(keys) - 1)])
        return 200, json.dumps(role(minio, given[-1], 30)).encode()

    monkeypatch.setattr(_credentials, "_PERIOD", datetime.timedelta(0))
    with Scripted(answer) as service:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", service.url)
        bucket = minio.make_bucket()
        minio.client.put_object(Bucket=bucket, Key=KEY, Body=b"held")
        s3 = S3(
            S3Options(bucket=bucket, endpoint=minio.endpoint, region=minio.region), Context("tier", "store")
        )
        assert s3.get(KEY, None) == b"held"
        # obstore asks for the keys again by itself, and sooner or later gets the last one.
        until(lambda: "taken-away" in given, lambda: s3.get(KEY, None))
        for call in (lambda: s3.get(KEY, None), lambda: s3.identify(claim=False)):
            with pytest.raises(TierDenied, match="does not know the access key"):
                call()


def test_a_provider_that_fails_may_be_asked_again(minio: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with Scripted(lambda *_: (500, b"")) as service:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", service.url)
        s3 = S3(S3Options(bucket="bucket", endpoint=minio.endpoint), Context("tier", "store"))
        for call in (lambda: s3.get(KEY, None), lambda: s3.identify(claim=False)):
            with pytest.raises(TierDenied, match="credentials") as caught:
                call()
            assert caught.value.retryable


def until(done: Callable[[], bool], call: Callable[[], object]) -> None:
    """Call until something is so."""
    for _ in range(500):
        with suppress(TierDenied):
            call()
        if done():
            return
        time.sleep(0.02)
    raise AssertionError("it never came")
