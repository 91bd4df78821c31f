"""The policies on a recorded trace, and the command that compares them."""

from pathlib import Path

import libcachesim
import pytest
from tests.bench import policies

TRACES = Path(__file__).parent / "traces"


@pytest.fixture(scope="module")
def trace():
    return policies.load(TRACES / "cloudPhysicsIO.trace.xz", 80_000)


def test_arc_decides_as_libcachesim_request_by_request(trace):
    distinct = len(set(trace.keys))
    for share in (0.01, 0.1):
        capacity = int(distinct * share)
        index = policies.arc.ArcIndex(capacity)
        peer, request = libcachesim.ARC(capacity), libcachesim.Request()
        request.obj_size = 1
        for at, key in enumerate(trace.keys):
            request.obj_id = int(key)
            resident = key in index
            if resident:
                index.hit(key)
            else:
                index.admit(key, 1)
            assert peer.get(request) is resident, f"request {at}"


def test_heat_misses_fewer_bytes_than_arc(trace):
    capacity = int(trace.footprint * 0.1)
    missed = {
        name: policies.CONTENDERS[name](trace, capacity).missed
        for name in ("arc", "heat", "heat (ranker)", "lru")
    }
    assert missed["heat"] < 0.99 * missed["arc"]
    assert missed["heat (ranker)"] < 0.99 * missed["arc"]
    assert missed["arc"] < missed["lru"]


def test_our_lru_is_libcachesims(trace):
    capacity = int(trace.footprint * 0.05)
    ours, theirs = (policies.CONTENDERS[name](trace, capacity).missed for name in ("lru", "libCacheSim LRU"))
    assert ours == theirs


def test_the_command_writes_the_page(tmp_path):
    page = tmp_path / "policies.md"
    arguments = [str(TRACES), "--requests", "3000", "--policies", "heat", "lru", "--out", str(page)]
    arguments += ["--points", str(tmp_path / "points.jsonl")]
    assert policies.main(arguments) == 0
    text = page.read_text(encoding="utf-8")
    assert text.count("| arc | 1.000 [1.00] | 1.000 [1.00] |") == 2
    assert "| heat | " in text
    assert "cloudPhysicsIO; the first 3,000 requests of each." in text
    assert "zipf, zipf-and-scans, zipf-drifting; the first 3,000 requests of each." in text
    measured = (tmp_path / "points.jsonl").read_text(encoding="utf-8")
    assert policies.main(arguments) == 0
    assert page.read_text(encoding="utf-8") == text
    assert (tmp_path / "points.jsonl").read_text(encoding="utf-8") == measured, "nothing was measured again"


def test_the_command_says_what_it_needs(tmp_path):
    with pytest.raises(SystemExit, match=r"no trace in .*NAME\.trace\.xz"):
        policies.main([str(tmp_path)])
