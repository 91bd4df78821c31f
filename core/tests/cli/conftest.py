"""A store that does what a test tells it to, at the seam between the command line and the engine."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import define, field, frozen

from ziggurat.cli import main
from ziggurat.cli._session import Session

CID = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
"""The CID of b"hello world"."""

CID2 = "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"


@define
class FakeStore:
    """Answers each method from `answers`: a value, an exception to raise, or a function to call."""

    answers: dict[str, Any] = field(factory=dict)
    calls: list[tuple[Any, ...]] = field(factory=list)
    closed: bool = False
    config: Any = field(
        factory=lambda: SimpleNamespace(
            tiers=(
                SimpleNamespace(name="ram", role="cache"),
                SimpleNamespace(name="vault", role="store"),
            ),
            profile="unixfs-v1-2025",
        )
    )

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)

        def method(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((name, *args))
            answer = self.answers[name]
            if callable(answer) and not isinstance(answer, type):
                answer = answer(*args, **kwargs)
            if isinstance(answer, BaseException):
                raise answer
            return answer

        return method

    def close(self) -> None:
        self.closed = True


@frozen
class Result:
    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.err.splitlines()]


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def run(
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    store: FakeStore,
) -> Callable[..., Result]:
    """Run the command line in this process, in an empty folder, against the fake store."""
    monkeypatch.chdir(tmp_path)

    def run(*args: str, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfdbinary.readouterr()
        fake: Any = store
        code = main(args, session=Session(opener=lambda config: fake))
        out, err = capfdbinary.readouterr()
        return Result(code, out, err.decode())

    return run
