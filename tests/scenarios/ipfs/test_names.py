"""The CIDs that we give are those of ``ipfs add``, whatever the profile and its knobs; both ways."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve, frozen
from click.testing import CliRunner
from tests.support.servers.kubo import KuboNode

from ziggurat import Store
from ziggurat.cli.cid import cid_command
from ziggurat.config.model import TierConfig
from ziggurat.content import Profile
from ziggurat.plugin.registry import Registry
from ziggurat.tiers import make_tier
from ziggurat_ipfs import IpfsOptions

NAMES = (
    "plain",
    "with space",
    "äöü",
    "日本語",
    ".hidden",
    "a.tar.gz",
    "%41",
    "UPPER",
    "x" * 200,
    "😀",
    "-dash",
    "a+b&c",
)


@frozen
class Knobs:
    """How a tree is cut and named, as both programs are told it."""

    flags: tuple[str, ...]
    estimation: str
    threshold: int

    @classmethod
    def random(cls, chance: random.Random, estimation: str) -> Knobs:
        version = chance.choice((0, 1))
        chosen = {
            "cid-version": version,
            "chunker": f"size-{chance.choice((64, 100, 4096, 9999, 262_144, 1 << 20))}",
            "max-file-links": chance.choice((2, 3, 174, 1024)),
            "hash": "sha2-256" if version == 0 else chance.choice(("sha2-256", "sha2-512", "blake2b-256")),
            "max-hamt-fanout": chance.choice((8, 16, 256, 1024)),
        }
        raw = chance.choice(("--raw-leaves", "--no-raw-leaves"))
        flags = (*(f"--{name}={value}" for name, value in chosen.items()), raw)
        return cls(flags, estimation, chance.choice((300, 1000, 3000)))

    @property
    def kubo(self) -> list[str]:
        """As ``ipfs add`` takes them."""
        return [flag.replace("--no-raw-leaves", "--raw-leaves=false") for flag in self.flags]

    @property
    def config(self) -> dict[str, object]:
        """What Kubo takes from its configuration only."""
        return {
            "Import.UnixFSHAMTDirectorySizeThreshold": f"{self.threshold}B",
            "Import.UnixFSHAMTDirectorySizeEstimation": self.estimation,
        }

    @property
    def ziggurat(self) -> list[str]:
        """As ``ziggurat cid`` takes them."""
        return [
            *self.flags,
            f"--hamt-threshold={self.threshold}",
            f"--hamt-size-estimation={self.estimation}",
        ]


def grow(folder: Path, chance: random.Random, edges: tuple[int, ...], depth: int = 0) -> None:
    """A random tree of files, folders small and large, and symlinks."""
    folder.mkdir()
    for number in range(chance.choice((0, 2, 4)) if depth else 5):
        name = f"{number}{chance.choice(NAMES)}"
        match chance.choice(("file", "file", "file", "link", "folder", "many")):
            case "file":
                size = max(0, chance.choice(edges) + chance.choice((-1, 0, 0, 1)))
                (folder / name).write_bytes(chance.randbytes(size))
            case "link":
                target = chance.choice(("somewhere", "../up", "äöü/ü", "x" * 300, "/absolute", f"{number}"))
                (folder / name).symlink_to(target)
            case "folder" if depth < 2:
                grow(folder / name, chance, edges, depth + 1)
            case _:
                (folder / name).mkdir()
                for entry in range(chance.choice((3, 12, 40))):
                    (folder / name / f"{chance.choice(NAMES)} {entry}").write_bytes(b"%d" % entry)


def added(node: KuboNode, folder: Path, flags: list[str]) -> dict[str, str]:
    """What ``ipfs add`` names everything in a folder, by path beneath it; see `agreed`."""
    lines = node.run("add", "-rH", "--progress=false", "--pin=false", *flags, str(folder)).splitlines()
    found = {}
    for line in lines:
        _, cid, path = line.split(" ", 2)
        found[path.removeprefix(folder.name).removeprefix("/")] = cid
    return found


def named(folder: Path, flags: list[str]) -> dict[str, str]:
    """What ``ziggurat cid`` does."""
    done = CliRunner().invoke(cid_command, ["--json", *flags, str(folder)])
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["path"].removeprefix(str(folder)).removeprefix("/"): row["cid"] for row in rows}


def agreed(node: KuboNode, folder: Path, flags: list[str], ours: dict[str, str]) -> dict[str, str]:
    """What ``ipfs add`` names everything in a folder, where it is of one mind.

    Kubo 0.43 does not always give the top directory of an add the same CID when it has to become a HAMT:
    one run in eight, and every run with ``--only-hash``, leaves it flat or otherwise. So it is asked again.
    """
    for _ in range(5):
        theirs = added(node, folder, flags)
        if theirs[""] == ours[""]:
            break
    return theirs


def edges_of(knobs: Knobs) -> tuple[int, ...]:
    chunk = int(knobs.flags[1].removeprefix("--chunker=size-"))
    links = int(knobs.flags[2].removeprefix("--max-file-links="))
    return tuple(size for size in (0, 1, chunk, 2 * chunk, links * chunk, 5000) if size <= 1 << 20)


@pytest.fixture(scope="module")
def quiet_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KuboNode]:
    """A repository whose configuration changes from case to case; no daemon runs."""
    node = KuboNode(tmp_path_factory.mktemp("quiet") / "node")
    yield node
    node.remove()


@pytest.mark.parametrize("estimation", ["block", "links", "disabled"])
def test_every_entry_of_a_random_tree_has_the_cid_that_add_gives_it(
    quiet_node: KuboNode, tmp_path: Path, estimation: str
) -> None:
    compared = 0
    for seed in range(9):
        chance = random.Random(f"{estimation} {seed}")
        knobs = Knobs.random(chance, estimation)
        folder = tmp_path / f"tree-{seed}"
        grow(folder, chance, edges_of(knobs))
        quiet_node.configure(knobs.config)
        ours = named(folder, knobs.ziggurat)
        assert ours == agreed(quiet_node, folder, knobs.kubo, ours), knobs
        compared += len(ours)
    assert compared > 200


@pytest.mark.parametrize("profile", ["unixfs-v1-2025", "unixfs-v0-2015"])
def test_a_profile_is_what_a_node_does_that_was_set_up_with_it(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, profile: str
) -> None:
    node = KuboNode(tmp_path_factory.mktemp("profile") / "node", profile=profile)
    chance = random.Random(profile)
    folder = tmp_path / "tree"
    chunk = 1 << 20 if profile == "unixfs-v1-2025" else 1 << 18
    grow(folder, chance, (0, 1, chunk, 2 * chunk))
    (folder / "long").write_bytes(chance.randbytes(3 * chunk + 7))
    # A directory on either side of 256 KiB, in the measure of the profile: names and CIDs, or its block.
    overhead = 34 if profile == "unixfs-v0-2015" else 36 + 10
    for name, count in (("at", 1), ("below", -1), ("above", 3)):
        (folder / name).mkdir()
        entries = (1 << 18) // (200 + overhead) + 2 * count
        for number in range(entries):
            (folder / name / f"{number:0200}").touch()
    ours = named(folder, [f"--profile={profile}"])
    assert ours == agreed(node, folder, [], ours)
    node.remove()


# -- both ways --------------------------------------------------------------------------------------


def open_over(kubo: KuboNode, folder: Path, profile: Profile) -> Store:
    provider, kind = Registry().load_backend("ipfs")
    config = TierConfig("ipfs", provider, kind, "store", IpfsOptions(api=kubo.api), publish=True)
    tier = make_tier(config, catalog="names", spool=folder)
    return Store.from_tiers([tier], path=folder / "vault", profile=profile)


@pytest.mark.parametrize("seed", range(4))
def test_a_random_tree_is_the_same_whoever_adds_and_whoever_reads_it(
    kubo: KuboNode, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    knobs = Knobs.random(chance, "block")
    folder = tmp_path / "tree"
    grow(folder, chance, edges_of(knobs))
    knobs = evolve(knobs, threshold=2048)  # the node's
    ours = named(folder, knobs.ziggurat)[""]
    flags = dict(flag.removeprefix("--").split("=") for flag in knobs.flags if "=" in flag)
    profile = Profile(
        cid_version=int(flags["cid-version"]),
        chunk_size=int(flags["chunker"].removeprefix("size-")),
        raw_leaves="--raw-leaves" in knobs.flags,
        max_links=int(flags["max-file-links"]),
        hash_name=flags["hash"],
        hamt_threshold=knobs.threshold,
        hamt_fanout=int(flags["max-hamt-fanout"]),
    )
    theirs = agreed(kubo, folder, knobs.kubo, {"": ours})[""]
    kubo.rpc("pin/add", arg=theirs)
    with open_over(kubo, tmp_path, profile) as store:
        store.adopt(theirs, "ipfs")
        store.save(theirs, tmp_path / "read by us")
        assert _same(folder, tmp_path / "read by us")
        store.remove(theirs)
        store.gc()
        kubo.wipe()
        receipt = store.put_dir(folder)
    assert str(receipt.cid) == theirs
    assert list(kubo.pins()) == [theirs]
    kubo.run("get", "-o", str(tmp_path / "read by the node"), theirs)
    assert _same(folder, tmp_path / "read by the node")


def _same(one: Path, other: Path) -> bool:
    return subprocess.run(["diff", "-r", "--no-dereference", one, other]).returncode == 0
