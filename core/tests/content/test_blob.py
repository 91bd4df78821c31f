from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.content import Blob, Cid, Dag
from ziggurat.errors import ContentMismatch, UnsupportedContent


@given(st.binary(max_size=300), st.integers(0, 320), st.integers(0, 320))
def test_a_blob_of_bytes(data: bytes, offset: int, length: int) -> None:
    blob = Blob.of(data)
    assert blob.size == len(data)
    assert blob.read() == data == b"".join(blob.chunks())
    assert blob.pread is not None
    into = bytearray(length)
    count = blob.pread(memoryview(into), offset)
    assert bytes(into[:count]) == data[offset : offset + length]


def test_reading_checks_the_size() -> None:
    for size in (0, 4, 6):
        with pytest.raises(ContentMismatch):
            Blob(size, lambda: [b"hel", b"lo"]).read()
    assert Blob(5, lambda: [b"hel", memoryview(b"lo")]).read() == b"hello"


def test_a_lying_blob_is_left_at_the_first_byte_too_many() -> None:
    def endless() -> object:
        while True:
            yield bytes(1000)

    with pytest.raises(ContentMismatch):
        Blob(5000, endless).read()  # type: ignore[arg-type]  # object stands for the iterator


def test_pieces_may_share_one_buffer() -> None:
    def pieces() -> object:
        buffer = bytearray(2)
        for start in (b"ab", b"cd"):
            buffer[:] = start
            yield memoryview(buffer)

    assert Blob(4, pieces).read() == b"abcd"  # type: ignore[arg-type]  # object stands for the iterator


def test_close_happens_once() -> None:
    closed: list[str] = []
    with Blob(0, lambda: (), close=lambda: closed.append("blob")) as blob:
        assert not closed
    blob.close()
    with Dag(lambda: (), close=lambda: closed.append("dag")) as dag:
        pass
    dag.close()
    assert closed == ["blob", "dag"]


def test_a_dag_starts_afresh() -> None:
    cid = Cid.of(b"x")
    dag = Dag(lambda: [(cid, b"x")], size=3, car=lambda: [b"abc"])
    for _ in range(2):
        assert list(dag.pairs()) == [(cid, b"x")]
        assert b"".join(dag.car()) == b"abc"
    assert dag.size == 3
    with pytest.raises(UnsupportedContent):
        Dag(lambda: ()).car()
