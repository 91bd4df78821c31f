"""The file operations of the S3 plugin on a service of its own, against boto3 on the same service.

Versitygw keeps plain files: what is measured is the clients, not a database. Every upload of many goes to a
bucket that holds nothing yet.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.harness import Case, Row, limit, pairs
from tests.bench.workshop import KIB, MIB, scratch
from tests.support.servers.s3 import S3Server, Versitygw

from ziggurat_s3 import ConnectionOptions, S3Files


def cases() -> list[Case]:
    """The cases of this module."""
    return [Case("s3-files-small", _small), Case("s3-files-large", _large), Case("s3-files-memory", _memory)]


@contextmanager
def _server() -> Iterator[tuple[S3Server, Path]]:
    with scratch() as folder:
        server = Versitygw(folder / "versitygw").start()
        try:
            yield server, folder
        finally:
            server.stop()


def _files(server: S3Server) -> S3Files:
    return S3Files(
        ConnectionOptions(
            endpoint_url=server.endpoint,
            access_key_id=server.access_key,
            secret_access_key=server.secret_key,
        )
    )


def _small(quick: bool) -> Iterator[Row]:
    count = 200 if quick else 2000
    with _server() as (server, folder):
        source = folder / "source"
        for number in range(count):
            path = source / f"{number % 20}" / f"{number}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.urandom(4 * KIB))
        paths = sorted(path for path in source.rglob("*") if path.is_file())
        files, client = _files(server), server.connect()

        def ours() -> float:
            bucket = server.make_bucket()
            start = time.perf_counter()
            report = files.ul_dir(source, bucket)
            taken = time.perf_counter() - start
            assert report.count("uploaded") == count
            return taken

        def peer() -> float:
            bucket = server.make_bucket()
            start = time.perf_counter()
            for path in paths:
                client.upload_file(str(path), bucket, str(path.relative_to(source)))
            return time.perf_counter() - start

        name = f"S3 files: upload of a directory of {count:,} files of 4 KiB"
        yield pairs(name, ours, peer, 3 if quick else 7, against="a loop of boto3's upload_file", target=5.0)

        bucket = server.make_bucket()
        files.ul_dir(source, bucket)

        def skipping() -> None:
            assert files.ul_dir(source, bucket).count("skipped") == count

        def reading() -> None:
            for path in paths:
                client.head_object(Bucket=bucket, Key=str(path.relative_to(source)))

        name = f"S3 files: upload of the same {count:,} files again, all equal"
        yield pairs(name, skipping, reading, 3 if quick else 7, against="a loop of boto3's head_object")

        numbers = iter(range(1000))

        def down() -> None:
            assert files.dl_dir(bucket, "", folder / f"ours-{next(numbers)}").count("downloaded") == count

        def down_peer() -> None:
            target = folder / f"theirs-{next(numbers)}"
            for number in range(20):
                (target / str(number)).mkdir(parents=True)
            for path in paths:
                key = str(path.relative_to(source))
                client.download_file(bucket, key, str(target / key))

        name = f"S3 files: download of a directory of {count:,} files of 4 KiB"
        yield pairs(name, down, down_peer, 3 if quick else 7, against="a loop of boto3's download_file")


def _large(quick: bool) -> Iterator[Row]:
    size = (32 if quick else 256) * MIB
    with _server() as (server, folder):
        path, back = folder / "large", folder / "back"
        path.write_bytes(os.urandom(size))
        files, client, bucket = _files(server), server.connect(), server.make_bucket()

        def down() -> None:
            files.dl_file(bucket, "large", back)

        def down_peer() -> None:
            client.download_file(bucket, "large", str(back))

        def up() -> None:
            files.ul_file(path, bucket, "large")

        def up_peer() -> None:
            client.upload_file(str(path), bucket, "large")

        name = f"S3 files: upload of one file of {size // MIB} MiB"
        yield pairs(name, up, up_peer, 3 if quick else 7, against="boto3's upload_file")
        name = f"S3 files: download of one file of {size // MIB} MiB"
        yield pairs(name, down, down_peer, 3 if quick else 7, against="boto3's download_file")


_BOTH_WAYS = """
import sys
from ziggurat_s3 import ConnectionOptions, S3Files
endpoint, access, secret, bucket, path = sys.argv[1:]
def most():
    # Not what getrusage says: that counts what the process was before it became this program.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
files = S3Files(ConnectionOptions(endpoint_url=endpoint, access_key_id=access, secret_access_key=secret))
files.ul_file(path + ".small", bucket, "small")
files.get_object(bucket, "small")
before = most()
files.ul_file(path, bucket, "large")
files.dl_file(bucket, "large", path + ".back")
with open(path, "rb") as one, open(path + ".back", "rb") as other:
    while piece := one.read(1 << 20):
        assert piece == other.read(1 << 20)
print((most() - before) / 1024)
"""


def _memory(quick: bool) -> Iterator[Row]:
    mib = 64 if quick else 1024
    with _server() as (server, folder):
        path, bucket = folder / "large", server.make_bucket()
        with path.open("wb") as file:
            for _ in range(mib):
                file.write(os.urandom(MIB))
        (folder / "large.small").write_bytes(b"warm")

        def grown() -> float:
            asked = [sys.executable, "-c", _BOTH_WAYS, server.endpoint, server.access_key, server.secret_key]
            done = subprocess.run([*asked, bucket, str(path)], check=True, capture_output=True, text=True)
            return float(done.stdout)

        name = f"S3 files: memory that an upload and a download of {mib} MiB take"
        yield limit(name, grown, 1 if quick else 3, at_most=100, unit="MiB")
