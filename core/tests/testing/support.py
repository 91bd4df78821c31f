"""A correct backend of the bytes form to spoil, and a way to run the kit on what came out."""

import uuid
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field, frozen

from ziggurat.backend import BackendType, Blob, Capabilities, Medium, Stat, hookimpl
from ziggurat.errors import TierUnavailable, ZigguratError
from ziggurat.testing import BackendConformance, ContractBroken, Rule, Subject


@define(eq=False)
class Shelf:
    """A medium that outlives the backend."""

    held: dict[str, Any] = field(factory=dict)
    notes: dict[str, Any] = field(factory=dict)
    infos: dict[str, Any] = field(factory=dict)
    markers: list[str] = field(factory=list)
    name: str = ""
    down: bool = False


@frozen
class Options:
    shelf: Shelf = field(factory=Shelf)


class Good:
    """Everything as the contract says: ranges, notes, infos, every optional hook."""

    def __init__(self, options, context):
        self.shelf, self.catalog = options.shelf, context.catalog

    def up(self):
        if self.shelf.down:
            raise TierUnavailable("the shelf fell down", retryable=True)
        return self.shelf.held

    @hookimpl
    def get(self, key, byte_range, note):
        data = self.up().get(str(key))
        assert note in (None, self.shelf.notes.get(str(key))), note
        if data is None:
            return None
        if byte_range is not None:
            data = data[byte_range.offset : byte_range.stop]
        return Blob.of(data) if len(data) % 2 else data

    @hookimpl
    def put(self, key, content, info):
        data = content if isinstance(content, bytes) else content.read()
        key = str(key)
        self.up()[key] = data
        self.shelf.infos[key] = info
        # At most one note for a key: a note that came back from another put would be noticed.
        self.shelf.notes[key] = key.encode()
        return Stat(size=len(data), stored=len(data) + 10, info=info, note=self.shelf.notes[key])

    @hookimpl
    def has(self, key):
        return str(key) in self.up()

    @hookimpl
    def stat(self, key):
        data = self.up().get(str(key))
        return None if data is None else Stat(size=len(data), info=self.shelf.infos.get(str(key)))

    @hookimpl
    def evict(self, key, note):
        return self.up().pop(str(key), None) is not None

    @hookimpl
    def put_many(self, items):
        answers = []
        for item in items:
            try:
                answers.append(self.put(*item))
            except ZigguratError as error:
                answers.append(error)
        return answers

    @hookimpl
    def scan(self):
        return iter(list(self.up()))

    @hookimpl
    def identify(self, claim):
        self.up()
        if claim:
            self.shelf.name = self.shelf.name or str(uuid.uuid4())
            if self.catalog not in self.shelf.markers:
                self.shelf.markers.append(self.catalog)
        return Medium(self.shelf.name, tuple(self.shelf.markers)) if self.shelf.name else None

    @hookimpl
    def close(self):
        return None


CAPABILITIES = Capabilities(local=True, durable=True)


def subject(factory, *, capabilities=CAPABILITIES, **more) -> Subject:
    """Make a subject of a factory; each medium is a shelf."""
    shelves: defaultdict[Path, Shelf] = defaultdict(Shelf)

    def knock_over(path):
        shelves[path].down = True

    def seed(path, key, content):
        shelves[path].held[str(key)] = content

    more = {"examples": 10, "break_medium": knock_over, "seed": seed, **more}
    type_ = BackendType(factory=factory, options=Options, capabilities=capabilities)
    return Subject(type_, lambda path: Options(shelves[path]), **more)


BROKEN: list[Any] = []
"""A rule, a backend that breaks it, and how it is made a subject: what `breaks` collected."""


def breaks(rule, **more):
    """Mark a backend that breaks a rule."""

    def mark(kind):
        BROKEN.append(pytest.param(rule, kind, more, id=kind.__name__))
        return kind

    return mark


def first_to_name(rule: Rule, subject: Subject, folder: Path) -> list[str]:
    """Run checks until one names the rule; the messages of all that failed."""
    messages = []
    for name, error in BackendConformance.failures(subject, folder):
        messages.append(f"{name}: {error}")
        if isinstance(error, ContractBroken) and error.rule == rule:
            break
    else:
        raise AssertionError(f"no check named {rule}; these failed: " + "\n".join(messages))
    return messages
