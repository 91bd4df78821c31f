"""What a check holds in its hands: a backend under test, opened like a tier, every answer looked at."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from ziggurat.backend import BackendType, ByteRange, Context, Evicted, Info, Medium, Role, Stat
from ziggurat.content import DAG_PB, Blob, Dag, Key, as_key
from ziggurat.errors import TierError, ZigguratError
from ziggurat.plugin.binding import Hooks, bind
from ziggurat.plugin.registry import Provider
from ziggurat.testing import _rules as rules
from ziggurat.testing._content import DagSample, bytes_of

__all__ = ["Kit", "Subject", "Tier"]

Content = bytes | Blob | Dag

_REPEATS, _PAUSE = 4, 0.1  # of what says `retryable`; seconds between


@frozen
class Subject:
    """What a conformance test is about.

    Attributes:
        type: The backend's description.
        options: Makes options for a medium that is named by a path. Nothing is there yet; the folder above
            it exists. Equal paths mean one medium, different paths media that share nothing; a medium
            without files takes the path's name, for instance as a prefix.
        role: The role to test, or None for the one that a tier would have without a ``role``.
        seed: Puts content on a medium behind the backend's back; needed for a read-only backend.
        break_medium: Makes the medium unusable, as a pulled cable or an unmounted disk does, or None when
            the test cannot. No hook may then deny what is held.
        examples: Runs of the state machine; fewer for a slow medium.
    """

    type: BackendType
    options: Callable[[Path], Any]
    role: Role | None = None
    seed: Callable[[Path, Key, bytes | Dag], None] | None = None
    break_medium: Callable[[Path], None] | None = None
    examples: int = 25


class Kit:
    """Media, tiers and keys for one check; closes all it opened.

    Args:
        subject: What is tested.
        folder: An empty folder.
    """

    def __init__(self, subject: Subject, folder: Path) -> None:
        self.subject, self.folder = subject, folder
        self.capabilities = subject.type.capabilities
        self.dag = self.capabilities.form == "dag"
        self._media = 0
        self._tiers: list[Tier] = []
        self._role: Role | None = subject.role

    @property
    def role(self) -> Role:
        """The role under test: given, or derived as a configuration does."""
        if self._role is None:
            self._role = "cache" if self.capabilities.volatile else "store"
            if self._role == "store" and self.open().hooks.read_only:
                self._role = "source"
        return self._role

    def medium(self) -> Path:
        """A new medium."""
        self._media += 1
        return self.folder / f"medium-{self._media}"

    def open(self, medium: Path | None = None, *, catalog: str = "catalog-1") -> Tier:
        """Open a tier on a medium, a new one unless it is given."""
        medium = medium or self.medium()
        spool = self.folder / "spool"
        spool.mkdir(exist_ok=True)
        context = Context(tier="kit", role=self._role or "store", catalog=catalog, spool=spool)
        if self._role is None and self.capabilities.volatile:
            context = Context(tier="kit", role="cache", catalog=catalog, spool=spool)
        plugin = self.subject.type.factory(self.subject.options(medium), context)
        tier = Tier(bind(plugin, provider=Provider("subject", "conformance", ""), tier="kit"), self, medium)
        self._tiers.append(tier)
        return tier

    def place(self, tier: Tier, key: str, content: bytes | DagSample) -> None:
        """Bring content to a medium: by `put`, or behind the back of a read-only backend."""
        if not tier.hooks.read_only:
            tier.put(key, content.dag() if isinstance(content, DagSample) else content)
            return
        if self.subject.seed is None:
            raise TypeError("a read-only backend needs Subject(seed=...) to be tested")
        self.subject.seed(
            tier.medium, as_key(key), content.dag() if isinstance(content, DagSample) else content
        )

    def key(self, key: str) -> str:
        """A key as the core would hand it over: plain text on a cache, a `Key` elsewhere."""
        return str(key) if self.role == "cache" else as_key(key)

    def fits(self, data: bytes) -> bool:
        """True if the core would let a blob of this size through to the backend."""
        return self.capabilities.max_blob is None or len(data) <= self.capabilities.max_blob

    def close(self) -> None:
        """Close every tier."""
        for tier in self._tiers:
            tier.close()


class Tier:
    """One opened backend; an answer of the wrong kind, or a failure of a healthy medium, breaks a rule.

    Notes are kept and handed back, as the catalog does.
    """

    def __init__(self, hooks: Hooks, kit: Kit, medium: Path) -> None:
        self.hooks, self.medium = hooks, medium
        self._kit = kit
        self._notes: dict[str, bytes | None] = {}

    def get(self, key: str, byte_range: ByteRange | None = None) -> Content | None:
        """Ask `get`; the answer is open and of the kind that form and key call for."""
        answer: Content | None = self._call(rules.GET_NONE, "get", key, byte_range, self._notes.get(key))
        if answer is None or isinstance(answer, Dag if self._is_dag(key) else bytes):
            return answer
        if self._kit.dag:
            rules.GET_DAG.broken(f"get({key}) returned {_kind(answer)}")
        rules.GET_BYTES.check(isinstance(answer, Blob), f"get({key}) returned {_kind(answer)}")
        return answer

    def read(self, key: str, byte_range: ByteRange | None = None) -> bytes | None:
        """The bytes that `get` gives, read to their end; in the dag form for a key that names one block."""
        answer = self.get(key, byte_range)
        if answer is None:
            return None
        if isinstance(answer, Dag):
            rules.GET_DAG.broken(f"get({key}) returned a Dag for a key that names bytes")
        with rules.GET_BYTES.holds(f"reading what get({key}) returned failed"):
            data = bytes_of(answer)
        if isinstance(answer, Blob):
            said = f"the Blob of get({key}) says {answer.size} bytes and gives {len(data)}"
            rules.GET_BYTES.check(answer.size == len(data), said)
        return data

    def put(
        self, key: str, content: Content, info: Info | None = None, *, rule: rules.Rule = rules.PUT_WHOLE
    ) -> Stat:
        """Ask `put`, which must succeed; `rule` says why it must."""
        with rule.holds(f"put({key}) of {_kind(content)} failed"):
            stat = self._call(rule, "put", key, content, info)
        return self.kept(key, stat)

    def kept(self, key: str, stat: object) -> Stat:
        """Look at what a put returned, and keep its note."""
        if not isinstance(stat, Stat):
            rules.PUT_STAT.broken(f"put({key}) returned {_kind(stat)}")
        self._note(stat)
        self._notes[key] = stat.note
        return stat

    def has(self, key: str) -> bool:
        """Ask `has`."""
        answer = self._call(rules.HAS, "has", key)
        rules.HAS_BOOL.check(answer is True or answer is False, f"has({key}) returned {answer!r}")
        return bool(answer)

    def stat(self, key: str) -> Stat | None:
        """Ask `stat`."""
        answer: Stat | None = self._call(rules.STAT_NONE, "stat", key)
        if answer is not None:
            rules.STAT_SIZE.check(isinstance(answer, Stat), f"stat({key}) returned {_kind(answer)}")
            self._note(answer)
        return answer

    def evict(self, key: str) -> Evicted:
        """Ask `evict`, and have its answer in the long form."""
        rule = rules.EVICT_ANSWER if key in self._notes else rules.EVICT_ABSENT
        answer = self._call(rule, "evict", key, self._notes.pop(key, None))
        said = f"evict({key}) returned {answer!r}"
        if isinstance(answer, Evicted):
            rules.EVICT_ANSWER.check(isinstance(answer.had, bool) and isinstance(answer.kept, str), said)
            return answer
        rules.EVICT_ANSWER.check(answer is True or answer is False, said)
        return Evicted(answer)

    def forget_notes(self) -> None:
        """Lose every note, as a lost catalog does."""
        self._notes.clear()

    def scan(self) -> list[str]:
        """Ask `scan` to its end."""
        keys = self._call(rules.SCAN_ENDS, "scan")
        with rules.SCAN_ENDS.holds("scan() failed on a healthy medium"):
            return list(keys)

    def put_many(self, items: Sequence[tuple[Key, Content, Info | None]]) -> Sequence[Any]:
        """Ask `put_many`."""
        answer = self._call(rules.MANY_ORDER, "put_many", items)
        with rules.MANY_ORDER.holds("put_many() did not return a sequence"):
            return list(answer)

    def identify(self, claim: bool) -> Medium | None:
        """Ask `identify`, and have its answer in the long form."""
        answer = self._call(rules.IDENTITY, "identify", claim)
        if answer is None or isinstance(answer, Medium):
            return answer
        rules.IDENTITY.check(isinstance(answer, str) and answer, f"identify({claim}) returned {answer!r}")
        return Medium(answer)

    def close(self) -> None:
        """Ask `close`, if there is one."""
        if self.hooks.close is not None:
            with rules.CLOSE.holds("closing failed"):
                self._call(rules.CLOSE, "close")

    def attempt(self, op: str, *arguments: Any, passing: Sequence[type[Exception]] = ()) -> Any:
        """Call a hook that may fail.

        Args:
            op: The hook.
            arguments: All of its arguments.
            passing: Exceptions, not ours, that may pass through.

        Returns:
            What it returned, or the exception.
        """
        try:
            return getattr(self.hooks, op)(*arguments)
        except ZigguratError as error:
            self._error(op, error)
            return error
        except Exception as error:
            if not isinstance(error, tuple(passing)):
                said = f"{op}() raised {type(error).__name__}: {error}"
                raise rules.ContractBroken(rules.FAULT, said) from error
            return error

    def insist(self, op: str, *arguments: Any) -> Any:
        """Call a hook, and again while its failure says `retryable`, as a tier does behind a network.

        Args:
            op: The hook.
            arguments: All of its arguments.

        Returns:
            What it returned, or the last exception.
        """
        answer = self.attempt(op, *arguments)
        for _ in range(0 if self._kit.capabilities.local else _REPEATS):
            if not (isinstance(answer, TierError) and answer.retryable):
                break
            time.sleep(_PAUSE)
            answer = self.attempt(op, *arguments)
        return answer

    def _call(self, rule: rules.Rule, op: str, *arguments: Any) -> Any:
        answer = self.insist(op, *arguments)
        if isinstance(answer, Exception):
            said = f"{op}() failed on a healthy medium: {type(answer).__name__}: {answer}"
            raise rules.ContractBroken(rule, said) from answer
        return answer

    def _error(self, op: str, error: ZigguratError) -> None:
        with rules.ERRORS.holds(f"the {type(error).__name__} of {op}() does not survive pickling"):
            again = pickle.loads(pickle.dumps(error))  # noqa: S301 - pickled on the line itself
            if type(again) is not type(error) or str(again) != str(error):
                raise ValueError(f"it came back as {again!r}")
        if isinstance(error, TierError):
            told = isinstance(error.retryable, bool) and error.message
            rules.ERRORS.check(told, f"the {type(error).__name__} of {op}() lacks a message or `retryable`")

    def _note(self, stat: Stat) -> None:
        small = stat.note is None or (isinstance(stat.note, bytes) and len(stat.note) <= 1024)
        rules.NOTE.check(small, f"a note is not at most 1024 bytes: {str(stat.note)[:60]}")

    def _is_dag(self, key: str) -> bool:
        if not self._kit.dag:
            return False
        parsed = as_key(key)
        return parsed.kind == "plain" and parsed.cid.codec == DAG_PB


def together(count: int, work: Callable[[int], None]) -> None:
    """Run `work` in so many threads that start at once; the first failure is raised."""
    start, failures = threading.Barrier(count), []

    def run(number: int) -> None:
        try:
            start.wait(30)
            work(number)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread of the test
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if any(thread.is_alive() for thread in threads):
        rules.THREADS.broken(f"{count} threads that use one backend did not finish within two minutes")
    if failures:
        raise failures[0]


def _kind(thing: object) -> str:
    return f"{type(thing).__name__}"
