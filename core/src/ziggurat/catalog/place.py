"""Where a catalog may live: on a file system of this machine."""

from __future__ import annotations

from pathlib import Path

from ziggurat.errors import StoreError
from ziggurat.sqlite import network_filesystem

__all__ = ["refuse_network"]


def refuse_network(folder: Path) -> None:
    """Check that a folder is on a file system of this machine.

    Args:
        folder: Where the catalog is to be; it need not exist.

    Raises:
        StoreError: It is on a network file system.
    """
    if kind := network_filesystem(folder):
        raise StoreError(
            f"catalog folder {folder} is on a network file system ({kind}), where its locks do not hold: "
            "set path in [store] to a folder on a local disk"
        )
