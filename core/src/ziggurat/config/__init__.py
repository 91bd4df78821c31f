"""Configuration: one TOML file to frozen values, every check and message, and words about the result."""

from __future__ import annotations

from ziggurat.config.describe import TierSummary, describe, promises
from ziggurat.config.load import load
from ziggurat.config.model import Limit, Retry, StackConfig, TierConfig
from ziggurat.config.schema import schema
from ziggurat.config.show import Setting, show
from ziggurat.config.source import Source, find, starter
from ziggurat.config.units import format_duration, format_size, parse_duration, parse_size

__all__ = [
    "Limit",
    "Retry",
    "Setting",
    "Source",
    "StackConfig",
    "TierConfig",
    "TierSummary",
    "describe",
    "find",
    "format_duration",
    "format_size",
    "load",
    "parse_duration",
    "parse_size",
    "promises",
    "schema",
    "show",
    "starter",
]
