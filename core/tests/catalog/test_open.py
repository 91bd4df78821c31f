"""Opening, refusing, migrating and closing a catalog."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid

import apsw
import pytest

import ziggurat.catalog.presence as presence
import ziggurat.sqlite as sqlite
from ziggurat.catalog import Catalog, CopyRow, RootRow, Usage
from ziggurat.catalog.guard import Guard
from ziggurat.catalog.migrate import migrate
from ziggurat.catalog.schema import APPLICATION, MIGRATIONS
from ziggurat.errors import StoreError, StoreFull
from ziggurat.sqlite import Database


def sql(path, statement, *bindings):
    connection = apsw.Connection(str(path))
    try:
        return connection.execute(statement, bindings).fetchall()
    finally:
        connection.close()


def test_first_open_makes_folder_file_and_id(tmp_path):
    path = tmp_path / "deep" / "vault"
    with Catalog.open(path) as catalog:
        identity = catalog.id
        assert str(uuid.UUID(identity)) == identity
        assert catalog.path == path
        assert catalog.mediums() == []
    with Catalog.open(path) as catalog:
        assert catalog.id == identity
    with Catalog.open(tmp_path / "other") as other:
        assert other.id != identity


def test_processes_that_open_at_once_agree(tmp_path):
    script = (
        "import sys; from pathlib import Path; from ziggurat.catalog import *\n"
        "with Catalog.open(Path(sys.argv[1])) as c:\n"
        "    for n in range(20): c.record_put((), [CopyRow(f'{sys.argv[2]}-{n}', 'medium', 3)])\n"
        "    print(c.id)"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "new"), str(number)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    said = {process.communicate(timeout=60)[0] for process in started}
    assert [process.returncode for process in started] == [0] * 4
    assert len(said) == 1
    with Catalog.open(tmp_path / "new") as catalog:
        assert catalog.usage("medium") == Usage(240, 80)


def test_threads_share_it(catalog):
    problems = []

    def work(number):
        try:
            for step in range(30):
                key = f"key-{number}-{step}"
                catalog.record_put([RootRow(key, key, 1)], [CopyRow(key, "medium", 5)])
                assert catalog.copies(key) == [CopyRow(key, "medium", 5)]
        except BaseException as error:  # noqa: BLE001 - shown by the test
            problems.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert catalog.usage("medium") == Usage(1200, 240)


def test_closed_catalog_says_so_and_closes_twice(tmp_path):
    catalog = Catalog.open(tmp_path)
    catalog.close()
    catalog.close()
    for call in (
        lambda: catalog.copies("key"),
        lambda: catalog.pin("key"),
        lambda: catalog.cache.usage("medium"),
        lambda: catalog.accesses.count({"key": (1, 0.0)}),
        lambda: catalog.reservations.reserve("medium", 1, 2),
    ):
        with pytest.raises(StoreError, match="is closed: open a new store"):
            call()


def test_close_under_readers(tmp_path):
    catalog = Catalog.open(tmp_path)
    ended, running = [], threading.Barrier(5)

    def work():
        running.wait()
        try:
            while True:
                catalog.copies("key")
        except StoreError as error:
            ended.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    running.wait()
    catalog.close()
    for thread in threads:
        thread.join(20)
    assert len(ended) == 4
    assert all("is closed" in said for said in ended)


def test_after_a_fork_it_refuses_and_the_parent_goes_on(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; from ziggurat.catalog import *\n"
        "from ziggurat.errors import StoreError\n"
        "c = Catalog.open(Path(sys.argv[1])); c.copies('k')\n"
        "if (child := os.fork()) == 0:\n"
        "    code = 0\n"
        "    count = lambda: c.accesses.count({'k': (1, 0.0)})\n"
        "    for call in (lambda: c.copies('k'), lambda: c.pin('k'), count):\n"
        "        try: call(); code = 1\n"
        "        except StoreError as error: code = code or (0 if 'before a fork' in str(error) else 2)\n"
        "    c.close()\n"
        "    os._exit(code)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "c.pin('k'); assert c.pinned('k'); c.close()\n"
        "with Catalog.open(Path(sys.argv[1])) as again: assert again.pinned('k')"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=60)


# --- versions


def test_a_newer_catalog_is_refused_by_both_versions(tmp_path):
    Catalog.open(tmp_path).close()
    sql(tmp_path / "catalog.db", f"PRAGMA user_version = {len(MIGRATIONS) + 3}")
    with pytest.raises(StoreError) as caught:
        Catalog.open(tmp_path)
    assert f"version {len(MIGRATIONS) + 3}" in str(caught.value)
    assert f"knows {len(MIGRATIONS)}" in str(caught.value)
    assert "upgrade ziggurat" in str(caught.value)


def open_older(tmp_path):
    with Catalog.open(tmp_path) as catalog:
        catalog.record_put([RootRow("key", "cid", 3)], [CopyRow("key", "medium", 3)])
    return Database(tmp_path / "catalog.db", durable=True)


NEXT = (*MIGRATIONS, "ALTER TABLE roots ADD COLUMN colour TEXT; CREATE TABLE later (x INTEGER);")


def test_an_older_catalog_is_copied_and_then_migrated(tmp_path):
    database = open_older(tmp_path)
    migrate(database, True, NEXT)
    database.close()
    assert sql(tmp_path / "catalog.db", "PRAGMA user_version") == [(len(NEXT),)]
    assert sql(tmp_path / "catalog.db", "SELECT key, colour FROM roots") == [("key", None)]
    (copy,) = tmp_path.glob("*.bak")
    assert sql(copy, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    assert sql(copy, "PRAGMA application_id") == [(APPLICATION,)]
    assert sql(copy, "SELECT key FROM roots") == [("key",)]
    assert sql(copy, "PRAGMA integrity_check") == [("ok",)]


def test_a_migration_that_fails_changes_nothing(tmp_path):
    database = open_older(tmp_path)
    with pytest.raises(apsw.SQLError):
        migrate(database, True, (*NEXT, "CREATE TABLE more (x INTEGER); nonsense;"))
    database.close()
    assert sql(tmp_path / "catalog.db", "PRAGMA user_version") == [(len(MIGRATIONS),)]
    with Catalog.open(tmp_path) as catalog:
        assert catalog.root("key").cid == "cid"


def test_an_older_catalog_in_use_is_not_migrated(tmp_path):
    database = open_older(tmp_path)
    with pytest.raises(StoreError, match="another process uses it: end that process"):
        migrate(database, False, NEXT)
    database.close()
    assert list(tmp_path.glob("*.bak")) == []


# --- what cannot be used


def test_another_programs_database_is_left_alone(tmp_path):
    sql(tmp_path / "catalog.db", "CREATE TABLE theirs (x INTEGER)")
    with pytest.raises(StoreError, match="another program's database"):
        Catalog.open(tmp_path)
    assert sql(tmp_path / "catalog.db", "SELECT name FROM sqlite_schema") == [("theirs",)]


@pytest.mark.parametrize(
    "damage", [b"not a database at all, but long enough to be read as one" * 99, b"\xff" * 4096]
)
def test_a_damaged_catalog_says_what_to_do(tmp_path, damage):
    (tmp_path / "catalog.db").write_bytes(damage)
    with pytest.raises(StoreError, match="is damaged: restore it from a backup"):
        Catalog.open(tmp_path)
    assert (tmp_path / "catalog.db").read_bytes() == damage


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot be made"):
        Catalog.open(tmp_path / "file" / "vault")
    with pytest.raises(StoreError, match="cannot be made"):
        Catalog.open(tmp_path / "file")


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # root may write everywhere, so permissions cannot show it
    with pytest.raises(StoreError, match=r"cannot be used \(Permission denied\): make it writable"):
        Catalog.open(tmp_path)


def test_a_locked_catalog_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "_PATIENCE", 0.02)
    with Catalog.open(tmp_path) as catalog:
        other = apsw.Connection(str(tmp_path / "catalog.db"))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked by another program: close that program"):
            catalog.pin("key")
        other.execute("ROLLBACK")
        other.close()
        catalog.pin("key")


def test_an_opener_that_hangs_does_not_hang_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(presence, "_PATIENCE", 0.05)
    hanging = presence.Presence(tmp_path)
    with hanging.turn(), pytest.raises(StoreError, match="being opened by another process"):
        Catalog.open(tmp_path)
    hanging.leave()
    Catalog.open(tmp_path).close()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (apsw.ReadOnlyError, "cannot be written: make"),
        (apsw.FullError, "free space"),
        (apsw.IOError, "check its disk"),
        (apsw.CantOpenError, "check that its folder exists"),
        (apsw.LockedError, "close that program"),
        (apsw.CorruptError, "restore it"),
        (apsw.ConnectionClosedError, "open a new store"),
        (apsw.ConstraintError, "failed: ConstraintError: why"),
    ],
)
def test_every_error_of_the_database_is_a_store_error(tmp_path, error, said):
    with pytest.raises(StoreError) as caught, Guard(tmp_path / "catalog.db"):
        raise error("why")
    assert said in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value.__cause__, error)
    assert isinstance(caught.value, StoreFull) == (error is apsw.FullError)


def test_errors_of_others_pass_the_boundary(tmp_path):
    with pytest.raises(RuntimeError, match="mine"), Guard(tmp_path / "catalog.db"):
        raise RuntimeError("mine")


def test_a_failed_record_changes_nothing(catalog):
    catalog.record_put((), [CopyRow("key", "medium", 5)])
    with pytest.raises(StoreError):
        catalog.record_put(
            [RootRow("key", "cid", 3)], [CopyRow("other", "medium", 7), CopyRow("bad", "medium", -1)]
        )
    assert catalog.usage("medium") == Usage(5, 1)
    assert catalog.root("key") is None
    assert catalog.copies("other") == []


def test_media_are_remembered_by_identity(catalog):
    catalog.see_medium("uuid-1", "ssd")
    catalog.record_put((), [CopyRow("key", "uuid-1", 4)])
    catalog.see_medium("uuid-1", "renamed")
    (medium,) = catalog.mediums()
    assert (medium.identity, medium.tier, medium.used, medium.entries) == ("uuid-1", "renamed", 4, 1)
    catalog.record_put((), [CopyRow("key", "uuid-2", 6)])
    catalog.see_medium("uuid-1", "renamed")
    assert [row.identity for row in catalog.mediums()] == ["uuid-1", "uuid-2"]


def test_roots_come_page_by_page_while_others_write(catalog, monkeypatch):
    monkeypatch.setattr("ziggurat.catalog.catalog._PAGE", 3)
    for number in range(10):
        catalog.record_put([RootRow(f"key-{number}", "cid", number)], ())
    seen = []
    for row in catalog.roots():
        seen.append(row.key)
        catalog.remove_root(row.key)
    assert seen == [f"key-{number}" for number in range(10)]
    assert list(catalog.roots()) == []
