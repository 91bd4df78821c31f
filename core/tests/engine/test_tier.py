"""`Tier`: what a plugin does wrong is a typed error that names it, and never "absent"."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from tests.support.dag_backend import DagMedium
from tests.support.rigged import PASS, Rig, cache, dag, patient, store

from ziggurat.backend import Blob, Dag, Medium, Stat, Timeouts
from ziggurat.content import DAG_PB, RAW, Cid
from ziggurat.content.parcel import Parcel
from ziggurat.errors import (
    BackendFault,
    BlobNotFound,
    BlobTooLarge,
    ConfigError,
    ContentMismatch,
    CorruptBlob,
    MalformedContent,
    TierTimeout,
    TierUnavailable,
)

RAW_CID = Cid.of(b"content", RAW)
KEY = RAW_CID.key


def answering(op: str, answer: Any) -> Callable[[str, str, Any], Any]:
    def on(asked: str, key: str, byte_range: Any) -> Any:
        if asked != op:
            return PASS
        if isinstance(answer, Exception):
            raise answer
        return answer

    return on


@pytest.mark.parametrize("answer", ["text", 5, bytearray(b"x"), memoryview(b"x"), [b"x"], True, object()])
def test_get_of_a_wrong_type(answer: object) -> None:
    tier = store("a", Rig(on=answering("get", answer)))
    with pytest.raises(BackendFault, match="ziggurat-tests 1: report it"):
        tier.get(KEY)


@pytest.mark.parametrize("answer", [None, 1, 0, "no", b"", Stat()])
def test_has_that_is_neither_true_nor_false(answer: object) -> None:
    tier = store("a", Rig(on=answering("has", answer)))
    with pytest.raises(BackendFault, match="True or False"):
        tier.has(RAW_CID)


@pytest.mark.parametrize("answer", [5, True, "x", b"x"])
def test_stat_of_a_wrong_type(answer: object) -> None:
    tier = store("a", Rig(on=answering("stat", answer)))
    with pytest.raises(BackendFault, match="Stat or None"):
        tier.stat_key(KEY)


@pytest.mark.parametrize("answer", [None, 5, True, b"x"])
def test_put_of_a_wrong_type(answer: object) -> None:
    tier = store("a", Rig(on=answering("put", answer)))
    with pytest.raises(BackendFault, match="a put gives a Stat"):
        tier.put(KEY, b"content")


@pytest.mark.parametrize("answer", [None, 5, "yes"])
def test_evict_of_a_wrong_type(answer: object) -> None:
    tier = store("a", Rig(on=answering("evict", answer)))
    with pytest.raises(BackendFault, match="bool or Evicted"):
        tier.evict_key(KEY, None)


@pytest.mark.parametrize("answer", [5, True, b"x"])
def test_identify_of_a_wrong_type(answer: object) -> None:
    tier = store("a", Rig(on=answering("identify", answer)))
    with pytest.raises(BackendFault, match="identify"):
        tier.identify()


@pytest.mark.parametrize("answer", ["", Medium(""), Medium(5), Medium("x", "abc"), Medium("x", (1,))])  # type: ignore[arg-type]  # wrong on purpose
def test_an_identity_that_names_nobody(answer: object) -> None:
    tier = store("a", Rig(on=answering("identify", answer)))
    for ask in (tier.identify, tier.refresh_medium):
        with pytest.raises(BackendFault, match=r"identi|catalogs"):
            ask()


WRONG: list[dict[str, Any]] = [
    {"size": -1},
    {"size": "7"},
    {"stored": -1},
    {"stored": 7.0},
    {"stored": 1 << 63},
    {"note": "text"},
    {"note": 5},
    {"note": b"x" * 1025},
    {"info": {}},
]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("op", ["put", "stat"])
def test_a_stat_that_the_catalog_could_not_keep(op: str, wrong: dict[str, Any]) -> None:
    tier = store("a", Rig(on=answering(op, Stat(**wrong))))
    with pytest.raises(BackendFault, match="report it there"):
        tier.put(KEY, b"content") if op == "put" else tier.stat_key(KEY)


@pytest.mark.parametrize("answer", [None, 5, iter(()), [], [Stat(), Stat()]])
def test_put_many_of_a_wrong_type(answer: object) -> None:
    tier = store("a", Rig())
    object.__setattr__(tier.hooks, "put_many", lambda items: answer)
    with pytest.raises(BackendFault, match="put_many"):
        tier.put_parcels([Parcel(RAW_CID, "file", 7, data=b"content")])


@pytest.mark.parametrize("wrong", WRONG)
def test_put_many_of_wrong_stats(wrong: dict[str, Any]) -> None:
    tier = store("a", Rig())
    object.__setattr__(tier.hooks, "put_many", lambda items: [Stat(**wrong) for _ in items])
    (answer,) = tier.put_parcels([Parcel(RAW_CID, "file", 7, data=b"content")])
    assert isinstance(answer, BackendFault)


def test_a_note_that_is_too_long() -> None:
    tier = store("a", Rig(on=answering("put", Stat(note=b"x" * 1025))))
    with pytest.raises(BackendFault, match="1 KiB"):
        tier.put(KEY, b"content")


@pytest.mark.parametrize("size", [None, -1, 2.5, "7"])
def test_a_blob_of_an_impossible_size(size: Any) -> None:
    tier = store("a", Rig(on=answering("get", Blob(size, lambda: (b"x",)))))
    with pytest.raises(BackendFault, match="size"):
        tier.get(KEY)


@pytest.mark.parametrize("chunk", ["text", 5, None])
def test_a_chunk_of_a_wrong_type(chunk: Any) -> None:
    tier = store("a", Rig(on=answering("get", Blob(4, lambda: (chunk,)))))
    found = tier.get(KEY)
    assert isinstance(found, Blob)
    with pytest.raises(BackendFault):
        list(found.chunks())


def test_a_chunk_of_wider_items_counts_bytes() -> None:
    wide = memoryview(array("I", [1, 2]))
    tier = store("a", Rig(on=answering("get", Blob(8, lambda: (wide,)))))
    found = tier.get(KEY)
    assert isinstance(found, Blob)
    assert found.read() == wide.tobytes()


def _raise(error: Exception) -> Any:
    raise error


def test_a_body_that_cannot_be_begun() -> None:
    tier = store("a", Rig(on=answering("get", Blob(7, lambda: _raise(OSError(5, "io"))))))
    found = tier.get(KEY)
    assert isinstance(found, Blob)
    with pytest.raises(BackendFault, match="OSError"):
        list(found.chunks())


def test_pairs_that_cannot_be_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    tier = dag("a")
    monkeypatch.setattr(tier, "_get", lambda *_: Dag(lambda: _raise(OSError(5, "io"))))
    found = tier.get(Cid.of(b"", DAG_PB).key)
    assert isinstance(found, Dag)
    with pytest.raises(BackendFault, match="OSError"):
        list(found.pairs())


def test_a_body_that_cannot_be_closed_was_read_all_the_same() -> None:
    body = Blob(7, lambda: (b"content",), close=lambda: _raise(OSError(5, "io")))
    tier = store("a", Rig(on=answering("get", body)))
    assert tier.block(RAW_CID) == b"content"
    assert tier.meter.errors == 1


def test_a_tier_that_rests_is_closed_all_the_same() -> None:
    tier = store("a", Rig(on=answering("has", TierUnavailable("down"))), breaker=1)
    closed: list[str] = []
    object.__setattr__(tier.hooks, "close", lambda: closed.append("closed"))
    with pytest.raises(TierUnavailable):
        tier.has_key(KEY)
    assert tier.guard.breaker.resting
    tier.close()
    assert closed


@pytest.mark.parametrize("count", [None, -1, 5, "1", 1.0])
def test_a_pread_that_claims_the_impossible(count: Any) -> None:
    tier = store("a", Rig(on=answering("get", Blob(4, lambda: (b"abcd",), pread=lambda view, offset: count))))
    found = tier.get(KEY)
    assert isinstance(found, Blob)
    assert found.pread is not None
    with pytest.raises(BackendFault):
        found.pread(memoryview(bytearray(4)), 0)


@pytest.mark.parametrize("pair", [("text", b"x"), (RAW_CID, "x"), (RAW_CID, None), 5, (RAW_CID,), (1, 2, 3)])
def test_a_pair_of_a_wrong_type(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tier = dag("a")
    monkeypatch.setattr(tier, "_get", lambda *_: Dag(lambda: iter([pair])))
    found = tier.get(Cid.of(b"", DAG_PB).key)
    assert isinstance(found, Dag)
    with pytest.raises(BackendFault):
        list(found.pairs())


@pytest.mark.parametrize("op", ["get", "has", "stat"])
@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError("k"), BlobNotFound("gone"), ConfigError("no"), OSError(5, "io")]
)
def test_untranslated_errors_are_faults(op: str, error: Exception) -> None:
    tier = store("a", Rig(on=answering(op, error)))
    calls: dict[str, Callable[[str], object]] = {"get": tier.get, "has": tier.has_key, "stat": tier.stat_key}
    call = calls[op]
    with pytest.raises(BackendFault) as caught:
        call(KEY)
    assert (caught.value.tier, caught.value.op, caught.value.key) == ("a", op, KEY)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [ContentMismatch("other bytes"), MalformedContent("nonsense")])
def test_content_errors_of_a_read_blame_the_copy(error: Exception) -> None:
    tier = store("a", Rig(on=answering("get", error)))
    with pytest.raises(CorruptBlob):
        tier.get(KEY)


@pytest.mark.parametrize("error", [BlobTooLarge("too large"), ContentMismatch("other")])
def test_content_errors_of_a_put_pass(error: Exception) -> None:
    tier = store("a", Rig(on=answering("put", error)))
    with pytest.raises(type(error)):
        tier.put(KEY, b"content")


def test_an_error_keeps_what_the_backend_said() -> None:
    tier = store("a", Rig(on=answering("get", TierUnavailable("down", tier="inner", op="x", retryable=True))))
    with pytest.raises(TierUnavailable) as caught:
        tier.get(KEY)
    assert (caught.value.tier, caught.value.op, caught.value.key) == ("inner", "x", KEY)


def test_a_source_that_fails_blames_no_tier() -> None:
    rig = Rig()
    tier = store("a", rig)

    def broken() -> Any:
        yield b"con"
        raise OSError(5, "the user's disk")

    with pytest.raises(OSError, match="user's disk"):
        tier.put(KEY, Blob(7, broken))
    assert not rig.held
    assert tier.meter.errors == 0


def test_a_source_error_that_the_backend_swallows_is_no_success() -> None:
    tier = store("a", Rig())

    def broken() -> Any:
        yield b"con"
        raise OSError(5, "the user's disk")

    def swallow(key: str, content: Any, info: Any) -> Stat:
        with suppress(OSError):
            content.read()
        return Stat(size=7, stored=7)

    object.__setattr__(tier.hooks, "put", swallow)
    with pytest.raises(OSError, match="user's disk"):
        tier.put(KEY, Blob(7, broken))


def test_a_body_that_hangs_ends_with_the_time_limit() -> None:
    gate = threading.Event()

    def chunks() -> Any:
        yield b"con"
        gate.wait(20)
        yield b"tent"

    rig = Rig(on=answering("get", Blob(7, chunks, pread=lambda view, offset: 0)))
    tier = store("a", rig, timeouts=Timeouts(total=0.1))
    found = patient(lambda: tier.get(KEY))
    assert isinstance(found, Blob)
    assert found.pread is None, "memory must not be lent to a call that may be left behind"
    body = found.chunks()
    assert next(body) == b"con"
    with pytest.raises(TierTimeout):
        next(body)
    gate.set()


def test_a_body_with_a_time_limit_ends_normally() -> None:
    tier = store("a", Rig({str(KEY): b"content"}, style="chunks", piece=3), timeouts=Timeouts(total=5))
    found = tier.get(KEY)
    assert isinstance(found, Blob)
    assert found.read() == b"content"
    kept = dag("d", DagMedium(blocks={RAW_CID: b"content"}), timeouts=Timeouts(total=5))
    assert kept.block(RAW_CID) == b"content"


def test_a_cache_gives_no_more_than_a_block() -> None:
    rig = Rig(on=answering("get", Blob((2 << 20) + 1, lambda: (b"x",))))
    with pytest.raises(CorruptBlob, match="more than a block"):
        cache("ram", rig).get_block(KEY)
    rig.on = answering("get", Blob(9, lambda: (b"x",)))
    with pytest.raises(CorruptBlob, match="only 1"):
        cache("ram", rig).get_block(KEY)
