"""All problems of one configuration, each with file, line and path, raised at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from attrs import define, field, frozen

from ziggurat.config.locate import KeyPath, format_path, line_of
from ziggurat.errors import ConfigError, PluginError

__all__ = ["Report", "nearest", "quoted", "suggest"]


def quoted(names: Iterable[str], last: str = "and") -> str:
    """Write names as a list in a sentence: ``a, b and c``."""
    *head, tail = list(names) or ["nothing"]
    return f"{', '.join(head)} {last} {tail}" if head else tail


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Give the known name that this one may be a misspelling of, if there is one."""
    return difflib.get_close_matches(name, list(known), 1, 0.6)


def suggest(name: str, known: Iterable[str]) -> str:
    """Propose the nearest known name, or list them all."""
    known = list(known)
    if near := nearest(name, known):
        return f"did you mean {near[0]!r}?"
    return f"known here: {', '.join(known)}" if known else "nothing is known here"


@frozen
class _Problem:
    line: int
    text: str
    kind: type[ConfigError]
    cause: Exception | None


@define
class Report:
    """Collects problems.

    Attributes:
        label: The file as the user wrote it, "" for a mapping.
        lines: Lines of its keys.
        hidden: Texts from the environment, which may be secrets: no problem repeats them.
    """

    label: str = ""
    lines: Mapping[KeyPath, int] = field(factory=dict)
    hidden: set[str] = field(factory=set)
    _problems: list[_Problem] = field(factory=list, init=False)

    def __len__(self) -> int:
        return len(self._problems)

    def where(self, at: KeyPath) -> str:
        """Give ``FILE:LINE`` of a key, or "" for a mapping."""
        return f"{self.label}:{line_of(self.lines, at)}" if self.label else ""

    def add(
        self,
        at: KeyPath,
        text: str,
        *,
        kind: type[ConfigError] = ConfigError,
        cause: Exception | None = None,
    ) -> None:
        """Add a problem.

        Args:
            at: The key it is about.
            text: What is wrong and what to do, lower case; made one line.
            kind: The error to raise when every problem is of this kind.
            cause: The error behind it. A `PluginError` that is the only problem is raised itself.
        """
        for secret in self.hidden:
            text = text.replace(secret, "***")
        parts = (self.where(at), format_path(at), " ".join(text.split()))
        line = line_of(self.lines, at) if self.label else 0
        self._problems.append(_Problem(line, ": ".join(part for part in parts if part), kind, cause))

    def unknown(self, at: KeyPath, known: Iterable[str], hint: str = "") -> None:
        """Add an unknown key; its value is never shown, it may be a misspelt secret."""
        self.add(at, f"unknown key; {hint or suggest(str(at[-1]), known)}")

    def throw(self) -> None:
        """Raise the report in the order of the file, if there is anything in it.

        Raises:
            ConfigError: Or the subclass that every problem shares.
            PluginError: When a plugin that cannot be used is the only problem.
        """
        if not self._problems:
            return
        texts = [problem.text for problem in sorted(self._problems, key=lambda problem: problem.line)]
        kinds = {problem.kind for problem in self._problems}
        kind = kinds.pop() if len(kinds) == 1 else ConfigError
        if len(texts) > 1:
            raise kind(f"{len(texts)} problems: {'; '.join(texts)}", problems=texts)
        cause = self._problems[0].cause
        if isinstance(cause, PluginError):
            raise cause
        raise kind(texts[0], problems=texts)
