"""CIDs that others published for described inputs: kubo, the specifications, js-ipfs, codec-fixtures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from ziggurat.content import (
    DAG_PB,
    MAX_BLOCK,
    Cid,
    DirectoryDag,
    DirEntry,
    FileDag,
    Profile,
    build_directory,
    build_symlink,
    decode_node,
    import_file,
    import_stream,
    parse_chunker,
    profile_by_name,
)

VECTORS = json.loads(Path(__file__).with_name("vectors.json").read_text())["vectors"]
PIECE = 3_000_001  # never a multiple of a chunk


def keystream(seed: str, size: int) -> Iterator[bytes]:
    """Kubo's deterministic random bytes: chacha20, key sha256(seed), zero nonce, counter 0."""
    cipher = Cipher(algorithms.ChaCha20(hashlib.sha256(seed.encode()).digest(), bytes(16)), mode=None)
    encryptor = cipher.encryptor()
    zeros = bytes(PIECE)
    while size:
        step = min(size, PIECE)
        yield encryptor.update(zeros[:step])
        size -= step


def content(described: dict[str, Any]) -> Iterator[bytes]:
    if "utf8" in described:
        yield described["utf8"].encode()
    elif "chacha20" in described:
        yield from keystream(described["chacha20"]["seed"], described["chacha20"]["size"])
    else:
        repeat = described["repeat"]
        yield bytes([repeat["byte"]]) * repeat["size"]


def generated_names(described: dict[str, Any]) -> Iterator[str]:
    stream = b"".join(keystream(described["name_seed"], 1 << 20))
    alphabet, at = described["alphabet"], 0
    for index in range(described["count"]):
        last = index == described["count"] - 1
        length = described["last_name_len"] if last else described["name_len"]
        yield "".join(alphabet[byte % len(alphabet)] for byte in stream[at : at + length])
        at += length


def entries(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if "entries" in described:
        yield from described["entries"].items()
    elif "files_generated" in described:
        for name in generated_names(described["files_generated"]):
            yield name, {"type": "file", "utf8": described["files_generated"]["content_utf8"]}
    elif "files_seq" in described:
        how = described["files_seq"]
        for index in range(1, how["count"] + 1):
            yield how["name"] % index, {"type": "file", "utf8": how["content"] % index}
    else:
        how = described["files_printf"]
        for index in range(how["count"]):
            text = how["name_and_content"] % index
            yield text, {"type": "file", "utf8": text}


def profile_of(options: dict[str, Any]) -> Profile:
    return Profile(
        cid_version=options["cid-version"],
        raw_leaves=options["raw-leaves"],
        chunk_size=parse_chunker(options["chunker"]),
        max_links=options["max-file-links"],
        hamt_size_estimation=options["hamt-size-estimation"],
        hamt_threshold=options["hamt-threshold"],
    )


def build(described: dict[str, Any], profile: Profile, pool: ThreadPoolExecutor) -> FileDag | DirectoryDag:
    if described["type"] == "file":
        return import_stream(content(described), profile, pool=pool)
    if described["type"] == "symlink":
        return build_symlink(described["target"], profile)
    children = ((name, build(below, profile, pool)) for name, below in entries(described))
    return build_directory((DirEntry(name, dag.root, dag.tsize, dag.size) for name, dag in children), profile)


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


def test_all_vectors_are_here() -> None:
    assert len(VECTORS) == 40


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_published_cid(vector: dict[str, Any], pool: ThreadPoolExecutor) -> None:
    described, options = vector["input"], vector["options"]
    if described["type"] == "block":
        block = bytes.fromhex(described["hex"])
        decode_node(block)
        assert str(Cid.of(block, DAG_PB)) == vector["cid"]
        return
    profile = profile_of(options)
    if "profile" in options:
        assert profile.encoding == profile_by_name(options["profile"]).encoding or "shard" in vector["id"]
    dag = build(described, profile, pool)
    assert str(dag.root) == vector["cid"]
    for cid, block in dag.nodes.items():
        assert cid.matches(block)
        assert len(block) <= MAX_BLOCK
    if dag.nodes:
        assert next(iter(dag.nodes)) == dag.root


@pytest.mark.parametrize("vector", [v for v in VECTORS if v["id"] in ("v0-maxlinks", "v1-chunk", "v0-empty")])
def test_random_access_gives_the_same_cid(vector: dict[str, Any], pool: ThreadPoolExecutor) -> None:
    data = memoryview(b"".join(content(vector["input"])))
    dag = import_file(
        lambda offset, size: data[offset : offset + size], len(data), profile_of(vector["options"]), pool=pool
    )
    assert str(dag.root) == vector["cid"]
