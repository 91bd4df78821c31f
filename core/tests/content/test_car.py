"""CAR archives, whole and broken."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.content import (
    DAG_PB,
    MAX_BLOCK,
    RAW,
    Cid,
    car_header,
    car_header_size,
    car_section_size,
    read_car,
    write_car,
)
from ziggurat.content.carheader import decode_header, encode_header
from ziggurat.content.varint import encode_varint
from ziggurat.errors import MalformedContent

PRAGMA = bytes.fromhex("0aa16776657273696f6e02")

blocks = st.binary(max_size=120)
pairs = st.builds(
    lambda block, codec, hash_name: (Cid.of(block, codec, hash_name), block),
    blocks,
    st.sampled_from([RAW, DAG_PB]),
    st.sampled_from(["sha2-256", "sha2-512", "blake2b-256", "identity"]),
) | st.builds(lambda block: (Cid.of(block, DAG_PB, version=0), block), blocks)
archives = st.tuples(st.lists(pairs.map(lambda pair: pair[0]), max_size=30), st.lists(pairs, max_size=8))


def version_2(car: bytes, *, padding: int = 0, index: bytes = b"", claim: int | None = None) -> bytes:
    """Wrap a CARv1 by hand: pragma, characteristics, data offset and size, index offset."""
    offset = len(PRAGMA) + 40 + padding
    size = len(car) if claim is None else claim
    numbers = (offset, size, offset + size if index else 0)
    header = bytes(16) + b"".join(number.to_bytes(8, "little") for number in numbers)
    return PRAGMA + header + bytes(padding) + car + index


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def read(data: Iterable[bytes]) -> tuple[tuple[Cid, ...], list[tuple[Cid, bytes]]]:
    car = read_car(data)
    return car.roots, list(car)


@given(archives, st.integers(1, 80))
def test_round_trip(archive: tuple[list[Cid], list[tuple[Cid, bytes]]], step: int) -> None:
    roots, sections = archive
    data = b"".join(write_car(roots, sections))
    assert len(data) == car_header_size(roots) + sum(car_section_size(c, len(b)) for c, b in sections)
    assert data.startswith(car_header(roots))
    for chunks in ([data], cut(data, step), (bytearray(piece) for piece in cut(data, step))):
        car = read_car(chunks)
        assert car.version == 1
        assert list(car.roots) == roots
        found = list(car)
        assert found == sections
        assert [c.bytes for c, _ in found] == [c.bytes for c, _ in sections]


@given(archives, st.integers(1, 80), st.integers(0, 100), st.binary(max_size=40))
def test_version_2(
    archive: tuple[list[Cid], list[tuple[Cid, bytes]]], step: int, padding: int, index: bytes
) -> None:
    data = b"".join(write_car(*archive))
    car = read_car(cut(version_2(data, padding=padding, index=index), step))
    assert car.version == 2
    assert (list(car.roots), list(car)) == archive


def test_a_header_of_the_specification() -> None:
    # The example of ipld.io/specs/transport/car/carv1: two roots.
    roots = (
        Cid.parse("bafyreihyrpefhacm6kkp4ql6j6udakdit7g3dmkzfriqfykhjw6cad5lrm"),
        Cid.parse("bafyreidj5idub6mapiupjwjsyyxhyhedxycv4vihfsicm2vt46o7morwlm"),
    )
    assert car_header(roots).hex() == (
        "63a265726f6f747382d82a58250001711220f88bc853804cf294fe417e4fa83028689fcdb1b1592c5102e1474dbc200fab8b"
        "d82a5825000171122069ea0740f9807a28f4d932c62e7c1c83be055e55072c90266ab3e79df63a365b6776657273696f6e01"
    )


@given(archives, st.data())
def test_every_cut_is_caught(archive: tuple[list[Cid], list[tuple[Cid, bytes]]], data: st.DataObject) -> None:
    roots, sections = archive
    whole = b"".join(write_car(roots, sections))
    ends = {car_header_size(roots)}
    for cid, block in sections:
        ends.add(max(ends) + car_section_size(cid, len(block)))
    at = data.draw(st.integers(0, len(whole) - 1))
    if at in ends:
        assert read([whole[:at]])[1] == sections[: len(read([whole[:at]])[1])]
    else:
        with pytest.raises(MalformedContent):
            read([whole[:at]])
    # Version 2 says how long it is: there even a cut between sections is seen.
    wrapped = version_2(whole, padding=3)
    with pytest.raises(MalformedContent):
        read(cut(wrapped[: len(wrapped) - (len(whole) - at)], 50))


@given(archives, st.data())
def test_a_flipped_bit_is_caught_or_fails_its_proof(
    archive: tuple[list[Cid], list[tuple[Cid, bytes]]], data: st.DataObject
) -> None:
    raw = bytearray(b"".join(write_car(*archive)))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit >> 3] ^= 1 << (bit & 7)
    try:
        roots, sections = read([bytes(raw)])
    except MalformedContent:
        return
    same = list(roots) == archive[0] and [(c.bytes, b) for c, b in sections] == [
        (c.bytes, b) for c, b in archive[1]
    ]
    assert not same
    if list(roots) == archive[0]:
        unproved = any(not cid.matches(block) for cid, block in sections)
        named = {cid.bytes for cid, _ in sections} != {cid.bytes for cid, _ in archive[1]}
        assert unproved or named


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    for garbage in (
        data,
        car_header([]) + data,
        PRAGMA + data,
        version_2(data),
        encode_varint(len(data)) + data,
    ):
        with contextlib.suppress(MalformedContent):
            read(cut(garbage, 7))
    with contextlib.suppress(MalformedContent):
        decode_header(data)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "a0",
        "a16776657273696f6e01",
        "a16776657273696f6e03",
        "a265726f6f7473806776657273696f6e02",
        "a265726f6f747398006776657273696f6e01",  # a length that is longer than needed
        "a265726f6f74739b7fffffffffffffff6776657273696f6e01",
        "a265726f6f74739affffffff6776657273696f6e01",
        "a265726f6f74739f ff6776657273696f6e01",
        "a26776657273696f6e0165726f6f747380",  # keys out of order
        "a265726f6f7473f66776657273696f6e01",
        "a265726f6f7473806776657273696f6e0100",
        "a265726f6f747381d82a4100" + "6776657273696f6e01",
        "a265726f6f747381d82a45000155001e00" + "6776657273696f6e01",
        "a265726f6f747381d82a450101550000" + "6776657273696f6e01",
        "a265726f6f747381d82a5a7fffffff00" + "6776657273696f6e01",
    ],
)
def test_what_is_not_a_header(header: str) -> None:
    body = bytes.fromhex(header)
    with pytest.raises(MalformedContent):
        read([encode_varint(len(body)) + body])


def test_a_header_round_trips_with_inlined_and_many_roots() -> None:
    tiny = Cid.of(b"", hash_name="identity")
    for count in (0, 1, 23, 24, 255, 256, 300):
        assert decode_header(encode_header((tiny,) * count)) == (1, (tiny,) * count)
    assert b"\xd8\x2a\x45\x00\x01\x55\x00\x00" in encode_header((tiny,))


def section(cid: bytes, block: bytes) -> bytes:
    return encode_varint(len(cid) + len(block)) + cid + block


@pytest.mark.parametrize(
    "tail",
    [
        b"\0",
        encode_varint(1) + b"\x01",
        section(b"\x01\x55\x1e\x20" + bytes(32), b"blake3"),
        section(b"\x02\x55\x12\x20" + bytes(32), b"version 2"),
        encode_varint(20) + Cid.of(b"x").bytes,  # the section ends inside its CID
        b"\x80\x00",
        b"\xff" * 9 + b"\x01",
        encode_varint(1 << 40),
        b"blockstore: block was not found locally",
    ],
)
def test_broken_sections(tail: bytes) -> None:
    with pytest.raises(MalformedContent):
        read([car_header([]) + tail])


def test_blocks_have_a_limit() -> None:
    block = bytes(MAX_BLOCK)
    cid = Cid.of(block)
    assert read(write_car([cid], [(cid, block)]))[1] == [(cid, block)]
    larger = block + b"x"
    named = Cid.of(larger)
    with pytest.raises(MalformedContent, match="limit"):
        read(write_car([], [(named, larger)]))
    assert list(read_car(write_car([], [(named, larger)]), max_block=MAX_BLOCK + 1)) == [(named, larger)]
    with pytest.raises(MalformedContent, match="limit"):
        list(read_car(write_car([], [(cid, block)]), max_block=100))


@pytest.mark.parametrize(
    "fields",
    [(10, 100, 0), (51, 0, 0), (51, 100, 60), ((1 << 64) - 1, 100, 0), (51, (1 << 64) - 1, 0), (50, 100, 0)],
)
def test_a_version_2_header_that_lies(fields: tuple[int, int, int]) -> None:
    data = PRAGMA + bytes(16) + b"".join(number.to_bytes(8, "little") for number in fields) + car_header([])
    with pytest.raises(MalformedContent):
        read([data])


def test_version_2_inside_version_2() -> None:
    with pytest.raises(MalformedContent, match="something else"):
        read([version_2(version_2(car_header([])))])


def test_version_2_data_ends_where_it_says() -> None:
    cid = Cid.of(b"x")
    car = b"".join(write_car([cid], [(cid, b"x")]))
    assert read([version_2(car, index=section(cid.bytes, b"y"))]) == ((cid,), [(cid, b"x")])
    with pytest.raises(MalformedContent):
        read([version_2(car, claim=len(car) - 1)])
    with pytest.raises(MalformedContent):
        read([version_2(car, claim=len(car) + 1)])


def test_memory_is_bounded() -> None:
    cid = Cid.of(bytes(1 << 20))
    block = bytes(1 << 20)
    tracemalloc.start()
    try:
        for chunks in (
            (piece for _ in range(60) for piece in [section(cid.bytes, block)]),
            iter([encode_varint(MAX_BLOCK)] + [b"x"] * 100),
            iter([encode_varint((1 << 63) - 1)]),
        ):
            with contextlib.suppress(MalformedContent):
                for _ in read_car(_after(car_header([]), chunks)):
                    pass
        with pytest.raises(MalformedContent):
            read_car([encode_varint(1 << 50), b"x" * 100])
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def _after(head: bytes, chunks: Iterable[bytes]) -> Iterator[bytes]:
    yield head
    yield from chunks


def test_the_header_is_read_before_the_rest_is_asked_for() -> None:
    asked = []

    def chunks() -> Iterator[bytes]:
        yield car_header([Cid.of(b"x")])
        asked.append(1)
        yield section(Cid.of(b"x").bytes, b"x")

    car = read_car(chunks())
    assert car.roots == (Cid.of(b"x"),)
    assert not asked
    assert len(list(car)) == 1


def test_what_the_source_raises_passes() -> None:
    def chunks() -> Iterator[bytes]:
        yield car_header([])
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        list(read_car(chunks()))
