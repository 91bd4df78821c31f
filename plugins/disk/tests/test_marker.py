"""Who the medium is, and what happens when it is not there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import Popen

import pytest

from ziggurat.errors import TierError, TierUnavailable
from ziggurat_disk import Disk

Make = Callable[..., Disk]
KEY = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
BIG = b"x" * 100_000


def test_a_claim_makes_the_medium_and_a_look_does_not(make: Make, folder: Path) -> None:
    disk = make()
    assert disk.identify(claim=False) is None
    assert not folder.parent.joinpath("disk").exists()
    made = disk.identify(claim=True)
    assert made is not None
    assert made.catalogs == ("catalog-1",)
    marker = json.loads((folder / "marker.json").read_text())
    assert marker == {"format": 1, "id": made.id, "owner": "catalog-1"}
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert disk.identify(claim=False) == made == disk.identify(claim=True)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    disk.put(KEY, b"x")
    assert list(disk.scan()) == [KEY]  # the marker is outside the key space


def test_parents_are_made_too(make: Make, folder: Path) -> None:
    make(path=folder / "a" / "b" / "c").put(KEY, b"x")
    assert (folder / "a/b/c/marker.json").exists()


def test_further_catalogs_leave_markers_beside_the_owners(make: Make) -> None:
    owner = make(catalog="zz-owner").identify(claim=True)
    assert owner is not None
    second = make(catalog="second/../x")
    assert second.identify(claim=False) == owner
    claimed = second.identify(claim=True)
    assert claimed is not None
    assert claimed.id == owner.id
    assert claimed.catalogs == ("zz-owner", "second/../x")
    assert second.identify(claim=True) == claimed
    third = make(catalog="a").identify(claim=True)
    assert third is not None
    assert third.catalogs[0] == "zz-owner"
    assert set(third.catalogs) == {"zz-owner", "second/../x", "a"}


def test_without_a_catalog_nobody_owns_the_medium(make: Make) -> None:
    nobody = make(catalog="")
    nobody.put(KEY, b"x")
    made = nobody.identify(claim=True)
    assert made is not None
    assert made.catalogs == ()
    later = make(catalog="later").identify(claim=True)
    assert later is not None
    assert (later.id, later.catalogs) == (made.id, ("later",))


def test_many_claim_at_once_and_agree(make: Make, folder: Path) -> None:
    disks = [make(catalog=f"c{n}") for n in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda disk: disk.put(f"key{id(disk)}", BIG), disks))
        found = list(threads.map(lambda disk: disk.identify(claim=True), disks))
    assert len({medium.id for medium in found if medium}) == 1
    last = disks[0].identify(claim=False)
    assert last is not None
    assert sorted(last.catalogs) == sorted(f"c{n}" for n in range(8))
    assert not list(folder.rglob("*.new"))


CLAIM = """
import sys
from ziggurat.backend import Context
from ziggurat_disk import Disk, DiskOptions
disk = Disk(DiskOptions(path=sys.argv[1]), Context("tier", "store", catalog=sys.argv[2], capacity=10**12))
print("ready", flush=True)
sys.stdin.readline()
print(disk.identify(claim=True).id, flush=True)
"""


def test_processes_claim_at_once_and_agree(
    child: Callable[..., Popen[str]], make: Make, folder: Path
) -> None:
    processes = [child(CLAIM, folder, f"c{n}") for n in range(4)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    ids = {process.stdout.readline() for process in processes if process.stdout}
    found = make().identify(claim=False)
    assert found is not None
    assert ids == {found.id + "\n"}
    assert sorted(found.catalogs) == ["c0", "c1", "c2", "c3"]


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ('{"format": 2, "id": "x", "owner": "o", "new": 1}', "upgrade"),
        ('{"format": 99}', "damaged|upgrade"),
        ("", "damaged"),
        ("[]", "damaged"),
        ('{"format": 1, "id": "", "owner": ""}', "damaged"),
        ('{"format": 1, "id": 5, "owner": ""}', "damaged"),
        ('{"format": "1", "id": "x", "owner": ""}', "damaged"),
        ("\udcff\udcfe", "damaged"),
        ("[" * 5000, "damaged"),
    ],
)
def test_a_marker_that_is_not_ours_is_refused(make: Make, folder: Path, text: str, fix: str) -> None:
    folder.mkdir()
    (folder / "marker.json").write_text(text, errors="surrogateescape")
    disk = make()
    for call in (
        lambda: disk.identify(claim=False),
        lambda: disk.identify(claim=True),
        lambda: disk.get(KEY, None),
        lambda: disk.put(KEY, b"x"),
        lambda: disk.scan(),
    ):
        with pytest.raises(TierUnavailable, match=fix) as caught:
            call()
        assert str(folder) in str(caught.value)
    assert sorted(os.listdir(folder)) == ["marker.json"]


def test_a_damaged_marker_of_another_catalog_is_refused(make: Make, folder: Path) -> None:
    make().identify(claim=True)
    make(catalog="two").identify(claim=True)
    (folder / "markers" / "two.json").write_text("{")
    with pytest.raises(TierUnavailable, match=r"two\.json"):
        make().identify(claim=False)


def every_call(disk: Disk) -> list[Callable[[], object]]:
    return [
        lambda: disk.get("absent", None),
        lambda: disk.has("absent"),
        lambda: disk.stat("absent"),
        lambda: disk.evict("absent"),
        lambda: disk.evict(KEY),
        lambda: disk.put(KEY, b"x"),
        lambda: disk.put(KEY, BIG),
        lambda: list(disk.scan()),
        lambda: disk.identify(claim=True),
    ]


@pytest.mark.parametrize("role", ["store", "cache"])
@pytest.mark.parametrize("then", ["nothing", "empty folder", "another medium"])
def test_a_medium_that_went_away_is_neither_empty_nor_made_again(
    make: Make, folder: Path, role: str, then: str
) -> None:
    disk = make(role=role)
    disk.put(KEY, b"small")
    disk.put(KEY + ".nodes", BIG)
    folder.rename(folder.parent / "elsewhere")
    if then != "nothing":
        folder.mkdir()
    if then == "another medium":
        make(role=role).identify(claim=True)
    before = sorted(folder.rglob("*"))
    for call in every_call(disk):
        with pytest.raises(TierUnavailable, match=str(folder)):
            call()
    assert sorted(folder.rglob("*")) == before
    if then != "another medium":
        assert disk.identify(claim=False) is None
        shutil.rmtree(folder, ignore_errors=True)
        (folder.parent / "elsewhere").rename(folder)
        assert disk.get(KEY, None) == b"small"  # mounted again
        assert disk.get(KEY + ".nodes", None) == BIG
        disk.put(KEY, b"other")


def test_a_medium_that_was_only_looked_at_is_not_made_again(make: Make, folder: Path) -> None:
    make().identify(claim=True)
    disk = make()
    assert disk.identify(claim=False) is not None
    shutil.rmtree(folder)
    for call in every_call(disk):
        with pytest.raises(TierUnavailable, match="mount"):
            call()
    assert not folder.exists()


def test_a_lost_database_is_not_an_empty_one(make: Make, folder: Path) -> None:
    make().put(KEY, b"x")
    make().close()
    for path in folder.glob("small.db*"):
        path.unlink()
    with pytest.raises(TierUnavailable, match=r"small\.db"):
        make().has(KEY)
    assert not (folder / "small.db").exists()


def test_a_creation_that_was_cut_short_is_completed(make: Make, folder: Path) -> None:
    make().put(KEY, b"x")
    (folder / "marker.json").unlink()  # written last
    (folder / "marker.json.new").write_bytes(b"{")
    fresh = make()
    assert fresh.identify(claim=False) is None
    assert fresh.identify(claim=True) is not None
    assert fresh.get(KEY, None) == b"x"


def test_a_path_that_is_a_file_says_so(make: Make, folder: Path) -> None:
    folder.write_bytes(b"")
    disk = make()
    for call in every_call(disk):
        with pytest.raises(TierError, match=str(folder)):
            call()
    with pytest.raises(TierError, match=str(folder)):
        disk.identify(claim=False)
