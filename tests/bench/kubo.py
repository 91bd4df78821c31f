"""Kubo's ``ipfs`` as a neighbour, where it is at hand."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support.servers.kubo import KUBO

__all__ = ["Kubo", "kubo"]


def kubo() -> Path | None:
    """The binary: the one that ``ZIGGURAT_KUBO`` names, or what ``make servers`` built; None without."""
    named = os.environ.get("ZIGGURAT_KUBO")
    place = Path(named) if named else KUBO.target
    if os.access(place, os.X_OK):
        return place
    if named:
        raise SystemExit(f"error: ZIGGURAT_KUBO names {named}, which cannot be run")
    return None


class Kubo:
    """A repository of its own that no daemon serves and no network reaches.

    Args:
        binary: The ``ipfs`` command.
        folder: Where the repository is made.
    """

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary = binary
        self._environment = {**os.environ, "IPFS_PATH": str(folder), "IPFS_TELEMETRY": "off"}
        self._run("init", "--profile=test,unixfs-v1-2025")
        self._run("config", "--json", "AutoConf.Enabled", "false")
        self._run("config", "Routing.Type", "none")

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [str(self._binary), *arguments], env=self._environment, check=True, capture_output=True, text=True
        )
        return done.stdout

    def only_hash(self, path: Path) -> str:
        """The CID of a file; nothing is stored."""
        return self._run("add", "--only-hash", "--quieter", str(path)).strip()
