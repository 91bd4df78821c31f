"""Ziggurat: one address, any storage.

A blob has one name, its CID. A stack is a list of tiers, hottest first, written in one TOML file. This
module is the user's surface; a backend imports `ziggurat.backend`, a plugin's commands `ziggurat.command`.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ziggurat import errors
    from ziggurat.backend import Info
    from ziggurat.content import Cid
    from ziggurat.engine.store import Store, open_store
    from ziggurat.errors import ZigguratError

__all__ = ["Cid", "Info", "Store", "ZigguratError", "errors", "open_store"]

logging.getLogger("ziggurat").addHandler(logging.NullHandler())

_HOMES = {
    "Cid": "ziggurat.content",
    "Info": "ziggurat.backend",
    "Store": "ziggurat.engine.store",
    "ZigguratError": "ziggurat.errors",
    "open_store": "ziggurat.engine.store",
}


def __getattr__(name: str) -> object:
    # Imported at first use: the command line starts without the engine.
    if name == "errors":
        return import_module("ziggurat.errors")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
