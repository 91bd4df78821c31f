"""Which role a backend can play in a stack, and what the roles of a stack add up to."""

from __future__ import annotations

import typing
from collections.abc import Sequence

from ziggurat.backend import BackendType, Role
from ziggurat.config.model import TierConfig
from ziggurat.config.report import quoted

__all__ = ["allowed_roles", "copies_problem", "default_role", "read_only", "role_problem", "writable_stores"]


def read_only(type_: BackendType) -> bool | None:
    """Tell whether a backend cannot be written, before any instance exists.

    What a backend implements says what it can do, so its class is asked: the factory itself, or what the
    factory says that it returns.

    Args:
        type_: The backend.

    Returns:
        True without `put`, False with it, None when the factory names no class.
    """
    made: object = type_.factory
    if not isinstance(made, type):
        try:
            made = typing.get_type_hints(made).get("return")
        except (NameError, TypeError, AttributeError):
            made = None
        if made is typing.Self:  # a class method that makes its own class
            made = getattr(type_.factory, "__self__", None)
    if not isinstance(made, type) or not callable(getattr(made, "get", None)):
        return None
    return not callable(getattr(made, "put", None))


def allowed_roles(type_: BackendType) -> tuple[Role, ...]:
    """List the roles that a backend can play."""
    roles: tuple[Role, ...] = ("store", "cache", "source")
    return tuple(role for role in roles if not _refusal(type_, role))


def default_role(type_: BackendType) -> Role | None:
    """Give the role of a tier that states none: cache if volatile, source if read-only, else None."""
    if type_.capabilities.volatile:
        return "cache"
    return "source" if read_only(type_) else None


def role_problem(type_: BackendType, role: Role) -> str:
    """Say why a backend cannot play a role and which it can, or ""."""
    refusal = _refusal(type_, role)
    if not refusal:
        return ""
    others = allowed_roles(type_)
    if not others:
        return f"{refusal}, and no other role fits it either: its backend is of no use in a stack"
    return f"{refusal}; write role = {quoted((f'{other!r}' for other in others), 'or')}".replace("'", '"')


def _refusal(type_: BackendType, role: Role) -> str:
    able = type_.capabilities
    if able.volatile and role != "cache":
        return f"what this backend keeps is gone with the process, so it cannot be a {role}"
    if role != "source" and read_only(type_):
        return f"this backend can only be read, so it cannot be a {role}"
    if role == "cache" and able.form != "bytes":
        return "a cache keeps single blocks, and this backend keeps whole DAGs"
    if role == "store" and not able.durable:
        return "what this backend keeps may not survive a power cut, so it cannot be a store"
    return ""


def writable_stores(tiers: Sequence[TierConfig]) -> tuple[TierConfig, ...]:
    """List the store tiers that puts may write, in file order."""
    stores = (tier for tier in tiers if tier.role == "store")
    return tuple(tier for tier in stores if tier.publish or not tier.type.capabilities.public)


def copies_problem(tiers: Sequence[TierConfig], min_copies: int) -> str:
    """Say why a stack can never make its copies, or ""; a stack without a store only reads."""
    stores = [tier for tier in tiers if tier.role == "store"]
    writable = writable_stores(tiers)
    if not stores or len(writable) >= min_copies:
        return ""
    count = "no store tier" if not writable else f"only {len(writable)} store tier{'s'[: len(writable) > 1]}"
    names = f" ({quoted(tier.name for tier in writable)})" if writable else ""
    text = f"is {min_copies}, but {count}{names} can be written, so no put could ever finish"
    shy = [tier.name for tier in stores if tier not in writable]
    if shy:
        return (
            f"{text}; {quoted(shy)} would publish what is put: write publish = true there, "
            'or role = "source" to only read it'
        )
    return f"{text}; add a store tier or lower min_copies"
