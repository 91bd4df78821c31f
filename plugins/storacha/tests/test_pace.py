"""Rate limits: one moment for all threads and processes, and a budget that is kept."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.servers.storacha import StorachaServer

from ziggurat.errors import TierThrottled
from ziggurat_storacha.client import Capability, Endpoints, Key, Pace, Proofs, Service, Transport, delegate
from ziggurat_storacha.client.pace import MAX_WAIT, retry_after

URL = "https://up.example.org"


@given(st.text(max_size=30) | st.floats().map(str))
def test_any_retry_after_is_read_or_not(value: str) -> None:
    seconds = retry_after(value)
    assert seconds is None or 0 <= seconds <= MAX_WAIT


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after("2") == 2
    assert retry_after("0.25") == 0.25
    assert retry_after("-5") == 0
    assert retry_after("1e9") == MAX_WAIT
    assert retry_after(None) is retry_after("") is retry_after("soon") is retry_after("nan") is None
    assert retry_after("Wed, 21 Oct 2026 07:28:00 GMT", now=1792567670) == 10
    assert retry_after("Wed, 21 Oct 2026 07:28:00 GMT", now=1892567670) == 0


def test_what_one_learns_the_others_know(tmp_path: Path) -> None:
    first, second = Pace(URL, tmp_path), Pace(URL, tmp_path)
    other = Pace("https://other.example.org", tmp_path)
    first.put_off(3000)
    assert second.moment() > time.time() + 1000
    second.put_off(5)
    assert first.moment() > time.time() + 1000  # a shorter wait does not undo a longer one
    assert other.moment() == 0
    assert Pace(URL).moment() == 0
    with pytest.raises(TierThrottled, match="raise wait_budget"):
        Pace(URL, tmp_path, budget=1).waiting().turn()


def test_a_clock_that_went_wrong_stops_nobody(tmp_path: Path) -> None:
    Pace(URL, tmp_path).put_off(0)
    (file,) = tmp_path.iterdir()
    for said in (b"9999999999999", b"nonsense", b"", b"nan", b"\xff" * 50):
        file.write_bytes(said)
        Pace(URL, tmp_path, budget=1).waiting().turn()
    Pace(URL, tmp_path).put_off(2000)
    assert Pace(URL, tmp_path).moment() > time.time() + 1000


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    pace = Pace(URL, tmp_path / "file" / "below")
    pace.put_off(3000)
    assert pace.moment() > time.time() + 1000


def test_a_wait_can_be_cancelled(tmp_path: Path) -> None:
    pace, cancel = Pace(URL, tmp_path), threading.Event()
    pace.put_off(50)
    threading.Timer(0.1, cancel.set).start()
    with pytest.raises(TierThrottled, match="was cancelled"):
        pace.waiting(cancel).turn()


def test_the_budget_is_one_for_the_whole_call(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0

    class Sleeper(threading.Event):
        """Nobody cancels, and time passes only here."""

        def wait(self, timeout: float | None = None) -> bool:
            nonlocal now
            assert timeout is not None
            now += timeout
            return False

    monkeypatch.setattr("ziggurat_storacha.client.pace.time.time", lambda: now)
    waiting = Pace(URL, None, budget=50).waiting(Sleeper())
    for _ in range(2):
        waiting.refused("10")
        waiting.turn()
    assert 1020 <= now < 1030
    waiting.refused("45")
    with pytest.raises(TierThrottled, match="longer than the budget"):
        waiting.turn()
    assert now < 1030


def agent(storacha: StorachaServer, folder: Path, budget: float) -> tuple[Service, str]:
    key, space = Key.generate(), Key.generate()
    proofs = Proofs([delegate(space, key.did, [Capability("*", space.did)], expiration=None)])
    transport = Transport(pace=Pace(storacha.url, folder, budget))
    return Service(Endpoints(storacha.url, storacha.did, storacha.key), key, proofs, transport), space.did


def test_a_storm_fails_no_batch_that_the_budget_allows(storacha: StorachaServer, tmp_path: Path) -> None:
    """Sixty calls of eight threads; the first forty requests are refused."""
    service, space = agent(storacha, tmp_path, 60)
    storacha.fault("upload/list", how="status", status=429, times=40, headers={"retry-after": "0.05"})
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: service.call("upload/list", space)["results"], range(60)))
    assert answers == [[]] * 60
    assert len(storacha.log("upload/list")) == 100
    service.close()


CALLER = """
import sys, time
from pathlib import Path
from ziggurat_storacha.client import Capability, Endpoints, Key, Pace, Proofs, Service, Transport, delegate
url, did, folder = sys.argv[1:]
key, space = Key.generate(), Key.generate()
proofs = Proofs([delegate(space, key.did, [Capability("*", space.did)], expiration=None)])
service = Service(Endpoints(url, did), key, proofs, Transport(pace=Pace(url, Path(folder), 60)))
print("ready", flush=True)
sys.stdin.readline()
assert service.call("upload/list", space.did)["results"] == []
first = time.time()
for _ in range(2):
    assert service.call("upload/list", space.did)["results"] == []
print(first, flush=True)
"""


def test_processes_wait_with_one_another(storacha: StorachaServer, tmp_path: Path) -> None:
    """One is refused; the others, who were not, do not ask before the moment that it was told."""
    service, space = agent(storacha, tmp_path, 60)
    arguments = [sys.executable, "-c", CALLER, storacha.url, storacha.did, str(tmp_path)]
    with ExitStack() as stack:
        others = [
            stack.enter_context(
                subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(2)
        ]
        for process in others:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        storacha.fault("upload/list", how="status", status=429, headers={"retry-after": "1.5"})
        refused = threading.Thread(target=service.call, args=("upload/list", space))
        refused.start()
        pace = Pace(storacha.url, tmp_path)
        while not pace.moment():
            time.sleep(0.01)
        moment = pace.moment()
        answers = [process.communicate("go\n", timeout=60)[0] for process in others]
        refused.join()
    assert [process.returncode for process in others] == [0, 0]
    assert all(float(answer) >= moment for answer in answers)
    assert len(storacha.log("upload/list")) == 8
    service.close()
