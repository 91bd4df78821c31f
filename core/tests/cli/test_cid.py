"""``cid`` gives the CIDs that others published, from their options alone."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ziggurat.content import Cid, Profile

from .conftest import CID, FakeStore, Result

Run = Callable[..., Result]

VECTORS = json.loads((Path(__file__).parents[1] / "content" / "vectors.json").read_text())["vectors"]
KNOBS = ("cid-version", "chunker", "max-file-links", "hamt-threshold", "hamt-size-estimation")


def simple(described: dict[str, Any]) -> bool:
    """Whether this file knows how to make it; the importers' own tests make them all."""
    if described["type"] == "dir":
        entries = described.get("entries")
        return "files_seq" in described or (entries is not None and all(map(simple, entries.values())))
    return "utf8" in described or "repeat" in described or described["type"] == "symlink"


def make(path: Path, described: dict[str, Any]) -> None:
    if described["type"] == "symlink":
        path.symlink_to(described["target"])
    elif described["type"] == "file":
        repeat = described.get("repeat")
        data = described["utf8"].encode() if repeat is None else bytes([repeat["byte"]]) * repeat["size"]
        path.write_bytes(data)
    else:
        path.mkdir()
        for name, child in described.get("entries", {}).items():
            make(path / name, child)
        if how := described.get("files_seq"):
            for index in range(1, how["count"] + 1):
                (path / (how["name"] % index)).write_text(how["content"] % index)


SIMPLE = [vector for vector in VECTORS if vector["input"]["type"] != "block" and simple(vector["input"])]


def test_enough_vectors_are_simple() -> None:
    assert len(SIMPLE) >= 20


@pytest.mark.parametrize("vector", SIMPLE, ids=lambda vector: vector["id"])
def test_published_cid(vector: dict[str, Any], run: Run, tmp_path: Path) -> None:
    """Inside a directory, because a symlink on the command line is followed."""
    (tmp_path / "in").mkdir()
    make(tmp_path / "in" / "it", vector["input"])
    options = vector["options"]
    flags = [f"--{knob}={options[knob]}" for knob in KNOBS]
    flags.append("--raw-leaves" if options["raw-leaves"] else "--no-raw-leaves")
    records = run("cid", "--json", "in", *flags).records
    assert {record["path"]: record["cid"] for record in records}["in/it"] == vector["cid"]
    if "profile" in options and "shard" not in vector["id"]:
        records = run("cid", "--json", "in", "--profile", options["profile"]).records
        assert {record["path"]: record["cid"] for record in records}["in/it"] == vector["cid"]


def test_text_and_json(run: Run, store: FakeStore, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.txt").write_bytes(b"hello world")
    (tmp_path / "d" / ".hidden").write_bytes(b"")
    root = run("cid", "d/").text.split()[0]
    assert run("cid", "d/", "d/a.txt").text == f"{root}  d/\n{CID}  d/a.txt\n"
    records = run("cid", "d", "--json").records
    assert [record["path"] for record in records] == ["d/.hidden", "d/a.txt", "d"]
    assert records[-1] == {"cid": root, "path": "d", "size": 11, "type": "directory"}
    assert not store.calls


def test_standard_input_and_fifos(run: Run, tmp_path: Path) -> None:
    assert run("cid", "-", stdin=b"hello world").text == f"{CID}  -\n"
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"hello world",))
    writer.start()
    assert run("cid", "pipe").text == f"{CID}  pipe\n"
    writer.join()
    assert run("cid", "-", "-").code == 2


def test_a_symlink_on_the_command_line_is_followed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"hello world")
    (tmp_path / "link").symlink_to("a.txt")
    assert run("cid", "link").text == f"{CID}  link\n"
    (tmp_path / "dangling").symlink_to("nowhere")
    assert run("cid", "dangling").code == 1


def cid_of(profile: Profile) -> str:
    from ziggurat.content import import_stream

    return str(import_stream([b"hello world" * 100], profile).root)


@pytest.mark.parametrize(
    ("flags", "profile"),
    [
        (["--cid-version=0"], Profile(cid_version=0, raw_leaves=False)),
        (["--cid-version=0", "--raw-leaves"], Profile(cid_version=0, raw_leaves=True)),
        (["--no-raw-leaves"], Profile(raw_leaves=False)),
        (["--hash=sha2-512"], Profile(hash_name="sha2-512")),
        (["--hash=blake2b-256", "--chunker=size-100"], Profile(hash_name="blake2b-256", chunk_size=100)),
        (
            ["--profile=unixfs-v0-2015", "--hash=sha2-512"],
            Profile(chunk_size=1 << 18, max_links=174, hash_name="sha2-512"),
        ),
        (["--profile=unixfs-v0-2015", "--cid-version=1"], Profile(chunk_size=1 << 18, max_links=174)),
        (
            ["--profile=unixfs-v0-2015", "--chunker=size-10", "--max-file-links=2"],
            Profile(cid_version=0, raw_leaves=False, chunk_size=10, max_links=2),
        ),
    ],
)
def test_what_options_imply(run: Run, flags: list[str], profile: Profile) -> None:
    result = run("cid", "-", *flags, stdin=b"hello world" * 100)
    assert result.text.split()[0] == cid_of(profile)


@pytest.mark.parametrize(
    "flags",
    [
        ["--chunker=rabin"],
        ["--chunker=size-0"],
        ["--chunker=size-99999999"],
        ["--max-file-links=1"],
        ["--hash=md5"],
        ["--hash=identity"],
        ["--cid-version=0", "--hash=sha2-512"],
        ["--cid-version=2"],
        ["--profile=unixfs-v9"],
        ["--hamt-threshold=lots"],
        ["--hamt-threshold=0"],
        ["--hamt-size-estimation=guess"],
    ],
)
def test_wrong_options(run: Run, flags: list[str]) -> None:
    result = run("cid", "-", *flags, "--json", stdin=b"x")
    assert (result.code, result.out) == (2, b"")
    assert result.errors[0]["error"] == "UsageError"


def test_hamt_options(run: Run, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for number in range(20):
        (tmp_path / "d" / str(number)).write_bytes(b"")
    flat = run("cid", "d").text
    assert run("cid", "d", "--hamt-threshold=1GiB").text == flat
    assert run("cid", "d", "--hamt-threshold=1", "--hamt-size-estimation=disabled").text == flat
    hamt = run("cid", "d", "--hamt-threshold=1").text
    assert hamt != flat
    assert run("cid", "d", "--hamt-threshold=1 B", "--hamt-size-estimation=links").text == hamt


def test_failures_do_not_stop_the_others(run: Run, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    os.mkfifo(tmp_path / "d" / "pipe")
    (tmp_path / "a.txt").write_bytes(b"hello world")
    result = run("cid", "missing", "d", "a.txt")
    assert (result.code, result.text) == (1, f"{CID}  a.txt\n")
    first, second = result.err.splitlines()
    assert "no such file or directory: 'missing'" in first
    assert "'d/pipe' is a fifo" in second


def test_no_configuration_is_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "ziggurat.toml").write_text("this is not TOML")
    assert run("cid", "-", stdin=b"hello world").code == 0
    assert run("backends").code == 0


def test_memory_does_not_grow_with_the_input(run: Run, tmp_path: Path) -> None:
    import tracemalloc

    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(200 << 20)
    tracemalloc.start()
    try:
        result = run("cid", "sparse", "--json")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.records[0]["size"] == 200 << 20
    assert peak < 60 << 20
    assert Cid(result.records[0]["cid"])
