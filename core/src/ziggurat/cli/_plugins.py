"""Commands that plugins add: listed by entry-point name, imported only when they run."""

from __future__ import annotations

import importlib.metadata as metadata
from functools import cache

import click

from ziggurat.errors import PluginConflict, PluginError

__all__ = ["GROUP", "load", "names"]

GROUP = "ziggurat.commands"
"""The entry-point group: its names are commands of the first level."""


@cache
def _entries() -> dict[str, dict[str, metadata.EntryPoint]]:
    found: dict[str, dict[str, metadata.EntryPoint]] = {}
    for entry in metadata.entry_points(group=GROUP):
        owner = entry.dist.name if entry.dist is not None else "unknown distribution"
        found.setdefault(entry.name, {})[owner] = entry
    return dict(sorted(found.items()))


def names() -> dict[str, list[str]]:
    """Give the names of plugin commands and, for each, the distributions that offer it."""
    return {name: sorted(owners) for name, owners in _entries().items()}


def load(name: str) -> click.Command | None:
    """Import a plugin's command.

    Args:
        name: Entry-point name, or ``distribution:name`` when two distributions offer one name.

    Returns:
        The command, or None if nobody offers it.

    Raises:
        PluginConflict: Two distributions offer it.
        PluginError: It cannot be imported, or is not a command.
    """
    owner, _, short = name.rpartition(":")
    owners = _entries().get(short, {})
    if owner:
        owners = {key: entry for key, entry in owners.items() if key == owner}
    if not owners:
        return None
    if len(owners) > 1:
        first, second, *_ = sorted(owners)
        raise PluginConflict(
            f"command {short!r} is offered by {' and '.join(sorted(owners))}: "
            f"call it '{first}:{short}' or '{second}:{short}', or uninstall one"
        )
    ((owner, entry),) = owners.items()
    version = entry.dist.version if entry.dist is not None else ""
    try:
        made = entry.load()
    except Exception as error:  # a plugin may raise anything while it is imported
        raise PluginError(
            f"command {short!r} of {owner} {version} cannot be imported: "
            f"{type(error).__name__}: {error}; update or uninstall {owner}",
            distribution=owner,
            version=version,
        ) from error
    if not isinstance(made, click.Command):
        raise PluginError(
            f"command {short!r} of {owner} {version} is a {type(made).__name__}, not a click command; "
            f"its entry point {entry.value!r} should name one",
            distribution=owner,
            version=version,
        )
    return made
