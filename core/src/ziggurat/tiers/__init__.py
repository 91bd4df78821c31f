"""Tiers: configured backends behind typed faces."""

from __future__ import annotations

import logging
from pathlib import Path

from ziggurat.backend import Context
from ziggurat.config.model import TierConfig
from ziggurat.errors import PluginError, ZigguratError
from ziggurat.plugin.binding import bind
from ziggurat.tiers.cache import CacheTier
from ziggurat.tiers.store import Kept, StoreTier
from ziggurat.tiers.tier import Tier

__all__ = ["CacheTier", "Kept", "StoreTier", "Tier", "make_tier"]


def make_tier(config: TierConfig, *, catalog: str, spool: Path) -> CacheTier | StoreTier:
    """Make the backend of one tier and give it the face of its role; touches no medium.

    Args:
        config: The checked configuration.
        catalog: Identifier of the stack's catalog, "" when it has none.
        spool: A folder for temporary files; it exists, or the stack has nothing to spool.

    Raises:
        PluginError: The factory failed, or its object does not meet the contract.
    """
    context = Context(
        tier=config.name,
        role=config.role,
        catalog=catalog,
        spool=spool,
        timeouts=config.timeouts,
        logger=logging.getLogger(f"ziggurat.tier.{config.name}"),
        capacity=config.capacity,
    )
    try:
        plugin = config.type.factory(config.options, context)
    except ZigguratError:
        raise
    except Exception as error:
        what = config.redact(f"{type(error).__name__}: {error}")
        raise PluginError(
            f"tier {config.name!r}: the factory of {config.provider} failed: {what}",
            distribution=config.provider.distribution,
            version=config.provider.version,
        ) from error
    hooks = bind(plugin, provider=config.provider, tier=config.name)
    return CacheTier(config, hooks) if config.role == "cache" else StoreTier(config, hooks)
