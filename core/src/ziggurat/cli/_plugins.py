"""Commands that plugins add: listed by entry-point name, imported only when they run."""

from __future__ import annotations

from functools import cache

import click

from ziggurat.errors import PluginError
from ziggurat.plugin.registry import COMMANDS, Registry

__all__ = ["load", "names"]


@cache
def _registry() -> Registry:
    return Registry(COMMANDS)


def names() -> dict[str, list[str]]:
    """Give the names of plugin commands and, for each, the distributions that offer it."""
    found: dict[str, list[str]] = {}
    for provider in _registry().available():
        found.setdefault(provider.name, []).append(provider.distribution)
    return found


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
    if name.rpartition(":")[2] not in names():
        return None
    provider, made = _registry().load(name)
    if not isinstance(made, click.Command):
        raise PluginError(
            f"command {provider.name!r} of {provider} is an object of type {type(made).__name__}, "
            f"not a click command; report it to the authors of {provider.distribution}",
            distribution=provider.distribution,
            version=provider.version,
        )
    return made
