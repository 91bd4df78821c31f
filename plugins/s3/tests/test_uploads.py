"""Large blobs: whole or not at all, gone on with where they broke off, and nothing left behind."""

from __future__ import annotations

import os
import random
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.servers.s3 import S3Server
from tests.support.servers.toxiproxy import Toxiproxy

from ziggurat.backend import Blob, ByteRange, Info, Timeouts
from ziggurat.content import Cid
from ziggurat.errors import ContentMismatch, TierError, TierUnavailable
from ziggurat_s3 import S3

Make = Callable[..., S3]
MIB = 1 << 20
PART = 5 * MIB
SIZE = 3 * PART + 777
DATA = random.Random(1).randbytes(SIZE)
KEY = Cid.of(DATA).key


def blob(data: bytes = DATA, piece: int = 300_001, size: int = SIZE) -> Blob:
    return Blob(size, lambda: (data[at : at + piece] for at in range(0, len(data), piece)))


def whole(answer: bytes | Blob | None) -> bytes | None:
    return answer.read() if isinstance(answer, Blob) else answer


@pytest.mark.parametrize("content", [DATA, blob(), blob(piece=PART), blob(piece=SIZE), blob(piece=7 * MIB)])
def test_a_large_blob_is_the_object(make: Make, versitygw: S3Server, content: bytes | Blob) -> None:
    s3 = make(versitygw, part_size=PART, prefix="ipfs")
    s3.put(KEY, content, Info("text/x-large"))
    file = versitygw.data / s3._bucket.name / "ipfs" / KEY
    assert file.read_bytes() == DATA  # byte for byte what `aws s3 cp` gives
    assert whole(s3.get(KEY, None)) == DATA
    assert whole(s3.get(KEY, ByteRange(PART - 5, 10))) == DATA[PART - 5 : PART + 5]
    assert whole(s3.get(KEY, ByteRange(3, 2 * PART))) == DATA[3 : 3 + 2 * PART]
    assert versitygw.uploads(s3._bucket.name) == []


def test_sizes_around_parts(make: Make, s3_server: S3Server) -> None:
    s3 = make(s3_server, part_size=PART, parallel=2)
    for size in (2 * PART - 1, 2 * PART, 2 * PART + 1, 3 * PART):
        data = DATA[:size]
        for content in (data, blob(data, size=size)):
            s3.put(KEY, content, None)
            assert s3_server.read(s3._bucket.name, KEY) == data
    assert s3_server.uploads(s3._bucket.name) == []


@pytest.mark.parametrize("wrong", [DATA[:-1], DATA + b"x", DATA[:PART], b""])
def test_content_of_another_size_publishes_nothing(make: Make, minio: S3Server, wrong: bytes) -> None:
    s3 = make(minio, part_size=PART)
    s3.put(KEY, b"before", None)
    with pytest.raises(ContentMismatch):
        s3.put(KEY, blob(wrong), None)
    assert s3.get(KEY, None) == b"before"
    assert minio.uploads(s3._bucket.name) == []


class OwnError(Exception):
    """What only a source raises."""


@pytest.mark.parametrize("error", [OwnError("mine"), TierUnavailable("of another tier", retryable=True)])
def test_a_source_that_fails_leaves_nothing(
    make: Make, s3_server: S3Server, tmp_path: Path, error: Exception
) -> None:
    def broken() -> Iterator[bytes]:
        yield DATA[: 2 * PART + 5]
        raise error

    s3 = make(s3_server, part_size=PART)
    with pytest.raises(type(error)) as caught:
        s3.put(KEY, Blob(SIZE, broken), None)
    assert caught.value is error
    assert not s3.has(KEY)
    assert s3_server.uploads(s3._bucket.name) == []
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.parametrize("again", ["the same", "another"])
def test_a_put_goes_on_where_the_last_one_broke_off(
    make: Make, s3_server: S3Server, toxiproxy: Toxiproxy, tmp_path: Path, again: str
) -> None:
    with toxiproxy.before(s3_server.endpoint) as proxy:
        s3 = make(s3_server, part_size=PART, parallel=1, endpoint_url=proxy.url)
        bucket = s3._bucket.name

        def dies() -> Iterator[bytes]:
            yield DATA[: 2 * PART]
            with proxy.down():
                yield DATA[2 * PART :]

        with pytest.raises(TierUnavailable) as caught:
            s3.put(KEY, Blob(SIZE, dies), None)
        assert caught.value.retryable
        assert not s3.has(KEY)
        assert s3_server.uploads(bucket) == [KEY]
        if again == "another":
            s3 = make(s3_server, part_size=PART, bucket=bucket, endpoint_url=proxy.url)
        numbers = sent_parts(s3)
        s3.put(KEY, DATA, None)
        assert numbers
        assert 1 not in numbers  # it was there
    assert s3_server.read(bucket, KEY) == DATA
    assert s3_server.uploads(bucket) == []
    assert list((tmp_path / "spool").iterdir()) == []


