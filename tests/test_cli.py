"""The command line on a real stack: memory over a disk cache over a disk store."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ziggurat.cli import main

HELLO = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
"""The CID of b"hello world"."""

CONFIG = """
[store]
path = "{name}/catalog"
profile = "{profile}"

[[tier]]
name = "ram"
backend = "memory"
capacity = "20 MB"

[[tier]]
name = "ssd"
backend = "disk"
role = "cache"
capacity = "20 MB"
[tier.options]
path = "{name}/ssd"

[[tier]]
name = "vault"
backend = "disk"
role = "store"
{more}
[tier.options]
path = "{name}/vault"
"""


@frozen
class Result:
    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def error(self) -> dict[str, Any]:
        (line,) = self.err.splitlines()
        record: dict[str, Any] = json.loads(line)
        return record


Run = Callable[..., Result]


def configure(folder: Path, name: str = "one", more: str = "", profile: str = "unixfs-v1-2025") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(CONFIG.format(name=name, more=more, profile=profile))
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Run the command line in this process, in an empty folder with a configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZIGGURAT_CONFIG", str(configure(tmp_path)))

    def run(*args: str, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfdbinary.readouterr()
        code = main(args)
        out, err = capfdbinary.readouterr()
        assert b"Traceback" not in err
        assert b"internal error" not in err
        return Result(code, out, err.decode())

    return run


def process(*args: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "ziggurat", *args], capture_output=True, timeout=60, **more)


def make_tree(folder: Path) -> Path:
    """A directory with everything that a directory may hold."""
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "a" / "b" / "deep.bin").write_bytes(os.urandom(2_500_000))
    (folder / "a" / "hello.txt").write_bytes(b"hello world")
    (folder / "a" / "nothing").write_bytes(b"")
    (folder / ".hidden").write_bytes(b"hidden")
    (folder / "ümlaut \x1b[2J\n.txt").write_bytes(b"names are data")
    (folder / "link").symlink_to("a/hello.txt")
    (folder / "dangling").symlink_to("no/where")
    return folder


def look(folder: Path) -> dict[str, Any]:
    """Everything beneath a folder: bytes of files, targets of links, None for folders."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)
        else:
            found[name] = None if path.is_dir() else path.read_bytes()
    return found


def test_a_file_there_and_back(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"hello world")
    result = run("put", "a.txt")
    assert (result.code, result.text, result.err) == (0, f"{HELLO}  a.txt\n", "")
    assert run("cid", "a.txt").text == result.text
    assert run("cat", HELLO).out == b"hello world"
    assert run("get", HELLO, "-o", "b.txt").code == 0
    assert (tmp_path / "b.txt").read_bytes() == b"hello world"
    record = run("stat", HELLO, "--json").records[0]
    assert (record["type"], record["size"], record["copies"], record["root"]) == ("file", 11, ["vault"], True)
    assert run("has", HELLO).text == f"yes  {HELLO}\n"
    assert [root["cid"] for root in run("ls", "--json").records] == [HELLO]


def test_standard_input_and_output(run: Run) -> None:
    data = os.urandom(3_000_000)
    record = run("put", "-", "--json", stdin=data).records[0]
    assert (record["path"], record["size"], record["copies"]) == ("-", len(data), ["vault"])
    assert run("cid", "-", stdin=data).text.split()[0] == record["cid"]
    assert run("cat", record["cid"]).out == data
    assert run("get", record["cid"], "-o", "-").out == data


