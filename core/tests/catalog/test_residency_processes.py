"""Several processes fill one persistent cache, and some of them are killed."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ziggurat.catalog import Catalog
from ziggurat.policy import make_ranker

MEDIUM = "cache-medium"
CAPACITY = 40_000
ENDLESS = 10**9
FILLER = Path(__file__).with_name("filler.py")


@pytest.fixture
def base(tmp_path):
    (tmp_path / "blocks").mkdir()
    (tmp_path / "ledger").write_text(f"{0:020d}\n")
    with Catalog.open(tmp_path / "catalog") as catalog:
        assert catalog.cache.adopt(MEDIUM, [], 0.0)
    return tmp_path


@pytest.fixture
def start(base):
    made = []

    def starter(rounds, seed, *more):
        command = [sys.executable, str(FILLER), str(base), str(CAPACITY), str(rounds), str(seed), *more]
        made.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return made[-1]

    yield starter
    for filler in made:
        filler.kill()
        filler.wait()
        filler.stdout.close()


def on_disk(base):
    return {
        path.name: path.stat().st_size
        for path in (base / "blocks").iterdir()
        if not path.name.startswith(".")
    }


def collect_orphans(base, catalog):
    """What an engine does when it opens a cache."""
    admission = catalog.cache.begin_admit(MEDIUM, (), CAPACITY, make_ranker().rank, time.time())
    for key in admission.victims:
        (base / "blocks" / key).unlink(missing_ok=True)
    assert catalog.cache.finish_admit(admission, admission.victims, time.time()) == ()
    return admission.victims


def test_capacity_is_never_exceeded_by_a_byte(base, start, check_residency):
    fillers = [start(300, seed, "ledger") for seed in range(3)]
    for filler in fillers:
        filler.communicate(timeout=200)
    assert [filler.returncode for filler in fillers] == [0, 0, 0]
    used, *problems = (base / "ledger").read_text().splitlines()
    assert problems == []
    files = on_disk(base)
    assert int(used) == sum(files.values()) > CAPACITY // 2
    with Catalog.open(base / "catalog") as catalog:
        for key in collect_orphans(base, catalog):
            files.pop(key, None)
        rows = check_residency(base / "catalog", MEDIUM)
        assert rows == files
        assert catalog.cache.usage(MEDIUM).used == sum(files.values())


def test_killed_processes_leave_right_accounts(base, start, check_residency):
    rng = random.Random(7)
    watcher = Catalog.open(base / "catalog")  # a living process beside them, so that no opener is alone
    try:
        for turn in range(5):
            fillers = [start(ENDLESS, 10 * turn + number) for number in range(2)]
            for filler in fillers:
                assert filler.stdout.readline() == "round\n"
            time.sleep(rng.random() * 0.3)
            for filler in fillers:
                filler.kill()
                filler.communicate()
            assert sum(on_disk(base).values()) <= CAPACITY
            rows = check_residency(base / "catalog", MEDIUM)
            assert on_disk(base).items() <= rows.items()
            watcher._volatile.reap(force=True)
            collect_orphans(base, watcher)
            rows = check_residency(base / "catalog", MEDIUM, settled=True)
            assert rows == on_disk(base)
    finally:
        watcher.close()


def test_lone_opener_takes_over_what_the_killed_left(base, start, check_residency):
    filler = start(ENDLESS, 99)
    for _ in range(3):
        filler.stdout.readline()
    filler.kill()
    filler.communicate()
    with Catalog.open(base / "catalog") as catalog:
        collect_orphans(base, catalog)
        assert check_residency(base / "catalog", MEDIUM, settled=True) == on_disk(base)
        assert catalog.cache.known(MEDIUM)  # a kill is no power cut: nothing was lost
