"""The servers that the tests stand on: each make starts, holds objects, outlives a crash."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.servers.build import Program, built
from tests.support.servers.s3 import MAKES, S3Server, Versitygw
from tests.support.servers.toxiproxy import Toxiproxy

ROOT = Path(__file__).resolve().parents[1]


def test_an_object_goes_in_and_comes_out(s3_server: S3Server) -> None:
    bucket, client = s3_server.make_bucket(), s3_server.client
    key = "a folder/ä + %25.txt"
    client.put_object(Bucket=bucket, Key=key, Body=b"inside")
    assert s3_server.read(bucket, key) == b"inside"
    assert s3_server.keys(bucket) == [key]
    assert s3_server.uploads(bucket) == []


def test_versitygw_keeps_plain_files(versitygw: Versitygw) -> None:
    bucket = versitygw.make_bucket()
    versitygw.client.put_object(Bucket=bucket, Key="a/b", Body=b"inside")
    assert versitygw.file(bucket, "a/b").read_bytes() == b"inside"


@pytest.mark.parametrize("make", MAKES)
def test_what_was_stored_outlives_a_crash(own_s3: Callable[[str], S3Server], make: str) -> None:
    server = own_s3(make)
    server.make_bucket("kept-bucket")
    server.client.put_object(Bucket="kept-bucket", Key="k", Body=b"inside")
    before = server.endpoint
    server.kill()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(before)
    assert server.start().endpoint == before
    assert server.read("kept-bucket", "k") == b"inside"
    server.wipe()
    assert server.client.list_buckets()["Buckets"] == []


def test_a_proxy_cuts_an_answer_short(versitygw: S3Server, toxiproxy: Toxiproxy) -> None:
    bucket = versitygw.make_bucket()
    versitygw.client.put_object(Bucket=bucket, Key="k", Body=bytes(100_000))
    with toxiproxy.before(versitygw.endpoint) as proxy:
        client = versitygw.connect(endpoint=proxy.url)
        assert len(client.get_object(Bucket=bucket, Key="k")["Body"].read()) == 100_000
        with proxy.toxic("limit_data", bytes=5_000):
            client.close()
            client = versitygw.connect(endpoint=proxy.url)
            with pytest.raises(Exception, match=r"IncompleteRead|broken|closed"):
                client.get_object(Bucket=bucket, Key="k")["Body"].read()
        client.close()
        with proxy.down(), pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(proxy.url)


def test_a_server_that_cannot_be_built_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="there is none: install go"):
        built(Program("x", "example.invalid/x", "v1.0.0"))
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.servers", "toxiproxy"],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "toxiproxy v2.5.0" in done.stdout
    assert "install go" in done.stderr


def test_what_is_built_is_not_built_again(tmp_path: Path) -> None:
    made = tmp_path / "ziggurat/servers/toxiproxy-v2.5.0/toxiproxy"
    made.parent.mkdir(parents=True)
    made.touch()
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.servers", "toxiproxy"],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == done.stderr == ""