def test_a_directory_there_and_back(run: Run, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    record = run("put", "tree", "--json").records[0]
    assert record["type"] == "directory"
    assert record["size"] == sum(len(data) for data in look(tree).values() if isinstance(data, bytes))
    cid = record["cid"]
    assert run("cid", "tree").text == f"{cid}  tree\n"
    assert run("get", cid, "-o", "copy").code == 0
    assert look(tmp_path / "copy") == look(tree)
    assert run("cat", f"{cid}/a/hello.txt").out == b"hello world"
    assert run("ls", f"{cid}/a", "--json").records[1]["cid"] == HELLO
    named = {
        entry["path"].removeprefix("tree/"): entry["cid"] for entry in run("cid", "tree", "--json").records
    }
    listed = {entry["path"]: entry["cid"] for entry in run("ls", "-R", cid, "--json").records}
    assert listed == {path: found for path, found in named.items() if path != "tree"}
    assert all(line.isprintable() for line in run("ls", "-R", cid).text.splitlines())
    assert run("cat", cid).code == 1
    assert run("cat", f"{cid}/a/none", "--json").error["error"] == "BlobNotFound"


def test_ranges(run: Run) -> None:
    data = bytes(range(256)) * 9000
    cid = run("put", "-", "--json", stdin=data).records[0]["cid"]

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, len(data) - 1), st.integers(1, len(data)))
    def check(first: int, count: int) -> None:
        span = data[first : first + count]
        assert run("cat", "--range", f"{first}-{first + count - 1}", cid).out == span
        assert run("cat", "--range", f"{first}-", cid).out == data[first:]
        assert run("cat", "--range", f"-{count}", cid).out == data[-count:]

    check()
    assert run("cat", "--range", f"{len(data)}-", cid).code == 2


def test_nothing_is_overwritten_unasked(run: Run, tmp_path: Path) -> None:
    make_tree(tmp_path / "tree")
    (tmp_path / "mine").write_bytes(b"mine")
    file = run("put", "-", "--json", stdin=b"hello world").records[0]["cid"]
    tree = run("put", "tree", "--json").records[0]["cid"]
    for cid in (file, tree):
        result = run("get", cid, "-o", "mine", "--json")
        assert (result.code, result.out) == (1, b"")
        assert (tmp_path / "mine").read_bytes() == b"mine"
    assert run("get", file, "-o", "mine", "--force").code == 0
    assert (tmp_path / "mine").read_bytes() == b"hello world"
    assert run("export", file, "-o", "mine").code == 1
    assert (tmp_path / "mine").read_bytes() == b"hello world"


def test_expect(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"hello world")
    (tmp_path / "b.txt").write_bytes(b"hello mars")
    make_tree(tmp_path / "tree")
    for wrong in ("b.txt", "tree"):
        result = run("put", "--expect", HELLO, wrong, "--json")
        assert (result.code, result.error["error"]) == (6, "ContentMismatch")
    assert run("ls").out == b""
    assert run("put", "--expect", HELLO, "a.txt").code == 0
    tree = run("cid", "tree").text.split()[0]
    assert run("put", "--expect", tree, "tree").code == 0


def test_rm_and_gc(run: Run, tmp_path: Path) -> None:
    make_tree(tmp_path / "tree")
    tree = run("put", "tree", "--json").records[0]["cid"]
    run("put", "-", stdin=b"hello world")
    run("put", "-", stdin=b"kept")
    removed = run("rm", tree, "--json").records[0]
    assert removed["blobs"] > 3
    dry = run("gc", "--dry-run", "--json").records
    assert sum(tier["blobs"] for tier in dry) == removed["blobs"]
    assert sum(tier["bytes"] for tier in dry) == removed["bytes"]
    assert run("cat", f"{tree}/.hidden").out == b"hidden"
    assert run("gc", "--json").records == [record | {"dry_run": False} for record in dry]
    assert run("has", tree).code == 1
    assert run("cat", HELLO).out == b"hello world"  # another root reaches it
    assert sum(tier["blobs"] for tier in run("gc", "--json").records) == 0
    assert run("rm", tree).code == 4


def test_a_pin_refuses(run: Run) -> None:
    run("put", "-", stdin=b"hello world")
    assert run("pin", HELLO).code == 0
    assert run("pin", HELLO, "--json").records[0]["new"] is False
    assert run("pin", "--list").text == f"{HELLO}\n"
    for args in (("rm", HELLO), ("evict", HELLO, "--tier", "vault")):
        result = run(*args, "--json")
        assert (result.code, result.error["error"]) == (8, "BlobPinned")
        assert result.error["cid"] == HELLO
    assert run("unpin", HELLO).code == 0
    assert run("rm", HELLO).code == 0


