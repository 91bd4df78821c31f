"""The schema of the catalog and the steps that lead to it, oldest first.

A published step never changes: a new version appends one. The version of a file is the number of steps that
made it (``PRAGMA user_version``).

`copies` are clustered on the key: a small put then touches one page of `copies` and one of `roots`, and a
look-up goes down one tree. Triggers keep the counters of `mediums`, so no statement can forget them.
"""

from __future__ import annotations

__all__ = ["APPLICATION", "MIGRATIONS", "SLOT_BITS", "VOLATILE", "VOLATILE_VERSION"]

APPLICATION = 0x5A494747
"""``PRAGMA application_id`` of our files: "ZIGG"."""

_FIRST = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE mediums (
  id INTEGER PRIMARY KEY,
  identity TEXT NOT NULL UNIQUE,
  tier TEXT NOT NULL,               -- name of the tier that was last seen on it
  used INTEGER NOT NULL DEFAULT 0,  -- bytes stored by all rows of `copies`
  entries INTEGER NOT NULL DEFAULT 0  -- rows of `copies` that are the medium's own
) STRICT;

CREATE TABLE roots (
  key TEXT PRIMARY KEY,
  cid TEXT NOT NULL,                -- as it was given: a version 0 stays one
  size INTEGER NOT NULL,
  type TEXT NOT NULL,
  encoding TEXT,
  created REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE copies (
  key TEXT NOT NULL,
  medium INTEGER NOT NULL REFERENCES mediums (id),
  under TEXT NOT NULL,              -- root whose closure carries it, '' for a copy of its own
  stored INTEGER NOT NULL CHECK (stored >= 0),
  note BLOB,
  nodes_note BLOB,
  encoding TEXT,
  PRIMARY KEY (key, medium, under)
) STRICT, WITHOUT ROWID;
CREATE INDEX copies_under ON copies (under, medium) WHERE under <> '';

CREATE TRIGGER copies_insert AFTER INSERT ON copies BEGIN
  UPDATE mediums SET used = used + new.stored, entries = entries + (new.under = '') WHERE id = new.medium;
END;
CREATE TRIGGER copies_delete AFTER DELETE ON copies BEGIN
  UPDATE mediums SET used = used - old.stored, entries = entries - (old.under = '') WHERE id = old.medium;
END;
CREATE TRIGGER copies_update AFTER UPDATE OF stored ON copies WHEN new.stored <> old.stored BEGIN
  UPDATE mediums SET used = used + new.stored - old.stored WHERE id = new.medium;
END;

CREATE TABLE edges (
  parent TEXT NOT NULL, child TEXT NOT NULL, PRIMARY KEY (parent, child)
) STRICT, WITHOUT ROWID;
CREATE INDEX edges_child ON edges (child);

CREATE TABLE pins (
  key TEXT NOT NULL, name TEXT NOT NULL, created REAL NOT NULL, PRIMARY KEY (key, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE info (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""

MIGRATIONS: tuple[str, ...] = (_FIRST,)
"""One SQL script for each version, run in order in one transaction."""

SLOT_BITS = 40
"""Bits of the slot in an id of `residency`; above them stands the cache."""

VOLATILE_VERSION = 4
"""Another version of the volatile part is discarded: nothing in it is worth a migration."""

VOLATILE = """
CREATE TABLE owners (id INTEGER PRIMARY KEY AUTOINCREMENT, identity TEXT NOT NULL) STRICT;

CREATE TABLE reservations (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  medium TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  key TEXT NOT NULL,                -- what is being put, '' if nothing is left to look for
  owner INTEGER NOT NULL            -- whose put it is, 0: ended, and nobody has looked what it left
) STRICT;

CREATE TABLE caches (
  id INTEGER PRIMARY KEY,
  medium TEXT NOT NULL UNIQUE,
  used INTEGER NOT NULL,            -- bytes of all its rows in `residency`, whatever their state
  entries INTEGER NOT NULL,
  gone INTEGER NOT NULL DEFAULT 0,  -- its rows in `ghosts`
  buried INTEGER NOT NULL DEFAULT 0 -- rows that were ever put into `ghosts`: the last slot there
) STRICT;

-- The rows of a cache have the slots 1..entries, without a hole, so that a random slot is a random row.
CREATE TABLE residency (
  id INTEGER PRIMARY KEY,           -- cache << 40 | slot
  cache INTEGER NOT NULL,
  key TEXT NOT NULL,
  size INTEGER NOT NULL,
  last REAL NOT NULL,
  count INTEGER NOT NULL,
  first REAL NOT NULL,              -- first access known
  gap REAL NOT NULL,                -- the policy's own memory
  since REAL NOT NULL,              -- when it was admitted
  owner INTEGER,                    -- NULL: resident; else who fills or evicts it, 0 for nobody
  dying INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX residency_key ON residency (cache, key);
CREATE INDEX residency_owner ON residency (owner) WHERE owner IS NOT NULL;

-- What is remembered of evicted blocks, in the order of their eviction.
CREATE TABLE ghosts (
  id INTEGER PRIMARY KEY,           -- cache << 40 | slot
  cache INTEGER NOT NULL,
  key TEXT NOT NULL,
  size INTEGER NOT NULL,
  last REAL NOT NULL,
  count INTEGER NOT NULL,
  first REAL NOT NULL,
  gap REAL NOT NULL
) STRICT;
CREATE UNIQUE INDEX ghosts_key ON ghosts (cache, key);

-- What a policy has learned: one row for each cache.
CREATE TABLE learned (
  cache TEXT NOT NULL, policy TEXT NOT NULL, state BLOB NOT NULL, PRIMARY KEY (cache, policy)
) STRICT, WITHOUT ROWID;

-- What all processes did on each tier since this file was made.
CREATE TABLE tallies (
  tier TEXT PRIMARY KEY,            -- its name: a source and a memory have no other
  hits INTEGER NOT NULL,
  misses INTEGER NOT NULL,
  bytes_read INTEGER NOT NULL,
  bytes_written INTEGER NOT NULL,
  evictions INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  aged INTEGER NOT NULL,            -- evicted blocks whose age is known
  age REAL NOT NULL                 -- sum of their ages, seconds
) STRICT, WITHOUT ROWID;

CREATE TABLE accesses (
  key TEXT PRIMARY KEY, count INTEGER NOT NULL, last REAL NOT NULL, first REAL NOT NULL
) STRICT, WITHOUT ROWID;
"""
