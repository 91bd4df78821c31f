"""What a rogue gateway may do, by name, to the blocks of one file."""

from __future__ import annotations

from tests.support.servers.rogue import (
    CAR,
    RAW,
    Behaviour,
    Reply,
    car_of,
    section,
    slowly,
)

from ziggurat.content import Cid, car_header
from ziggurat.testing._content import file, noise

__all__ = ["BAD", "BLOCKS", "DATA", "LEAVES", "ROOT", "dag_file", "flipped", "head"]

DATA = noise(300_000, 1)


def dag_file(data: bytes) -> tuple[Cid, dict[Cid, bytes]]:
    """A file of several leaves; its root and its blocks."""
    sample = file(data, leaf=30_000, fan=20)
    return sample.root, dict(sample.blocks)


ROOT, BLOCKS = dag_file(DATA)
LEAVES = [cid for cid in BLOCKS if cid != ROOT]


def head(reply: Reply, car: bool, **headers: object) -> None:
    reply.head(200, Content_Type=CAR if car else RAW, **headers)


def root_first(asked, reply, server):
    """Begin a CAR truly: its header and the root."""
    head(reply, True)
    reply.send(car_header([asked.cid]) + section(asked.cid, server.blocks[asked.cid]))


def flipped(block: bytes) -> bytes:
    return bytes([block[0] ^ 1]) + block[1:] if block else b"x"


BAD: dict[str, Behaviour] = {}


def bad(behave: Behaviour) -> Behaviour:
    BAD[behave.__name__] = behave
    return behave


@bad
def wrong_bytes(asked, reply, server):
    block = flipped(server.blocks[asked.cid])
    reply.whole(
        car_header([asked.cid]) + section(asked.cid, block) if asked.car else block,
        type=CAR if asked.car else RAW,
    )


@bad
def wrong_leaf(asked, reply, server):
    if asked.car:
        lies = {cid: flipped(block) if cid == LEAVES[2] else block for cid, block in server.blocks.items()}
        reply.whole(car_of(asked.cid, lies), type=CAR)
    else:
        wrong_bytes(asked, reply, server)


@bad
def another_block(asked, reply, server):
    other = b"a block that nobody asked for"
    reply.whole(
        car_of(Cid.of(other), {Cid.of(other): other}) if asked.car else other, type=CAR if asked.car else RAW
    )


@bad
def endless_block(asked, reply, server):
    head(reply, asked.car)
    if asked.car:
        reply.send(car_header([asked.cid]) + b"\x80\x80\x80\x01" + asked.cid.bytes)
    while True:
        reply.send(bytes(1 << 16))


@bad
def endless_chunks(asked, reply, server):
    head(reply, asked.car, Transfer_Encoding="chunked")
    while True:
        reply.chunk(bytes(1 << 16))


@bad
def endless_foreign_blocks(asked, reply, server):
    if not asked.car:
        wrong_bytes(asked, reply, server)
        return
    root_first(asked, reply, server)
    number = 0
    while True:
        block = number.to_bytes(8, "big") * 100
        reply.send(section(Cid.of(block), block))
        number += 1


@bad
def endless_empty_blocks(asked, reply, server):
    if not asked.car:
        wrong_bytes(asked, reply, server)
        return
    root_first(asked, reply, server)
    while True:
        reply.send(section(Cid.of(b""), b"") * 1000)


@bad
def the_root_again_and_again(asked, reply, server):
    if not asked.car:
        endless_block(asked, reply, server)
        return
    head(reply, True)
    reply.send(car_header([asked.cid]))
    while True:
        reply.send(section(asked.cid, server.blocks[asked.cid]) * 100)


@bad
def huge_varints(asked, reply, server):
    reply.whole(
        (car_header([asked.cid]) if asked.car else b"") + b"\xff" * 9 + b"\x01" + bytes(100), type=CAR
    )


@bad
def a_huge_length(asked, reply, server):
    reply.head(200, Content_Type=CAR if asked.car else RAW, Content_Length=1 << 50)
    reply.send(bytes(1 << 20))
    return "close"


@bad
def a_huge_car_header(asked, reply, server):
    reply.whole(b"\xff\xff\xff\x7f" + bytes(1 << 20), type=CAR if asked.car else RAW)


@bad
def redirect_elsewhere(asked, reply, server):
    reply.whole(b"", 302, Location=f"http://localhost:1/ipfs/{asked.cid}")


@bad
def redirect_in_a_circle(asked, reply, server):
    reply.whole(b"", 301, Location=asked.path + "?format=raw")


@bad
def slow_drip_of_the_body(asked, reply, server):
    reply.head(200, Content_Type=CAR if asked.car else RAW, Content_Length=1000)
    slowly(reply, bytes(1000), 0.1)


@bad
def slow_drip_of_the_head(asked, reply, server):
    slowly(reply, b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 1000, 0.1)


@bad
def slow_drip_of_a_chunk_line(asked, reply, server):
    head(reply, asked.car, Transfer_Encoding="chunked")
    slowly(reply, b"5;" + b"a" * 1000, 0.1)


@bad
def stall_after_the_root(asked, reply, server):
    if not asked.car:
        reply.wait(60)
    root_first(asked, reply, server)
    reply.wait(60)


@bad
def silence(asked, reply, server):
    reply.wait(60)


@bad
def nothing_but_the_end(asked, reply, server):
    return "close"


@bad
def leave_me_alone(asked, reply, server):
    reply.whole(b"too many", 429, "text/plain", Retry_After=7)


@bad
def broken_inside(asked, reply, server):
    reply.whole(b"panic:\n goroutine\x1b[31m", 500, "text/plain")


@bad
def a_page(asked, reply, server):
    reply.whole(b"<html>please log in</html>", type="text/html")


@bad
def error_text_within_a_car(asked, reply, server):
    if not asked.car:
        broken_inside(asked, reply, server)
        return
    text = b"\n[Gateway Error: CAR stream truncated, response is incomplete]\n"
    reply.whole(car_of(asked.cid, server.blocks)[:-20_000] + text, type=CAR)


@bad
def packed_although_not_asked_for(asked, reply, server):
    reply.whole(b"\x1f\x8b" + bytes(50), type=CAR if asked.car else RAW, Content_Encoding="gzip")


@bad
def no_http(asked, reply, server):
    reply.send(b"SSH-2.0-OpenSSH_9.2p1\r\n")
    return "close"


@bad
def endless_headers(asked, reply, server):
    reply.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        reply.send(b"X-More: and more\r\n" * 100)
