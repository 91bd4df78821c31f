"""The group of all commands, and what they share: the agent, kinds of arguments, files with secrets."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ziggurat.command import Session, group
from ziggurat.errors import ConfigError
from ziggurat_storacha._options import StorachaOptions
from ziggurat_storacha.client.agent import Agent, connect, options_of

__all__ = [
    "agent_of",
    "expires_option",
    "expiry",
    "moment_text",
    "on_tier",
    "options_for",
    "storacha",
    "write_file",
    "write_secret",
]


@group(
    "storacha",
    examples="""
ziggurat storacha login ada@example.org    once; then spaces are at hand
ziggurat storacha space create photos
ziggurat storacha whoami
""",
)
def storacha() -> None:
    """Work with a Storacha upload service: accounts, spaces, delegations, plans.

    The service is the one of the stack's storacha tier. Without such a tier, and for what it leaves open,
    STORACHA_SERVICE_URL, STORACHA_SERVICE_DID, STORACHA_PRINCIPAL (a key), STORACHA_PROOF, STORACHA_SPACE
    and STORACHA_STATE (a file) count.
    """


def on_tier(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option that names the tier."""
    return click.option(
        "--tier", default="", metavar="NAME", help="The storacha tier, when the stack has several."
    )(command)


def options_for(session: Session, tier: str) -> StorachaOptions:
    """Give the options of the tier that is meant, completed by the environment.

    Raises:
        ConfigError: No such tier, or several and none is named.
    """
    found = dict(session.configured("storacha"))
    if tier and tier not in found:
        raise ConfigError(f"no storacha tier is named {tier!r}: see 'ziggurat config show'")
    if not tier and len(found) > 1:
        raise ConfigError(f"the stack has several storacha tiers: give --tier, one of {', '.join(found)}")
    return options_of(found[tier] if tier else next(iter(found.values()), None))


@contextmanager
def agent_of(session: Session, tier: str, *, create: bool = False) -> Iterator[Agent]:
    """Give the agent of the tier that is meant, and close its connections afterwards.

    Args:
        session: Of the command.
        tier: As the user named it, or "".
        create: Make a key and a state file when there is none.

    Raises:
        ConfigError: There is no key, or something is unusable.
    """
    agent = connect(options_for(session, tier), create=create)
    try:
        yield agent
    finally:
        agent.close()


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}


def expiry(text: str) -> int:
    """Read when something ends: a duration such as 12h, 30d or 1y, a date, or "never".

    Returns:
        Unix seconds, 0 for never.
    """
    plain = text.strip().lower()
    if plain == "never":
        return 0
    duration = re.fullmatch(r"(\d{1,9})\s*([smhdwy])", plain)
    if duration:
        return _ahead(int(time.time()) + int(duration[1]) * _UNITS[duration[2]], text)
    try:
        moment = datetime.fromisoformat(plain.upper())
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time: give 12h, 30d, 1y, 2027-01-31 or never") from None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return _ahead(int(aware.timestamp()), text)


def _ahead(seconds: int, text: str) -> int:
    if seconds <= time.time():
        raise click.BadParameter(f"{text!r} is not ahead: what ends then would be void at once")
    return seconds


def expires_option(**more: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the option that says when something ends; see `expiry`."""
    return click.option(
        "--expires", type=expiry, metavar="TIME", help="12h, 30d, 1y, a date, or never.", **more
    )


def moment_text(seconds: int | None) -> str:
    """Write a moment for people: a date in UTC, or "never"."""
    if seconds is None:
        return "never"
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):
        return "in a far future"


def write_file(path: Path, data: bytes) -> None:
    """Write a file that the user named.

    Raises:
        ConfigError: It cannot be written.
    """
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def write_secret(path: Path, data: bytes) -> None:
    """Write a file that holds a secret, for the owner alone; one that is there stays.

    Raises:
        ConfigError: It is there already, or cannot be written.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise ConfigError(f"{path} exists already: a key is not written over another file") from error
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
