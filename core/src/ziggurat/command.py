"""Author surface: what a plugin's commands import, with click.

An entry point in the group ``ziggurat.commands`` names a click command or group; its own name is the name on
the first level of the command line. It is imported only when it is run. A plugin for the backend "shelf"::

    from ziggurat.command import Session, group, pass_session, size_text

    @group("shelf", examples="ziggurat shelf dust     how long each copy has been lying there")
    def shelf() -> None:
        \"\"\"Look after shelves.\"\"\"

    @shelf.command("dust")
    @pass_session
    def dust(session: Session) -> None:
        \"\"\"Say how dusty each shelf is.\"\"\"
        for tier in session.tiers("shelf"):
            with session.attempt(tier.name):
                grams = tier.plugin.dust()
                session.record(f"{tier.name}: {grams} g", tier=tier.name, grams=grams)

`command` and `group` give the common options (``--config``, ``--json``, ``-v``) and the examples in the help.
`Session` opens the configured store, finds the backend's own tiers, prints records and errors, and keeps the
exit code; errors of `ziggurat.errors` that escape a command are printed, and end it with the code of the one
table in `Exit`. A plugin prints through the session only: that keeps ``--json`` whole.
"""

from __future__ import annotations

from ziggurat.cli._exit import Exit, exit_code
from ziggurat.cli._group import command, group
from ziggurat.cli._output import one_line, plural, printable, size_text, table
from ziggurat.cli._progress import Bar
from ziggurat.cli._session import Session, TierPlugin, pass_session

__all__ = [
    "Bar",
    "Exit",
    "Session",
    "TierPlugin",
    "command",
    "exit_code",
    "group",
    "one_line",
    "pass_session",
    "plural",
    "printable",
    "size_text",
    "table",
]