def test_evict(run: Run) -> None:
    run("put", "-", stdin=b"hello world")
    result = run("evict", HELLO, "--tier", "vault", "--json")
    assert (result.code, result.error["error"]) == (8, "LastCopy")
    assert run("cat", HELLO).out == b"hello world"
    assert run("evict", HELLO, "--tier", "ssd", "--json").records[0]["tier"] == "ssd"
    assert run("evict", HELLO, "--tier", "attic").code == 2


@pytest.mark.parametrize("profile", ["unixfs-v1-2025", "unixfs-v0-2015"])
def test_export_and_import(run: Run, tmp_path: Path, profile: str) -> None:
    configure(tmp_path, profile=profile)
    tree = make_tree(tmp_path / "tree")
    cid = run("put", "tree", "--json").records[0]["cid"]
    assert run("export", cid, "-o", "tree.car").code == 0
    car = run("export", cid).out
    assert car == (tmp_path / "tree.car").read_bytes()
    other = str(configure(tmp_path, "two"))
    assert run("--config", other, "import", "tree.car", "--json").records[0]["cid"] == cid
    assert run("--config", other, "get", cid, "-o", "copy").code == 0
    assert look(tmp_path / "copy") == look(tree)
    third = str(configure(tmp_path, "three"))
    assert run("--config", third, "import", "-", stdin=car).code == 0
    broken = bytearray(car)
    broken[len(car) // 2] ^= 1
    fourth = str(configure(tmp_path, "four"))
    result = run("--config", fourth, "import", "-", "--json", stdin=bytes(broken))
    assert (result.code, result.out) == (6, b"")


def flip(folder: Path) -> None:
    """Flip a bit in the largest file beneath a folder."""
    path = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_flipped_bit_is_caught(run: Run, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    cid = run("put", "-", "--json", stdin=data).records[0]["cid"]
    assert run("verify").code == 0
    flip(tmp_path / "one" / "vault")
    result = run("verify", cid, "--json")
    assert result.code == 6
    assert [(found["tier"], found["ok"], found["known"]) for found in result.records] == [
        ("vault", False, True)
    ]
    result = run("cat", cid)
    assert result.code == 6  # every tier answered, and the only copy is wrong
    assert data.startswith(result.out)  # only proved bytes came out
    assert len(result.out) < len(data)
    assert run("get", cid, "-o", "x").code == result.code
    assert not (tmp_path / "x").exists()


def test_verify_reads_every_place_of_a_block_that_stands_twice(run: Run, tmp_path: Path) -> None:
    data = b"ab" * 1_500_000  # the first two leaves are equal
    cid = run("put", "-", "--json", stdin=data).records[0]["cid"]
    (path,) = (
        path
        for path in (tmp_path / "one" / "vault").rglob("*")
        if path.is_file() and path.stat().st_size == len(data)
    )
    for place in (10, 1_400_000):
        path.chmod(0o600)
        path.write_bytes(data[:place] + b"x" + data[place + 1 :])
        assert run("verify", cid).code == 6
    path.write_bytes(data)
    assert run("verify").code == 0


def test_a_tier_that_is_not_there_cannot_be_verified(run: Run, tmp_path: Path) -> None:
    run("put", "-", stdin=b"hello world")
    (tmp_path / "one" / "vault").rename(tmp_path / "elsewhere")
    result = run("verify", "--json")
    assert result.code == 5
    assert all(record["known"] is False for record in result.records)


def test_a_missing_medium_is_not_an_empty_one(run: Run, tmp_path: Path) -> None:
    run("put", "-", stdin=b"hello world")
    (tmp_path / "one" / "ssd").rename(tmp_path / "elsewhere-ssd")
    (tmp_path / "one" / "vault").rename(tmp_path / "elsewhere")
    for args in (("cat", HELLO), ("has", HELLO)):
        result = run(*args, "--json")
        assert result.code == 5
        assert result.out == b""
    (tmp_path / "elsewhere").rename(tmp_path / "one" / "vault")
    assert run("cat", HELLO).out == b"hello world"


def test_full(run: Run, tmp_path: Path) -> None:
    small = str(configure(tmp_path, "small", 'capacity = "1 MB"'))
    (tmp_path / "big").write_bytes(os.urandom(1_500_000))
    (tmp_path / "ok").write_bytes(b"hello world")
    result = run("--config", small, "put", "big", "ok", "--json")
    assert result.code == 7
    assert result.error["error"] == "StoreFull"
    assert [record["cid"] for record in result.records] == [HELLO]


@pytest.mark.parametrize(
    ("args", "code", "error"),
    [
        (("cat", "nonsense"), 2, "InvalidCid"),
        (("cat", HELLO), 4, "BlobNotFound"),
        (("stat", HELLO), 4, "BlobNotFound"),
        (("get", HELLO), 4, "BlobNotFound"),
        (("put", "missing"), 1, "FileNotFoundError"),
        (("import", "missing.car"), 1, "FileNotFoundError"),
        (("--config", "missing.toml", "ls"), 3, "ConfigError"),
    ],
)
def test_failures(run: Run, args: tuple[str, ...], code: int, error: str) -> None:
    result = run(*args, "--json")
    assert (result.code, result.out, result.error["error"]) == (code, b"", error)
    assert len(run(*args).err.splitlines()) == 1


def test_the_text_that_is_no_cid_stands_in_the_error_as_it_was_given(run: Run) -> None:
    assert run("cat", "no'cid", "--json").error["cid"] == "no'cid"


def test_names_are_their_bytes_whatever_the_locale(run: Run, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    (tree / "a" / "é").symlink_to("ü/日本")
    cid = run("cid", "tree").text.split()[0]
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # where Python knows only ASCII
    env = os.environ | locale
    assert process("put", "tree", env=env).stdout.split()[0] == cid.encode()
    assert process("get", cid, "-o", "back", env=env).returncode == 0
    assert look(tmp_path / "back") == look(tree)


def test_special_files(run: Run, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    os.mkfifo(tmp_path / "d" / "pipe")
    for name in ("put", "cid"):
        result = run(name, "d")
        assert result.code == 1
        assert "pipe' is a fifo" in result.err
    assert run("ls").out == b""


def test_explain_and_stats(run: Run) -> None:
    run("put", "-", stdin=b"hello world")
    record = run("explain", HELLO, "--json").records[0]
    assert [tier["tier"] for tier in record["tiers"]] == ["ram", "ssd", "vault"]
    assert record["tiers"][-1]["holds"] is True
    assert record["answers"] == "vault"
    assert [(tier["holds"], tier["blocks"]) for tier in record["tiers"][:2]] == [(False, 0), (False, 0)]
    run("cat", HELLO)
    record = run("explain", HELLO, "--json").records[0]
    assert record["answers"] == "ssd"  # the memory went with the process
    assert [(tier["holds"], tier["blocks"]) for tier in record["tiers"][:2]] == [(False, 0), (True, 1)]
    record = run("stats", "--json").records[0]
    assert [tier["tier"] for tier in record["tiers"]] == ["ram", "ssd", "vault"]
    assert record["roots"] == 1
    assert record["tiers"][-1]["used"] == 11


def test_stats_add_up_what_other_processes_did(run: Run) -> None:
    assert process("put", "-", input=b"hello world").returncode == 0
    for _ in range(2):
        assert process("cat", HELLO).stdout == b"hello world"
    names = ("hits", "misses", "bytes_read", "bytes_written", "evictions", "errors")
    for _ in range(2):  # looking does not count
        (record,) = run("stats", "--json").records
        ram, ssd, vault = record["tiers"]
        # The first read misses both caches and fills them; the second finds the disk cache, and fills memory.
        assert ram["total"] == dict(zip(names, (0, 2, 0, 22, 0, 0), strict=True), evicted_age=None)
        assert ssd["total"] == dict(zip(names, (1, 1, 11, 11, 0, 0), strict=True), evicted_age=None)
        assert vault["total"] == dict(zip(names, (1, 0, 11, 11, 0, 0), strict=True), evicted_age=None)
        for tier in record["tiers"]:
            assert [tier[name] for name in names] == [0] * 6, "these are of this process"
    rows = {line.split()[0]: line.split()[-8:] for line in run("stats").text.splitlines()}
    assert rows["ssd"] == ["1", "1", "11", "B", "0", "-", "0", "ok"]


@pytest.mark.parametrize("profile", ["unixfs-v1-2025", "unixfs-v0-2015"])
def test_explain_and_evict_whatever_is_cached(run: Run, tmp_path: Path, profile: str) -> None:
    configure(tmp_path, profile=profile)
    make_tree(tmp_path / "tree")
    many = tmp_path / "tree" / "many"
    many.mkdir()
    for number in range(3000):  # a HAMT
        (many / f"{'long name to fill the directory' * 3} {number}").touch()
    tree = run("put", "tree", "--json").records[0]["cid"]
    for ref in (tree, f"{tree}/a/b/deep.bin", f"{tree}/many", f"{tree}/link", f"{tree}/a/nothing"):
        for warm in ((), ("stat", ref), ("ls", ref), ("cat", ref)):
            if warm:
                run(*warm)
            record = run("explain", ref, "--json").records[0]
            assert record["tiers"][-1]["holds"] is True
            assert record["answers"] in ("ssd", "vault")
            assert record["tiers"][1]["blocks"] <= record["blocks"]
        assert run("evict", "--tier", "ssd", ref).code == 0
        record = run("explain", ref, "--json").records[0]
        assert (record["tiers"][1]["blocks"], record["answers"]) == (0, "vault")


def test_configuration(run: Run, tmp_path: Path) -> None:
    record = run("config", "check", "--json").records[0]
    assert [tier["role"] for tier in record["tiers"]] == ["cache", "cache", "store"]
    assert "a put returns when one copy is on vault" in run("config", "check").text
    keys = {setting["key"]: setting for setting in run("config", "show", "--origin", "--json").records}
    assert keys["tier[2].name"]["value"] == "vault"
    assert keys["tier[2].capacity"]["value"] is None
    assert json.loads(run("config", "schema").text)["type"] == "object"
    assert run("config", "init").code == 0
    assert run("config", "init").code == 1
    assert run("config", "init", "--force").code == 0
    assert run("config", "init", "-").text == (tmp_path / "ziggurat.toml").read_text()
    broken = tmp_path / "broken.toml"
    broken.write_text("[store]\nmin_copys = 1\n[[tier]]\nname = 1\nbackend = 'memry'\n")
    result = run("--config", str(broken), "config", "check")
    assert result.code == 3
    lines = result.err.splitlines()
    assert len(lines) > 1
    assert all(line.startswith("error: ") and "broken.toml:" in line for line in lines)
    assert len(run("--config", str(broken), "config", "check", "--json").error["problems"]) == len(lines)


def test_doctor_changes_nothing(run: Run, tmp_path: Path) -> None:
    before = list(tmp_path.rglob("*"))
    result = run("doctor")
    assert result.code == 0, result.text
    assert "is not there yet" in result.text
    assert "tier vault: disk store, new" in result.text
    assert list(tmp_path.rglob("*")) == before


def test_doctor_sees_what_the_first_put_would_meet(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_text("a file where a folder is needed")
    config = tmp_path / "blocked.toml"
    config.write_text(
        '[store]\npath = "taken/catalog"\n'
        '[[tier]]\nname = "vault"\nbackend = "disk"\nrole = "store"\n[tier.options]\npath = "taken/blobs"\n'
    )
    result = run("--config", str(config), "doctor", "--json")
    assert result.code == 1
    problems = {record["check"]: record for record in result.records if record["state"] == "problem"}
    assert set(problems) == {"catalog", "tier vault"}
    assert "taken is no folder" in problems["catalog"]["message"]
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    result = run("doctor", "--json")
    assert result.code == 1
    problems = {record["check"]: record for record in result.records if record["state"] == "problem"}
    assert set(problems) == {"catalog", "tier ssd", "tier vault"}
    assert all(
        record["message"].endswith("is not writable") and record["fix"] for record in problems.values()
    )


def test_doctor(run: Run, tmp_path: Path) -> None:
    run("put", "-", stdin=b"hello world")
    result = run("doctor", "--json")
    assert result.code == 0, result.text
    assert {record["tier"] for record in result.records} >= {"ram", "ssd", "vault"}
    (tmp_path / "one" / "vault").rename(tmp_path / "elsewhere")
    result = run("doctor", "--json")
    assert result.code == 1
    (problem,) = [record for record in result.records if record["state"] == "problem"]
    assert problem["tier"] == "vault"
    assert "mount it" in problem["fix"]
    broken = tmp_path / "broken.toml"
    broken.write_text("[[tier]]\nname = 'x'\nbackend = 'memry'\n")
    result = run("--config", str(broken), "doctor")
    assert result.code == 1
    assert "memry" in result.text


def test_doctor_says_why_a_tier_cannot_be_used(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "same.toml"
    tier = '[[tier]]\nname = "{}"\nbackend = "disk"\nrole = "store"\noptions.path = "blobs"\n'
    config.write_text('[store]\npath = "catalog"\n' + tier.format("one") + tier.format("two"))
    assert run("--config", str(config), "put", str(config)).code == 0
    result = run("--config", str(config), "doctor", "--json")
    (problem,) = [record for record in result.records if record["state"] == "problem"]
    assert problem["tier"] == "two"
    assert "is on the same medium as tier 'one'" in problem["message"]
    run("put", str(config))
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "vault")
    result = run("doctor", "--json")
    (problem,) = [record for record in result.records if record["state"] == "problem"]
    assert problem["tier"] == "vault"
    assert problem["message"].endswith("vault is not writable")


def test_a_reader_that_stops_early(run: Run) -> None:
    cid = run("put", "-", "--json", stdin=os.urandom(8_000_000)).records[0]["cid"]
    command = [sys.executable, "-m", "ziggurat", "cat", cid]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stderr is not None
        reader.stdout.read(10)
        reader.stdout.close()
        assert reader.stderr.read() == b""
        assert reader.wait(20) == 141


def test_several_processes_put_into_one_store(run: Run, tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / str(number)).write_bytes(bytes([number]) * 100_000)
    command = [sys.executable, "-m", "ziggurat", "put", "--json"]
    running = [
        subprocess.Popen([*command, str(number), str((number + 1) % 4)], stdout=subprocess.PIPE)
        for number in range(4)
    ]
    for each in running:
        out, _ = each.communicate(timeout=60)
        assert each.returncode == 0
        assert len(out.splitlines()) == 2
    roots = [root["cid"] for root in run("ls", "--json").records]
    assert len(roots) == 4
    assert run("verify").code == 0


def test_the_packaged_default_works(tmp_path: Path) -> None:
    home = {
        key: str(tmp_path / key) for key in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
    }
    env = {key: value for key, value in os.environ.items() if not key.startswith("ZIGGURAT")} | home
    result = process("put", "-", input=b"hello world", env=env, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout == f"{HELLO}  -\n".encode()
    assert process("cat", HELLO, env=env, cwd=tmp_path).stdout == b"hello world"


def test_a_plugin_gets_its_own_tiers(run: Run, tmp_path: Path) -> None:
    from ziggurat.command import Session

    run("put", "-", stdin=b"hello world")
    session = Session()
    try:
        tiers = session.tiers("disk")
        assert [(tier.name, tier.role) for tier in tiers] == [("ssd", "cache"), ("vault", "store")]
        assert tiers[1].options.path == tmp_path / "one" / "vault"
        assert tiers[1].plugin.has(HELLO)
        assert session.tiers("s3") == ()
    finally:
        session.close()
