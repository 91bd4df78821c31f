"""What all processes did on each tier: one row a tier, that each of them adds to, unsynced."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import astuple, fields

from ziggurat.catalog.records import Tally
from ziggurat.catalog.sql import Connection
from ziggurat.catalog.volatile import Volatile

__all__ = ["Tallies"]

_COLUMNS = [field.name for field in fields(Tally)]
_ADD = (
    f"INSERT INTO tallies (tier, {', '.join(_COLUMNS)}) VALUES (?{', ?' * len(_COLUMNS)}) "  # noqa: S608 - our own names
    f"ON CONFLICT (tier) DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in _COLUMNS)}"
)


class Tallies:
    """Tallies by the name of their tier.

    Args:
        volatile: Where they are kept.
    """

    def __init__(self, volatile: Volatile) -> None:
        self._volatile = volatile

    def all(self) -> dict[str, Tally]:
        """What is kept, by tier.

        Raises:
            StoreError: The catalog cannot be read.
        """
        with self._volatile.guard:
            rows = self._volatile.execute(f"SELECT tier, {', '.join(_COLUMNS)} FROM tallies").fetchall()  # noqa: S608 - our own names
        return {tier: Tally(*counts) for tier, *counts in rows}

    def add(self, done: Mapping[str, Tally]) -> None:
        """Add what was done on tiers, all of it or nothing, in one transaction.

        Args:
            done: By tier; what one estimated too high before may be taken back by a negative number.

        Raises:
            StoreError: Nothing was added.
        """
        if done:
            rows = [(tier, *astuple(tally)) for tier, tally in done.items()]
            self._volatile.write(lambda connection: _add(connection, rows))


def _add(connection: Connection, rows: list[tuple[object, ...]]) -> None:
    connection.executemany(_ADD, rows)
