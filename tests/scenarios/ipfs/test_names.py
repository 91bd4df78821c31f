"""The CIDs that we give are those of ``ipfs add``, whatever the profile and its knobs."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.support.folders import tree
from tests.support.servers.kubo import KuboNode

from ziggurat.content import Profile, import_stream
from ziggurat.content.tree import walk_directory

SMALL_HAMT = 2048  # bytes above which the node of these tests shards a directory


def knobs(chance: random.Random) -> tuple[list[str], Profile]:
    version, chunk = chance.choice((0, 1)), chance.choice((100, 4096, 9999, 262_144, 1 << 20))
    raw, links = chance.random() < 0.5, chance.choice((3, 174, 1024))
    name = "sha2-256" if version == 0 else chance.choice(("sha2-256", "sha2-512", "blake2b-256"))
    flags = [f"--cid-version={version}", f"--chunker=size-{chunk}", f"--raw-leaves={str(raw).lower()}"]
    flags += [f"--max-file-links={links}", f"--hash={name}"]
    return flags, Profile(
        cid_version=version,
        chunk_size=chunk,
        raw_leaves=raw,
        max_links=links,
        hash_name=name,
        hamt_threshold=SMALL_HAMT,
    )


@pytest.mark.parametrize("seed", range(24))
def test_files_have_the_cids_that_the_node_gives_them(kubo: KuboNode, seed: int) -> None:
    chance = random.Random(seed)
    flags, profile = knobs(chance)
    size = chance.choice((0, 1, profile.chunk_size - 1, profile.chunk_size, profile.chunk_size + 1))
    data = chance.randbytes(min(size * chance.choice((1, 1, 7)), 3_000_000))
    text = kubo.run("add", "-Q", "--only-hash", *flags, stdin=data).strip()
    assert str(import_stream([data], profile).root) == text


@pytest.mark.parametrize("seed", range(12))
def test_directories_have_the_cids_that_the_node_gives_them(
    kubo: KuboNode, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(1000 + seed)
    flags, profile = knobs(chance)
    folder = tree(tmp_path / "tree", chance, names=chance.choice((0, 5, 30, 80)))
    text = kubo.run("add", "-rQH", "--only-hash", *flags, str(folder)).strip()
    *_, root = walk_directory(folder, profile)
    assert str(root.cid) == text
