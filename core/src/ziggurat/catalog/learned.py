"""What the policies of caches have learned: one small state a cache, shared by processes, unsynced."""

from __future__ import annotations

from collections.abc import Callable

from ziggurat.catalog.sql import Connection
from ziggurat.catalog.volatile import Volatile
from ziggurat.policy import STATE_LIMIT

__all__ = ["Learned"]


class Learned:
    """States by cache and policy.

    Args:
        volatile: Where they are kept.
    """

    def __init__(self, volatile: Volatile) -> None:
        self._volatile = volatile

    def of(self, cache: str, policy: str) -> bytes | None:
        """Read a state, None for a cache that has learned nothing."""
        with self._volatile.guard:
            rows = self._volatile.execute(
                "SELECT state FROM learned WHERE cache = ? AND policy = ?", (cache, policy)
            ).fetchall()
        return bytes(rows[0][0]) if rows else None

    def exchange(self, cache: str, policy: str, join: Callable[[bytes | None], bytes]) -> None:
        """Join what is kept with what one process has learned since, in one transaction.

        Args:
            cache: Identity of the cache's medium, or the name of a volatile tier.
            policy: Name of its policy; what another policy learned for the cache is forgotten.
            join: `ziggurat.policy.Learner.exchange`.

        Raises:
            StoreError: The catalog cannot be used.
        """

        def work(connection: Connection) -> None:
            rows = connection.execute(
                "SELECT state FROM learned WHERE cache = ? AND policy = ?", (cache, policy)
            ).fetchall()
            state = join(bytes(rows[0][0]) if rows else None)
            connection.execute("DELETE FROM learned WHERE cache = ?", (cache,))
            if len(state) <= STATE_LIMIT:
                connection.execute(
                    "INSERT INTO learned (cache, policy, state) VALUES (?, ?, ?)", (cache, policy, state)
                )

        self._volatile.write(work)
