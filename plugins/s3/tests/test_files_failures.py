"""File operations when connections break, processes die and disks fill: nothing half done is left."""

from __future__ import annotations

import errno
import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from tests.support.servers.s3 import S3Server, Versitygw
from tests.support.servers.toxiproxy import Toxiproxy

from ziggurat.backend import Timeouts
from ziggurat.errors import ContentMismatch, TierDenied, TierError, TierTimeout, TierUnavailable
from ziggurat_s3 import ConnectionOptions, S3Files
from ziggurat_s3.files import FileFailure, FileResult, ObjectChanged, TransferIncomplete

MIB = 1 << 20
CONTENT = random.Random(7).randbytes(9 * MIB + 11)
FilesOn = Callable[..., S3Files]


def test_a_download_goes_on_where_it_was_cut(
    s3_server: S3Server, toxiproxy: Toxiproxy, files_on: FilesOn, tmp_path: Path
) -> None:
    bucket, told = s3_server.make_bucket(), [0]
    s3_server.client.put_object(Bucket=bucket, Key="k", Body=CONTENT)
    with toxiproxy.before(s3_server.endpoint) as proxy, proxy.toxic("limit_data", bytes=3 * MIB):
        files = files_on(s3_server, proxy.url)
        done = files.dl_file(bucket, "k", tmp_path / "back", progress_callback=told.append)
        assert done.checked  # against what the service knows of the whole, though it came in pieces
        assert files.get_object(bucket, "k") == CONTENT
    assert (tmp_path / "back").read_bytes() == CONTENT
    assert sum(told) == len(CONTENT)
    assert os.listdir(tmp_path) == ["back"]


def test_a_download_that_cannot_go_on_leaves_the_file_as_it_was(
    s3_server: S3Server, toxiproxy: Toxiproxy, files_on: FilesOn, tmp_path: Path
) -> None:
    bucket = s3_server.make_bucket()
    more_than_sockets_hold = CONTENT * 4
    s3_server.client.put_object(Bucket=bucket, Key="d/k", Body=more_than_sockets_hold)
    (tmp_path / "k").write_bytes(b"before")
    with toxiproxy.before(s3_server.endpoint) as proxy:
        files = files_on(s3_server, proxy.url)

        for download in (
            partial(files.dl_dir, bucket, "d", tmp_path),
            partial(files.dl_file, bucket, "d/k", tmp_path / "k"),
        ):
            with ExitStack() as outage:
                begun: list[int] = []

                def cut(count: int, outage: ExitStack = outage, begun: list[int] = begun) -> None:
                    if not begun:
                        outage.enter_context(proxy.down())
                    begun.append(count)

                with pytest.raises(TierError) as caught:
                    download(progress_callback=cut)
            assert caught.value.retryable
            assert (tmp_path / "k").read_bytes() == b"before"
            assert os.listdir(tmp_path) == ["k"]


@pytest.mark.parametrize("size", [2 * MIB, 20 * MIB])
def test_an_upload_that_is_cut_publishes_nothing(
    s3_server: S3Server, toxiproxy: Toxiproxy, files_on: FilesOn, tmp_path: Path, size: int
) -> None:
    bucket = s3_server.make_bucket()
    s3_server.client.put_object(Bucket=bucket, Key="old", Body=b"before")
    (tmp_path / "large").write_bytes(bytes(size))
    with toxiproxy.before(s3_server.endpoint) as proxy, proxy.toxic("limit_data", upstream=True, bytes=MIB):
        files = files_on(s3_server, proxy.url)
        for key in ("new", "old"):
            with pytest.raises(TierUnavailable, match=f"ul_file: s3://{bucket}/{key}") as caught:
                files.ul_file(tmp_path / "large", bucket, key)
            assert caught.value.retryable
            assert (caught.value.op, caught.value.key) == ("ul_file", key)
    assert s3_server.keys(bucket) == ["old"]
    assert s3_server.read(bucket, "old") == b"before"
    assert s3_server.uploads(bucket) == []


def test_one_broken_part_is_sent_again_alone(
    versitygw: S3Server, toxiproxy: Toxiproxy, files_on: FilesOn, tmp_path: Path
) -> None:
    bucket, content = versitygw.make_bucket(), random.Random(3).randbytes(40 * MIB)
    (tmp_path / "large").write_bytes(content)
    with toxiproxy.before(versitygw.endpoint) as proxy:
        files, told = files_on(versitygw, proxy.url, attempts=6), [0]

        def stumble(count: int) -> None:
            told.append(count)
            if len(told) == 2:
                with proxy.down():
                    time.sleep(0.2)

        files.ul_file(tmp_path / "large", bucket, "k", progress_callback=stumble)
    assert sum(told) == len(content)
    assert versitygw.read(bucket, "k") == content
    assert versitygw.uploads(bucket) == []


