"""Directories on every make: there and back, what is equal skipped, neighbours left alone."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.servers.s3 import S3Server

from ziggurat.errors import TierError, Unsupported
from ziggurat_s3 import S3Files
from ziggurat_s3.files import FileFailure, FileResult, TransferIncomplete

NAMES = st.sampled_from(["a", "b c", "ä", "+%20", "x.html", ".hidden", "nl\nx", "'&<"])
TREES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map(tuple), st.binary(max_size=50), max_size=8
)


def grow(folder: Path, tree: dict[tuple[str, ...], bytes]) -> dict[str, bytes]:
    """Make files; a name that is a directory already, or below a file, is left out."""
    folder.mkdir()
    made: dict[str, bytes] = {}
    for names, content in tree.items():
        path = folder.joinpath(*names)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError:
            continue
        made["/".join(names)] = content
    return made


def found(folder: Path) -> dict[str, bytes | None]:
    """All files of a folder with their content, and empty folders as None."""
    tree: dict[str, bytes | None] = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file():
            tree[name] = path.read_bytes()
        elif not any(path.iterdir()):
            tree[name] = None
    return tree


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(tree=TREES, empty=st.booleans())
def test_any_tree_there_and_back(
    files_on: Callable[..., S3Files],
    s3_server: S3Server,
    tmp_path_factory: pytest.TempPathFactory,
    tree: dict[tuple[str, ...], bytes],
    empty: bool,
) -> None:
    # rclone loses sight of one file in a thousand where folders are made at once: it says 404 of it.
    files = files_on(s3_server, workers=1 if s3_server.make == "rclone" else 8)
    bucket, work = s3_server.make_bucket(), tmp_path_factory.mktemp("tree")
    wanted = grow(work / "source", tree)
    if empty:
        (work / "source/empty/one").mkdir(parents=True)
    told: list[FileResult | FileFailure] = []
    report = files.ul_dir(work / "source", bucket, "tree/of", file_callback=told.append)
    assert list(report.results) == told
    assert report.count("uploaded") == len(wanted)
    there = {
        key.removeprefix("tree/of/"): s3_server.read(bucket, key)
        for key in s3_server.keys(bucket)
        if not key.endswith("/")
    }
    assert there == wanted
    again = files.ul_dir(work / "source", bucket, "tree/of/")
    assert again.count("skipped") == len(again.results) == len(report.results)
    assert again.size == 0
    if not report.results:
        return
    files.dl_dir(bucket, "tree/of", work / "back")
    assert found(work / "back") == found(work / "source")
    assert files.dl_dir(bucket, "tree/of", work / "back").count("downloaded") == 0
    assert files.cp_dir(bucket, "tree", bucket, "copy").count("copied") == len(report.results)
    assert files.cp_dir(bucket, "tree", bucket, "copy").count("skipped") == len(report.results)
    files.mv_dir(bucket, "tree/of", bucket, "moved")
    files.rm_dir(bucket, "copy")
    files.dl_dir(bucket, "moved", work / "third")
    assert found(work / "third") == found(work / "source")
    assert all(key.startswith("moved/") for key in s3_server.keys(bucket))


def test_a_level_is_what_boto3_lists(files: S3Files, bucket: str, s3_server: S3Server) -> None:
    chance = random.Random(5)
    for _ in range(40):
        key = "/".join(
            chance.choice(["a", "b ", "ä+", "c.d", "e"]) + str(chance.randrange(4)) for _ in range(3)
        )
        s3_server.client.put_object(Bucket=bucket, Key=key, Body=key.encode())
    directories = {""} | {key.rpartition("/")[0] for key in s3_server.keys(bucket)}
    for directory in directories:
        prefix = f"{directory}/" if directory else ""
        answer = s3_server.client.list_objects_v2(Bucket=bucket, Prefix=prefix, Delimiter="/")
        wanted = {(one["Prefix"], "directory", None) for one in answer.get("CommonPrefixes", ())}
        wanted |= {(one["Key"], "file", one["Size"]) for one in answer.get("Contents", ())}
        rows = list(files.ls_dir(bucket, directory))
        assert {(row.key, row.type, row.size) for row in rows} == wanted
        assert [row.key for row in rows] == sorted((row.key for row in rows), key=str.encode)
    rows = list(files.ls_dir(bucket, recursive=True))
    assert [row.key for row in rows] == s3_server.keys(bucket)
    for row in rows:
        told = s3_server.client.head_object(Bucket=bucket, Key=row.key)
        assert (row.size, row.e_tag) == (told["ContentLength"], told["ETag"].strip('"'))
        assert row.last_modified is not None
        assert abs((row.last_modified - told["LastModified"]).total_seconds()) < 2


def test_only_what_changed_is_transferred(files: S3Files, bucket: str, tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    grow(source, {(f"{number}",): os.urandom(100) for number in range(6)})
    big = random.Random(1).randbytes(17 << 20)
    (source / "big").write_bytes(big)
    files.ul_dir(source, bucket)
    files.dl_dir(bucket, "", back)
    (source / "1").write_bytes(os.urandom(100))  # as long as before, and later
    os.utime(source / "1", (0, 0))
    (source / "2").write_bytes(b"")
    (source / "big").write_bytes(big[:-1] + bytes([big[-1] ^ 1]))
    (source / "new").write_bytes(b"new")
    report = files.ul_dir(source, bucket)
    assert {one.key for one in report.results if one.action == "uploaded"} == {"1", "2", "big", "new"}
    (back / "3").write_bytes(b"mine")
    report = files.dl_dir(bucket, "", back)
    assert {one.key for one in report.results if one.action == "downloaded"} == {"1", "2", "3", "big", "new"}
    assert found(back) == found(source)
    (back / "other").write_bytes(b"not ours")
    files.dl_dir(bucket, "", back)
    assert (back / "other").exists()


def test_neighbours_with_the_same_beginning_are_left_alone(
    files: S3Files, bucket: str, s3_server: S3Server, tmp_path: Path
) -> None:
    for key in ("tree/x", "tree/y/z", "tree2/x", "tre/x", "treetop"):
        s3_server.client.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert files.dl_dir(bucket, "tree", tmp_path / "back").count("downloaded") == 2
    for directory, other in (("tree", "tree/y"), ("tree/y", "tree"), ("tree", "tree"), ("", "tree")):
        for operation in (files.cp_dir, files.mv_dir):
            with pytest.raises(Unsupported, match="lie in one another"):
                operation(bucket, directory, bucket, other)
    assert files.rm_dir(bucket, "tree").count("removed") == 2
    assert s3_server.keys(bucket) == ["tre/x", "tree2/x", "treetop"]
    assert files.rm_dir(bucket, "tree").results == ()


def test_more_than_one_page(versitygw: S3Server, files_on: Callable[..., S3Files], tmp_path: Path) -> None:
    files, bucket = files_on(versitygw), versitygw.make_bucket()
    grow(tmp_path / "source", {(f"{number % 7}", f"{number}"): b"%d" % number for number in range(1100)})
    sizes: list[int] = []
    report = files.ul_dir(tmp_path / "source", bucket, "d", progress_callback=sizes.append)
    assert report.count("uploaded") == 1100
    assert sum(sizes) == report.size
    assert sorted(row.key for row in files.ls_dir(bucket, "d", recursive=True)) == versitygw.keys(bucket)
    assert len(versitygw.keys(bucket)) == 1100
    assert files.ul_dir(tmp_path / "source", bucket, "d").count("skipped") == 1100
    files.dl_dir(bucket, "d", tmp_path / "back")
    assert found(tmp_path / "back") == found(tmp_path / "source")
    assert files.rm_dir(bucket, "d").count("removed") == 1100
    assert versitygw.keys(bucket) == []


def test_what_cannot_be_uploaded_fails_by_name_and_the_rest_is_done(
    files: S3Files, bucket: str, s3_server: S3Server, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"secret")
    source = tmp_path / "source"
    grow(source, {("good",): b"good", ("sub", "deep"): b"deep"})
    (source / "inner").symlink_to("sub/deep")
    (source / "leaves").symlink_to(outside)
    (source / "absolute").symlink_to("/etc/hostname")
    (source / "broken").symlink_to("nowhere")
    (source / "loop").symlink_to("loop")
    (source / "folder").symlink_to("sub")
    os.mkfifo(source / "pipe")
    Path(os.fsdecode(os.fsencode(source) + b"/not-\xff-unicode")).write_bytes(b"x")
    told: list[FileResult | FileFailure] = []
    with pytest.raises(TransferIncomplete, match="7 of 10 files failed") as caught:
        files.ul_dir(source, bucket, "d", file_callback=told.append)
    report = caught.value.report
    assert {one.key for one in report.results} == {"d/good", "d/sub/deep", "d/inner"}
    assert s3_server.keys(bucket) == ["d/good", "d/inner", "d/sub/deep"]
    assert s3_server.read(bucket, "d/inner") == b"deep"
    assert {one.local_path.name for one in report.failures if one.local_path}.issuperset(
        {"leaves", "absolute", "broken", "loop", "folder", "pipe"}
    )
    assert all(isinstance(one.error, Unsupported) for one in report.failures)
    assert len(told) == 10
    assert not caught.value.retryable


def test_two_keys_that_cannot_both_be_files(
    minio: S3Server, files_on: Callable[..., S3Files], tmp_path: Path
) -> None:
    files, bucket = files_on(minio, workers=1), minio.make_bucket()
    for key in ("a-file", "b//c", "d/", "e"):
        try:
            minio.client.put_object(Bucket=bucket, Key=key, Body=b"" if key.endswith("/") else b"x")
        except minio.client.exceptions.ClientError:
            assert key == "b//c"
    (tmp_path / "a-file").mkdir()  # here a directory has the name of a file
    (tmp_path / "e").symlink_to("a-file")
    with pytest.raises(TransferIncomplete, match="1 of 3") as caught:
        files.dl_dir(bucket, "", tmp_path)
    assert isinstance(caught.value.report.failures[0].error, IsADirectoryError)
    assert (tmp_path / "d").is_dir()
    assert (tmp_path / "e").read_bytes() == b"x"
    assert not (tmp_path / "e").is_symlink()


def test_several_at_once_on_one_directory(
    files: S3Files, bucket: str, s3_server: S3Server, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    wanted = grow(source, {(f"{number}",): os.urandom(500) for number in range(20)})
    failed: list[BaseException] = []
    # Nobody lists while somebody uploads: versitygw lists the files that it is still writing.
    uploaded = threading.Barrier(3, timeout=60)

    def both(number: int) -> None:
        try:
            files.ul_dir(source, bucket, "d")
            uploaded.wait()
            files.dl_dir(bucket, "d", tmp_path / "back")
        except (TierError, OSError, threading.BrokenBarrierError) as error:
            failed.append(error)
            uploaded.abort()

    threads = [threading.Thread(target=both, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert found(tmp_path / "back") == wanted
    assert len(s3_server.keys(bucket)) == 20
