"""Bring a catalog file to the schema of this version, or refuse it."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from ziggurat.catalog.schema import APPLICATION, MIGRATIONS
from ziggurat.catalog.sql import Connection
from ziggurat.errors import StoreError
from ziggurat.sqlite import Database

__all__ = ["migrate"]


def migrate(database: Database, alone: bool, steps: Sequence[str] = MIGRATIONS) -> None:
    """Make or migrate the schema; an older file is copied beside itself first.

    Args:
        database: The open catalog.
        alone: True if no other process uses it.
        steps: One SQL script for each version.

    Raises:
        StoreError: The file is newer than this version, not a catalog, or older and in use.
    """
    path = database.path
    version, application = _number(database, "user_version"), _number(database, "application_id")
    if version == len(steps) and application == APPLICATION:
        return
    if application != APPLICATION and (application or version or _tables(database)):
        raise StoreError(f"{path} is another program's database: set another path in [store]")
    if version > len(steps):
        raise StoreError(
            f"catalog {path} has schema version {version}, and this version of ziggurat knows {len(steps)}: "
            "upgrade ziggurat"
        )
    if version:
        if not alone:
            raise StoreError(
                f"catalog {path} has schema version {version} and must become {len(steps)}, "
                "but another process uses it: end that process and try again"
            )
        _copy(database, path.with_name(f"{path.name}.v{version}-{time.strftime('%Y%m%dT%H%M%S')}.bak"))

    def work(connection: Connection) -> None:
        for step in steps[version:]:
            for _ in connection.execute(step):
                pass
        if not version:
            connection.execute(
                "INSERT INTO meta (name, value) VALUES ('uuid', ?), ('created', ?), ('volatile', '')",
                (str(uuid.uuid4()), repr(time.time())),
            )
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute(f"PRAGMA application_id = {APPLICATION}")

    database.write(work)


def _number(database: Database, pragma: str) -> int:
    ((value,),) = database.execute(f"PRAGMA {pragma}").fetchall()
    return int(value)


def _tables(database: Database) -> bool:
    return bool(database.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall())


def _copy(database: Database, target: Path) -> None:
    """Write a complete copy of the database, on disk before this returns."""
    database.execute("VACUUM INTO ?", (str(target),)).fetchall()
    for place in (target, target.parent):
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
