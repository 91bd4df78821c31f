"""What is handed to put, put_many and put_dir: bytes, files, streams, trees; and what is kept of them."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.stacks import Shelf, shelf

from ziggurat.backend import Info
from ziggurat.content import Cid, import_file, profile_by_name
from ziggurat.engine.store import Store
from ziggurat.errors import (
    BlobTooLarge,
    ContentMismatch,
    NotDurable,
    TierUnavailable,
    UnsupportedContent,
)

BIG = os.urandom(3 << 20)


def spool(store: Store) -> list[Path]:
    folder = store._parts.path / "spool"
    return list(folder.iterdir()) if folder.exists() else []


# --- one source


class Trickle(io.RawIOBase):
    """A binary file that cannot seek and gives a few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, 70_000) if size > 0 else 70_000)


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 9 << 20])
def test_every_kind_of_source_gives_one_cid(stack: Callable[..., Store], tmp_path: Path, size: int) -> None:
    one = Shelf()
    store = stack(shelf("one", one))
    data = os.urandom(size)
    path = tmp_path / "file"
    path.write_bytes(data)
    positioned = io.BytesIO(b"skipped" + data)
    positioned.seek(7)
    sources: list[Any] = [
        data,
        bytearray(data),
        memoryview(data),
        path,
        io.BytesIO(data),
        positioned,
        Trickle(data),
        (data[at : at + 300_000] for at in range(0, size, 300_000)),
        [memoryview(data)],
    ]
    told: list[int] = []
    receipts = [store.put(source, progress=told.append) for source in sources]
    assert {(receipt.cid, receipt.size) for receipt in receipts} == {(receipts[0].cid, size)}
    assert store.get(receipts[0].cid) == data
    assert sum(told[:1]) == size or size > 1 << 20
    assert spool(store) == []
    with path.open("rb") as file:
        assert next(store.put_many([file])).cid == receipts[0].cid  # type: ignore[union-attr] # a receipt


def test_a_fifo_is_read_once(stack: Callable[..., Store], tmp_path: Path) -> None:
    store = stack(shelf("one", Shelf()))
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(BIG))
    writer.start()
    cid = store.put(fifo).cid
    writer.join()
    assert store.get(cid) == BIG


def test_text_and_nonsense_are_type_errors(stack: Callable[..., Store]) -> None:
    store = stack(shelf("one", Shelf()))
    with pytest.raises(TypeError, match=r"pathlib\.Path"):
        store.put("text")  # type: ignore[arg-type] # on purpose
    for nonsense in (5, None, ["text"], io.StringIO("text")):
        with pytest.raises(TypeError):
            store.put(nonsense)  # type: ignore[arg-type] # on purpose
    with pytest.raises(FileNotFoundError):
        store.put(Path("/no/such/file"))
    with pytest.raises(IsADirectoryError):
        store.put(Path("/"))
    assert list(store.roots()) == []


def test_expect_takes_any_profile_and_refuses_others(stack: Callable[..., Store]) -> None:
    one = Shelf()
    store = stack(shelf("one", one))
    old = import_file(lambda at, size: BIG[at : at + size], len(BIG), profile_by_name("unixfs-v0-2015")).root
    receipt = store.put(BIG, expect=str(old))
    assert receipt.cid == old
    assert store.get(old) == BIG
    assert [root.cid for root in store.roots()] == [old]
    held = dict(one.held)
    with pytest.raises(ContentMismatch, match="not the expected"):
        store.put(BIG + b"!", expect=old)
    assert one.held == held


def test_info_is_kept_and_given_back(stack: Callable[..., Store]) -> None:
    one = Shelf()
    store = stack(shelf("one", one))
    info = Info("text/plain", {"colour": "bläu"}, {"author": "x" * 2000})
    cid = store.put(BIG, info=info).cid
    assert store.stat(cid).info == info
    assert one.infos[str(cid.key)] == info
    store.put(BIG)
    assert store.stat(cid).info == info, "a put that says nothing changes nothing"
    store.put(BIG, info=Info("text/html"))
    assert store.stat(cid).info == Info("text/html")
    store.remove(cid)
    store.gc()
    store.put(BIG)
    assert store.stat(cid).info is None


