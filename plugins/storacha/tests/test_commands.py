"""``ziggurat storacha``, as its users run it, with the real service."""

from __future__ import annotations

import json
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import click
import pytest
from plugins.storacha.tests.running import Run
from tests.support.servers.storacha import OfficialCli, StorachaServer

from ziggurat.cli import main
from ziggurat_storacha import StorachaOptions
from ziggurat_storacha.client import Capability, Key, archive, delegate, read_proof
from ziggurat_storacha.commands import storacha as storacha_group

EMAIL = "grace@example.org"


def commands(
    group: click.Group, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = dict(commands(storacha_group))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_help_with_examples(path: tuple[str, ...]) -> None:
    command = ALL[path]
    text = command.get_help(click.Context(command, info_name=" ".join(path)))
    assert "Examples:" in text
    assert text.split("Examples:")[1].strip().startswith("ziggurat storacha")
    for param in command.params:
        assert not isinstance(param, click.Option) or param.help, param.opts


def test_the_readme_names_every_option_and_every_command() -> None:
    readme = (Path(__file__).resolve().parents[1] / "README.md").read_text()
    options, commands_ = (
        readme.partition(f"\n## {title}\n")[2].partition("\n## ")[0] for title in ("Options", "Commands")
    )
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", options, re.MULTILINE))
    fields = {one.name: one.default for one in attrs.fields(StorachaOptions)}
    assert list(rows) == list(fields)
    for name, default in fields.items():
        if isinstance(default, int | float):
            unit = {"wait_budget": f"{default:g} s", "shard_size": f"{default // (1 << 20)} MiB"}
            assert rows[name] == unit.get(name, str(default))
    for path in ALL:
        for word in path:
            assert re.search(rf"\b{word}\b", commands_), path


def test_a_day_with_it(run: Run, storacha: StorachaServer, tmp_path: Path) -> None:
    assert run("whoami").error["error"] == "ConfigError"
    (login,) = run("login", EMAIL).records
    assert (login["email"], login["spaces"]) == (EMAIL, [])
    state = tmp_path / "home/.local/share/ziggurat/storacha/agent.json"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    (who,) = run("whoami").records
    assert (who["agent"], who["emails"], who["state"]) == (login["agent"], [EMAIL], str(state))
    (made,) = run("space", "create", "photos", "--key-file", "photos.key").records
    assert (made["name"], made["provisioned"]) == ("photos", True)
    assert stat.S_IMODE((tmp_path / "photos.key").stat().st_mode) == 0o600
    assert run("space", "create", "other", "--key-file", "photos.key").code == 3
    (other,) = run("space", "create", "other", "--no-provision").records
    spaces = run("space", "ls").records
    assert [(one["name"], one["current"]) for one in spaces] == [("photos", True), ("other", False)]
    assert run("space", "use", "other").records == [{"did": other["did"], "current": True}]
    assert run("space", "info").records[0]["provisioned"] is False
    assert run("space", "provision").records[0]["changed"] is True
    assert run("space", "provision").records[0]["changed"] is False
    assert run("space", "info", "photos").records[0]["providers"] == [storacha.did]
    (plan,) = run("plan").records
    assert (plan["email"], plan["product"]) == (EMAIL, "did:web:starter.storacha.network")
    assert {made["did"], other["did"]} <= set(plan["spaces"])
    refused = run("space", "allocate", 1000)
    assert (refused.code, refused.error["error"]) == (1, "Unsupported")
    assert "plan/get and usage/report" in refused.error["message"]
    assert run("space", "rm", "photos").error["error"] == "Unsupported"
    assert run("space", "forget", "photos").records == [{"did": made["did"]}]
    (back,) = run("space", "recover", "photos.key", "--name", "again").records
    assert (back["did"], back["name"]) == (made["did"], "again")
    assert run("logout").records[0]["email"] == EMAIL
    assert run("plan").code == 3


def test_sharing_from_hand_to_hand(run: Run, tmp_path: Path) -> None:
    run("login", EMAIL)
    (space,) = run("space", "create", "shared").records
    key = tmp_path / "robot.key"
    (robot,) = run("key", "--output", "robot.key").records
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    text = key.read_text().splitlines()[1]
    assert Key.parse(text).did == robot["did"]
    assert run("delegate", robot["did"], "--form", "car").code == 2
    (made,) = run(
        "delegate", robot["did"], "--output", "p.car", "--expires", "1h", "--can", "upload/*"
    ).records
    assert read_proof((tmp_path / "p.car").read_bytes()).ucan.audience == robot["did"]
    assert 3500 < made["expires"] - time.time() < 3700
    (printed,) = run("delegate", robot["did"], "--can", "space/info").records
    headless = {"STORACHA_PRINCIPAL": text, "STORACHA_PROOF": printed["proof"], "HOME": str(tmp_path / "ci")}
    assert run("space", "info", **headless).records[0]["did"] == space["did"]
    assert not (tmp_path / "ci").exists()  # nothing is kept where nothing was asked to be
    here = {"STORACHA_PRINCIPAL": text, "STORACHA_STATE": str(tmp_path / "robot.json")}
    assert run("proof", "add", "p.car", "-", stdin=printed["proof"].encode(), **here).code == 0
    held = run("proof", "ls", STORACHA_STATE=here["STORACHA_STATE"]).records
    assert [one["cid"] for one in held] == [made["cid"], printed["cid"]]
    shown = run("proof", "show", "p.car").records
    assert shown[1]["ok"] is True
    assert len(shown[1]["chain"]) == 2
    exported = run(
        "proof", "export", made["cid"], "--output", "again.car", STORACHA_STATE=here["STORACHA_STATE"]
    )
    assert exported.code == 0
    assert (tmp_path / "again.car").read_bytes() == (tmp_path / "p.car").read_bytes()
    assert {one["cid"] for one in run("delegation", "ls").records} >= {made["cid"], printed["cid"]}
    assert run("delegation", "revoke", printed["cid"]).records == [{"cid": printed["cid"]}]
    taken = run("space", "info", **headless)
    assert (taken.code, taken.error["error"]) == (8, "TierDenied")
    twice = run("delegation", "revoke", printed["cid"], made["cid"])
    assert (twice.code, twice.records) == (3, [{"cid": made["cid"]}])


def test_sharing_through_the_service(run: Run, tmp_path: Path) -> None:
    run("login", EMAIL)
    (space,) = run("space", "create", "shared").records
    friend = {"STORACHA_STATE": str(tmp_path / "friend.json")}
    run("login", "friend@example.org", **friend)
    (made,) = run("space", "share", "friend@example.org", "--expires", "2100-01-01").records
    assert made["expires"] == 4102444800
    assert len(run("proof", "claim", **friend).records) == 1
    assert run("space", "ls", **friend).records[0]["did"] == space["did"]
    (token,) = run("token", "--can", "upload/list", "--expires", "never").records
    assert token["expires"] is None
    assert token["X-Auth-Secret"].startswith("u")


def test_the_official_state_is_imported(
    run: Run, storacha: StorachaServer, official_user: tuple[OfficialCli, str], tmp_path: Path
) -> None:
    cli, theirs = official_user
    file = tmp_path / "cli/config/w3access/ziggurat.json"
    before = file.read_bytes()
    (taken,) = run("import", file).records
    assert theirs in taken["spaces"]
    assert file.read_bytes() == before
    assert run("whoami").records[0]["agent"] == cli.run("whoami").strip()
    assert run("space", "info").records[0]["providers"] == [storacha.did]
    assert run("import", file).code == 0
    other = {"STORACHA_STATE": str(tmp_path / "other.json")}
    run("login", EMAIL, **other)
    refused = run("import", file, **other)
    assert refused.code == 3
    assert "has another agent already" in refused.error["message"]
    assert run("import").code == 3


def test_errors_have_their_exit_codes(run: Run, tmp_path: Path) -> None:
    assert run("login", "nobody").code == 6
    assert run("login", EMAIL, STORACHA_SERVICE_URL="http://127.0.0.1:9").code == 5
    assert run("login", EMAIL, STORACHA_SERVICE_URL="").code == 3
    assert run("login", EMAIL, STORACHA_SERVICE_URL="nonsense").code == 3
    assert run("token", "--expires", "1h").code == 2
    assert run("token", "--can", "upload/list", "--expires", "soon").code == 2
    for time_ in ("0d", "2001-01-31", "1970-01-01T00:00Z"):
        refused = run("token", "--can", "upload/list", "--expires", time_)
        assert (refused.code, "is not ahead" in refused.err) == (2, True)
    for wait in ("nan", "inf", "1e9", "-1"):
        assert run("login", EMAIL, "--wait", wait).code == 2
    assert run("whoami", "--tier", "none").code == 3
    (tmp_path / "bad").write_bytes(b"nonsense")
    assert run("proof", "add", "bad").code == 6


def test_a_proof_is_shown_without_moving_the_cursor(
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What stands in a delegation is somebody else's to say."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    space = Key.generate()
    held = [Capability("evil/\x1b[2j", space.did), Capability("a/b", "x:\x1b]0;title\x07")]
    made = delegate(space, Key.generate().did, held, expiration=None)
    (tmp_path / "evil.car").write_bytes(archive(made))
    assert main(["storacha", "proof", "show", "evil.car"]) == 8
    out, err = capsys.readouterr()
    assert "holds, through 1" in out
    assert "is not granted" in err
    assert "\x1b" not in out + err


def test_an_interrupted_login_changes_nothing(
    environment: dict[str, str], storacha: StorachaServer, tmp_path: Path
) -> None:
    storacha.auto_click(False)
    process = subprocess.Popen(
        [sys.executable, "-m", "ziggurat", "storacha", "login", "slow@example.org"],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 30
    while "slow@example.org" not in storacha.mail() and time.monotonic() < until:
        time.sleep(0.05)
    command_line = Path(f"/proc/{process.pid}/cmdline")
    if command_line.exists():
        assert b"Mg" not in command_line.read_bytes()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    storacha.click()


def test_nothing_secret_is_printed_unasked(run: Run, tmp_path: Path) -> None:
    run("login", EMAIL)
    run("space", "create", "quiet", "--key-file", "quiet.key")
    state = json.loads((tmp_path / "home/.local/share/ziggurat/storacha/agent.json").read_bytes())
    (octets,) = state["principal"]["keys"].values()
    secrets = [
        Key.from_bytes(bytes(octets["$bytes"])).to_text(),
        (tmp_path / "quiet.key").read_text().splitlines()[1],
    ]
    for args in (
        ("whoami",),
        ("space", "ls"),
        ("space", "info"),
        ("plan",),
        ("proof", "ls"),
        ("space", "use", "x"),
    ):
        done = run(*args, "-vv")
        for secret in secrets:
            assert secret[4:] not in done.out + done.err
