"""Configuration: one TOML file to frozen values, every check and message, and words about the result."""

from __future__ import annotations

from ziggurat.config.load import load
from ziggurat.config.model import Limit, Retry, StackConfig, TierConfig
from ziggurat.config.source import Source, find, starter
from ziggurat.config.units import format_duration, format_size, parse_duration, parse_size

__all__ = [
    "Limit",
    "Retry",
    "Source",
    "StackConfig",
    "TierConfig",
    "find",
    "format_duration",
    "format_size",
    "load",
    "parse_duration",
    "parse_size",
    "starter",
]
