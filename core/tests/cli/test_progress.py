"""A bar is for a person at a terminal, and never gets into the records."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ziggurat.cli._progress import Bar

SCRIPT = """
import sys, time
from ziggurat.cli import main
from ziggurat.cli._session import Session
from ziggurat.content import Cid
from ziggurat.engine.records import Receipt

class Slow:
    def close(self): pass
    def put(self, source, *, expect, progress):
        if {slow}:
            for _ in range(7):
                time.sleep(0.12)
                progress(1_000_000)
        return Receipt(Cid.of(b"hello world"), 8_000_000, ("vault",))

sys.exit(main(["put", sys.argv[1]], session=Session(opener=lambda config: Slow())))
"""


def at_a_terminal(path: Path, *, slow: bool) -> tuple[bytes, bytes]:
    """Run with stderr on a terminal; give stdout and what the terminal saw."""
    master, slave = pty.openpty()
    seen = bytearray()

    def look() -> None:
        try:
            while data := os.read(master, 4096):
                seen.extend(data)
        except OSError:
            return

    watcher = threading.Thread(target=look)
    watcher.start()
    env = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(slow=slow), str(path)],
        stdout=subprocess.PIPE,
        stderr=slave,
        env=env,
        timeout=30,
    )
    os.close(slave)
    watcher.join()
    os.close(master)
    assert result.returncode == 0
    return result.stdout, bytes(seen)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a[b].bin"
    path.write_bytes(b"x" * 8_000_000)
    return path


def test_a_bar_shows_rate_and_time_left_on_long_work(file: Path) -> None:
    out, seen = at_a_terminal(file, slow=True)
    assert len(out.splitlines()) == 1
    assert out.startswith(b"bafkrei")
    assert b"\x1b" not in out
    assert b"a[b].bin" in seen
    assert b"MB/s" in seen
    assert b"0:00:0" in seen
    assert b"8.0 MB on vault" in seen


def test_no_bar_on_short_work(file: Path) -> None:
    _, seen = at_a_terminal(file, slow=False)
    assert b"\x1b" not in seen


def test_nothing_in_a_pipe(file: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(slow=True), str(file)], capture_output=True, timeout=30
    )
    assert result.stderr == b""


def test_a_bar_counts_from_several_threads() -> None:
    with Bar("count", 400_000, watch=True) as bar:
        bar._since = -1e9  # show it at once

        def count() -> None:
            for _ in range(1000):
                bar(1)

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        with bar.hidden():
            pass
        for thread in threads:
            thread.join()
        assert bar._progress is not None
        assert bar._progress.tasks[0].completed == 4000
    bar(1)  # after the end: ignored
