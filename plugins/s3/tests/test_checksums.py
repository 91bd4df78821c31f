"""Services that know no checksums: they are sent none that they refuse, and the digest that they want."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable

import pytest
from tests.support.servers.wire import Scripted, error_body, listing_body

from ziggurat.backend import Context
from ziggurat.content import Cid
from ziggurat_s3 import S3, ConnectionOptions, S3Files, S3Options

PART = 5 << 20
KEY = Cid.of(b"large").key
Refusal = tuple[int, str]
REFUSALS: list[Refusal] = [(501, "NotImplemented"), (400, "InvalidArgument"), (400, "InvalidRequest")]


class Old(Scripted):
    """A service as it was before 2022: an upload with checksums is refused, a digest is asked for.

    Args:
        refusal: Status and code for what it does not know.

    Attributes:
        begun: For each upload that was to be begun, whether checksums were asked for.
        deleted: Keys that were deleted together with others.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(self._told)
        self._refusal = refusal
        self.begun: list[bool] = []
        self.deleted = 0

    def _told(self, method: str, path: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        status, code = self._refusal
        if method == "POST" and path.endswith("?uploads"):
            self.begun.append("x-amz-checksum-algorithm" in self.headers[-1])
            if self.begun[-1]:
                return status, error_body(code, "x-amz-checksum-algorithm"), {}
            name = "InitiateMultipartUploadResult"
            return 200, f"<{name}><UploadId>u</UploadId></{name}>".encode(), {}
        if method == "POST" and path.endswith("?delete"):
            wanted = base64.b64encode(hashlib.md5(body).digest()).decode()
            if self.headers[-1].get("content-md5") != wanted:
                return status, error_body(code, "Missing required header: Content-MD5"), {}
            self.deleted += body.count(b"<Key>")
            return 200, b"<DeleteResult></DeleteResult>", {}
        if method == "POST":
            name = "CompleteMultipartUploadResult"
            return 200, f'<{name}><ETag>"e-2"</ETag></{name}>'.encode(), {}
        if method == "PUT":
            return 200, b"", {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}
        if "marker.json" in path:
            return 200, b'{"format": 1, "id": "i", "owner": "", "layout": "{key}"}', {}
        if "list-type" in path:
            return 200, listing_body([] if self.deleted else ["d/a", "d/b"]), {}
        return 200, b"<ListMultipartUploadsResult></ListMultipartUploadsResult>", {}


@pytest.fixture(params=REFUSALS, ids=lambda refusal: f"{refusal[0]}-{refusal[1]}")
def old(request: pytest.FixtureRequest) -> Callable[[], Old]:
    return lambda: Old(request.param)


def without_checksums(old: Old) -> None:
    """Nothing was sent that such a service does not know, beside the one question."""
    for (method, path), headers in zip(old.asked, old.headers, strict=True):
        if not path.endswith(("?uploads", "?delete")):
            told = [name for name in headers if name.startswith(("x-amz-checksum", "x-amz-sdk", "x-amz-tr"))]
            assert told == [], (method, path)
        assert "aws-chunked" not in headers.get("content-encoding", "")


def test_a_tier_asks_once_and_does_without(old: Callable[[], Old]) -> None:
    with old() as service:
        options = S3Options(
            bucket="bucket",
            endpoint_url=service.url,
            access_key_id="a",
            secret_access_key="s",
            part_size=PART,
        )
        s3 = S3(options, Context("tier", "store"))
        for _ in range(2):
            assert s3.put(KEY, bytes(2 * PART), None).size == 2 * PART
        s3.put(KEY, b"small", None)
        s3.close()
        assert service.begun == [True, False, False]
        without_checksums(service)


def test_file_operations_ask_once_and_do_without(old: Callable[[], Old]) -> None:
    with old() as service:
        files = S3Files(
            ConnectionOptions(endpoint_url=service.url, access_key_id="a", secret_access_key="s"), attempts=1
        )
        for size in (17 << 20, 17 << 20, 5):
            assert files.upload_object(io.BytesIO(bytes(size)), "bucket", "d/a").size == size
        assert service.begun == [True, False, False]
        assert files.rm_dir("bucket", "d").count("removed") == 2
        assert service.deleted == 2
        without_checksums(service)
