"""The official command line, when it is installed: run without a shell, with a time limit, its output parsed.

Nothing here needs it; whoever has scripts around it may run it through `run_w3_command` and get records.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from ziggurat.errors import ConfigError, TierTimeout

__all__ = ["PROGRAMS", "Ran", "find_program", "run_w3_command"]

PROGRAMS: Final = ("storacha", "w3")
"""Names of the command line, the first that is installed counts."""

_LOOKS_SECRET = re.compile(r"M[gh]C[A-Za-z0-9+/]{80,}={0,2}")
_LAST_WORDS = 2.0
_BATCH = frozenset('"&|<>^%!\r\n')


@frozen
class Ran:
    """How a run of the official command line ended.

    Attributes:
        program: Path of what ran.
        args: Its arguments.
        code: Its exit code.
        seconds: How long it took.
        stdout: What it printed.
        stderr: What it said besides, its progress displays included.
        parsed: What its output says as JSON: one value, or a list when each line is one; None when it is not.
        success: It ended with 0.
    """

    program: str
    args: tuple[str, ...]
    code: int
    seconds: float
    stdout: str = field(repr=False)
    stderr: str = field(repr=False)
    parsed: Any = field(repr=False)
    success: bool


def find_program(path: str | None = None) -> str:
    """Find the official command line: in PATH, then where npm installs programs.

    Args:
        path: Folders to look into instead, separated as PATH is.

    Raises:
        ConfigError: It is not installed.
    """
    folders = (os.environ.get("PATH", "") if path is None else path).split(os.pathsep)
    if path is None:
        folders += _npm_folders()
    # Never what lies in the working folder: Windows looks there first, others where a part of PATH is empty.
    named = os.pathsep.join(folder for folder in folders if Path(folder).is_absolute())
    for name in PROGRAMS:
        found = shutil.which(name, path=named)
        if found and Path(found).is_absolute():
            return found
    raise ConfigError(
        "the official command line is not installed: npm install -g @storacha/cli; 'ziggurat storacha' needs"
        " neither it nor Node"
    )


def _npm_folders() -> list[str]:
    """Where npm puts programs, when its folder is not in PATH."""
    home = Path.home()
    prefix = next((value for name, value in os.environ.items() if name.lower() == "npm_config_prefix"), "")
    found = [Path(prefix) / "bin", Path(prefix)] if prefix else []
    if sys.platform == "win32":
        found += [Path(os.environ.get("APPDATA", home)) / "npm"]
    else:
        found += [home / ".npm-global/bin", home / ".local/bin"]
        found += [Path("/usr/local/bin"), Path("/opt/homebrew/bin")]
    return [str(folder) for folder in found]


def run_w3_command(
    args: Sequence[str],
    *,
    timeout: float = 60.0,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Ran:
    """Run the official command line: ``storacha``, or the older ``w3``.

    Args:
        args: Its arguments, such as ``["space", "ls"]``; no shell sees them. A private key among them is
            refused: every user of the machine may read arguments. It goes into `environment`, as
            STORACHA_PRINCIPAL.
        timeout: Seconds after which it is ended, with all that it started.
        stdin: What it reads.
        environment: Variables to add to this process's own.
        folder: Where it works.

    Returns:
        How it ended, whatever its exit code; `ziggurat_storacha.records.standard_record` makes a record
        of it.

    Raises:
        ConfigError: It is not installed, cannot be started, or an argument is a private key.
        TierTimeout: It did not end in time.
    """
    given = tuple(args)
    if any(_LOOKS_SECRET.search(arg) for arg in given):
        raise ConfigError("a private key must not stand in arguments: give it as STORACHA_PRINCIPAL")
    whole = {**os.environ, "NO_UPDATE_NOTIFIER": "1", **(environment or {})}
    program = find_program(whole["PATH"] if environment and "PATH" in environment else None)
    if program.lower().endswith((".cmd", ".bat")) and any(_BATCH & set(arg) for arg in given):
        raise ConfigError("an argument has a character that Windows would act upon: run it by hand")
    started = time.monotonic()
    try:
        process = subprocess.Popen(  # noqa: S603 - a list of arguments, no shell
            [program, *given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=whole,
            cwd=folder,
            start_new_session=sys.platform != "win32",
        )
    except OSError as error:
        raise ConfigError(f"cannot start {program}: {error.strerror}") from error
    with process:
        try:
            out, err = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired as error:
            _end(process)
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=_LAST_WORDS)  # who left the group may keep the pipes for ever
            name = Path(program).name
            raise TierTimeout(f"{name} {' '.join(given[:2])} did not end within {timeout:g} s") from error
        except BaseException:
            _end(process)
            raise
    stdout, stderr = out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
    code = process.returncode
    return Ran(
        program, given, code, time.monotonic() - started, stdout, stderr, parse_output(stdout), code == 0
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started."""
    with suppress(OSError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)


def parse_output(text: str) -> Any:
    """Read what a command printed as JSON: one value, or one a line; None when it is neither."""
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        values = [json.loads(line) for line in lines]
    except (ValueError, RecursionError):
        return None
    return values or None
