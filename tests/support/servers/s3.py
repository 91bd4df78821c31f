"""S3 services for the tests: three makes, each with a folder of its own, on a free port of loopback."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.servers.build import Program, built
from tests.support.servers.process import ServerProcess, free_port

__all__ = ["MAKES", "MINIO", "RCLONE", "VERSITYGW", "Minio", "Rclone", "S3Server", "Versitygw"]

MINIO = Program("minio", "github.com/minio/minio", "v0.0.0-20260212201848-7aac2a2c5b7c")
VERSITYGW = Program("versitygw", "github.com/versity/versitygw/cmd/versitygw", "v1.8.0")
RCLONE = Program("rclone", "github.com/rclone/rclone", "v1.76.0")

_ATTEMPTS = 5  # a free port may be taken before the server binds it


class S3Server:
    """One service; a make is a subclass that says how it is started.

    Args:
        folder: Where its data and its log go; made if need be.

    Attributes:
        make: Its name.
        program: What is built for it.
        folder: As given.
        data: The folder that it keeps objects under, in its own way.
        endpoint: URL; it stays the same over `stop` and `start`. "" before the first start.
        access_key, secret_key: Credentials of its owner.
        region: That it is in.
    """

    make = ""
    program: Program
    region = "us-east-1"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir(parents=True)
        self.endpoint = ""
        self.access_key, self.secret_key = "ziggurat-test", "a-secret-of-the-tests"
        self._port = 0
        self._binary = str(built(self.program))
        self.process = ServerProcess(folder / "log")
        self._client: Any = None
        self._numbers = itertools.count(1)

    def _command(self, address: str) -> list[str]:
        """The program and its arguments, given host and port."""
        raise AssertionError("a make says how it is started")

    def _variables(self) -> dict[str, str]:
        """What stands in its environment."""
        return {}

    def start(self) -> S3Server:
        """Start it, and wait until it lists buckets; on the port that it had, if it ran before."""
        for attempt in range(_ATTEMPTS):
            port = self._port or free_port()
            self.endpoint = f"http://127.0.0.1:{port}"
            try:
                self.process.start(self._command(f"127.0.0.1:{port}"), self._answers, more=self._variables())
            except RuntimeError:
                if self._port or attempt == _ATTEMPTS - 1:
                    raise
                self._close_client()
            else:
                self._port = port
                return self
        raise AssertionError("unreachable")

    def _answers(self) -> bool:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self.client.list_buckets()
        except (BotoCoreError, ClientError):
            return False
        return True

    @property
    def client(self) -> Any:
        """A boto3 client as its owner, past everything under test; it tries once and does not wait long."""
        if self._client is None:
            self._client = self.connect()
        return self._client

    def connect(self, *, endpoint: str = "", **config: object) -> Any:
        """A boto3 client of its own as the owner.

        Args:
            endpoint: A proxy in front of it.
            config: Of botocore, instead of our own few.
        """
        import boto3
        from botocore.config import Config

        ours: dict[str, object] = {
            "retries": {"total_max_attempts": 1},
            "connect_timeout": 5,
            "read_timeout": 60,
            "s3": {"addressing_style": "path"},
            # Not every make understands the checksums that boto3 sends unless told otherwise.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        }
        merged: Any = {**ours, **config}
        session: Any = boto3.session.Session(
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
        )
        return session.client("s3", endpoint_url=endpoint or self.endpoint, config=Config(**merged))

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables by which any S3 client finds this service as its owner."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
        }

    def make_bucket(self, name: str = "") -> str:
        """Make a bucket, by default one that no test had before, and give its name."""
        bucket = name or f"bucket-{next(self._numbers)}"
        self.client.create_bucket(Bucket=bucket)
        return bucket

    def keys(self, bucket: str) -> list[str]:
        """All keys of a bucket, in order."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [row["Key"] for page in pages for row in page.get("Contents", ())]

    def uploads(self, bucket: str) -> list[str]:
        """Keys of the multipart uploads that were begun and neither completed nor given up."""
        return [key for key, _ in self._uploads(bucket)]

    def _uploads(self, bucket: str) -> list[tuple[str, str]]:
        rows = self.client.list_multipart_uploads(Bucket=bucket).get("Uploads", ())
        return [(row["Key"], row["UploadId"]) for row in rows]

    def read(self, bucket: str, key: str) -> bytes:
        """An object's bytes, as boto3 reads them."""
        body: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def wipe(self) -> None:
        """Delete every bucket with all that is in it."""
        for row in self.client.list_buckets()["Buckets"]:
            bucket = row["Name"]
            for key, upload in self._uploads(bucket):
                self.client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
            for key in self.keys(bucket):
                self.client.delete_object(Bucket=bucket, Key=key)
            self.client.delete_bucket(Bucket=bucket)

    def kill(self) -> None:
        """Kill it as a crash would; `start` brings it back at the same endpoint."""
        self._close_client()
        self.process.kill()

    def stop(self) -> None:
        """Stop it and wait for its end; `start` brings it back at the same endpoint."""
        self._close_client()
        self.process.stop()

    def remove(self) -> None:
        """End it, and delete what it kept. Not in peace: MinIO waits long for clients' idle connections."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _close_client(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


class Minio(S3Server):
    """MinIO: every feature of S3 that matters here, objects in a format of its own."""

    make = "minio"
    program = MINIO

    def _command(self, address: str) -> list[str]:
        return [self._binary, "server", str(self.data), "--address", address, "--quiet"]

    def _variables(self) -> dict[str, str]:
        owner = {"MINIO_ROOT_USER": self.access_key, "MINIO_ROOT_PASSWORD": self.secret_key}
        return {**owner, "MINIO_BROWSER": "off", "MINIO_UPDATE": "off"}

    def temporary_keys(self, actions: Sequence[str], bucket: str) -> dict[str, Any]:
        """Keys for the objects of one bucket, as options of a connection.

        Args:
            actions: What they allow, such as "s3:GetObject".
            bucket: Where.
        """
        import boto3

        where = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
        allowed = {"Effect": "Allow", "Action": list(actions), "Resource": where}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        session: Any = boto3.session.Session(self.access_key, self.secret_key, region_name=self.region)
        client = session.client("sts", endpoint_url=self.endpoint)
        try:
            role = "arn:aws:iam::123456789012:role/any"
            made = client.assume_role(RoleArn=role, RoleSessionName="tests", Policy=policy)["Credentials"]
        finally:
            client.close()
        return {
            "access_key_id": made["AccessKeyId"],
            "secret_access_key": made["SecretAccessKey"],
            "session_token": made["SessionToken"],
        }


class Versitygw(S3Server):
    """versitygw: an object is a plain file ``BUCKET/KEY`` under `data`."""

    make = "versitygw"
    program = VERSITYGW

    def _command(self, address: str) -> list[str]:
        return [self._binary, "--port", address, "--keep-alive", "--quiet", "posix", str(self.data)]

    def _variables(self) -> dict[str, str]:
        return {"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key}

    def file(self, bucket: str, key: str) -> Path:
        """The file of an object."""
        return self.data / bucket / key


class Rclone(S3Server):
    """rclone: a lenient one that keeps user metadata in memory only, and plain files."""

    make = "rclone"
    program = RCLONE

    def _command(self, address: str) -> list[str]:
        keys = f"{self.access_key},{self.secret_key}"
        config = ["--config", str(self.folder / "rclone.conf"), "--cache-dir", str(self.folder / "cache")]
        return [self._binary, "serve", "s3", "--auth-key", keys, "--addr", address, *config, str(self.data)]

    def _uploads(self, bucket: str) -> list[tuple[str, str]]:
        try:
            return super()._uploads(bucket)
        except self.client.exceptions.NoSuchUpload:  # its word for none
            return []


MAKES: Mapping[str, type[S3Server]] = {kind.make: kind for kind in (Minio, Versitygw, Rclone)}
"""Every make by its name."""