@pytest.mark.parametrize("form", ["stream", "file"])
def test_a_huge_source_takes_little_memory(tmp_path: Path, form: str) -> None:
    """256 MiB through a process: its resident memory grows by less than 100 MB over the interpreter's."""
    program = f"""
import os, resource, sys
from pathlib import Path
from ziggurat import open_store
folder = Path({str(tmp_path)!r})
tier = {{"name": "v", "backend": "disk", "role": "store", "options": {{"path": str(folder / "v")}}}}
config = {{"store": {{"path": str(folder / "c")}}, "tier": [tier]}}
with open_store(config) as store:
    store.put(b"warm")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    piece = os.urandom(1 << 20)
    if {form!r} == "stream":
        source = (piece[n:] + piece[:n] for n in range(256))
    else:
        source = folder / "large"
        with source.open("wb") as file:
            file.truncate(256 << 20)
    receipt = store.put(source)
    assert receipt.size == 256 << 20
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100_000  # KiB


# --- several sources


@pytest.mark.parametrize("many", [False, True])
def test_put_many_answers_in_order_and_alone(stack: Callable[..., Store], many: bool, tmp_path: Path) -> None:
    one = Shelf()
    store = stack(shelf("one", one, many=many))
    bad = Cid.of(b"refused")

    def script(op: str, key: str) -> None:
        if op == "put" and key == str(bad.key):
            raise TierUnavailable("not this one")

    one.script = script
    (tmp_path / "file").write_bytes(b"from a file")

    def broken() -> Iterator[bytes]:
        yield b"x"
        raise OSError(5, "broke")

    sources: list[Any] = [
        b"a",
        tmp_path / "missing",
        b"refused",
        BIG,
        b"a",
        tmp_path / "file",
        broken(),
        b"",
        *[str(n).encode() for n in range(600)],
    ]
    answers = list(store.put_many(sources))
    assert len(answers) == len(sources)
    kinds = [type(answer).__name__ for answer in answers[:8]]
    assert kinds == [
        "Receipt", "FileNotFoundError", "NotDurable", "Receipt", "Receipt", "Receipt", "OSError", "Receipt",
    ]  # fmt: skip
    assert answers[0] == answers[4]
    assert answers[0].cid == Cid.of(b"a")  # type: ignore[union-attr] # a receipt
    assert store.get(answers[3].cid) == BIG  # type: ignore[union-attr] # a receipt
    for n, answer in enumerate(answers[8:]):
        assert answer.cid == Cid.of(str(n).encode())  # type: ignore[union-attr] # a receipt
    assert one.ops("put_many") == (["put_many"] * 4 if many else [])
    assert len(list(store.roots())) == 4 + 600
    catalog = store._parts.catalog
    assert catalog is not None
    assert catalog.usage(one.identity).used == one.used
    assert catalog.reservations.reserved(one.identity) == 0


def test_put_many_is_lazy_and_may_be_left(stack: Callable[..., Store]) -> None:
    store = stack(shelf("one", Shelf()))
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield str(taken).encode()

    answers = store.put_many(endless())
    assert taken == 0
    next(answers)
    assert taken <= 256
    answers.close()  # type: ignore[attr-defined] # a generator
    assert store.gc()[0].blobs == 0


def test_a_type_error_in_put_many_is_that_items(stack: Callable[..., Store]) -> None:
    store = stack(shelf("one", Shelf()))
    answers = list(store.put_many([b"a", "text", b"b", 5, [1]]))  # type: ignore[list-item] # on purpose
    assert [type(answer).__name__ for answer in answers] == [
        "Receipt", "TypeError", "Receipt", "TypeError", "TypeError",
    ]  # fmt: skip


@pytest.mark.parametrize("limit", [1000])
def test_put_many_knows_the_largest_blob(stack: Callable[..., Store], limit: int) -> None:
    one = Shelf()
    store = stack(shelf("one", one, many=True, max_blob=limit))
    small, large = store.put_many([b"small", bytes(limit + 1)])
    assert type(small).__name__ == "Receipt"
    assert isinstance(large, NotDurable)
    assert isinstance(large.failures[0], BlobTooLarge)
    assert list(one.held) == [str(Cid.of(b"small").key)]


def test_a_plain_put_that_fails_in_put_many_takes_its_nodes_back(stack: Callable[..., Store]) -> None:
    one = Shelf()
    store = stack(
        shelf("one", one, many=True), profile="unixfs-v0-2015"
    )  # dag-pb leaves: nodes for every blob

    def script(op: str, key: str) -> None:
        if op == "put" and "." not in key:
            raise TierUnavailable("cut")

    one.script = script
    answers = list(store.put_many([b"a", b"b"]))
    assert all(isinstance(answer, NotDurable) for answer in answers)
    assert one.held == {}


# --- trees


def make_tree(folder: Path) -> dict[str, bytes]:
    files = {"a/b/c/deep": BIG, "a/empty": b"", "top": b"top", "a/b/again": BIG, "ümläut \x1b": b"x"}
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "nothing").mkdir()
    (folder / "link").symlink_to("a/empty")
    (folder / "dangling").symlink_to("/no/where")
    return files


def test_a_tree_comes_back(stack: Callable[..., Store], tmp_path: Path) -> None:
    one = Shelf()
    store = stack(shelf("one", one))
    files = make_tree(tmp_path / "tree")
    entries: list[str] = []
    receipt = store.put_dir(tmp_path / "tree", on_entry=lambda entry: entries.append(entry.path))
    assert receipt.size == sum(map(len, files.values()))
    assert set(files) < set(entries)
    saved = store.save(receipt.cid, tmp_path / "back")
    assert saved.size == receipt.size
    for name, data in files.items():
        assert (tmp_path / "back" / name).read_bytes() == data
    assert os.readlink(tmp_path / "back" / "dangling") == "/no/where"
    assert sum(key.count(".") == 0 and len(data) == len(BIG) for key, data in one.held.items()) == 1
    store.remove(receipt.cid)
    store.gc()
    assert one.held == {}


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_special_files_are_refused(stack: Callable[..., Store], tmp_path: Path, kind: str) -> None:
    one = Shelf()
    store = stack(shelf("one", one))
    tree = tmp_path / "t"
    tree.mkdir()
    (tree / "fine").write_bytes(b"fine")
    if kind == "fifo":
        os.mkfifo(tree / "odd")
    else:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(str(tree / "odd"))
    with pytest.raises(UnsupportedContent, match="odd"):
        store.put_dir(tree)
    assert list(store.roots()) == []


def test_a_file_of_a_tree_that_changes_is_refused_and_the_rest_collected(
    stack: Callable[..., Store], tmp_path: Path
) -> None:
    one = Shelf()
    store = stack(shelf("one", one))
    tree = tmp_path / "tree"
    tree.mkdir()
    for n in range(20):
        (tree / f"{n:02}").write_bytes(os.urandom(1000))

    def script(op: str, key: str) -> None:
        if op == "put":
            (tree / "13").write_bytes(os.urandom(1000))

    one.script = script
    with pytest.raises(ContentMismatch, match="changed"):
        store.put_dir(tree)
    assert list(store.roots()) == []
    one.script = lambda op, key: None
    assert store.gc()[0].blobs == 19
    assert one.held == {}
    (tree / "13").unlink()
    with pytest.raises((FileNotFoundError, ContentMismatch)):
        store.put_dir(tree, on_entry=lambda entry: (tree / "07").unlink(missing_ok=True))


def test_a_file_of_a_tree_that_cannot_be_read(
    stack: Callable[..., Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may read everything, so the open itself is made to refuse."""
    from ziggurat.content import tree

    one = Shelf()
    store = stack(shelf("one", one))
    make_tree(tmp_path / "t")
    real = tree.open_regular

    def refuse(path: Path) -> Any:
        if path.name == "deep":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(tree, "open_regular", refuse)
    with pytest.raises(PermissionError, match="deep"):
        store.put_dir(tmp_path / "t")
    assert list(store.roots()) == []
    assert one.held == {}


