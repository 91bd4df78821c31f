"""How a run of a command ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from attrs import frozen

__all__ = ["Done", "Run"]


@frozen
class Done:
    """How a run ended."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.err.splitlines()[-1])
        return found


Run = Callable[..., Done]
