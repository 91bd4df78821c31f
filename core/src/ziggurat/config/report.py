"""All problems of one configuration, each with file, line and path, raised at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from attrs import define, field

from ziggurat.config.locate import KeyPath, format_path, line_of
from ziggurat.errors import ConfigError, PluginError

__all__ = ["Report", "quoted", "suggest"]


def quoted(names: Iterable[str], last: str = "and") -> str:
    """Write names as a list in a sentence: ``a, b and c``."""
    *head, tail = list(names) or ["nothing"]
    return f"{', '.join(head)} {last} {tail}" if head else tail


def suggest(name: str, known: Iterable[str]) -> str:
    """Propose the nearest known name, or list them all."""
    known = list(known)
    near = difflib.get_close_matches(name, known, 1, 0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known here: {', '.join(known)}" if known else "nothing is known here"


@define
class Report:
    """Collects problems.

    Attributes:
        label: The file as the user wrote it, "" for a mapping.
        lines: Lines of its keys.
        problems: Lines of the report so far.
    """

    label: str = ""
    lines: Mapping[KeyPath, int] = field(factory=dict)
    problems: list[str] = field(factory=list)
    _kinds: set[type[ConfigError]] = field(factory=set)
    _causes: list[Exception] = field(factory=list)

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
        parts = (self.where(at), format_path(at), " ".join(text.split()))
        self.problems.append(": ".join(part for part in parts if part))
        self._kinds.add(kind)
        if cause is not None:
            self._causes.append(cause)

    def unknown(self, at: KeyPath, known: Iterable[str], hint: str = "") -> None:
        """Add an unknown key; its value is never shown, it may be a misspelt secret."""
        self.add(at, f"unknown key; {hint or suggest(str(at[-1]), known)}")

    def throw(self) -> None:
        """Raise the report, if there is anything in it.

        Raises:
            ConfigError: Or the subclass that every problem shares.
            PluginError: When a plugin that cannot be used is the only problem.
        """
        if not self.problems:
            return
        if len(self.problems) == 1:
            for cause in self._causes:
                if isinstance(cause, PluginError):
                    raise cause
            message = self.problems[0]
        else:
            message = f"{len(self.problems)} problems: {'; '.join(self.problems)}"
        kind = self._kinds.pop() if len(self._kinds) == 1 else ConfigError
        raise kind(message, problems=self.problems)