def test_a_tier_that_refuses_a_part_is_passed_over_for_the_whole(
    stack: Callable[..., Store], tmp_path: Path
) -> None:
    one, two = Shelf(), Shelf()
    store = stack(shelf("one", one), shelf("two", two))
    make_tree(tmp_path / "tree")
    count = [0]

    def script(op: str, key: str) -> None:
        if op == "put":
            count[0] += 1
            if count[0] > 3:
                raise TierUnavailable("cut")

    one.script = script
    receipt = store.put_dir(tmp_path / "tree")
    assert receipt.copies == ("two",)
    one.script = lambda op, key: None
    assert all(finding.ok for finding in store.verify(tier="two"))
    catalog = store._parts.catalog
    assert catalog is not None
    for each in (one, two):
        assert catalog.usage(each.identity).used == each.used


def test_deep_and_wide_trees(stack: Callable[..., Store], tmp_path: Path) -> None:
    store = stack(shelf("one", Shelf()))
    deep = tmp_path / "deep"
    folder = deep
    for _ in range(100):
        folder = folder / "d"
    folder.mkdir(parents=True)
    (folder / "f").write_bytes(b"at the bottom")
    cid = store.put_dir(deep).cid
    assert store.get(f"{cid}/{'d/' * 100}f") == b"at the bottom"
    wide = tmp_path / "wide"
    wide.mkdir()
    for n in range(5000):
        (wide / f"a rather long name, so that the directory becomes a HAMT {n}").write_bytes(str(n).encode())
    receipt = store.put_dir(wide)
    assert receipt.size == sum(len(str(n)) for n in range(5000))
    name = "a rather long name, so that the directory becomes a HAMT 4321"
    assert store.get(f"{receipt.cid}/{name}") == b"4321"
    assert len(list(store.ls(receipt.cid))) == 5000
    store.remove(receipt.cid)
    assert store.gc()[0].blobs == 5001
