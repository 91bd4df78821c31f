"""``doctor``: look for what is wrong, and say how to mend it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import attrs
import click
from attrs import frozen

from ziggurat.cli._exit import Exit
from ziggurat.cli._group import command
from ziggurat.cli._output import one_line, plural, size_text
from ziggurat.cli._session import Session, pass_session
from ziggurat.errors import ZigguratError

if TYPE_CHECKING:
    from ziggurat.config import StackConfig, TierConfig
    from ziggurat.engine.records import TierStats
    from ziggurat.tiers import Tier

__all__ = ["Check", "doctor_command"]

_SQLITE = (3, 51, 3)
"""The first SQLite without the WAL-reset bug (https://sqlite.org/wal.html#walresetbug)."""

_LOW = 0.05
"""Share of free space below which a disk is reported."""


@frozen
class Check:
    """What one look found.

    Attributes:
        name: What was looked at.
        state: "ok", "warning" (works, but will hurt) or "problem".
        message: What was found.
        fix: What to do about it, "" when there is nothing to do.
        tier: The tier it is about, or None.
    """

    name: str
    state: Literal["ok", "warning", "problem"]
    message: str
    fix: str = ""
    tier: str | None = None


@command("doctor", examples="ziggurat doctor     exit code 1: see the lines with 'problem'")
@pass_session
def doctor_command(session: Session) -> None:
    """Look for what is wrong: Python, libraries, plugins, configuration, catalog, each tier.

    Backends that the configuration does not name are not imported. Each line that is not 'ok' says what to
    do.
    """
    problems = 0
    for check in _checks(session):
        problems += check.state == "problem"
        mark = click.style(
            f"{check.state:<7}", fg={"ok": "green", "warning": "yellow", "problem": "red"}[check.state]
        )
        fix = f"; {check.fix}" if check.fix else ""
        session.record(
            f"{mark}  {check.name}: {one_line(check.message + fix)}",
            check=check.name,
            state=check.state,
            message=one_line(check.message),
            fix=check.fix,
            tier=check.tier,
        )
    if problems:
        session.remark(plural(problems, "problem"))
        session.ends_with(Exit.FAILED)


def _checks(session: Session) -> Iterator[Check]:
    yield _python()
    yield from _guarded("sqlite", _sqlite)
    yield from _guarded("plugins", _plugins)
    stack: list[StackConfig] = []
    yield from _guarded("configuration", lambda: _configuration(session, stack))
    if stack:
        yield from _guarded("catalog", lambda: _catalog(session, stack[0]))
        yield from _guarded("tiers", lambda: _tiers(session, stack[0]))


def _guarded(name: str, look: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """Turn what a look raises into its finding: one broken part must not hide the others."""
    try:
        yield from look()
    except (ZigguratError, OSError) as error:
        yield Check(name, "problem", str(error))
    except Exception as error:  # noqa: BLE001 - a broken installation may raise anything
        yield Check(name, "problem", f"{type(error).__name__}: {error}", "reinstall ziggurat, or report it")


def _python() -> Check:
    text = f"{platform.python_implementation()} {platform.python_version()} on {sys.platform}"
    if sys.platform == "linux":
        return Check("python", "ok", text)
    return Check("python", "warning", f"{text}, which is not tested", "use linux where it matters")


def _sqlite() -> Iterator[Check]:
    import apsw

    version = apsw.sqlite_lib_version()
    text = f"apsw {apsw.apsw_version()} with SQLite {version}"
    if tuple(int(part) for part in version.split(".")[:3]) >= _SQLITE:
        yield Check("sqlite", "ok", text)
    else:
        needed = ".".join(map(str, _SQLITE))
        yield Check(
            "sqlite",
            "problem",
            f"{text} may corrupt a catalog (needs {needed})",
            "try: pip install --upgrade apsw",
        )


def _plugins() -> Iterator[Check]:
    from ziggurat.plugin.registry import BACKENDS, COMMANDS, Registry

    backends = Registry(BACKENDS).available()
    if backends:
        yield Check("plugins", "ok", ", ".join(f"{each.name} ({each})" for each in backends))
    else:
        yield Check("plugins", "problem", "no backend is installed", 'try: pip install "ziggurat[local]"')
    for group in (BACKENDS, COMMANDS):
        found = Registry(group).available()
        for name, count in Counter(each.name for each in found).items():
            if count > 1:
                owners = [each.distribution for each in found if each.name == name]
                yield Check(
                    "plugins",
                    "warning",
                    f"{name!r} in {group} is offered by {' and '.join(owners)}",
                    f"write '{owners[0]}:{name}', or uninstall one",
                )


def _configuration(session: Session, into: list[StackConfig]) -> Iterator[Check]:
    from ziggurat.config import find, load
    from ziggurat.errors import ConfigError

    source = find(session.config, os.environ)
    try:
        stack = load(source)
    except ConfigError as error:
        for problem in error.problems or (str(error),):
            yield Check("configuration", "problem", problem)
        return
    into.append(stack)
    names = ", ".join(f"{tier.name} ({tier.role})" for tier in stack.tiers)
    yield Check("configuration", "ok", f"{source.label} ({source.origin}): {names}")


def _catalog(session: Session, stack: StackConfig) -> Iterator[Check]:
    yield from _space("catalog", stack.path, None)
    if not stack.path.exists():  # looking must not make one
        blocked = _blocked(stack.path)
        if blocked:
            yield Check("catalog", "problem", blocked, "set another path in [store]")
        else:
            yield Check("catalog", "ok", f"{stack.path} is not there yet; the first use makes it")
        return
    counts = session.store.stats()
    yield Check(
        "catalog", "ok", f"{stack.path}: {plural(counts.roots, 'root')}, {plural(counts.pins, 'pin')}"
    )


def _tiers(session: Session, stack: StackConfig) -> Iterator[Check]:
    """Ask each tier: those of the open store, or made for this when there is no store yet."""
    if session.opened:
        states = {stats.tier: stats for stats in session.store.stats().tiers}
        for tier in session.store.tiers:
            yield from _tier(tier.config, tier, states[tier.name])
        return
    from ziggurat.tiers import make_tier

    for config in stack.tiers:
        name = f"tier {config.name}"
        try:
            made = make_tier(config, catalog="", spool=stack.path)
        except ZigguratError as error:
            yield Check(name, "problem", str(error), tier=config.name)
            continue
        try:
            yield from _tier(config, made, None)
        finally:
            made.close()


def _tier(config: TierConfig, tier: Tier, stats: TierStats | None) -> Iterator[Check]:
    look = partial(_look_at_tier, f"tier {config.name}", config, tier, stats)
    for check in _guarded(f"tier {config.name}", look):
        yield attrs.evolve(check, tier=config.name)


def _look_at_tier(name: str, config: TierConfig, tier: Tier, stats: TierStats | None) -> Iterator[Check]:
    from ziggurat.tiers import StoreTier

    what = f"{config.provider.name} {config.role}"
    medium = tier.identify() if isinstance(tier, StoreTier) else None
    if stats is not None and stats.state == "unavailable" and medium is None:
        yield Check(
            name,
            "problem",
            f"{what}: its medium is not there, but the catalog knows copies on it",
            "mount it, or correct the tier's options",
        )
        return
    if stats is not None and stats.state != "ok":
        why = f": {stats.problem}" if stats.problem else ""
        yield Check(name, "problem", f"{what} is {stats.state}{why}", "" if why else "see what '-v' logs")
        return
    if config.role != "source":
        for path in _paths(config.options):
            if blocked := _blocked(path):
                fix = "mount what belongs there and can be written, or correct the tier's options"
                yield Check(name, "problem", f"{what}: {blocked}", fix)
                return
    parts = [what]
    if isinstance(tier, StoreTier):
        parts.append("new" if medium is None else f"medium {medium.id}")
    if stats is not None and stats.used is not None:
        parts.append(f"{size_text(stats.used)} used")
    parts.append("no limit" if config.capacity is None else f"at most {size_text(config.capacity)}")
    yield Check(name, "ok", ", ".join(parts))
    if medium is not None and len(medium.catalogs) > 1:
        yield Check(
            name,
            "warning",
            f"{len(medium.catalogs)} stores use this medium, so none of them evicts or collects there",
            "give each store a medium of its own",
        )
    capacity = config.capacity if config.role == "store" else None
    if capacity and stats is not None and (stats.used or 0) > (1 - _LOW) * capacity:
        yield Check(name, "warning", "nearly full", "raise its capacity, or free some with 'rm' and 'gc'")
    for path in _paths(config.options):
        yield from _space(name, path, config.role)


def _paths(options: Any) -> Iterator[Path]:
    """Folders that a backend's options name: the core knows no backend, but it knows a path."""
    if attrs.has(type(options)):
        for attribute in attrs.fields(type(options)):
            value = getattr(options, attribute.name)
            if isinstance(value, Path):
                yield value


def _nearest(path: Path) -> Path:
    """The path, or the nearest above it that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _blocked(path: Path) -> str:
    """Why a folder cannot be written, or cannot be made; "" if it can, and of a file that is there."""
    place = _nearest(path)
    head = "" if place == path else f"{path} cannot be made: "
    if not place.is_dir():
        return f"{head}{place} is no folder" if head else ""
    if not os.access(place, os.W_OK | os.X_OK):
        return f"{head}{place} is not writable"
    return ""


def _space(name: str, path: Path, role: str | None) -> Iterator[Check]:
    place = _nearest(path)
    usage = shutil.disk_usage(place)
    if usage.free < _LOW * usage.total:
        where = "a cache gives way, a store does not" if role == "cache" else "free some space"
        yield Check(name, "warning", f"only {size_text(usage.free)} are free under {place}", where)
