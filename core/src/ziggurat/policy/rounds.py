"""How many rows a ranker is shown at a time: the same in a catalog and in a simulation."""

from __future__ import annotations

__all__ = ["GHOSTS", "LEAST_GHOSTS", "SAMPLE", "TAKE"]

SAMPLE = 32
"""Random rows that are ranked together; of up to twice as many, all."""

TAKE = 4
"""Rows that one ranking evicts at most."""

GHOSTS = 4
"""Rows of history for each resident row."""

LEAST_GHOSTS = 256
"""Rows of history that even a small cache keeps."""
