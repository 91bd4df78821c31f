"""A blob as a file object is like any other file."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.rigged import cache, store

from ziggurat import Store

from .blocks import DATA, Make

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(-1, 800)),
        st.tuples(st.just("read1"), st.integers(0, 800)),
        st.tuples(st.just("readinto"), st.integers(0, 300)),
        st.tuples(st.just("peek"), st.just(0)),
        st.tuples(st.just("set"), st.integers(0, 900)),
        st.tuples(st.just("cur"), st.integers(-200, 200)),
        st.tuples(st.just("end"), st.integers(-700, 100)),
        st.tuples(st.just("tell"), st.just(0)),
    ),
    max_size=12,
)


def step(file: Any, op: str, value: int) -> Any:
    try:
        if op == "read":
            return file.read(value)
        if op == "readinto":
            buffer = bytearray(value)
            return file.readinto(buffer), bytes(buffer)
        if op == "set":
            return file.seek(value)
        if op == "cur":
            return file.seek(value, io.SEEK_CUR)
        if op == "end":
            return file.seek(value, io.SEEK_END)
        return file.tell()
    except ValueError:
        return ValueError


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, size=st.sampled_from([0, 1, 64, 65, 657]))
def test_a_file_object_is_like_any_other(make: Make, steps: list[tuple[str, int]], size: int) -> None:
    stack = _shared(make)
    cid = stack.put(DATA[:size]).cid
    with stack.open(cid) as file:
        plain = io.BytesIO(DATA[:size])
        assert file.readable()
        assert file.seekable()
        assert not file.writable()
        for op, value in steps:
            if op == "read1":
                before = file.tell()
                got = file.read1(value)  # type: ignore[attr-defined]  # it is a BufferedReader
                assert DATA[:size][before : before + len(got)] == got
                assert len(got) <= value
                plain.seek(file.tell())
            elif op == "peek":
                assert DATA[:size][file.tell() :].startswith(file.peek(1))  # type: ignore[attr-defined]  # BufferedReader has it
            elif (op, plain.tell() + value < 0) == ("cur", True) or (op == "end" and size + value < 0):
                # A BytesIO goes to the start instead; a file refuses.
                with pytest.raises((ValueError, OSError)):
                    file.seek(value, io.SEEK_CUR if op == "cur" else io.SEEK_END)
            else:
                assert step(file, op, value) == step(plain, op, value), (op, value)
            assert file.tell() == plain.tell()
    with pytest.raises(ValueError, match="closed"):
        file.read()


_stacks: dict[int, Store] = {}


def _shared(make: Make) -> Store:
    if id(make) not in _stacks:
        _stacks.clear()
        _stacks[id(make)] = make(cache("ram", capacity=500), store("a"))
    return _stacks[id(make)]


def test_lines_of_a_file(make: Make) -> None:
    text = "".join(f"line {number} äöü\n" for number in range(100))
    stack = make(store("a"))
    cid = stack.put(text.encode()).cid
    with io.TextIOWrapper(stack.open(cid), "utf-8") as file:
        assert file.read() == text
