"""Uploads that break off: who goes on with them, who gives them up, and what becomes of their notes."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.servers.s3 import S3Server
from tests.support.servers.toxiproxy import Toxiproxy

from ziggurat.backend import Blob, Info
from ziggurat.cli._app import main
from ziggurat.content import Cid
from ziggurat.errors import TierUnavailable
from ziggurat_s3 import S3

Make = Callable[..., S3]
PART = 5 << 20
DATA = random.Random(2).randbytes(2 * PART + 99)
KEY = Cid.of(DATA).key


def break_off(s3: S3, info: Info | None = None) -> None:
    """Begin to put the blob, and be interrupted when its first part is there."""

    def interrupted() -> Iterator[bytes]:
        yield DATA[:PART]
        yield DATA[PART : 2 * PART]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        s3.put(KEY, Blob(len(DATA), interrupted), info)


def begun(s3: S3) -> list[str]:
    """Notes every upload that is begun from now on."""
    found: list[str] = []
    s3._bucket.clients.s3.meta.events.register(
        "before-call.s3.CreateMultipartUpload", lambda **_: found.append("new")
    )
    return found


def test_what_is_said_of_a_blob_is_not_that_of_the_put_which_broke_off(make: Make, minio: S3Server) -> None:
    s3 = make(minio, part_size=PART, parallel=1)
    before = Info("text/x-before", tags={"a": "1"})
    break_off(s3, before)
    assert minio.uploads(s3._bucket.name) == [KEY]
    again = begun(s3)
    s3.put(KEY, DATA, before)
    assert again == []  # an interrupt loses nothing
    break_off(s3, before)
    after = Info("text/x-after", metadata={"b": "2"})
    put = s3.put(KEY, DATA, after)
    stat = s3.stat(KEY)
    assert stat is not None
    assert stat.info == put.info == after
    assert minio.uploads(s3._bucket.name) == []


def test_a_slow_upload_of_another_machine_is_left_alone(make: Make, minio: S3Server) -> None:
    s3 = make(minio, part_size=PART)
    bucket, client = s3._bucket.name, minio.client
    s3.identify(claim=True)
    upload = client.create_multipart_upload(Bucket=bucket, Key=KEY)["UploadId"]
    time.sleep(3)
    client.upload_part(Bucket=bucket, Key=KEY, UploadId=upload, PartNumber=1, Body=b"x" * 100)
    assert s3.clean(2.5) == []
    assert minio.uploads(bucket) == [KEY]
    assert s3.clean(0) == [KEY]


def test_what_could_not_be_given_up_can_be_later(
    make: Make, minio: S3Server, toxiproxy: Toxiproxy, tmp_path: Path
) -> None:
    with toxiproxy.before(minio.endpoint) as proxy:
        s3 = make(minio, part_size=PART, parallel=1, endpoint_url=proxy.url)
        break_off(s3)
        with proxy.down(), pytest.raises(TierUnavailable):
            s3.clean(0)
        assert s3.clean(0) == [KEY]
    assert minio.uploads(s3._bucket.name) == []
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.parametrize("when", ["AbortMultipartUpload", "ListParts"])
def test_an_interrupt_at_the_wrong_time_leaves_no_upload_to_nobody(
    make: Make, minio: S3Server, when: str
) -> None:
    """While an upload is given up because its source failed, and while one is taken up again."""
    s3 = make(minio, part_size=PART, parallel=1)

    def failing() -> Iterator[bytes]:
        yield DATA[:PART]
        raise OSError("a broken disk")

    def interrupt(**_: object) -> None:
        raise KeyboardInterrupt

    if when == "ListParts":
        break_off(s3)
    events, event = s3._bucket.clients.s3.meta.events, f"before-call.s3.{when}"
    events.register(event, interrupt)
    with pytest.raises(KeyboardInterrupt):
        s3.put(KEY, Blob(len(DATA), failing), None)
    events.unregister(event, interrupt)
    assert minio.uploads(s3._bucket.name) == [KEY]
    again = begun(s3)
    s3.put(KEY, DATA, None)  # who comes next goes on with it
    assert again == []
    assert minio.uploads(s3._bucket.name) == []


def test_notes_that_cannot_be_kept_fail_no_put(make: Make, versitygw: S3Server, tmp_path: Path) -> None:
    s3 = make(versitygw, part_size=PART)
    spool = tmp_path / "spool"

    def spoiled() -> Iterator[bytes]:
        yield DATA[:PART]
        for each in spool.iterdir():
            each.unlink()
        spool.rmdir()
        spool.write_text("no folder")
        yield DATA[PART:]

    s3.put(KEY, Blob(len(DATA), spoiled), None)
    assert versitygw.read(s3._bucket.name, KEY) == DATA
    s3.put(KEY, DATA, None)  # without notes from the beginning
    assert s3.has(KEY)


def test_parts_are_sent_as_many_at_a_time_as_was_said(make: Make, versitygw: S3Server) -> None:
    s3 = make(versitygw, part_size=PART, parallel=12)
    together = threading.Barrier(12)

    def meet(**_: object) -> None:
        together.wait(60)

    s3._bucket.clients.uploads.meta.events.register("before-call.s3.UploadPart", meet)
    s3.put(KEY, bytes(12 * PART), None)
    assert not together.broken


def test_abandoned_uploads_are_given_up_from_the_command_line(
    make: Make,
    minio: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in minio.environment.items():
        monkeypatch.setenv(name, value)
    s3 = make(minio, part_size=PART, prefix="ipfs", parallel=1)
    break_off(s3)
    (tmp_path / "ziggurat.toml").write_text(
        f"""
[store]
path = "catalog"
[[tier]]
name = "archive"
backend = "s3"
role = "store"
[tier.options]
bucket = "{s3._bucket.name}"
prefix = "ipfs"
"""
    )
    assert main(["s3", "clean"]) == 0  # it may still be under way
    assert capsys.readouterr().out == ""
    assert main(["s3", "clean", "archive", "--older-than", "0", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["tier"], told["key"], told["action"]) == ("archive", f"ipfs/{KEY}", "given up")
    assert minio.uploads(s3._bucket.name) == []
    assert main(["s3", "clean", "cellar"]) == 3
