"""Leaves out of a body that arrives in chunks of any size, some of them in a buffer that is filled again."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from ziggurat.backend import Blob
from ziggurat.content import Cid
from ziggurat.content.layout import Want
from ziggurat.engine.runs import proved_leaves

LEAF = 300_001


def leaves_of(data: bytes) -> list[Want]:
    pieces = [(at, data[at : at + LEAF]) for at in range(0, len(data), LEAF)]
    return [Want(at, len(piece), Cid.of(piece)) for at, piece in pieces]


@pytest.mark.parametrize("size", [3 * LEAF, 8 * LEAF - 5])  # proved where they arrive, and beside it
@pytest.mark.parametrize("step", [1_000, 70_000, LEAF, 1 << 20])
@pytest.mark.parametrize("again", [False, True])
def test_leaves_are_cut_out_of_chunks(size, step, again):
    data = bytes(bytearray(number * 31 % 251 for number in range(size)))
    buffer = bytearray(step)

    def chunks():
        for at in range(0, size, step):
            chunk = data[at : at + step]
            if again:
                buffer[: len(chunk)] = chunk
                yield memoryview(buffer)[: len(chunk)]
            else:
                yield chunk

    view = memoryview(bytearray(size))
    with ThreadPoolExecutor(3) as hashers:
        found = list(proved_leaves(None, Blob(size, chunks), leaves_of(data), view, hashers))
    assert [want.offset for want, _, _ in found] == list(range(0, size, LEAF))
    assert all(good for _, _, good in found)
    assert view == data
    assert b"".join(bytes(piece) for _, piece, _ in found) == data


def test_nothing_is_written_any_more_once_it_is_closed():
    size = 12 * LEAF
    data = bytes(size)

    class Slow(ThreadPoolExecutor):
        def submit(self, call, *arguments):
            return super().submit(lambda: (time.sleep(0.05), call(*arguments))[1])

    view = memoryview(bytearray(b"x" * size))
    with Slow(1) as hashers:
        proved = proved_leaves(None, Blob(size, lambda: iter([data])), leaves_of(data), view, hashers)
        with closing(proved):
            next(proved)
        before = bytes(view)
        assert before[:LEAF] == data[:LEAF]
    assert bytes(view) == before
