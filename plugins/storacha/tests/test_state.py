"""The state on disk: the official tools' form, its owner's alone, whole whatever happens."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ziggurat.errors import ConfigError
from ziggurat_storacha.client.delegation import delegate
from ziggurat_storacha.client.keys import Key
from ziggurat_storacha.client.state import State, decode_state, encode_state
from ziggurat_storacha.client.statefile import StateFile, default_path, official_paths
from ziggurat_storacha.client.ucan import Capability

SPACE = Key(bytes([7]) * 32)


def grown(state: State, name: str) -> State:
    proof = delegate(SPACE, state.key.did, [Capability("*", SPACE.did)], expiration=None, nonce=name)
    return state.with_delegations([proof]).with_space(SPACE.did, "docs")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_state_reads_back() -> None:
    state = grown(State(Key.generate()), "a")
    again = decode_state(encode_state(state))
    assert again.key.did == state.key.did
    assert again.key.to_bytes() == state.key.to_bytes()
    assert again.delegations == state.delegations
    assert again.spaces == {SPACE.did: {"name": "docs", "access": {"type": "public"}}}
    assert again.current == SPACE.did
    assert encode_state(again) == encode_state(state)


def test_what_other_tools_note_is_kept() -> None:
    table = json.loads(encode_state(grown(State(Key.generate()), "a")))
    table["theirs"] = {"$map": [[1, 2]]}
    table["meta"]["color"] = "blue"
    table["spaces"]["$map"][0][1]["isRegistered"] = True
    table["delegations"]["$map"][0][1]["meta"]["audience"] = {"name": "x"}
    data = json.dumps(table, separators=(",", ":")).encode()
    again = json.loads(encode_state(decode_state(data)))
    assert again == table


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.pop("principal"),
        lambda table: table["principal"].pop("keys"),
        lambda table: table["principal"]["keys"].update({table["principal"]["id"]: {"$bytes": [1, 2]}}),
        lambda table: table["principal"].update(id="did:key:z6Mk"),
        lambda table: table.update(delegations={"$map": [["x", {"delegation": []}]]}),
        lambda table: table.update(delegations=[1]),
        lambda table: table.update(spaces={"$map": [1]}),
        lambda table: table["delegations"]["$map"][0][1]["delegation"][0]["bytes"]["$bytes"].append(0),
        lambda table: table["delegations"]["$map"][0][1]["delegation"][0].update(cid="bafy"),
    ],
)
def test_what_is_no_state_is_refused_without_showing_it(change: object) -> None:
    state = grown(State(Key.generate()), "a")
    table = json.loads(encode_state(state))
    change(table)  # type: ignore[operator] # a function each
    with pytest.raises(ConfigError, match="not the state of a Storacha agent") as caught:
        decode_state(json.dumps(table).encode())
    assert state.key.to_text()[4:20] not in str(caught.value)
    for bad in (b"", b"[]", b"{", b"[" * 100_000):
        with pytest.raises(ConfigError):
            decode_state(bad)


def test_only_the_owner_may_look(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        file = StateFile(tmp_path / "new" / "agent.json")
        file.update(lambda state: state or State(Key.generate()))
    finally:
        os.umask(before)
    assert mode(file.path) == 0o600
    assert mode(file.path.parent) == 0o700
    assert mode(Path(f"{file.path}.lock")) == 0o600


def test_a_file_that_others_may_read_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = StateFile(tmp_path / "agent.json")
    state = file.update(lambda _: State(Key.generate()))
    file.path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        assert file.load() is not None
    assert "chmod 600" in caplog.text
    assert state.key.to_text() not in caplog.text
    file.update(lambda found: grown(found, "a") if found else State(Key.generate()))
    assert mode(file.path) == 0o600


def test_nothing_changes_when_nothing_is_to_be_changed(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "agent.json")
    assert file.load() is None
    file.update(lambda _: State(Key.generate()))
    inode = file.path.stat().st_ino
    file.update(lambda found: found or State(Key.generate()))
    assert file.path.stat().st_ino == inode


def test_a_failed_change_leaves_the_file(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "agent.json")
    file.update(lambda _: State(Key.generate()))
    data = file.path.read_bytes()

    def fail(_: State | None) -> State:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        file.update(fail)
    assert file.path.read_bytes() == data
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []


def test_a_link_is_followed(tmp_path: Path) -> None:
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    StateFile(real).update(lambda _: State(Key.generate()))
    link.symlink_to(real)
    StateFile(link).update(lambda found: grown(found, "a") if found else State(Key.generate()))
    assert link.is_symlink()
    after = StateFile(real).load()
    assert after is not None
    assert len(after.delegations) == 1


def test_over_a_link_is_the_same_lock(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    real, link = tmp_path / "real.json", tmp_path / "elsewhere" / "link.json"
    StateFile(real).update(lambda _: State(Key.generate()))
    link.symlink_to(real)
    begun, other = threading.Event(), []

    def look(found: State | None) -> State:
        assert found is not None
        other.append(len(found.delegations))
        return found

    def meanwhile() -> None:
        begun.set()
        StateFile(link).update(look)

    def change(found: State | None) -> State:
        thread = threading.Thread(target=meanwhile)
        threads.append(thread)
        thread.start()
        begun.wait()
        thread.join(0.3)
        assert other == []  # it waits for us
        assert found is not None
        return grown(found, "a")

    threads: list[threading.Thread] = []
    StateFile(real).update(change)
    threads[0].join()
    assert other == [1]


def test_what_a_killed_writer_left_is_found_by_any_name(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "agent[1].json")
    left, others = tmp_path / ".agent[1].json.x.tmp", tmp_path / ".agent1.json.x.tmp"
    for path in (left, others):
        path.write_text("")
    file.update(lambda _: State(Key.generate()))
    assert not left.exists()
    assert others.exists()


def test_a_name_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "agent.json")
    file.update(lambda _: State(Key.generate()))
    with pytest.raises(ConfigError, match="no text in Unicode"):
        file.update(lambda found: found.with_space(SPACE.did, "\udcff") if found else State(Key.generate()))


def test_an_unusable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot read"):
        StateFile(tmp_path / "file" / "agent.json").load()
    with pytest.raises(ConfigError, match="cannot write"):
        StateFile(tmp_path / "file" / "agent.json").update(lambda _: State(Key.generate()))


def _add(path: Path, name: str, count: int) -> None:
    file = StateFile(path)
    for number in range(count):
        file.update(lambda found, n=number: grown(found, f"{name}{n}") if found else State(Key.generate()))  # type: ignore[misc] # mypy knows no defaults of lambdas


def test_writers_of_several_processes_and_threads_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "agent.json"
    StateFile(path).update(lambda _: State(Key.generate()))
    context = multiprocessing.get_context("spawn")
    processes: list[Any] = [context.Process(target=_add, args=(path, f"p{n}-", 8)) for n in range(3)]
    threads = [threading.Thread(target=_add, args=(path, f"t{n}-", 8)) for n in range(2)]
    for one in [*processes, *threads]:
        one.start()
    while any(process.is_alive() for process in processes):
        assert StateFile(path).load() is not None  # a reader sees a whole state at any time
    for one in [*processes, *threads]:
        one.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    state = StateFile(path).load()
    assert state is not None
    assert len(state.delegations) == 40


WRITER = """
import sys
from pathlib import Path
from typing import Any
from ziggurat_storacha.client.delegation import delegate
from ziggurat_storacha.client.keys import Key
from ziggurat_storacha.client.state import State
from ziggurat_storacha.client.statefile import StateFile
from ziggurat_storacha.client.ucan import Capability
file, space = StateFile(Path(sys.argv[1])), Key(bytes([7]) * 32)
number = 0
while True:
    number += 1
    def grow(state):
        caps = [Capability("*", space.did)]
        more = delegate(space, state.key.did, caps, expiration=None, nonce=f"{sys.argv[2]}-{number}")
        return state.with_delegations([more])
    file.update(grow)
    print(number, flush=True)
"""


def test_killed_in_the_middle_of_writing(tmp_path: Path) -> None:
    path = tmp_path / "agent.json"
    StateFile(path).update(lambda _: State(Key.generate()))
    chance, kept = random.Random(3), 0
    for round_ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(round_)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        kept += 1 + len(
            [line for line in process.stdout.read().splitlines(keepends=True) if line[-1:] == "\n"]
        )
        process.wait()
        process.stdout.close()
        state = StateFile(path).load()
        assert state is not None
        assert len(state.delegations) >= kept
    StateFile(path).update(lambda found: grown(found, "last") if found else State(Key.generate()))
    left = [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]
    assert left == []  # what a killed writer left held the key


def test_where_files_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("STORACHA_STORE_NAME", raising=False)
    assert official_paths() == []
    made = tmp_path / "w3access" / "storacha-cli.json"
    made.parent.mkdir()
    made.write_text("{}")
    assert official_paths() == [made]
    monkeypatch.setenv("STORACHA_STORE_NAME", "other")
    assert official_paths() == []
    if sys.platform == "linux":
        assert default_path() == tmp_path / "data/ziggurat/storacha/agent.json"
