"""Cuts what is put into the parts of an upload."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from ziggurat.backend import Blob
from ziggurat.content.blob import Buffer
from ziggurat.errors import ContentMismatch

__all__ = ["pieces_of"]


def pieces_of(content: bytes | Blob, size: int, part_size: int) -> Generator[bytes, None, None]:
    """The content in pieces of `part_size` bytes, the last one shorter.

    Raises:
        ContentMismatch: There are fewer or more than `size` bytes.
    """
    if not isinstance(content, Blob):
        for start in range(0, size, part_size):
            yield content[start : start + part_size]
        return
    chunks = content.chunks()
    try:
        yield from _cut(chunks, size, part_size)
    finally:
        if isinstance(chunks, Generator):
            chunks.close()  # not when it is collected: a source may hold files


def _cut(chunks: Iterator[Buffer], size: int, part_size: int) -> Iterator[bytes]:
    held: list[Buffer] = []
    have = total = 0
    for chunk in chunks:
        view = memoryview(chunk).cast("B")
        total += len(view)
        if total > size:
            raise ContentMismatch(f"a blob of {size} bytes gave more than that")
        while have + len(view) >= part_size:
            first, view = view[: part_size - have], view[part_size - have :]
            held.append(first)
            yield held[0] if len(held) == 1 and isinstance(held[0], bytes) else b"".join(held)
            held, have = [], 0
        if len(view):
            # A chunk may be a view into a buffer that is filled again for the next one.
            held.append(view if isinstance(chunk, bytes) else bytes(view))
            have += len(view)
    if total != size:
        raise ContentMismatch(f"a blob of {size} bytes gave only {total}")
    if held:
        yield b"".join(held)
