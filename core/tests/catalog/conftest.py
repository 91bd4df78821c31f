from __future__ import annotations

import apsw
import pytest

from ziggurat.catalog import Catalog
from ziggurat.catalog.schema import SLOT_BITS


@pytest.fixture
def catalog(tmp_path):
    with Catalog.open(tmp_path / "catalog") as opened:
        yield opened


@pytest.fixture
def check_residency():
    """Recount a cache from its rows: counters exact, slots dense; gives size by key."""

    def check(folder, medium, settled=False):
        connection = apsw.Connection(str(folder / "volatile.db"))
        try:
            connection.execute("BEGIN")
            ((cache, used, entries),) = connection.execute(
                "SELECT id, used, entries FROM caches WHERE medium = ?", (medium,)
            ).fetchall()
            rows = connection.execute(
                "SELECT id, key, size, owner, dying FROM residency WHERE cache = ? ORDER BY id", (cache,)
            ).fetchall()
        finally:
            connection.close()
        assert [row[0] for row in rows] == [(cache << SLOT_BITS) + slot for slot in range(1, len(rows) + 1)]
        assert entries == len(rows)
        assert used == sum(row[2] for row in rows)
        if settled:
            assert {row[3:] for row in rows} <= {(None, 0)}
        return {row[1]: row[2] for row in rows}

    return check
