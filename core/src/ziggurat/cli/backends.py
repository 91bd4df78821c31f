"""``backends``: what is installed."""

from __future__ import annotations

from collections import Counter

from ziggurat.cli._group import command
from ziggurat.cli._output import table
from ziggurat.cli._session import Session, pass_session
from ziggurat.plugin.registry import Registry

__all__ = ["backends_command"]


@command("backends", examples="ziggurat backends     name, distribution and version of each")
@pass_session
def backends_command(session: Session) -> None:
    """List the installed backends. None is imported, and no configuration is read."""
    found = Registry().available()
    offers = Counter(provider.name for provider in found)
    names = [
        f"{provider.distribution}:{provider.name}" if offers[provider.name] > 1 else provider.name
        for provider in found
    ]
    rows = table(zip(names, [str(provider) for provider in found], strict=True))
    for name, row, provider in zip(names, rows, found, strict=True):
        session.record(
            row,
            backend=name,
            name=provider.name,
            distribution=provider.distribution,
            version=provider.version,
        )
    if not found:
        session.remark('no backend is installed; try: pip install "ziggurat[local]"')
