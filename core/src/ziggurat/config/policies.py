"""``policy`` of a cache: a name, or a table with the parameters of the policy's own attrs class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from ziggurat.backend import Role
from ziggurat.config import options
from ziggurat.config.locate import KeyPath
from ziggurat.config.model import PolicyConfig
from ziggurat.config.reader import MISSING, Reader
from ziggurat.config.report import quoted, suggest
from ziggurat.config.shapes import Field, Shape
from ziggurat.errors import PluginError
from ziggurat.plugin.registry import Provider, Registry
from ziggurat.policy import PolicyType
from ziggurat.policy.score import ScoreParameters

__all__ = ["PERSISTENT", "VOLATILE", "default_policy", "load_policy", "policy_problem", "read_policy"]

VOLATILE = "arc"
"""The policy of a volatile cache that states none."""

PERSISTENT = "heat"
"""The policy of a persistent cache that states none."""

_NAME = Field("name", Shape("text"), "The name of the policy.", required=True)


def load_policy(name: str, registry: Registry) -> tuple[Provider, PolicyType]:
    """Import one policy and check what it says of itself.

    Args:
        name: An entry-point name, or ``"distribution:name"``.
        registry: Of the group of the policies.

    Raises:
        PluginError: Nobody offers it, or it cannot be used.
    """
    provider, found = registry.load(name)
    who = f"policy {provider.name!r} of {provider}"

    def error(message: str) -> PluginError:
        return PluginError(
            f"{who} is not usable: {message}", distribution=provider.distribution, version=provider.version
        )

    if not isinstance(found, PolicyType):
        raise error(f"it is a {type(found).__name__}, not a ziggurat.policy.PolicyType")
    if not (isinstance(found.parameters, type) and attrs.has(found.parameters)):
        raise error("its parameters are not an attrs class")
    if found.index is None and found.ranker is None:
        raise error("it makes neither an index nor a ranker")
    return provider, found


def default_policy(volatile: bool, registry: Registry) -> PolicyConfig:
    """Give the policy of a cache that states none.

    Args:
        volatile: The cache is one of this process.
        registry: Of the group of the policies.

    Raises:
        PluginError: The installation is damaged.
    """
    provider, type_ = load_policy(VOLATILE if volatile else PERSISTENT, registry)
    return PolicyConfig(provider, type_, type_.parameters())


def policy_problem(type_: PolicyType, name: str, role: Role, *, volatile: bool) -> str:
    """Say why a tier cannot use a policy, or ""."""
    if role != "cache":
        return f"only a cache evicts what it holds, and this is a {role}; remove it"
    if volatile and type_.index is None:
        return (
            f"{name!r} only ranks the rows of a catalog, and this cache lives in the process, without any; "
            f'write policy = "{VOLATILE}"'
        )
    if not volatile and type_.ranker is None:
        return (
            f"{name!r} keeps its lists in one process, and this cache outlives it and is shared by several; "
            f'write policy = "{PERSISTENT}"'
        )
    return ""


def read_policy(
    given: object,
    role: Role,
    at: KeyPath,
    reader: Reader,
    registry: Registry,
    heat: ScoreParameters | None = None,
    *,
    volatile: bool,
) -> PolicyConfig | Any:
    """Read the policy of one tier.

    Args:
        given: What the file says, `MISSING` for nothing.
        role: The tier's role.
        at: The path of the key.
        reader: Checks values and collects problems.
        registry: Of the group of the policies.
        heat: What a policy that ranks by the heat score takes for parameters that its table leaves out.
        volatile: The tier's backend forgets with the process.

    Returns:
        The policy, None on a tier without any, or `MISSING` when a problem was reported.
    """
    if given is MISSING:
        if role != "cache":
            return None
        try:
            return default_policy(volatile, registry)
        except PluginError as error:
            reader.report.add(at, str(error), cause=error)
            return MISSING
    table = given if isinstance(given, Mapping) and "env" not in given else None
    named, place = (given, at) if table is None else (table.get("name", MISSING), (*at, "name"))
    if named is MISSING:
        reader.report.add(place, f"missing; {_installed(registry)}")
        return MISSING
    name = reader.value(named, place, Shape("text"))
    if name is MISSING:
        return MISSING
    try:
        provider, type_ = load_policy(name, registry)
    except PluginError as error:
        names = [each.name for each in registry.available()]
        unknown = name.rpartition(":")[2] not in names
        text = f"{name[:40]!r} is unknown; {suggest(name, names)}; {_installed(registry)}"
        reader.report.add(place, text if unknown else str(error), cause=None if unknown else error)
        return MISSING
    if problem := policy_problem(type_, name, role, volatile=volatile):
        reader.report.add(place, problem)
        return MISSING
    parameters = {key: value for key, value in (table or {}).items() if key != "name"}
    built = options.build(type_.parameters, parameters, at, reader)
    if built is MISSING:
        return MISSING
    if heat is not None and isinstance(built, ScoreParameters):
        built = attrs.evolve(heat, **{key: getattr(built, key) for key in parameters})
    return PolicyConfig(provider, type_, built)


def _installed(registry: Registry) -> str:
    names = sorted({each.name for each in registry.available()})
    return f"installed: {quoted(names)}" if names else "none is installed"
