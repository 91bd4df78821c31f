"""Standard records, and the official command line run as a program."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.servers.storacha import OfficialCli, StorachaServer

from ziggurat.content import Cid
from ziggurat.errors import ConfigError, StoreUnavailable, TierThrottled, TierTimeout
from ziggurat_storacha.client import Capability, Key, delegate
from ziggurat_storacha.client.accounts import Usage
from ziggurat_storacha.client.bridge import Token
from ziggurat_storacha.client.spaces import Created
from ziggurat_storacha.official import find_program, run_w3_command
from ziggurat_storacha.records import KEYS, standard_record

CID = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"


def test_a_result_becomes_a_record() -> None:
    made = standard_record(
        "usage",
        Usage("did:key:z6Mk", "did:web:x", 1, 2, 3, 4, 5),
        correlation_id="c1",
        timestamp=datetime(2026, 11, 22, 12, tzinfo=UTC),
    )
    assert made == {
        "success": True,
        "operation": "usage",
        "timestamp": "2026-11-22T12:00:00.000+00:00",
        "correlation_id": "c1",
        "space": "did:key:z6Mk",
        "provider": "did:web:x",
        "since": 1,
        "until": 2,
        "initial": 3,
        "final": 4,
        "changes": 5,
        "error": None,
        "error_type": None,
    }


def test_an_error_becomes_a_record() -> None:
    error = TierThrottled("slow down", tier="cloud", op="put", key=CID, retryable=True, retry_after=3.0)
    made = standard_record("upload", error)
    assert (made["success"], made["error_type"]) == (False, "TierThrottled")
    assert made["error"] == "tier 'cloud': put: slow down"
    assert (made["retryable"], made["retry_after"], made["tier"], made["key"]) == (True, 3.0, "cloud", CID)
    whole = standard_record("get", StoreUnavailable("none answered", failures=[error], cid=CID))
    assert whole["failures"] == [{"error": str(error), "error_type": "TierThrottled"}]
    assert whole["cid"] == CID
    assert standard_record("x", KeyError())["error"] == "KeyError"


@pytest.mark.parametrize(
    "outcome",
    [
        None,
        [],
        "text",
        1.5,
        float("inf"),
        b"\xff",
        Cid.parse(CID),
        Path("a/b"),
        {"error": "mine", "cid": Cid.parse(CID), 3: {1, 2}},
        [Usage("a", "b", 1, 2, 3, 4, 5), ValueError("x"), object()],
        delegate(Key(bytes(32)), Key(bytes(32)).did, [Capability("a/b", "did:x:y")], expiration=None),
        ConfigError("x", problems=["a", "b"]),
    ],
)
def test_every_record_is_json_and_has_the_same_keys(outcome: Any) -> None:
    made = standard_record("thing", outcome)
    assert set(KEYS) <= made.keys()
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert made["correlation_id"] != standard_record("thing", outcome)["correlation_id"]


def test_a_clash_of_names_is_kept_apart() -> None:
    made = standard_record("thing", {"error": "mine", "success": 1})
    assert (made["success"], made["error"]) == (True, None)
    assert (made["result_success"], made["result_error"]) == (1, "mine")


def test_secrets_are_left_out() -> None:
    key = Key.generate()
    said = json.dumps(
        [
            standard_record("create", Created(key.did, "docs", key, "", False)),
            standard_record("token", Token("the-secret", "the-authorization")),
            standard_record("key", {"key": key, "list": [key]}),
        ]
    )
    assert key.to_text()[4:] not in said
    assert "the-secret" not in said
    assert "the-authorization" not in said


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program named "storacha" in PATH, and nothing else of npm's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    return folder / "storacha"


def program(path: Path, text: str) -> None:
    path.write_text(f"#!{sys.executable}\nimport sys, os, time, subprocess\n{text}\n")
    path.chmod(0o755)


def test_an_absent_program_is_a_clear_error(fake: Path) -> None:
    with pytest.raises(ConfigError, match=r"not installed: npm install -g @storacha/cli"):
        find_program(str(fake.parent))
    program(fake.with_name("w3"), "print('old')")
    assert find_program().endswith("/w3")
    program(fake, "print('new')")
    assert find_program().endswith("/storacha")


def test_npms_own_folder_is_looked_into(fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("npm_config_prefix", str(tmp_path / "npm"))
    (tmp_path / "npm/bin").mkdir(parents=True)
    program(tmp_path / "npm/bin/storacha", "print(1)")
    assert find_program() == str(tmp_path / "npm/bin/storacha")


def test_a_run_is_told_as_it_ended(fake: Path, tmp_path: Path) -> None:
    program(fake, "print(sys.argv[1:]); print(os.environ['X'], os.getcwd(), file=sys.stderr); sys.exit(3)")
    hostile = ["$(touch evil)", "; touch evil", "a b", "'\"", "*"]
    ran = run_w3_command(hostile, environment={"X": "y"}, folder=tmp_path)
    assert ran.stdout == f"{hostile}\n"
    assert ran.stderr == f"y {tmp_path}\n"
    assert (ran.code, ran.success, ran.parsed) == (3, False, None)
    assert not (tmp_path / "evil").exists()
    record = standard_record("w3", ran)
    assert (record["code"], record["result_success"]) == (3, False)
    assert "stdout" not in record


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("print('{\"a\": 1}')", {"a": 1}),
        ("print('{\\n\"a\": 1}')", {"a": 1}),
        ("print('[1]\\n[2]')", [[1], [2]]),
        ("print('did:key:z6Mk')", None),
        ("print('[' * 100_000)", None),
        ("pass", None),
    ],
)
def test_output_is_parsed(fake: Path, text: str, parsed: Any) -> None:
    program(fake, text)
    assert run_w3_command([]).parsed == parsed


def test_input_is_handed_on(fake: Path) -> None:
    program(fake, "sys.stdout.write(sys.stdin.read())")
    assert run_w3_command([], stdin=b"[5]").parsed == [5]


def test_a_run_that_hangs_is_ended_with_its_children(fake: Path, tmp_path: Path) -> None:
    child = hung(fake, tmp_path, "'sleep', '600'")
    limit = time.monotonic() + 60
    while not ended(child):
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_a_child_that_left_the_group_is_not_waited_for(fake: Path, tmp_path: Path) -> None:
    child = hung(fake, tmp_path, "'setsid', 'sleep', '600'")
    assert not ended(child)  # it held the pipes all the time
    os.kill(child, signal.SIGKILL)


def ended(process: int) -> bool:
    """True also of one that is dead and that nobody has buried."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def hung(fake: Path, folder: Path, command: str) -> int:
    """Run a program that starts another and does not end; the other's process."""
    told = folder / "child"
    tell = f"open({str(told)!r}, 'w').write(str(child.pid))"
    program(fake, f"child = subprocess.Popen([{command}]); {tell}; time.sleep(600)")
    for seconds in (1, 10, 100):  # a slow machine needs its time to start the two
        with pytest.raises(TierTimeout, match=f"storacha up did not end within {seconds} s"):
            run_w3_command(["up"], timeout=seconds)
        if told.exists() and (pid := told.read_text()):
            return int(pid)
    pytest.fail("the program did not start")


