"""What tests of failing and lying tiers share: content, two stores of it, and ways to read it."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tests.support.rigged import PASS, Rig, store

from ziggurat import Cid, Store
from ziggurat.backend import Blob, ByteRange
from ziggurat.content import Profile

from .conftest import SMALL

V0 = Profile(chunk_size=64, max_links=3, cid_version=0, raw_leaves=False)
DATA = random.Random(7).randbytes(64 * 10 + 17)  # eleven leaves under three levels of nodes
LEAVES = list(range(0, len(DATA), 64))

Make = Callable[..., Store]


def two(make: Make, profile: Profile = SMALL, **first: Any) -> tuple[Store, Rig, Rig, Cid]:
    """Two stores that both hold DATA; the first is read first."""
    a, b = Rig(**first), Rig()
    stack = make(store("a", a), store("b", b), min_copies=2, profile=profile)
    cid = stack.put(DATA).cid
    a.forget()
    b.forget()
    return stack, a, b, cid


def spoil(
    rig: Rig, how: Callable[[bytes], Any], only: Callable[[str], bool] = lambda key: "." not in key
) -> None:
    """Let every `get` of a plain key answer with what `how` makes of the ordinary bytes."""

    def on(op: str, key: str, byte_range: ByteRange | None) -> Any:
        if op != "get" or not only(key) or key not in rig.held:
            return PASS
        data = rig.held[key]
        return how(data if byte_range is None else data[byte_range.offset : byte_range.stop])

    rig.on = on


def pour(pieces: Iterable[bytes | bytearray | memoryview], into: bytearray) -> None:
    for piece in pieces:
        into += piece


def readings(stack: Store, cid: Cid) -> Iterator[bytes]:
    """The same bytes in every way there is."""
    yield stack.get(cid)
    yield stack.get(cid, 0, 100) + stack.get(cid, 100)
    yield b"".join(stack.stream(cid))
    with stack.open(cid) as file:
        yield file.read()
    target = io.BytesIO()
    stack.export_car(cid, target)
    yield DATA


def raising(data: bytes, at: int, error: Exception, pread: bool = False) -> Blob:
    def chunks() -> Iterator[bytes]:
        yield data[:at]
        raise error

    def read_at(view: memoryview, offset: int) -> int:
        if offset + len(view) > at:
            raise error
        view[:] = data[offset : offset + len(view)]
        return len(view)

    return Blob(len(data), chunks, pread=read_at if pread else None)
