"""The parts of a database connection that the catalog uses, and a way to bind many values at once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Protocol

__all__ = ["Connection", "listed"]


class Connection(Protocol):
    """A writing connection inside a transaction; values come back untyped, as SQL has them."""

    def execute(self, statement: str, bindings: Any = ...) -> Any:
        """Run one statement."""

    def executemany(self, statement: str, bindings: Any) -> Any:
        """Run one statement for each of many bindings."""


def listed(values: Iterable[object]) -> str:
    """Many values as one binding, for ``IN (SELECT value FROM json_each(?))``."""
    return json.dumps(list(values))
