"""The one writer of a database: what is committed, what is undone, and who is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from ziggurat.sqlite import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path / "some.db", durable=True)
    made.write(lambda connection: connection.execute("CREATE TABLE some (x INTEGER PRIMARY KEY)"))
    yield made
    made.close()


def insert(number: int) -> Any:
    return lambda connection: connection.execute("INSERT INTO some VALUES (?)", (number,))


def held(database: Database) -> list[int]:
    return [number for (number,) in database.execute("SELECT x FROM some ORDER BY x").fetchall()]


class Others:
    """Writes of other threads, joined behind one that waits for them."""

    def __init__(self, database: Database, *writes: Any) -> None:
        self.database = database
        self.answers: dict[int, Any] = {}
        self.threads = [threading.Thread(target=self._write, args=item) for item in enumerate(writes)]

    def _write(self, number: int, call: Any) -> None:
        try:
            self.answers[number] = self.database.write(call)
        except BaseException as error:  # noqa: BLE001 - of whatever kind, it is looked at
            self.answers[number] = error

    def join_in(self, connection: apsw.Connection) -> None:
        for count, thread in enumerate(self.threads, 1):
            thread.start()
            while len(self.database._group._queue) < count:
                threading.Event().wait(0.001)

    def end(self) -> dict[int, Any]:
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()
        return self.answers


def test_a_write_that_fails_among_others_is_undone_alone(database: Database) -> None:
    def both(connection: apsw.Connection) -> None:
        insert(5)(connection)
        insert(1)(connection)

    others = Others(database, insert(1), both, lambda _: "nothing")
    database.write(others.join_in)
    answers = others.end()
    assert isinstance(answers[1], apsw.ConstraintError)
    assert answers[2] == "nothing"
    assert held(database) == [1]


def test_an_interrupted_write_is_undone_and_those_of_others_are_not(database: Database) -> None:
    def interrupted(connection: apsw.Connection) -> None:
        insert(1)(connection)
        raise KeyboardInterrupt

    others = Others(database, interrupted, insert(2), insert(3))
    database.write(others.join_in)
    answers = others.end()
    assert isinstance(answers[0], KeyboardInterrupt)
    assert not any(isinstance(answers[number], BaseException) for number in (1, 2))
    assert held(database) == [2, 3]


def test_an_interrupt_that_comes_while_it_commits_undoes_nothing(database: Database) -> None:
    """The others' writes are done: they are not done again, and they are told so."""

    def hook(connection: apsw.Connection, name: str, pages: int) -> int:
        connection.set_wal_hook(None)
        raise KeyboardInterrupt

    def arm(connection: apsw.Connection) -> None:
        others.join_in(connection)

    def first(connection: apsw.Connection) -> str:
        connection.set_wal_hook(hook)
        return "first"

    others = Others(database, first, insert(2), insert(3))
    database.write(arm)
    answers = others.end()
    assert isinstance(answers[0], KeyboardInterrupt)
    assert not any(isinstance(answers[number], BaseException) for number in (1, 2)), answers
    assert held(database) == [2, 3]


def test_what_no_room_is_left_for_is_told_to_all(database: Database) -> None:
    database._writer.pragma("max_page_count", 4)
    others = Others(
        database,
        lambda connection: connection.execute("CREATE TABLE large AS SELECT zeroblob(100000) AS z"),
        insert(2),
    )
    database.write(others.join_in)
    answers = others.end()
    assert isinstance(answers[0], apsw.FullError)
    assert held(database) in ([], [2])
    assert isinstance(answers[1], apsw.FullError) == (held(database) == [])
    database.write(insert(7))
    assert 7 in held(database)


def test_after_it_is_closed_a_write_is_refused(database: Database) -> None:
    database.close()
    with pytest.raises(RuntimeError, match="is closed"):
        database.write(insert(1))
