"""What each command prints and how it ends, whatever the store answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import evolve

from ziggurat.backend import Info
from ziggurat.content import Cid
from ziggurat.engine.records import (
    BlobStat,
    Candidate,
    Collected,
    Copy,
    Entry,
    Eviction,
    Explanation,
    Finding,
    Receipt,
    Removal,
    Saved,
    StackStats,
    Tally,
    TierStats,
)
from ziggurat.errors import (
    BlobNotFound,
    BlobPinned,
    ContentMismatch,
    CorruptBlob,
    LastCopy,
    NotAFile,
    StoreFull,
    StoreUnavailable,
    TierUnavailable,
)

from .conftest import CID, CID2, FakeStore, Result

Run = Callable[..., Result]
A, B = Cid(CID), Cid(CID2)


def receipt(size: int = 11) -> Receipt:
    return Receipt(A, size, ("vault",))


def test_put_a_file(run: Run, store: FakeStore, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"hello world")
    store.answers["put"] = receipt()
    result = run("put", "a.txt")
    assert (result.code, result.text, result.err) == (0, f"{CID}  a.txt\n", "")
    assert store.calls == [("put", Path("a.txt"))]
    assert store.closed


def test_put_as_json(run: Run, store: FakeStore, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"hello world")
    store.answers["put"] = receipt()
    for args in (("--json", "put", "a.txt"), ("put", "--json", "a.txt"), ("put", "a.txt", "--json")):
        assert run(*args).records == [
            {"cid": CID, "path": "a.txt", "size": 11, "type": "file", "copies": ["vault"]}
        ]


def test_put_standard_input(run: Run, store: FakeStore) -> None:
    store.answers["put"] = lambda source, expect, progress: Receipt(A, len(source.read()), ("vault",))
    assert run("put", "-", "--json", stdin=b"\0\xff" * 5).records[0]["size"] == 10
    assert run("put", "-", "-").code == 2


def test_put_a_directory(run: Run, store: FakeStore, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    store.answers["put_dir"] = Receipt(A, 3, ("vault",), "directory")
    assert run("put", "d", "--json").records[0]["type"] == "directory"


def test_put_goes_on_after_a_failure_and_ends_with_the_first(
    run: Run, store: FakeStore, tmp_path: Path
) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(b"x")
    answers: Iterator[Any] = iter([StoreFull("no room left"), ContentMismatch("no"), receipt(1)])
    store.answers["put"] = lambda *args, **kwargs: next(answers)
    result = run("put", "missing", "a", "b", "c")
    assert result.code == 1  # the missing file came first
    assert result.text == f"{CID}  c\n"
    assert [line.split()[0] for line in result.err.splitlines()] == ["error:"] * 3
    assert "missing" in result.err.splitlines()[0]


@pytest.mark.parametrize(
    ("error", "code"),
    [(StoreFull("full"), 7), (ContentMismatch("no"), 6), (PermissionError(13, "Permission denied", "a"), 1)],
)
def test_put_failures(run: Run, store: FakeStore, tmp_path: Path, error: Exception, code: int) -> None:
    (tmp_path / "a").write_bytes(b"x")
    store.answers["put"] = error
    result = run("put", "a", "--json")
    assert (result.code, result.out) == (code, b"")
    assert result.errors[0]["error"] == type(error).__name__
    assert result.errors[0]["path"] == "a"


def test_put_expect(run: Run, store: FakeStore, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    seen: list[Any] = []

    def put(source: Path, expect: Cid, progress: Any) -> Receipt:
        seen.append(expect)
        return receipt()

    store.answers["put"] = put
    assert run("put", "--expect", CID, "a").code == 0
    assert seen == [A]
    assert run("put", "--expect", CID, "a", "a").code == 2
    assert run("put", "--expect", "nonsense", "a").code == 2
    assert len(seen) == 1


def test_import(run: Run, store: FakeStore, tmp_path: Path) -> None:
    (tmp_path / "x.car").write_bytes(b"x")
    store.answers["import_car"] = (receipt(), Receipt(B, 12, ("vault",), "directory"))
    result = run("import", "x.car", "--json")
    assert [record["cid"] for record in result.records] == [CID, CID2]
    assert run("import", "missing.car").code in (0, 1)


@pytest.mark.parametrize("command", ["put", "cid", "import"])
def test_an_empty_path_is_not_the_current_directory(run: Run, store: FakeStore, command: str) -> None:
    result = run(command, "", "other")
    assert (result.code, result.out, store.calls) == (2, b"", [])
    assert "an empty path names nothing" in result.err


def test_get(run: Run, store: FakeStore) -> None:
    store.answers["save"] = lambda ref, path, overwrite, progress: Saved(A, str(path), 11, 1)
    assert run("get", CID, "-o", "out").text == f"{CID}  out\n"
    assert run("get", f"{CID}/a/b.txt").text == f"{CID}  b.txt\n"
    assert run("get", CID).text == f"{CID}  {CID}\n"
    assert run("get", f"{CID}/..").text == f"{CID}  {CID}\n"
    assert run("get", CID, CID2, "-o", "out").code == 2
    assert run("get", CID, "--json").records == [{"cid": CID, "path": CID, "size": 11, "files": 1}]


def test_get_to_standard_output_is_only_the_bytes(run: Run, store: FakeStore) -> None:
    store.answers["stream"] = lambda ref, offset, length: iter([b"\0\xff\r\n", b"x"])
    assert run("get", CID, "-o", "-").out == b"\0\xff\r\nx"


def test_get_refuses_to_overwrite(run: Run, store: FakeStore) -> None:
    store.answers["save"] = FileExistsError(17, "File exists", "out")
    result = run("get", CID, "-o", "out")
    assert (result.code, result.out) == (1, b"")
    assert result.err == f"error: {CID}: is there already; choose another -o (--force overwrites): 'out'\n"
    assert "do not replace each other" in run("get", CID, "-o", "out", "--force").err


def test_cat_writes_the_proved_bytes_before_the_error(run: Run, store: FakeStore) -> None:
    def stream(ref: str, offset: int, length: int | None) -> Iterator[bytes]:
        yield b"proved"
        raise CorruptBlob("wrong byte", tier="vault", op="get")

    store.answers["stream"] = stream
    result = run("cat", CID)
    assert (result.code, result.out) == (6, b"proved")
    assert result.err == f"error: {CID}: tier 'vault': get: wrong byte\n"


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ("50-149", (50, 100)),
        ("0-0", (0, 1)),
        ("50-", (50, 150)),
        ("50-100000", (50, 150)),
        ("199-", (199, 1)),
        ("-100", (100, 100)),
        ("-1000", (0, 200)),
        ("-0", (200, 0)),
    ],
)
def test_cat_range(run: Run, store: FakeStore, span: str, expected: tuple[int, int]) -> None:
    store.answers["stat"] = BlobStat(A, "file", 200)
    store.answers["stream"] = lambda ref, offset, length: iter([b"."])
    assert run("cat", "--range", span, CID).code == 0
    assert store.calls[-1] == ("stream", CID, *expected)


@pytest.mark.parametrize("span", ["", "-", "a-b", "5", "9-4", "1-2-3", "+1-2", "0x1-2", "200-", "٣-٤"])
def test_cat_wrong_range(run: Run, store: FakeStore, span: str) -> None:
    store.answers["stat"] = BlobStat(A, "file", 200)
    result = run("cat", f"--range={span}", CID)
    assert (result.code, result.out) == (2, b"")


def test_cat_a_range_of_an_empty_file(run: Run, store: FakeStore) -> None:
    store.answers["stat"] = BlobStat(A, "file", 0)
    store.answers["stream"] = lambda ref, offset, length: iter([])
    assert run("cat", "--range", "0-", CID).code == 0
    assert run("cat", "--range", "1-", CID).code == 2


def test_cat_of_a_directory(run: Run, store: FakeStore) -> None:
    store.answers["stream"] = NotAFile("is a directory", cid=CID)
    result = run("cat", CID, CID2, "--json")
    assert result.code == 1
    assert [error["error"] for error in result.errors] == ["NotAFile", "NotAFile"]


def export(ref: str, target: Any, progress: Any) -> int:
    return int(target.write(b"car bytes"))


def test_export(run: Run, store: FakeStore, tmp_path: Path) -> None:
    store.answers["export_car"] = export
    assert run("export", CID).out == b"car bytes"
    assert run("export", CID, "-o", "x.car", "--json").records == [{"path": "x.car", "bytes": 9, "ref": CID}]
    assert (tmp_path / "x.car").read_bytes() == b"car bytes"
    (tmp_path / "x.car").write_bytes(b"mine")
    result = run("export", CID, "-o", "x.car")
    assert result.code == 1
    assert "--force" in result.err
    assert (tmp_path / "x.car").read_bytes() == b"mine"
    assert run("export", CID, "-o", "x.car", "--force").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["x.car"]


def test_a_failed_export_leaves_nothing(run: Run, store: FakeStore, tmp_path: Path) -> None:
    def broken(ref: str, target: Any, progress: Any) -> int:
        target.write(b"half")
        raise TierUnavailable("gone", tier="vault")

    store.answers["export_car"] = broken
    (tmp_path / "old.car").write_bytes(b"old")
    assert run("export", CID, "-o", "x.car").code == 5
    assert run("export", CID, "-o", "old.car", "--force").code == 5
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("old.car", b"old")]


def test_export_never_takes_the_place_of_another(run: Run, store: FakeStore, tmp_path: Path) -> None:
    def race(ref: str, target: Any, progress: Any) -> int:
        (tmp_path / "x.car").write_bytes(b"mine")
        return int(target.write(b"car bytes"))

    store.answers["export_car"] = race
    assert run("export", CID, "-o", "x.car").code == 1
    assert (tmp_path / "x.car").read_bytes() == b"mine"
    assert [path.name for path in tmp_path.iterdir()] == ["x.car"]


def test_export_without_hard_links(
    run: Run, store: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    store.answers["export_car"] = export
    monkeypatch.setattr("os.link", no_link)
    assert run("export", CID, "-o", "x.car").code == 0
    assert run("export", CID, "-o", "x.car").code == 1
    assert run("export", CID, "-o", "nowhere/x.car").code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x.car"]


def test_pin_and_unpin(run: Run, store: FakeStore) -> None:
    store.answers |= {"pin": True, "unpin": False, "pins": [A, B]}
    store.answers["resolve"] = lambda ref: B if "/" in ref else Cid.parse(ref)
    assert run("pin", CID).text == f"pinned  {CID}\n"
    assert run("pin", CID, "--json").records == [{"ref": CID, "cid": CID, "pinned": True, "new": True}]
    for command in ("pin", "unpin"):
        (record,) = run(command, f"{CID}/a", "--json").records
        assert (record["ref"], record["cid"]) == (f"{CID}/a", CID2)
        assert store.calls[-1] == (command, B)
    assert run("unpin", CID).text == f"was not pinned  {CID}\n"
    assert run("pin", "--list").text == f"{CID}\n{CID2}\n"
    assert run("pin").code == 2
    assert run("pin", "--list", CID).code == 2


def test_evict(run: Run, store: FakeStore) -> None:
    store.answers["evict"] = Eviction(A, "vault", True, 11, "somebody else's\npin")
    assert run("evict", CID, "--tier", "vault").text == f"{CID}  vault: gave up 11 B (somebody else's; pin)\n"
    assert run("evict", CID, "--tier", "vault", "--json").records == [
        {"cid": CID, "tier": "vault", "had": True, "bytes": 11, "kept": "somebody else's\npin"}
    ]
    assert run("evict", CID).code == 2
    unknown = run("evict", CID, "--tier", "attic")
    assert unknown.code == 2
    assert "ram, vault" in unknown.err


@pytest.mark.parametrize("error", [LastCopy("the last", cid=CID), BlobPinned("pinned", cid=CID)])
def test_refusals(run: Run, store: FakeStore, error: Exception) -> None:
    store.answers |= {"evict": error, "remove": error}
    assert run("evict", CID, "--tier", "vault").code == 8
    result = run("rm", CID, "--json")
    assert result.code == 8
    assert result.errors[0]["cid"] == CID


def test_rm_says_what_gc_would_free(run: Run, store: FakeStore) -> None:
    store.answers["remove"] = Removal(A, 3, 1_500_000)
    assert run("rm", CID).text == f"{CID}  removed; gc would free 3 blobs, 1.5 MB\n"
    assert run("rm", CID, "--json").records == [{"cid": CID, "blobs": 3, "bytes": 1_500_000}]


def test_gc(run: Run, store: FakeStore) -> None:
    store.answers["gc"] = lambda dry_run: (Collected("vault", 1, 11),)
    assert run("gc").text == "vault: freed 1 blob, 11 B\n"
    assert run("gc", "--dry-run").text == "vault: would free 1 blob, 11 B\n"
    assert run("gc", "--dry-run", "--json").records[0]["dry_run"] is True


def test_gc_says_what_it_left_alone(run: Run, store: FakeStore) -> None:
    store.answers["gc"] = (Collected("shared", refused="two catalogs use it"), Collected("vault", 1, 11))
    result = run("gc")
    assert result.code == 8
    assert "two catalogs use it" in result.err
    assert "vault: freed 1 blob" in result.text
    store.answers["gc"] = (Collected("away", refused="is not mounted", known=False),)
    result = run("gc")
    assert result.code == 5
    assert result.err == "error: tier 'away': gc: is not mounted\n"
    store.answers["gc"] = (Collected("vault", failed=(f"{CID}: denied", f"{CID2}: denied")),)
    result = run("gc")
    assert result.code == 1
    assert len(result.err.splitlines()) == 2


def test_ls(run: Run, store: FakeStore) -> None:
    store.answers["ls"] = lambda ref: iter(
        [
            Entry("a\x1b[2J.txt", A, "file", 1500),
            Entry("d", B, "directory", None),
            Entry("l", B, "symlink", 0, target="../x\n"),
        ]
    )
    assert run("ls", CID).text == (
        f"{CID}     1.5 kB  a\\x1b[2J.txt\n{CID2}          -  d/\n{CID2}        0 B  l -> ../x\\n\n"
    )
    records = run("ls", CID, "--json").records
    assert records[0] == {"cid": CID, "path": "a\x1b[2J.txt", "size": 1500, "type": "file", "ref": CID}
    assert records[2]["target"] == "../x\n"
    assert run("ls", CID, CID2).text.splitlines()[0] == f"{CID}:"


def test_ls_recursive_is_depth_first(run: Run, store: FakeStore) -> None:
    tree: dict[Any, list[Entry]] = {
        "root": [Entry("d", A, "directory", 2), Entry("z", B, "file", 1)],
        A: [Entry("e", B, "directory", 1), Entry("f", B, "file", 1)],
        B: [],
    }
    store.answers["ls"] = lambda ref: iter(tree[ref])
    assert [record["path"] for record in run("ls", "-R", "root", "--json").records] == [
        "d",
        "d/e",
        "d/f",
        "z",
    ]


def test_ls_without_arguments_lists_the_roots(run: Run, store: FakeStore) -> None:
    store.answers["roots"] = lambda: iter([SimpleNamespace(cid=A, size=11, type="file", created=0.0)])
    assert run("ls").text == f"{CID}       11 B  file       1970-01-01T00:00:00+00:00\n"
    assert run("ls", "--json").records == [
        {"cid": CID, "size": 11, "type": "file", "created": "1970-01-01T00:00:00+00:00"}
    ]


def test_stat(run: Run, store: FakeStore) -> None:
    store.answers["stat"] = BlobStat(
        A, "file", 1500, (Copy("vault", 1500),), True, True, Info("text/plain", {"k": "v"}), 0o644, 0.0
    )
    text = run("stat", CID).text
    for line in ("type          file", "size          1.5 kB (1500 bytes)", "pinned        yes", "mode"):
        assert line in text
    record = run("stat", CID, "--json").records[0]
    assert record["copies"] == ["vault"]
    assert record["where"] == [{"tier": "vault", "bytes": 1500, "under": None}]
    assert record["info"] == {"content_type": "text/plain", "tags": {"k": "v"}, "metadata": {}}


def test_stat_of_what_is_not_there(run: Run, store: FakeStore) -> None:
    store.answers["stat"] = BlobNotFound("every tier says no", cid=CID)
    assert run("stat", CID).code == 4


def test_has(run: Run, store: FakeStore) -> None:
    store.answers["has"] = lambda ref: ref == CID
    assert run("has", CID).code == 0
    result = run("has", CID2, CID)
    assert result.code == 1
    assert result.text == f"no   {CID2}\nyes  {CID}\n"
    assert result.err == ""
    store.answers["has"] = StoreUnavailable("cannot tell", failures=[TierUnavailable("off", tier="vault")])
    assert run("has", CID).code == 5


def test_explain(run: Run, store: FakeStore) -> None:
    store.answers["explain"] = Explanation(
        A,
        "file",
        2_000_000,
        2,
        (Candidate("ram", "cache", True, 1, 1_000_000), Candidate("vault", "store", None, note="it is off")),
        "ram",
        3,
    )
    text = run("explain", CID).text
    assert "1 of 2 blocks, 1.0 MB" in text
    assert "it is off" in text
    assert "a read is answered by ram" in text
    record = run("explain", CID, "--json").records[0]
    assert record["answers"] == "ram"
    assert record["tiers"][1]["holds"] is None


def test_stats(run: Run, store: FakeStore) -> None:
    total = Tally(hits=70, misses=8, bytes_read=9000, evictions=4, errors=5, aged=2, age=240.0)
    tier = TierStats("vault", "store", "disk", 1500, None, 3, hits=7)
    store.answers["stats"] = StackStats((tier, evolve(tier, tier="ram", total=total)), roots=2, pins=1)
    text = run("stats").text
    assert "1.5 kB" in text
    assert "2 roots, 1 pin" in text
    rows = [line.split() for line in text.splitlines()]
    assert rows[1][-7:] == ["-", "-", "-", "-", "-", "-", "ok"], (
        "unknown totals are not this process's counts"
    )
    assert rows[2][-9:] == ["70", "8", "9.0", "kB", "4", "120", "s", "5", "ok"]
    one, two = run("stats", "--json").records[0]["tiers"]
    assert (one["hits"], one["total"]) == (7, None)
    assert two["hits"] == 7
    assert two["total"] == {
        "hits": 70,
        "misses": 8,
        "bytes_read": 9000,
        "bytes_written": 0,
        "evictions": 4,
        "errors": 5,
        "evicted_age": 120.0,
    }


def test_verify(run: Run, store: FakeStore) -> None:
    findings = [
        Finding(A, "vault", 11, True),
        Finding(B, "far", 0, False, "no answer", known=False),
        Finding(B, "vault", 0, False, "a byte is wrong"),
    ]
    store.answers["verify"] = lambda ref, tier, progress: iter(findings[:1])
    assert run("verify").text == f"ok       vault  {CID}\n"
    store.answers["verify"] = lambda ref, tier, progress: iter(findings)
    result = run("verify", CID)
    assert result.code == 5  # the first failure
    assert result.text.splitlines()[2] == f"wrong    vault  {CID2}: a byte is wrong"
    store.answers["verify"] = lambda ref, tier, progress: iter(findings[2:])
    assert run("verify", "--json").code == 6
    assert run("verify", "--tier", "attic").code == 2
    result = run("verify", "--tier", "ram")
    assert result.code == 2
    assert "'ram' is no store" in result.err
    assert "vault" in result.err
