"""``[tier.options]`` of a memory tier."""

from attrs import frozen

__all__ = ["Options"]


@frozen
class Options:
    """A memory tier has no options: its capacity belongs to the tier."""
