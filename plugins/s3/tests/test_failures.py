"""Every failure is one of ours, says what to do, and shows no secret."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.servers.s3 import S3Server
from tests.support.servers.toxiproxy import Proxy, Toxiproxy
from tests.support.servers.wire import Scripted, error_body

from ziggurat.backend import Blob, ByteRange, Context, Timeouts
from ziggurat.content import Cid
from ziggurat.errors import (
    RangeError,
    TierDenied,
    TierError,
    TierThrottled,
    TierTimeout,
    TierUnavailable,
)
from ziggurat_s3 import S3, S3Options

Make = Callable[..., S3]
KEY = Cid.of(b"held").key
PART = 5 << 20
SECRET = "hush-hush-not-to-be-seen"


def calls(s3: S3) -> dict[str, Callable[[], object]]:
    return {
        "get": lambda: s3.get(KEY, None),
        "range": lambda: s3.get(KEY, ByteRange(0, 5)),
        "has": lambda: s3.has(KEY),
        "stat": lambda: s3.stat(KEY),
        "evict": lambda: s3.evict(KEY),
        "scan": lambda: list(s3.scan()),
        "identify": lambda: s3.identify(claim=False),
        "put": lambda: s3.put(KEY, b"x", None),
        "put large": lambda: s3.put(KEY, bytes(2 * PART), None),
    }


def failure(call: Callable[[], object], kind: type[TierError], said: str, retryable: bool) -> None:
    with pytest.raises(TierError, match=said) as caught:
        call()
    error = caught.value
    assert type(error) is kind
    assert error.retryable is retryable
    assert "\n" not in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert SECRET not in f"{error!r} {error} {error.__cause__} {error.__context__}"


# -- real services ---------------------------------------------------------------------------------


def test_an_unknown_key(make: Make, s3_server: S3Server) -> None:
    s3 = make(s3_server, access_key_id="nobody", secret_access_key=SECRET)
    for call in calls(s3).values():
        failure(call, TierDenied, "does not know the access key: correct access_key_id", False)


def test_a_wrong_secret(make: Make, s3_server: S3Server) -> None:
    s3 = make(s3_server, secret_access_key=SECRET)
    for call in calls(s3).values():
        failure(call, TierDenied, "refuses the signature: correct secret_access_key", False)


def test_no_such_bucket(make: Make, s3_server: S3Server) -> None:
    s3 = make(s3_server, bucket="never-made")
    for call in calls(s3).values():
        failure(
            call,
            TierUnavailable,
            "no bucket 'never-made'.*bucket create --tier tier never-made.*create_bucket = true",
            False,
        )


def test_another_region(make: Make, versitygw: S3Server) -> None:
    s3 = make(versitygw, region_name="eu-west-3", part_size=PART)
    s3_calls = calls(s3)
    for name in ("get", "range", "put"):  # boto3 goes where it is sent; obstore does not
        failure(s3_calls[name], TierUnavailable, 'another region: say region_name = "us-east-1"', False)


def test_nobody_listens(make: Make, minio: S3Server) -> None:
    s3 = make(minio, bucket="bucket", endpoint_url="http://127.0.0.1:1")
    for call in calls(s3).values():
        failure(call, TierUnavailable, "no connection: start the service, or correct endpoint_url", True)


def test_a_name_that_nobody_knows(make: Make, minio: S3Server) -> None:
    s3 = make(minio, bucket="bucket", endpoint_url="http://no-such-host.invalid")
    for call in calls(s3).values():
        failure(call, TierUnavailable, "its name is not known: correct endpoint_url", True)


def test_no_tls(make: Make, minio: S3Server) -> None:
    s3 = make(minio, endpoint_url=minio.endpoint.replace("http:", "https:"))
    for call in calls(s3).values():
        failure(call, TierDenied, "no trusted connection.*scheme of endpoint_url.*verify", False)


def test_no_credentials(make: Make, minio: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    s3 = make(minio, access_key_id="", secret_access_key="")
    for name, call in calls(s3).items():
        with pytest.raises(TierDenied, match=r"credentials.*access_key_id"):
            call()
        assert name


def test_an_unknown_profile(make: Make, minio: S3Server) -> None:
    s3 = make(minio, access_key_id="", secret_access_key="", profile="nobodys")
    failure(lambda: s3.has(KEY), TierUnavailable, "profile .nobodys. could not be found", False)


def test_a_range_that_is_not_there(make: Make, s3_server: S3Server) -> None:
    s3 = make(s3_server)
    s3.put(KEY, b"12345", None)
    failure(lambda: s3.get(KEY, ByteRange(5, 1)), RangeError, "shorter than the range", False)
    s3.put(KEY, b"", None)
    assert s3.get(KEY, None) == b""
    assert s3.has(KEY)
    stat = s3.stat(KEY)
    assert stat is not None
    assert stat.size == 0
    failure(lambda: s3.get(KEY, ByteRange(0, 1)), RangeError, "shorter than the range", False)


# -- real services on bad lines ----------------------------------------------------------------------


@pytest.fixture
def line(toxiproxy: Toxiproxy, s3_server: S3Server) -> Iterator[Proxy]:
    with toxiproxy.before(s3_server.endpoint) as proxy:
        yield proxy


SHORT = Timeouts(connect=1, idle=1)
BODY = bytes(range(256)) * 16384  # 4 MiB


def over(make: Make, server: S3Server, line: Proxy) -> S3:
    """A tier on a bad line, with a blob behind it."""
    bucket = server.make_bucket()
    make(server, bucket=bucket).put(KEY, BODY, None)
    return make(server, bucket=bucket, endpoint_url=line.url, timeouts=SHORT, part_size=PART)


def read(s3: S3) -> bytes:
    answer = s3.get(KEY, None)
    assert isinstance(answer, Blob)
    return answer.read()


def test_slow_lines_are_waited_for(make: Make, s3_server: S3Server, line: Proxy) -> None:
    s3 = over(make, s3_server, line)
    with line.toxic("latency", latency=100, jitter=50):
        assert s3.has(KEY)
        assert read(s3) == BODY
    with line.toxic("bandwidth", rate=8000), line.toxic("bandwidth", upstream=True, rate=8000):
        assert read(s3) == BODY
        s3.put(KEY, BODY * 3, None)
    assert read(s3) == BODY * 3


def test_reset_connections(make: Make, s3_server: S3Server, line: Proxy) -> None:
    s3 = over(make, s3_server, line)
    with line.toxic("reset_peer", timeout=0):
        for name, call in calls(s3).items():
            if name != "put large":
                failure(call, TierUnavailable, "no connection|connection broke", True)
    assert read(s3) == BODY


def test_half_open_connections(make: Make, s3_server: S3Server, line: Proxy) -> None:
    s3 = over(make, s3_server, line)
    assert s3.has(KEY)
    with line.toxic("timeout", timeout=0):
        for name in ("get", "stat"):  # through either library
            failure(calls(s3)[name], TierTimeout, "no answer in time", True)
    assert read(s3) == BODY


def test_death_in_mid_body(make: Make, s3_server: S3Server, line: Proxy) -> None:
    s3 = over(make, s3_server, line)
    with line.toxic("limit_data", bytes=1 << 21):
        answer = s3.get(KEY, None)
        assert isinstance(answer, Blob)
        got: list[bytes] = []
        failure(lambda: got.extend(map(bytes, answer.chunks())), TierUnavailable, "broke", True)
        assert BODY.startswith(b"".join(got))
        answer.close()
    assert read(s3) == BODY


# -- what no service does on demand --------------------------------------------------------------------


def scripted(url: str, **given: Any) -> S3:
    keys = {"access_key_id": "somebody", "secret_access_key": SECRET}
    options = S3Options(bucket="bucket", endpoint_url=url, **{**keys, **given})
    return S3(options, Context("tier", "store", timeouts=SHORT))


def test_a_clock_that_differs_is_told_to_a_head_too() -> None:
    with Scripted(lambda *_: (403, error_body("RequestTimeTooSkewed"))) as server:
        s3 = scripted(server.url)
        failure(lambda: s3.has(KEY), TierDenied, "clock", False)
        assert [method for method, _ in server.asked] == ["HEAD", "GET"]  # a HEAD alone does not say it


def test_how_long_to_wait_is_passed_on() -> None:
    with Scripted(lambda *_: (503, error_body("SlowDown"), {"Retry-After": "7"})) as server:
        with pytest.raises(TierThrottled) as caught:
            scripted(server.url).identify(claim=False)
        assert caught.value.retry_after == 7


def test_nothing_is_repeated_here() -> None:
    for status in (500, 503):
        with Scripted(lambda *_, status=status: (status, error_body("InternalError"))) as server:
            s3 = scripted(server.url)
            for name in ("get", "identify"):
                server.asked.clear()
                with pytest.raises(TierError):
                    calls(s3)[name]()
                assert len(server.asked) == 1


def test_the_region_that_a_service_names_is_passed_on() -> None:
    body = error_body("AuthorizationHeaderMalformed", extra=[("Region", "eu-central-1")])
    with Scripted(lambda *_: (400, body)) as server:
        failure(lambda: scripted(server.url).get(KEY, None), TierUnavailable, '"eu-central-1"', False)
    with Scripted(lambda *_: (301, error_body("PermanentRedirect"))) as server:
        s3 = scripted(server.url)
        for name in ("get", "identify"):
            failure(calls(s3)[name], TierUnavailable, "another region: correct region_name", False)
    # As AWS answers where the bucket stands in the path: the header alone names it.
    moved = {"x-amz-bucket-region": "eu-west-3"}
    with Scripted(lambda *_: (301, error_body("PermanentRedirect"), moved)) as server:
        s3 = scripted(server.url)
        for call in calls(s3).values():
            failure(call, TierUnavailable, 'region_name = "eu-west-3"', False)


@pytest.mark.parametrize(
    "answer",
    [
        b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\nETag: "x"\r\nLast-Modified: Wed, 21 Oct 2015 07:28:00 GMT'
        b"\r\n\r\nabc",
        b"hello\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"\x16\x03\x01\x02\x00\x01",
    ],
)
def test_answers_that_are_cut_short_or_no_http(answer: bytes) -> None:
    with Scripted(lambda *_: answer) as server:
        s3 = scripted(server.url)
        for name in ("get", "identify"):
            failure(calls(s3)[name], TierUnavailable, "connection broke|cut short", True)


def test_silence_in_mid_body() -> None:
    head = (
        b'HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\nETag: "x"\r\n'
        b"Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n\r\n"
    )
    with Scripted(lambda *_: [head + bytes(2 << 20)]) as server:
        answer = scripted(server.url).get(KEY, None)
        assert isinstance(answer, Blob)
        failure(lambda: list(answer.chunks()), TierTimeout, "no answer in time", True)


def test_a_web_page_is_no_copy() -> None:
    page = {"Content-Type": "text/html", "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
    with Scripted(lambda *_: (200, b"<html>a page</html>", page)) as server:
        s3 = scripted(server.url)
        for name in ("has", "stat", "evict"):
            failure(calls(s3)[name], TierUnavailable, "no S3 service: correct endpoint_url", False)


BEGUN = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"


@pytest.mark.parametrize(
    "said",
    [
        {"ETag": '"00000000000000000000000000000000"'},
        {"ETag": '"no md5"', "x-amz-checksum-crc32": "AAAAAA=="},
    ],
)
def test_a_part_that_arrived_damaged_is_not_kept(said: dict[str, str]) -> None:
    def answer(method: str, path: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        if method == "POST" and path.endswith("?uploads"):
            return (
                200,
                b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>",
                {},
            )
        if method == "PUT":
            return 200, b"", said
        if method == "GET" and "marker.json" in path:
            return 200, b'{"format": 1, "id": "i", "owner": "", "layout": "{key}"}', {}
        if method == "GET":
            return 200, b"<ListBucketResult></ListBucketResult>", {}
        return 204, b"", {}

    with Scripted(answer) as server:
        s3 = scripted(server.url, part_size=PART)
        failure(lambda: s3.put(KEY, bytes(2 * PART), None), TierUnavailable, "arrived damaged", True)
        assert not any(method == "POST" and "uploadId" in path for method, path in server.asked)


def test_a_failure_at_the_end_of_an_upload_is_one() -> None:
    """The completion of an upload may answer 200 and an error."""

    def answer(method: str, path: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        if method == "POST" and path.endswith("?uploads"):
            return (
                200,
                b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>",
                {},
            )
        if method == "POST":
            return 200, error_body("InternalError"), {}
        if method == "PUT":
            return 200, b"", {"ETag": '"d41d8cd98f00b204e9800998ecf8427e-x"'}
        if method == "GET" and "marker.json" in path:
            return 200, b'{"format": 1, "id": "i", "owner": "", "layout": "{key}"}', {}
        return 200, b"<ListBucketResult></ListBucketResult>", {}

    with Scripted(answer) as server:
        s3 = scripted(server.url, part_size=PART)
        failure(lambda: s3.put(KEY, bytes(2 * PART), None), TierUnavailable, "InternalError", True)