def test_a_half_open_connection_ends_in_time(
    s3_server: S3Server, toxiproxy: Toxiproxy, files_on: FilesOn, tmp_path: Path
) -> None:
    bucket = s3_server.make_bucket()
    s3_server.client.put_object(Bucket=bucket, Key="k", Body=b"x")
    with toxiproxy.before(s3_server.endpoint) as proxy, proxy.toxic("timeout", timeout=0):
        files = files_on(s3_server, proxy.url, attempts=1, timeouts=Timeouts(connect=0.5, idle=0.5))
        for call in (
            lambda: files.dl_file(bucket, "k", tmp_path / "k"),
            lambda: files.get_metadata(bucket, "k"),
            lambda: list(files.ls_dir(bucket)),
        ):
            with pytest.raises(TierTimeout, match="no answer in time"):
                call()
    assert os.listdir(tmp_path) == []


def test_an_object_that_changes_while_it_is_read_is_never_mixed(
    s3_server: S3Server, toxiproxy: Toxiproxy, files_on: FilesOn, tmp_path: Path
) -> None:
    bucket, other = s3_server.make_bucket(), CONTENT[::-1]
    for to_path in (True, False):
        s3_server.client.put_object(Bucket=bucket, Key="k", Body=CONTENT)
        told: list[int] = []

        def replace(count: int, told: list[int] = told) -> None:
            if not told:
                s3_server.client.put_object(Bucket=bucket, Key="k", Body=other)
            told.append(count)

        with toxiproxy.before(s3_server.endpoint) as proxy, proxy.toxic("limit_data", bytes=3 * MIB):
            files = files_on(s3_server, proxy.url)
            if to_path:
                files.dl_file(bucket, "k", tmp_path / "k", progress_callback=replace)
                assert (tmp_path / "k").read_bytes() == other
                assert sum(told) == len(other)
                assert min(told) < 0
            else:
                with pytest.raises(ObjectChanged, match="a part of what it was"):
                    files.download_object(bucket, "k", io.BytesIO(), progress_callback=replace)


def test_a_file_that_changes_while_it_is_uploaded_is_refused(
    files: S3Files, bucket: str, s3_server: S3Server, tmp_path: Path
) -> None:
    path = tmp_path / "growing"
    path.write_bytes(CONTENT + CONTENT)

    def grow(_: int) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    with pytest.raises(ContentMismatch, match="changed while it was read"):
        files.ul_file(path, bucket, "k", progress_callback=grow)
    assert s3_server.keys(bucket) == []
    assert s3_server.uploads(bucket) == []


def test_a_callback_that_raises_ends_the_work(
    files: S3Files, bucket: str, s3_server: S3Server, tmp_path: Path
) -> None:
    (tmp_path / "large").write_bytes(CONTENT)

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.ul_file(tmp_path / "large", bucket, "k", progress_callback=stop)
    assert s3_server.uploads(bucket) == []
    with pytest.raises(KeyboardInterrupt):
        files.ul_dir(tmp_path, bucket, file_callback=stop)
    files.ul_file(tmp_path / "large", bucket, "k")
    with pytest.raises(KeyboardInterrupt):
        files.dl_file(bucket, "k", tmp_path / "new", progress_callback=stop)
    assert os.listdir(tmp_path) == ["large"]


@pytest.mark.parametrize("make", ["versitygw", "minio"])
def test_a_server_that_dies_in_the_middle_of_a_directory(
    own_s3: Callable[[str], S3Server], files_on: FilesOn, tmp_path: Path, make: str
) -> None:
    server, source = own_s3(make), tmp_path / "source"
    source.mkdir()
    for number in range(60):
        (source / f"{number:02}").write_bytes(os.urandom(1000))
    bucket, told = server.make_bucket(), list[FileResult | FileFailure]()

    def crash(one: FileResult | FileFailure) -> None:
        told.append(one)
        if len(told) == 10:
            server.kill()

    files = files_on(server, attempts=2, max_wait=0.05)
    with pytest.raises(TransferIncomplete) as caught:
        files.ul_dir(source, bucket, "d", file_callback=crash)
    report = caught.value.report
    assert len(report.results) + len(report.failures) == len(told) == 60
    assert len(report.results) >= 10
    assert caught.value.retryable
    assert any("10 in a row failed" in str(one.error) for one in report.failures)
    server.start()
    stored = set(server.keys(bucket))
    assert {one.key for one in report.results} <= stored
    again = files.ul_dir(source, bucket, "d")
    assert again.count("skipped") == len(stored)
    assert {key: server.read(bucket, key) for key in server.keys(bucket)} == {
        f"d/{path.name}": path.read_bytes() for path in source.iterdir()
    }


