"""What a user gets wrong, and what closes or interrupts a run: one line each, and nothing left behind."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ziggurat.cli import main
from ziggurat.cli._session import Session
from ziggurat.content import Cid
from ziggurat.engine.records import BlobStat, Candidate, Explanation
from ziggurat.errors import ConfigError

from .conftest import CID, CID2, FakeStore, Result

Run = Callable[..., Result]


def test_an_abbreviation_begins_a_message_as_it_is(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    result = run("cid", "--cid-version", "0", "--hash", "sha2-512", "x")
    assert result.code == 2
    assert result.err.startswith("error: CID version 0")


@pytest.mark.parametrize("args", [("put", "a", "b"), ("cat", CID, CID2), ("stat", CID, CID2)])
def test_what_is_wrong_with_the_configuration_is_said_once(
    args: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x")

    def broken(config: str | None) -> Any:
        raise ConfigError("no", problems=["x.toml:1: tier: missing"])

    assert main(args, session=Session(opener=broken)) == 3
    assert capfd.readouterr().err == "error: x.toml:1: tier: missing\n"


def test_what_cannot_be_read_is_no_end_for_the_others(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no", "yes"):
        (tmp_path / name).write_bytes(b"hello world")
    access, opened = os.access, Path.open

    def refuse(path: Path, *args: Any, **kwargs: Any) -> Any:
        if path.name == "no":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *args, **kwargs)

    # As for one who is not root.
    monkeypatch.setattr(os, "access", lambda path, mode, **more: str(path) != "no" and access(path, mode))
    monkeypatch.setattr(Path, "open", refuse)
    result = run("cid", "no", "yes")
    assert (result.code, result.text) == (1, f"{CID}  yes\n")
    assert result.err == "error: permission denied: 'no'\n"


def test_a_configuration_that_is_a_directory(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path), "config", "check"]) == 3
    assert "is a directory" in capfd.readouterr().err


@pytest.mark.parametrize("args", [("get", CID, "-o", ""), ("export", CID, "-o", ""), ("config", "init", "")])
def test_an_empty_path_names_no_place(run: Run, store: FakeStore, args: tuple[str, ...]) -> None:
    result = run(*args)
    assert (result.code, result.out) == (2, b"")
    assert "an empty path names nothing" in result.err
    assert not store.calls


def test_a_range_outside_one_file_is_no_end_for_the_others(run: Run, store: FakeStore) -> None:
    store.answers["stat"] = lambda ref: BlobStat(Cid.parse(ref), "file", 3 if ref == CID else 9)
    store.answers["stream"] = lambda ref, offset, length: iter([b"x" * length])
    result = run("cat", "--range", "5-", CID, CID2, "--json")
    assert (result.code, result.out) == (2, b"xxxx")
    assert result.errors[0]["path"] == CID
    assert "has 3 bytes" in result.errors[0]["message"]


def test_an_identity_cid_is_answered_by_itself(run: Run, store: FakeStore) -> None:
    cid = Cid.parse("bafkqaalb")
    store.answers["explain"] = Explanation(cid, "file", 1, 1, (Candidate("vault", "store", False),), None)
    result = run("explain", str(cid))
    assert result.code == 0
    assert "no tier would answer" not in result.text
    assert "the CID holds the bytes itself" in result.text


@pytest.mark.parametrize("command", ["put", "cid", "import"])
def test_a_closed_standard_input_is_not_an_empty_one(tmp_path: Path, command: str) -> None:
    config = tmp_path / "z.toml"
    config.write_text(
        '[[tier]]\nname = "a"\nbackend = "disk"\nrole = "store"\noptions.path = "a"\n[store]\npath = "c"\n'
    )
    result = subprocess.run(
        [sys.executable, "-m", "ziggurat", "--config", str(config), command, "-"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=lambda: os.close(0),
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "error: -: standard input is closed\n"


def test_force_replaces_no_pipe(run: Run, store: FakeStore, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    store.answers["export_car"] = lambda ref, target, progress: target.write(b"car")
    result = run("export", CID, "-o", "pipe", "--force")
    assert result.code == 1
    assert "nothing replaces a device" in result.err
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_an_export_names_what_the_user_named(run: Run, store: FakeStore) -> None:
    result = run("export", CID, "-o", "nowhere/x.car")
    assert result.code == 1
    assert result.err == "error: there is no such folder; make it first: 'nowhere'\n"


def test_an_interrupt_while_modules_are_imported_is_one_line() -> None:
    """The first import of the command line is made to take until the interrupt comes."""
    code = """
        import builtins, os, signal
        real = builtins.__import__
        def slow(name, *args, **kwargs):
            if name == "click":
                os.kill(os.getpid(), signal.SIGINT)
            return real(name, *args, **kwargs)
        builtins.__import__ = slow
        from ziggurat.cli import main
        raise SystemExit(main(["backends"]))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        # A suite that runs in the background of a shell has it ignored, and would hand that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "interrupted\n")