def test_what_lies_in_the_working_folder_is_not_run(
    fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "storacha", "print('planted')")
    monkeypatch.chdir(tmp_path)
    for path in ("", f":{fake.parent}", ".", f"{fake.parent}:"):
        with pytest.raises(ConfigError, match="not installed"):
            find_program(path)


def test_a_key_among_the_arguments_is_refused(fake: Path) -> None:
    program(fake, "print('ran')")
    key = Key.generate().to_text()
    for arg in (key, f"--key={key}"):
        with pytest.raises(ConfigError, match="must not stand in arguments") as caught:
            run_w3_command(["login", arg])
        assert key not in str(caught.value)


def test_a_program_that_cannot_be_started(fake: Path) -> None:
    fake.write_text("#!/nowhere\n")
    fake.chmod(0o755)
    with pytest.raises(ConfigError, match="cannot start"):
        run_w3_command([])


def test_the_real_one(storacha: StorachaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli, key = OfficialCli(storacha, tmp_path), Key.generate()
    node, script = cli.program
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/storacha").write_text(f'#!/bin/sh\nexec "{node}" "{script}" "$@"\n')
    (tmp_path / "bin/storacha").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    own = {**cli.environment, "STORACHA_PRINCIPAL": key.to_text(), "PATH": os.environ["PATH"]}
    ran = run_w3_command(["whoami"], environment=own)
    assert ran.success
    assert ran.stdout.strip() == key.did
    made = run_w3_command(["key", "create", "--json"], environment=own).parsed
    assert Key.parse(made["key"]).did == made["did"]


def test_nothing_secret_stands_in_ps(storacha: StorachaServer, tmp_path: Path) -> None:
    """The arguments of our own program never hold a key: there is no option for one."""
    from ziggurat_storacha.commands import storacha as group

    words = subprocess.run(
        [sys.executable, "-m", "ziggurat", "storacha", "login", "--help"], capture_output=True, text=True
    ).stdout
    assert "--key " not in words
    for command in group.commands.values():
        assert not {"--key", "--proof", "--secret"} & {opt for param in command.params for opt in param.opts}