DOWNLOAD = """
import resource, sys
from ziggurat_s3 import ConnectionOptions, S3Files
endpoint, access, secret, bucket, path, most = sys.argv[1:]
if int(most):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), int(most)))
files = S3Files(ConnectionOptions(endpoint_url=endpoint, access_key_id=access, secret_access_key=secret))
try:
    files.dl_file(bucket, "k", path, progress_callback=lambda count: (print(count, flush=True), input()))
except OSError as error:
    print(error.errno, error.filename)
"""


def run_download(server: S3Server, bucket: str, path: Path, most: int) -> subprocess.Popen[str]:
    arguments = [server.endpoint, server.access_key, server.secret_key, bucket, str(path), str(most)]
    return subprocess.Popen(
        [sys.executable, "-c", DOWNLOAD, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_kill_in_mid_download_leaves_nothing(versitygw: S3Server, tmp_path: Path) -> None:
    bucket = versitygw.make_bucket()
    versitygw.client.put_object(Bucket=bucket, Key="k", Body=CONTENT)
    (tmp_path / "k").write_bytes(b"before")
    process = run_download(versitygw, bucket, tmp_path / "k", 0)
    assert process.stdout is not None
    assert int(process.stdout.readline()) > 0  # it waits there, with a part of the file
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert os.listdir(tmp_path) == ["k"]
    assert (tmp_path / "k").read_bytes() == b"before"


def test_a_full_disk_is_the_fault_of_no_service(
    versitygw: S3Server, files_on: FilesOn, tmp_path: Path
) -> None:
    bucket = versitygw.make_bucket()
    versitygw.client.put_object(Bucket=bucket, Key="k", Body=CONTENT)
    process = run_download(versitygw, bucket, tmp_path / "k", 2 * MIB)
    said, _ = process.communicate("\n" * 100, timeout=60)
    assert said.splitlines()[-1] == f"{errno.EFBIG} {tmp_path / 'k'}"
    assert os.listdir(tmp_path) == []
    with (
        open("/dev/full", "wb", buffering=0) as full,
        pytest.raises(OSError, match="No space left") as caught,
    ):
        files_on(versitygw).download_object(bucket, "k", full)
    assert caught.value.errno == errno.ENOSPC


def test_a_system_without_nameless_files_leaves_none_behind_either(
    versitygw: Versitygw, files_on: FilesOn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ziggurat_s3.files._local._ANONYMOUS", 0)
    bucket = versitygw.make_bucket()
    versitygw.client.put_object(Bucket=bucket, Key="k", Body=CONTENT)
    files = files_on(versitygw)

    def stop(_: int) -> None:
        assert len(os.listdir(tmp_path)) == 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        files.dl_file(bucket, "k", tmp_path / "k", progress_callback=stop)
    assert os.listdir(tmp_path) == []
    files.dl_file(bucket, "k", tmp_path / "k")
    assert os.listdir(tmp_path) == ["k"]


def test_who_may_not_ask_is_told_so_without_secrets(versitygw: S3Server, tmp_path: Path) -> None:
    bucket = versitygw.make_bucket()
    (tmp_path / "k").write_bytes(b"x")
    secret = "not-the-secret-of-anybody"
    for access, secret_key in ((versitygw.access_key, secret), ("nobody", secret)):
        files = S3Files(
            ConnectionOptions(
                endpoint_url=versitygw.endpoint, access_key_id=access, secret_access_key=secret_key
            )
        )
        for call in (
            lambda files=files: files.ul_file(tmp_path / "k", bucket, "k"),
            lambda files=files: files.ul_dir(tmp_path, bucket),
            lambda files=files: files.list_buckets(),
            lambda files=files: files.empty_bucket(bucket),
        ):
            with pytest.raises(TierDenied) as caught:
                call()
            assert secret not in f"{caught.value!r} {caught.value} {files!r}"
    assert versitygw.keys(bucket) == []


def test_writers_and_readers_at_once_see_whole_files(
    s3_server: S3Server, files_on: FilesOn, tmp_path: Path
) -> None:
    files, bucket, size = files_on(s3_server), s3_server.make_bucket(), 300_000
    path, end = tmp_path / "k", threading.Event()
    files.upload_object(io.BytesIO(bytes(size)), bucket, "k")
    files.dl_file(bucket, "k", path)
    failed: list[object] = []

    def look() -> None:
        while not end.is_set():
            content = path.read_bytes()
            if len(content) != size or len(set(content)) != 1:
                failed.append(len(content))

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for number in range(1, 20):
            files.upload_object(io.BytesIO(bytes([number]) * size), bucket, "k")
            files.dl_file(bucket, "k", path)
    finally:
        end.set()
        reader.join()
    assert failed == []
