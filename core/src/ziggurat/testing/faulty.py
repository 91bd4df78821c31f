"""A backend that fails on order, for tests of what the core makes of failing tiers.

It wraps another backend and does to chosen calls what media do to theirs::

    plugin = FaultyBackend(MemoryBackend(), [
        Fault("get", "raise"),                                    # every get is unavailable
        Fault("get", "wrong", at=40, calls={2}),                  # the second get has a flipped byte at 40
        Fault("put", "short", at=-1),                             # puts keep all but the last byte
        Fault("put", "raise", calls={1}, error=TierFull("full")), # the first put is refused
        Fault("get", "wait", gate=event),                         # gets wait until the test sets the event
    ])
    plugin.faults.clear()                                         # the medium is well again
    plugin.calls                                                  # [("get", "bafk..."), ...]

The faults of a call apply in the order of the list.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Literal, TypeVar

from attrs import Factory, frozen

from ziggurat.backend import Blob, ByteRange, Cid, Dag, Evicted, Info, Key, Medium, Stat, hookimpl
from ziggurat.errors import TierUnavailable, ZigguratError
from ziggurat.plugin.binding import Hooks, bind
from ziggurat.plugin.registry import Provider

__all__ = ["Fault", "FaultyBackend"]

Effect = Literal["raise", "break", "absent", "short", "long", "wrong", "wait", "lose"]
T = TypeVar("T")
Content = bytes | Blob | Dag


@frozen
class Fault:
    """What goes wrong, and when.

    Attributes:
        op: The hook's name, or "*" for all.
        effect: What happens:

            - "raise": the call raises `error` and does nothing;
            - "lose": the call does its work and raises `error` after it;
            - "wait": the call first waits until `gate` is set, at most `seconds`;
            - "absent": `get`, `stat` and `identify` say None, `has` says False, whatever is there;
            - "break": the content of a `get`, or a `scan`, raises `error` at `at`;
            - "short": content, or a `scan`, ends at `at`, which may count from the end;
            - "long": content has one byte, in a DAG one foreign block, more;
            - "wrong": the byte, in a DAG the block, at `at` is another one.

            Content is what `get` returns and, in the bytes form, what `put` keeps.
        at: Bytes from the start of the content; blocks in a DAG, keys in a scan.
        calls: Which calls of that hook, the first is 1; None for all.
        keys: Which keys, None for all.
        error: What is raised.
        seconds: How long "wait" waits at most.
        gate: What "wait" waits for, None to wait `seconds`.
    """

    op: str
    effect: Effect
    at: int = 0
    calls: Container[int] | None = None
    keys: Container[str] | None = None
    error: Exception = Factory(lambda: TierUnavailable("the medium fails on order", retryable=True))
    seconds: float = 20.0
    gate: threading.Event | None = None


class FaultyBackend:
    """A plugin object that implements what `inner` implements.

    Args:
        inner: The plugin object that does the work.
        faults: What goes wrong.

    Attributes:
        faults: The same, a list that a test may change at any time.
        calls: Every call as (hook, key), in order; the key is "" for hooks without one.
        hooks: The hooks of `inner`, to look behind the faults.
    """

    def __init__(self, inner: object, faults: Iterable[Fault] = ()) -> None:
        self.faults = list(faults)
        self.calls: list[tuple[str, str]] = []
        self.hooks = bind(inner, provider=Provider("faulty", "ziggurat-testing", ""), tier="faulty")
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._offer(self.hooks)

    def count(self, op: str) -> int:
        """How often a hook was called."""
        with self._lock:
            return self._counts[op]

    @hookimpl
    def get(self, key: str, byte_range: ByteRange | None, note: bytes | None) -> Content | None:
        """Give what `inner` gives, or what a fault makes of it."""
        due = self._begin("get", key)
        if any(fault.effect == "absent" for fault in due):
            return None
        answer = self.hooks.get(key, byte_range, note)
        if answer is not None:
            for fault in due:
                answer = _spoilt(answer, fault)
        return self._end(due, answer)

    @hookimpl
    def has(self, key: str) -> bool:
        """Tell what `inner` tells."""
        due = self._begin("has", key)
        absent = any(fault.effect == "absent" for fault in due)
        return self._end(due, not absent and self.hooks.has(key))

    @hookimpl
    def stat(self, key: str) -> Stat | None:
        """Tell what `inner` tells."""
        due = self._begin("stat", key)
        absent = any(fault.effect == "absent" for fault in due)
        return self._end(due, None if absent else self.hooks.stat(key))

    def _offer(self, hooks: Hooks) -> None:
        """Implement those optional hooks that `inner` implements; the contract asks which are there."""
        if (inner_put := hooks.put) is not None:

            @hookimpl
            def put(key: str, content: Content, info: Info | None) -> Stat:
                due = self._begin("put", key)
                for fault in due:
                    content = content if isinstance(content, Dag) else _spoilt(content, fault)
                return self._end(due, inner_put(key, content, info))

            self.put = put
        if (inner_evict := hooks.evict) is not None:

            @hookimpl
            def evict(key: str, note: bytes | None) -> bool | Evicted:
                due = self._begin("evict", key)
                return self._end(due, inner_evict(key, note))

            self.evict = evict
        if (inner_put_many := hooks.put_many) is not None:

            @hookimpl
            def put_many(
                items: Sequence[tuple[Key, Content, Info | None]],
            ) -> Sequence[Stat | ZigguratError]:
                due = self._begin("put_many", "")
                return self._end(due, inner_put_many(items))

            self.put_many = put_many
        if (inner_scan := hooks.scan) is not None:

            @hookimpl
            def scan() -> Iterator[str]:
                due = self._begin("scan", "")
                keys: Iterable[str] = list(inner_scan())
                for fault in due:
                    keys = _listed(list(keys), fault)
                return self._end(due, iter(keys))

            self.scan = scan
        if (inner_identify := hooks.identify) is not None:

            @hookimpl
            def identify(claim: bool) -> str | Medium | None:
                due = self._begin("identify", "")
                absent = any(fault.effect == "absent" for fault in due)
                return self._end(due, None if absent else inner_identify(claim))

            self.identify = identify
        if (inner_close := hooks.close) is not None:

            @hookimpl
            def close() -> None:
                due = self._begin("close", "")
                self._end(due, inner_close())

            self.close = close

    def _begin(self, op: str, key: str) -> list[Fault]:
        """Count a call, and wait or raise if that is due."""
        with self._lock:
            self._counts[op] += 1
            number = self._counts[op]
            self.calls.append((op, str(key)))
        due = [
            fault
            for fault in tuple(self.faults)
            if fault.op in (op, "*")
            and (fault.calls is None or number in fault.calls)
            and (fault.keys is None or key in fault.keys)
        ]
        for fault in due:
            if fault.effect == "wait":
                (fault.gate or threading.Event()).wait(fault.seconds)
            elif fault.effect == "raise":
                raise fault.error
        return due

    def _end(self, due: list[Fault], answer: T) -> T:
        for fault in due:
            if fault.effect == "lose":
                raise fault.error
        return answer


def _spoilt(content: Content, fault: Fault) -> Content:
    if fault.effect not in ("break", "short", "long", "wrong"):
        return content
    if isinstance(content, Dag):
        try:
            pairs = list(content.pairs())
        finally:
            content.close()
        return Dag(lambda: _pairs(pairs, fault))
    if isinstance(content, Blob):
        try:
            data = content.read()
        finally:
            content.close()
        size = content.size
    else:
        data, size = content, len(content)
    if fault.effect == "break":
        return Blob(size, lambda: _breaking(data[: fault.at], fault.error))
    changed = _changed(data, fault)
    # A Blob goes on saying the size that it should have: the nastiest of short answers.
    return Blob(size, lambda: [changed]) if isinstance(content, Blob) else changed


def _changed(data: bytes, fault: Fault) -> bytes:
    if fault.effect == "short":
        return data[: fault.at]
    if fault.effect == "long":
        return data + b"!"
    if not data:
        return data
    at = fault.at % len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _pairs(pairs: list[tuple[Cid, bytes]], fault: Fault) -> Iterator[tuple[Cid, bytes]]:
    at = fault.at % len(pairs) if fault.effect == "wrong" and pairs else fault.at
    if fault.effect in ("short", "break"):
        yield from pairs[:at]
        if fault.effect == "break":
            raise fault.error
        return
    for number, (cid, block) in enumerate(pairs):
        wrong = fault.effect == "wrong" and number == at
        yield cid, _changed(block, Fault("get", "wrong")) if wrong else block
    if fault.effect == "long":
        foreign = b"a block that nobody asked for"
        yield Cid.of(foreign), foreign


def _listed(keys: list[str], fault: Fault) -> Iterable[str]:
    if fault.effect == "short":
        return keys[: fault.at]
    return _breaking_keys(keys[: fault.at], fault.error) if fault.effect == "break" else keys


def _breaking(data: bytes, error: Exception) -> Iterator[bytes]:
    yield data
    raise error


def _breaking_keys(keys: list[str], error: Exception) -> Iterator[str]:
    yield from keys
    raise error
