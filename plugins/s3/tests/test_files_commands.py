"""``ziggurat s3`` on a real service: records, exit codes, pipes, and where it finds the service."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
from attrs import frozen
from tests.support.servers.s3 import S3Server

from ziggurat.cli._app import main
from ziggurat_s3.commands import s3


@frozen
class Said:
    """How one run of the command line ended."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.err.splitlines()]


Run = Callable[..., Said]


@pytest.fixture
def run(
    minio: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Run:
    """Runs ``ziggurat s3 …`` in this process and an empty folder, with the service in the environment."""
    monkeypatch.chdir(tmp_path)
    for name, value in minio.environment.items():
        monkeypatch.setenv(name, value)

    def one(*arguments: str, stdin: bytes = b"") -> Said:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfdbinary.readouterr()
        code = main(["s3", *arguments])
        out, err = capfdbinary.readouterr()
        return Said(code, out.decode(), err.decode())

    return one


@pytest.fixture
def process(minio: S3Server, tmp_path: Path) -> Run:
    """Runs ``ziggurat s3 …`` as a process, with nothing of AWS in the environment but what it is given."""

    def one(*arguments: str, env: Mapping[str, str]) -> Said:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        done = subprocess.run(
            [sys.executable, "-m", "ziggurat", "s3", *arguments],
            env={**clean, "HOME": str(tmp_path), **env},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
        )
        return Said(done.returncode, done.stdout.decode(), done.stderr.decode())

    return one


@pytest.fixture
def vault(minio: S3Server) -> str:
    return minio.make_bucket()


def test_files_there_and_back(run: Run, vault: str, minio: S3Server, tmp_path: Path) -> None:
    (tmp_path / "a b.txt").write_text("hello")
    done = run("up", "a b.txt", f"s3://{vault}/in/", "--metadata", "who=me", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.records == [
        {
            "action": "uploaded",
            "address": f"s3://{vault}/in/a b.txt",
            "bucket": vault,
            "key": "in/a b.txt",
            "size": 5,
            "e_tag": "5d41402abc4b2a76b9719d911017c592",
            "last_modified": None,
            "path": "a b.txt",
            "source": None,
            "checked": None,
        }
    ]
    assert run("up", "-", f"s3://{vault}/%2B+ä", stdin=b"\0piped").code == 0
    assert minio.keys(vault) == ["%2B+ä", "in/a b.txt"]
    assert run("down", f"s3://{vault}/%2B+ä", "--to", "-").out == "\0piped"
    assert run("down", f"s3://{vault}/in/a b.txt", "--to", "back").code == 0
    assert (tmp_path / "back").read_text() == "hello"
    copied = run("cp", f"s3://{vault}/in/a b.txt", f"s3://{vault}/copy/", "--json").records[0]
    assert (copied["key"], copied["source"]) == ("copy/a b.txt", f"s3://{vault}/in/a b.txt")
    assert run("mv", f"s3://{vault}/copy/a b.txt", f"s3://{vault}/moved").code == 0
    told = run("metadata", "get", f"s3://{vault}/moved", "--json").records[0]
    assert (told["metadata"], told["content_type"]) == ({"who": "me"}, "text/plain")
    told = run("metadata", "set", f"s3://{vault}/moved", "x=1=2", "--json").records[0]
    assert (told["metadata"], told["content_type"]) == ({"x": "1=2"}, "text/plain")
    listed = run("ls", f"s3://{vault}", "--json").records
    assert [(row["key"], row["type"]) for row in listed] == [
        ("%2B+ä", "file"),
        ("in/", "directory"),
        ("moved", "file"),
    ]


def test_directories_there_and_back(run: Run, vault: str, minio: S3Server, tmp_path: Path) -> None:
    for name in ("tree/1", "tree/sub/2"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert {one["action"] for one in run("up", "tree", f"s3://{vault}/t", "--json").records} == {"uploaded"}
    assert {one["action"] for one in run("up", "tree", f"s3://{vault}/t", "--json").records} == {"skipped"}
    assert run("cp", "-r", f"s3://{vault}/t", f"s3://{vault}/u").code == 0
    assert run("mv", f"s3://{vault}/u/", f"s3://{vault}/v").code == 0
    assert run("down", f"s3://{vault}/v/", "--to", "back").code == 0
    assert (tmp_path / "back/sub/2").read_text() == "tree/sub/2"
    assert run("mkdir", f"s3://{vault}/empty").code == 0
    assert len(run("rm", "-r", f"s3://{vault}/t", "--json").records) == 2
    assert minio.keys(vault) == ["empty/", "v/1", "v/sub/2"]
    (tmp_path / "tree/leaves").symlink_to("/etc/hostname")
    done = run("up", "tree", f"s3://{vault}/v", "--json")
    assert done.code == 1
    assert [one["action"] for one in done.records] == ["skipped", "skipped"]
    assert [(one["error"], one["path"]) for one in done.errors] == [("Unsupported", f"s3://{vault}/v/leaves")]


def test_exit_codes_say_what_was_wrong(
    run: Run, process: Run, vault: str, minio: S3Server, tmp_path: Path
) -> None:
    (tmp_path / "k").write_text("x")
    address = f"s3://{vault}/no/such"
    absent = run("down", address, "--json")
    assert (absent.code, absent.out) == (4, "")
    assert absent.errors[0]["error"] == "ObjectNotFound"
    assert (absent.errors[0]["cid"], absent.errors[0]["op"]) == (None, "dl_file")
    assert run("rm", address).code == 4
    assert run("metadata", "get", address).code == 4
    assert run("down", f"{address}/", "--to", "x").code == 4
    assert run("ls", "s3://no-such-bucket").code == 5
    assert run("up", "gone", f"s3://{vault}/k").code == 1
    assert run("ls", vault).code == 2
    assert run("rm", "-r", f"s3://{vault}").code == 2
    assert run("up", "k", f"s3://{vault}/k", "--metadata", "novalue").code == 2
    assert run("up", "-", f"s3://{vault}/").code == 2
    assert run("ls", f"s3://{vault}", "--endpoint-url", "ftp://x").code == 3
    wrong = {**minio.environment, "AWS_SECRET_ACCESS_KEY": "wrong"}
    assert process("ls", f"s3://{vault}", env=wrong).code == 8
    nobody = {"AWS_ENDPOINT_URL_S3": minio.endpoint, "AWS_EC2_METADATA_DISABLED": "true"}
    assert process("ls", f"s3://{vault}", env=nobody).code == 8
    assert minio.keys(vault) == []
    both = run("rm", address, f"s3://{vault}/also")
    assert both.code == 4
    assert len(both.err.splitlines()) == 2


def test_buckets(run: Run, vault: str, minio: S3Server) -> None:
    name = f"{vault}-new"
    assert run("bucket", "create", name).code == 0
    assert name in [row["bucket"] for row in run("bucket", "ls", "--json").records]
    assert run("bucket", "has", name).code == 0
    assert run("bucket", "has", name, "no-such-bucket").code == 1
    minio.client.put_object(Bucket=name, Key="k", Body=b"x")
    assert run("bucket", "rm", name).code == 1
    assert run("rm", "-r", "--all", f"s3://{name}").code == 0
    assert run("bucket", "rm", name).code == 0
    assert run("bucket", "has", name).code == 1


def test_a_tier_of_the_stack_says_where_and_who(
    process: Run, vault: str, minio: S3Server, tmp_path: Path
) -> None:
    (tmp_path / "ziggurat.toml").write_text(
        f"""
[store]
path = "catalog"
[[tier]]
name = "archive"
backend = "s3"
role = "store"
[tier.options]
bucket = "{vault}"
prefix = "ipfs/"
endpoint_url = "{minio.endpoint}"
access_key_id = "{minio.access_key}"
secret_access_key = {{ env = "VAULT_SECRET" }}
storage_class = "REDUCED_REDUNDANCY"
"""
    )
    env = {"VAULT_SECRET": minio.secret_key}
    done = process("up", "ziggurat.toml", f"s3://{vault}/", "--tier", "archive", env=env)
    assert (done.code, done.err) == (0, "")
    told = minio.client.head_object(Bucket=vault, Key="ziggurat.toml")
    assert told["StorageClass"] == "REDUCED_REDUNDANCY"
    assert process("ls", f"s3://{vault}", "--tier", "nobody", env=env).code == 3
    assert process("ls", f"s3://{vault}", "--tier", "archive", "--region", "x", env=env).code == 2
    assert minio.secret_key not in done.out + done.err


def test_options_on_the_line(process: Run, vault: str, minio: S3Server, tmp_path: Path) -> None:
    folder = tmp_path / ".aws"
    folder.mkdir()
    (folder / "credentials").write_text(
        f"[me]\naws_access_key_id = {minio.access_key}\naws_secret_access_key = {minio.secret_key}\n"
    )
    place = ("--profile", "me", "--endpoint-url", minio.endpoint, "--region", "us-east-1")
    assert process("bucket", "has", vault, *place, env={}).code == 0


def test_a_reader_that_goes_away_ends_it_quietly(vault: str, minio: S3Server, tmp_path: Path) -> None:
    for number in range(5):
        minio.client.put_object(Bucket=vault, Key=str(number) * 200, Body=b"")
    script = f"{sys.executable} -m ziggurat s3 ls s3://{vault} | head -n 1"
    done = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, **minio.environment},
        capture_output=True,
        cwd=tmp_path,
    )
    assert (done.stdout.count(b"\n"), done.stderr) == (1, b"")


def commands(group: click.Group) -> list[click.Command]:
    found: list[click.Command] = []
    for command in group.commands.values():
        found += [command, *(commands(command) if isinstance(command, click.Group) else [])]
    return found


def test_every_command_has_help_and_examples_and_stands_in_the_readme() -> None:
    readme = (Path(__file__).resolve().parents[1] / "README.md").read_text()
    for command in commands(s3):
        assert command.help, command.name
        assert "Examples:" in (command.epilog or ""), command.name
        if not isinstance(command, click.Group):
            assert f"{command.name}" in readme


def test_what_is_not_there_is_said_by_ls_and_rm(run: Run, vault: str, minio: S3Server) -> None:
    minio.client.put_object(Bucket=vault, Key="d/k", Body=b"x")
    assert [one["key"] for one in run("ls", "--json", f"s3://{vault}/d/k").records] == ["d/k"]
    assert run("ls", f"s3://{vault}").code == 0
    run("mkdir", f"s3://{vault}/empty")
    assert (run("ls", f"s3://{vault}/empty").code, run("ls", f"s3://{vault}/empty").out) == (0, "")
    for words in (("ls", f"s3://{vault}/nothing"), ("rm", "-r", f"s3://{vault}/d/k")):
        said = run(*words)
        assert said.code == 4
        assert words[-1] in said.err
    assert minio.keys(vault) == ["d/k", "empty/"]


def test_a_directory_does_not_go_to_standard_output(run: Run, vault: str, tmp_path: Path) -> None:
    said = run("down", f"s3://{vault}/", "--to", "-")
    assert said.code == 2
    assert "name a folder" in said.err
    assert os.listdir(tmp_path) == []
