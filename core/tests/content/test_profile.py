from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.content import PROFILES, Profile, parse_chunker, profile_by_name
from ziggurat.content.profile import MAX_CHUNK
from ziggurat.errors import UnsupportedContent

profiles = st.builds(
    Profile,
    cid_version=st.just(1),
    chunk_size=st.integers(1, MAX_CHUNK),
    raw_leaves=st.booleans(),
    max_links=st.integers(2, 16384),
    hash_name=st.sampled_from(["sha2-256", "sha2-512", "blake2b-256"]),
    hamt_threshold=st.integers(1, 1 << 40),
    hamt_size_estimation=st.sampled_from(["block", "links", "disabled"]),
    hamt_fanout=st.sampled_from([8, 16, 256, 1024]),
)


def test_published_profiles() -> None:
    assert list(PROFILES) == ["unixfs-v1-2025", "unixfs-v0-2015"]
    new, old = PROFILES.values()
    assert (new.cid_version, new.chunk_size, new.raw_leaves, new.max_links) == (1, 1 << 20, True, 1024)
    assert (old.cid_version, old.chunk_size, old.raw_leaves, old.max_links) == (0, 1 << 18, False, 174)
    assert (new.hamt_size_estimation, old.hamt_size_estimation) == ("block", "links")
    assert {new.hamt_threshold, old.hamt_threshold} == {262144}
    assert {new.hamt_fanout, old.hamt_fanout} == {256}
    assert profile_by_name("unixfs-v0-2015") is old
    with pytest.raises(UnsupportedContent, match=r"unixfs-v1-2025, unixfs-v0-2015"):
        profile_by_name("unixfs-v2")
    with pytest.raises(TypeError):
        PROFILES["mine"] = new  # type: ignore[index]  # the mistake under test


@given(profiles | st.sampled_from(list(PROFILES.values())))
def test_encoding_round_trip(profile: Profile) -> None:
    again = Profile.from_encoding(profile.encoding)
    assert again.encoding == profile.encoding
    assert evolve(again, name="") == evolve(profile, name="")


def test_encoding_is_stable() -> None:
    # Kept in catalogues: a change here orphans what they remember.
    assert PROFILES["unixfs-v1-2025"].encoding == (
        "cid=1,chunk=1048576,leaves=raw,links=1024,hash=sha2-256,hamt=block:262144:256"
    )
    assert Profile.from_encoding(PROFILES["unixfs-v0-2015"].encoding) is PROFILES["unixfs-v0-2015"]


@given(st.text(max_size=120))
def test_garbage_is_no_encoding(text: str) -> None:
    for garbage in (text, PROFILES["unixfs-v1-2025"].encoding + text + "x"):
        with pytest.raises(UnsupportedContent):
            Profile.from_encoding(garbage)


@pytest.mark.parametrize(
    ("knobs", "named"),
    [
        ({"cid_version": 2}, "CID version 2"),
        ({"cid_version": 0, "hash_name": "blake2b-256"}, "blake2b-256"),
        ({"hash_name": "blake3"}, "blake3"),
        ({"hash_name": "identity"}, "identity"),
        ({"chunk_size": 0}, "chunk size of 0"),
        ({"chunk_size": MAX_CHUNK + 1}, "2096897"),
        ({"max_links": 1}, "link count of 1"),
        ({"max_links": 16385}, "16385"),
        ({"hamt_threshold": 0}, "threshold of 0"),
        ({"hamt_fanout": 100}, "power of two"),
        ({"hamt_fanout": 2048}, "2048"),
        ({"hamt_fanout": 4}, "fanout of 4"),
        ({"hamt_size_estimation": "bytes"}, "'bytes'"),
    ],
)
def test_refused_knobs_are_named(knobs: dict[str, Any], named: str) -> None:
    with pytest.raises(UnsupportedContent, match=named):
        Profile(**knobs)


def test_chunkers() -> None:
    assert parse_chunker("size-262144") == 262144
    assert parse_chunker("size-1") == 1
    assert parse_chunker(f"size-{MAX_CHUNK}") == MAX_CHUNK


@pytest.mark.parametrize(
    "text",
    [
        *(
            "rabin",
            "rabin-100-200-300",
            "buzhash",
            "default",
            "",
            "size",
            "size-",
            "size-0",
            "size--1",
            "size-1 ",
        ),
        *("size-2096897", "size-²", "size-1_0", "size-" + "9" * 5000, "SIZE-1", "size-1-2"),
    ],
)
def test_other_chunkers_are_refused(text: str) -> None:
    with pytest.raises(UnsupportedContent, match="chunker"):
        parse_chunker(text)
