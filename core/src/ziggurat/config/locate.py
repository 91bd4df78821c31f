"""Where each key of a TOML text stands: line numbers for messages.

`tomllib` gives values without positions, and tomlkit's are not public. The text was accepted by `tomllib`
before it comes here, so this scanner only has to find the ends of keys and values, never to check them;
where it is in doubt, a lookup falls back to the line of the table.
"""

from __future__ import annotations

import bisect
import contextlib
import re
import tomllib
from collections.abc import Mapping

__all__ = ["KeyPath", "format_path", "line_of", "locate"]

KeyPath = tuple[str | int, ...]
"""Names of keys, and from 0 the positions in arrays."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"[ \t\r]*")
_GAP = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SCALAR = re.compile(r"[^,\]}\n#]*")
_STRINGS = {
    # At the end of a multi-line string up to two quotes belong to its text.
    '"""': re.compile(r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}', re.DOTALL),
    "'''": re.compile(r"'''(?:[^']|'{1,2}(?!'))*'{3,5}", re.DOTALL),
    '"': re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    "'": re.compile(r"'[^'\n]*'"),
}


class _LostError(Exception):
    """The scanner met something that it does not know."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.breaks = [found.start() for found in re.finditer("\n", text)]
        self.lines: dict[KeyPath, int] = {}
        self.counts: dict[KeyPath, int] = {}  # elements of each array of tables so far

    def skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise _LostError
        self.at = found.end()
        return found.group()

    def take(self, token: str) -> bool:
        if not self.text.startswith(token, self.at):
            return False
        self.at += len(token)
        return True

    def expect(self, token: str) -> None:
        if not self.take(token):
            raise _LostError

    def record(self, path: KeyPath, at: int) -> None:
        self.lines.setdefault(path, bisect.bisect_left(self.breaks, at) + 1)

    def string(self) -> str:
        for quote, pattern in _STRINGS.items():
            if self.text.startswith(quote, self.at):
                return self.skip(pattern)
        raise _LostError

    def key(self) -> tuple[str, ...]:
        parts: list[str] = []
        while True:
            self.skip(_BLANK)
            if self.text.startswith(('"', "'"), self.at):
                # tomllib reads its own escapes.
                parts.append(str(tomllib.loads(f"k = {self.string()}")["k"]))
            else:
                parts.append(self.skip(_BARE))
            self.skip(_BLANK)
            if not self.take("."):
                return tuple(parts)

    def document(self) -> None:
        table: KeyPath = ()
        while True:
            self.skip(_GAP)
            if self.at >= len(self.text):
                return
            start = self.at
            if self.take("[["):
                table = self.header(self.key(), start, array=True)
                self.expect("]]")
            elif self.take("["):
                table = self.header(self.key(), start, array=False)
                self.expect("]")
            else:
                self.pair(table)

    def header(self, names: tuple[str, ...], start: int, *, array: bool) -> KeyPath:
        path: KeyPath = ()
        for position, name in enumerate(names):
            path += (name,)
            self.record(path, start)
            if array and position == len(names) - 1:
                self.counts[path] = self.counts.get(path, 0) + 1
            if path in self.counts:
                path += (self.counts[path] - 1,)
                self.record(path, start)
        return path

    def pair(self, table: KeyPath) -> None:
        start = self.at
        for name in self.key():
            table += (name,)
            self.record(table, start)
        self.expect("=")
        self.skip(_BLANK)
        self.value(table)

    def value(self, path: KeyPath) -> None:
        if self.take("["):
            position = 0
            self.skip(_GAP)
            while not self.take("]"):
                self.record((*path, position), self.at)
                self.value((*path, position))
                position += 1
                self.skip(_GAP)
                self.take(",")
                self.skip(_GAP)
        elif self.take("{"):
            self.skip(_GAP)
            while not self.take("}"):
                self.pair(path)
                self.skip(_GAP)
                self.take(",")
                self.skip(_GAP)
        elif self.text.startswith(('"', "'"), self.at):
            self.string()
        elif not self.skip(_SCALAR):
            raise _LostError


def locate(text: str) -> dict[KeyPath, int]:
    """Find the line of every key, table and array element.

    Args:
        text: TOML that `tomllib` accepts.

    Returns:
        Lines from 1. Should the scanner lose its way, what it found up to there.
    """
    scanner = _Scanner(text)
    with contextlib.suppress(_LostError, RecursionError, tomllib.TOMLDecodeError):
        scanner.document()
    return scanner.lines


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """Give the line of a key, or of the nearest table around it, or 1."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return 1


def format_path(path: KeyPath) -> str:
    """Write a path as messages show it: ``tier[1].options.path``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if _BARE.fullmatch(part) else repr(part)
            text += f".{name}" if text else name
    return text