def sent_parts(s3: S3) -> list[int]:
    """The numbers of the parts that are sent from now on."""
    numbers: list[int] = []
    s3._bucket.clients.uploads.meta.events.register(
        "provide-client-params.s3.UploadPart", lambda params, **_: numbers.append(params["PartNumber"])
    )
    return numbers


DIES = """
import os, sys
from pathlib import Path
from ziggurat.backend import Blob, Context
from ziggurat_s3 import S3, S3Options
endpoint, key, secret, bucket, spool, name = sys.argv[1:7]
data = os.environ["DATA"].encode() * (5 << 20)
options = S3Options(bucket=bucket, endpoint_url=endpoint, access_key_id=key, secret_access_key=secret,
    part_size=5 << 20, parallel=1)
s3 = S3(options, Context("tier", "store", catalog="catalog-1", spool=Path(spool)))
def pieces():
    for number in range(4):
        yield data
        if number == 3:
            print("under way", flush=True)
            sys.stdin.readline()
s3.put(name, Blob(4 * len(data), pieces), None)
"""


@pytest.fixture
def killed(
    child: Callable[..., subprocess.Popen[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[S3Server, str], None]:
    """Begins to put a blob of 20 MiB of "x" into a bucket in another process, and kills it in the middle."""

    def kill(server: S3Server, bucket: str) -> None:
        monkeypatch.setenv("DATA", "x")
        process = child(
            DIES, server.endpoint, server.access_key, server.secret_key, bucket, tmp_path / "spool", KEY
        )
        assert process.stdout
        assert process.stdout.readline() == "under way\n"
        process.kill()
        process.wait()

    return kill


def test_kill_in_an_upload_leaves_nothing_that_is_not_found_and_cleaned(
    make: Make, s3_server: S3Server, killed: Callable[[S3Server, str], None], tmp_path: Path
) -> None:
    bucket = s3_server.make_bucket()
    killed(s3_server, bucket)
    assert s3_server.uploads(bucket) == [KEY]
    s3 = make(s3_server, bucket=bucket, part_size=PART, abandoned_after=0)
    assert not s3.has(KEY)
    other = Cid.of(b"another").key
    s3.put(other, bytes(2 * PART), None)  # the first large put of a process looks for what was left
    assert s3_server.uploads(bucket) == []
    assert s3_server.keys(bucket) == [".ziggurat/marker.json", other]
    assert list((tmp_path / "spool").iterdir()) == []


def test_kill_in_an_upload_and_the_next_put_goes_on(
    make: Make, s3_server: S3Server, killed: Callable[[S3Server, str], None]
) -> None:
    bucket = s3_server.make_bucket()
    killed(s3_server, bucket)
    (before,) = s3_server._uploads(bucket)
    data = b"x" * (4 * PART)
    s3 = make(s3_server, bucket=bucket, part_size=PART)
    begun: list[str] = []
    s3._bucket.clients.s3.meta.events.register(
        "before-call.s3.CreateMultipartUpload", lambda **_: begun.append("new")
    )
    s3.put(KEY, data, None)
    assert begun == []  # it was the upload of the dead process that was completed
    assert s3_server.read(bucket, KEY) == data
    assert s3_server.uploads(bucket) == []
    assert before[0] == KEY


def test_parts_of_other_bytes_are_sent_again(
    make: Make, minio: S3Server, killed: Callable[[S3Server, str], None]
) -> None:
    bucket = minio.make_bucket()
    killed(minio, bucket)
    data = b"x" * PART + os.urandom(PART) + b"x" * (2 * PART)
    make(minio, bucket=bucket, part_size=PART).put(KEY, data, None)
    assert minio.read(bucket, KEY) == data


def test_an_upload_of_another_machine_is_given_up_when_it_is_old(make: Make, s3_server: S3Server) -> None:
    s3 = make(s3_server, part_size=PART, prefix="ipfs")
    bucket, client = s3._bucket.name, s3_server.client
    s3.identify(claim=True)
    for name in (f"ipfs/{KEY}", "somebody/elses"):
        upload = client.create_multipart_upload(Bucket=bucket, Key=name)["UploadId"]
        client.upload_part(Bucket=bucket, Key=name, UploadId=upload, PartNumber=1, Body=b"x" * 100)
    assert s3.clean(3600) == []
    assert sorted(s3_server.uploads(bucket)) == [f"ipfs/{KEY}", "somebody/elses"]
    assert s3.clean(0) == [f"ipfs/{KEY}"]
    assert s3_server.uploads(bucket) == ["somebody/elses"]


def test_an_upload_under_way_is_not_taken_for_abandoned(make: Make, minio: S3Server) -> None:
    halfway, go_on = threading.Event(), threading.Event()

    def slow() -> Iterator[bytes]:
        yield DATA[: 2 * PART]
        halfway.set()
        assert go_on.wait(30)
        yield DATA[2 * PART :]

    s3 = make(minio, part_size=PART)
    thread = threading.Thread(target=lambda: s3.put(KEY, Blob(SIZE, slow), None))
    thread.start()
    try:
        assert halfway.wait(30)
        assert make(minio, bucket=s3._bucket.name, part_size=PART).clean(0) == []
        assert minio.uploads(s3._bucket.name) == [KEY]
    finally:
        go_on.set()
        thread.join()
    assert s3.has(KEY)


def test_an_upload_that_somebody_gave_up_can_be_put_again(make: Make, minio: S3Server) -> None:
    s3 = make(minio, part_size=PART, parallel=1)
    bucket = s3._bucket.name

    def meddled() -> Iterator[bytes]:
        yield DATA[: 2 * PART]
        minio.client.abort_multipart_upload(Bucket=bucket, Key=KEY, UploadId=minio._uploads(bucket)[0][1])
        yield DATA[2 * PART :]

    with pytest.raises(TierUnavailable, match="given up meanwhile") as caught:
        s3.put(KEY, Blob(SIZE, meddled), None)
    assert caught.value.retryable
    s3.put(KEY, blob(), None)
    assert minio.read(bucket, KEY) == DATA


PUTS = """
import os, sys
import boto3.session, botocore.config, obstore.store  # once for all: nothing is used before the fork
from pathlib import Path
from ziggurat.backend import Context
from ziggurat_s3 import S3, S3Options
endpoint, key, secret, bucket, spool, name, count = sys.argv[1:8]
gate, start = os.pipe()
children = []
for _ in range(int(count)):
    if child := os.fork():
        children.append(child)
        continue
    options = S3Options(bucket=bucket, endpoint_url=endpoint, access_key_id=key, secret_access_key=secret,
        part_size=5 << 20)
    s3 = S3(options, Context("tier", "store", catalog="catalog-1", spool=Path(spool)))
    os.close(start)
    os.read(gate, 1)
    s3.put(name, b"x" * (11 << 20), None)
    os._exit(0 if s3.stat(name).size == 11 << 20 else 1)
os.close(start)
print([os.waitpid(child, 0)[1] for child in children], flush=True)
"""


def test_twenty_processes_put_one_blob(
    child: Callable[..., subprocess.Popen[str]], s3_server: S3Server, tmp_path: Path
) -> None:
    bucket = s3_server.make_bucket()
    keys = (s3_server.endpoint, s3_server.access_key, s3_server.secret_key)
    said, _ = child(PUTS, *keys, bucket, tmp_path / "spool", KEY, 20).communicate(timeout=200)
    assert said == f"{[0] * 20}\n"
    assert s3_server.keys(bucket) == [".ziggurat/marker.json", KEY]
    assert s3_server.read(bucket, KEY) == b"x" * (11 * MIB)
    assert s3_server.uploads(bucket) == []
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_service_without_checksums_is_sent_none(make: Make, minio: S3Server) -> None:
    s3 = make(minio, part_size=PART, checksum="none")
    s3.put(KEY, blob(), None)
    said = minio.client.head_object(Bucket=s3._bucket.name, Key=KEY, ChecksumMode="ENABLED")
    assert "ChecksumCRC32" not in said
    checked = make(minio, part_size=PART)
    checked.put(KEY, blob(), None)
    said = minio.client.head_object(Bucket=checked._bucket.name, Key=KEY, ChecksumMode="ENABLED")
    assert "ChecksumCRC32" in said


def test_without_a_spool_folder_puts_work_and_are_not_gone_on_with(make: Make, minio: S3Server) -> None:
    s3 = make(minio, part_size=PART, spool=Path())
    s3.put(KEY, blob(), None)
    assert minio.read(s3._bucket.name, KEY) == DATA
    assert s3.clean(0) == []


def test_a_dead_service_is_an_error_that_passes(make: Make, minio: S3Server, toxiproxy: Toxiproxy) -> None:
    with toxiproxy.before(minio.endpoint) as proxy:
        s3 = make(minio, part_size=PART, endpoint_url=proxy.url, timeouts=Timeouts(connect=1, idle=1))
        s3.identify(claim=True)
        with proxy.down(), pytest.raises(TierError) as caught:
            s3.put(KEY, blob(), None)
        assert caught.value.retryable
        s3.put(KEY, blob(), None)
        assert minio.read(s3._bucket.name, KEY) == DATA
