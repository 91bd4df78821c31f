"""One ``[[tier]]``: its keys, its backend, its role and the defaults that follow from them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs
from attrs import define, field

from ziggurat.backend import BackendType, Role, Timeouts
from ziggurat.config import keys, options, roles
from ziggurat.config.locate import KeyPath
from ziggurat.config.model import Cost, Limit, Retry, TierConfig
from ziggurat.config.policies import read_policy
from ziggurat.config.reader import MISSING, Reader
from ziggurat.config.report import Report, quoted
from ziggurat.errors import DuplicateTier, PluginError, UnknownBackend
from ziggurat.plugin.registry import Provider, Registry
from ziggurat.policy.score import ScoreParameters

__all__ = ["TierReader"]

_CONCURRENCY = 16
_FAILURES = 5


@define
class TierReader:
    """Reads tiers one after the other.

    Attributes:
        reader: Checks values and collects problems.
        registry: The installed backends.
        policies: The installed policies.
        heat: The store's parameters of the heat score.
        packaged: These are the tiers of the packaged default, which the user did not write.
        names: Names so far, with the path of the first tier that has each.
    """

    reader: Reader
    registry: Registry
    policies: Registry
    heat: ScoreParameters = field(factory=ScoreParameters)
    packaged: bool = False
    names: dict[str, KeyPath] = field(factory=dict)

    @property
    def report(self) -> Report:
        """Where problems go."""
        return self.reader.report

    def read(self, given: object, at: KeyPath) -> TierConfig | None:
        """Read one tier.

        Args:
            given: What the file says.
            at: The path of that table.

        Returns:
            The tier; None when it is switched off, or when problems were reported.
        """
        if isinstance(given, Mapping) and given.get("enabled") is False:
            # Its backend need not be installed and its variables need not be set, so only the keys that
            # the core itself knows are checked.
            found = self._keys(given, at, attrs.evolve(self.reader, resolve=False))
            self.reader.table(found.get("options", {}), (*at, "options"))
            return None
        before = len(self.report)
        found = self._keys(given, at, self.reader)
        if "name" in found:
            self._name(found["name"], (*at, "name"))
        loaded = self._backend(found["backend"], (*at, "backend")) if "backend" in found else None
        if loaded is None:
            return None
        provider, type_ = loaded
        built = options.build(type_.options, found.get("options", {}), (*at, "options"), self.reader)
        role = self._role(type_, found, at, wrong=isinstance(given, Mapping) and "role" in given)
        capacity = self._capacity(
            type_, role, found, at, wrong=isinstance(given, Mapping) and "capacity" in given
        )
        self._permissions(type_, role, found, at)
        policy = None
        if role is not None:
            policy = read_policy(
                found.get("policy", MISSING),
                role,
                (*at, "policy"),
                self.reader,
                self.policies,
                self.heat,
                volatile=type_.capabilities.volatile,
            )
        if len(self.report) > before or role is None:
            return None
        local = type_.capabilities.local
        return TierConfig(
            name=found["name"],
            provider=provider,
            type=type_,
            role=role,
            options=built,
            capacity=capacity,
            probe=found.get("probe", True),
            publish=found.get("publish", False),
            trusted=found.get("trusted", False),
            retry=Retry(**({"attempts": 1} if local else {}) | found["retry"]),
            limit=Limit(**({} if local else {"concurrency": _CONCURRENCY}) | found["limit"]),
            timeouts=Timeouts(**found["timeout"]),
            breaker=found["breaker"].get("failures", 0 if local else _FAILURES),
            policy=policy,
            cost=Cost(**found["cost"]),
        )

    def _keys(self, given: object, at: KeyPath, reader: Reader) -> dict[str, Any]:
        """Check the core's own keys; the tables of `keys.GROUPS` are always in the result."""

        def elsewhere(name: str) -> str:
            for group, known in keys.GROUPS.items():
                if any(each.name == name for each in known):
                    return f"it belongs in [tier.{group}]"
            if isinstance(given, Mapping) and name in self._option_names(given.get("backend")):
                return "it is an option of the backend: write it in [tier.options]"
            return ""

        found = reader.fields(given, at, keys.TIER, elsewhere if reader.resolve else None)
        for group, known in keys.GROUPS.items():
            found[group] = reader.fields(found.get(group, {}), (*at, group), known)
        return found

    def _option_names(self, backend: object) -> tuple[str, ...]:
        try:
            _, type_ = self.registry.load_backend(str(backend))
        except (UnknownBackend, PluginError):
            return ()
        return tuple(each.name for each in options.option_fields(type_.options))

    def _name(self, name: str, at: KeyPath) -> None:
        if not re.fullmatch(keys.NAME, name):
            self.report.add(
                at, "a tier's name is up to 64 letters, digits, - and _, the first a letter or a digit"
            )
        elif name in self.names:
            first = self.report.where(self.names[name]) or f"tier[{self.names[name][1]}]"
            self.report.add(
                at, f"the name {name!r} is taken by the tier at {first}; rename one", kind=DuplicateTier
            )
        else:
            self.names[name] = at

    def _backend(self, name: str, at: KeyPath) -> tuple[Provider, BackendType] | None:
        try:
            return self.registry.load_backend(name)
        except UnknownBackend as error:
            text = str(error)
            if self.packaged:
                text = (
                    f"the packaged default needs the backend {name!r}, which is not installed; "
                    'try: pip install "ziggurat[local]", or write a configuration with `ziggurat config init`'
                )
            self.report.add(at, text, kind=UnknownBackend)
        except PluginError as error:
            self.report.add(at, str(error), cause=error)
        return None

    def _role(self, type_: BackendType, found: Mapping[str, Any], at: KeyPath, *, wrong: bool) -> Role | None:
        role: Role | None = found.get("role")
        if role is None and not wrong:
            role = roles.default_role(type_)
            if role is None:
                proposed = quoted((f'"{each}"' for each in roles.allowed_roles(type_)), "or")
                self.report.add((*at, "role"), f"missing; write role = {proposed}")
        if role is not None and (problem := roles.role_problem(type_, role)):
            self.report.add((*at, "role"), problem)
            return None
        return role

    def _capacity(
        self, type_: BackendType, role: Role | None, found: Mapping[str, Any], at: KeyPath, *, wrong: bool
    ) -> int | None:
        capacity: int | None = found.get("capacity")
        if role == "source" and capacity is not None:
            self.report.add((*at, "capacity"), "a source is never written, so it has no capacity; remove it")
        if role == "cache" and capacity is None and not wrong:
            capacity = type_.default_cache_capacity
            if capacity is None:
                self.report.add(
                    (*at, "capacity"), 'missing; a cache on this backend states its size, such as "1 GB"'
                )
        return capacity

    def _permissions(
        self, type_: BackendType, role: Role | None, found: Mapping[str, Any], at: KeyPath
    ) -> None:
        publish = found.get("publish", False)
        if role == "source" and publish:
            self.report.add((*at, "publish"), "a source is never written, so it publishes nothing; remove it")
        if role == "cache" and type_.capabilities.public and not publish:
            self.report.add(
                (*at, "publish"),
                "missing; this cache would publish what is read; publish = true allows it",
            )
        if role in ("cache", "source") and not found.get("probe", True):
            self.report.add((*at, "probe"), f"only stores are catalogued, and this is a {role}; remove it")
