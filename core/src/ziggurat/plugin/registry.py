"""Which plugins are installed, and the loading of those that are asked for.

Distributions announce plugins as entry points of the groups below; the entry point's name is the name that
a configuration uses. Listing reads metadata only and imports no plugin. Loading imports exactly what it is
asked for, so a broken plugin that nobody asks for cannot break anything.

Two distributions that offer one name are a conflict, which ``"distribution:name"`` settles.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from attrs import field, frozen, has

from ziggurat.backend import CONTRACT, BackendType, Capabilities
from ziggurat.errors import ContractMismatch, PluginConflict, PluginError, UnknownBackend
from ziggurat.policy.protocols import POLICIES

__all__ = ["BACKENDS", "COMMANDS", "POLICIES", "Provider", "Registry"]

BACKENDS = "ziggurat.backends"
COMMANDS = "ziggurat.commands"

_CORE = "ziggurat"
_PUBLISHABLE = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_log = logging.getLogger(__name__)


@frozen
class Provider:
    """Which distribution offers a plugin.

    Attributes:
        name: Entry-point name, such as "memory".
        distribution: Distribution name, such as "ziggurat-memory".
        version: Version of that distribution.
    """

    name: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".strip()


@frozen
class _Offer:
    """A provider and the way to load what it announced."""

    provider: Provider
    target: str
    load: Callable[[], Any] = field(eq=False)

    def error(self, message: str, kind: type[PluginError] = PluginError) -> PluginError:
        return kind(message, distribution=self.provider.distribution, version=self.provider.version)


class Registry:
    """The plugins of one entry-point group.

    Metadata is read at the first question and kept; a new `Registry` sees what was installed since.

    Args:
        group: The entry-point group.
    """

    def __init__(self, group: str = BACKENDS) -> None:
        self.group = group
        self._offers: tuple[_Offer, ...] | None = None

    @classmethod
    def of(
        cls,
        plugins: Mapping[str, Any],
        *,
        group: str = BACKENDS,
        distribution: str = "given",
        version: str = "0",
    ) -> Registry:
        """Make a registry of objects at hand, without entry points.

        Args:
            plugins: For each name, what its entry point would name, such as a `BackendType`.
            group: The group they stand for.
            distribution: The distribution they pretend to come from.
            version: Its version.

        Returns:
            A registry that offers these and nothing else.
        """
        registry = cls(group)
        registry._offers = tuple(
            _Offer(Provider(name, distribution, version), name, partial(_same, plugin))
            for name, plugin in sorted(plugins.items())
        )
        return registry

    def available(self) -> tuple[Provider, ...]:
        """List what is installed, in order of name and distribution; imports none of it.

        A name that two distributions offer is listed twice.
        """
        return tuple(offer.provider for offer in self._all())

    def find(self, name: str) -> Provider:
        """Tell who provides a name, without importing it.

        Args:
            name: An entry-point name, or ``"distribution:name"``.

        Returns:
            The only provider.

        Raises:
            UnknownBackend: Nobody offers this backend.
            PluginConflict: Two distributions do, and `name` does not choose.
            PluginError: Nobody offers this name in a group other than the backends'.
        """
        return self._find(name).provider

    def load(self, name: str) -> tuple[Provider, Any]:
        """Import one plugin.

        Args:
            name: An entry-point name, or ``"distribution:name"``.

        Returns:
            Its provider, and the object that its entry point names.

        Raises:
            UnknownBackend, PluginConflict: As `find`.
            PluginError: Its import failed; `__cause__` is the original error.
        """
        offer = self._find(name)
        return offer.provider, self._import(offer)

    def load_backend(self, name: str) -> tuple[Provider, BackendType]:
        """Import one backend and check what it says of itself.

        Args:
            name: As in a tier's ``backend``: "memory", or "ziggurat-memory:memory".

        Returns:
            Its provider and its description.

        Raises:
            UnknownBackend, PluginConflict: As `find`.
            ContractMismatch: It was made for another version of the contract.
            PluginError: It cannot be imported, or is not a usable `BackendType`.
        """
        offer = self._find(name)
        found = self._import(offer)
        who = f"backend {offer.provider.name!r} of {offer.provider}"
        if not isinstance(found, BackendType):
            raise offer.error(
                f"{who} is not usable: {offer.target!r} is {_describe(found)}, "
                "not a ziggurat.backend.BackendType; let its entry point name one"
            )
        if found.contract != CONTRACT:
            older = isinstance(found.contract, int) and found.contract < CONTRACT
            upgrade = offer.provider.distribution if older else _CORE
            raise offer.error(
                f"{who} speaks contract {found.contract!r}, this core speaks {CONTRACT}; "
                f"try: pip install --upgrade {upgrade}",
                ContractMismatch,
            )
        if problem := _problem(found):
            raise offer.error(f"{who} is not usable: {problem}")
        return offer.provider, found

    def _all(self) -> tuple[_Offer, ...]:
        if self._offers is None:
            self._offers = tuple(sorted(_discover(self.group), key=_order))
        return self._offers

    def _find(self, name: str) -> _Offer:
        distribution, colon, wanted = name.rpartition(":")
        offers = [offer for offer in self._all() if offer.provider.name == wanted]
        if colon:
            offers = [o for o in offers if _normal(o.provider.distribution) == _normal(distribution)]
        if not offers:
            raise self._unknown(distribution, wanted)
        if len(offers) > 1:
            first = offers[0].provider
            names = " and ".join(str(offer.provider) for offer in offers)
            raise PluginConflict(
                f"{names} both offer {wanted!r} in {self.group}; "
                f'choose one by writing "{first.distribution}:{wanted}", or uninstall the other',
                distribution=first.distribution,
                version=first.version,
            )
        return offers[0]

    def _unknown(self, distribution: str, name: str) -> UnknownBackend | PluginError:
        written = f"{distribution}:{name}" if distribution else name
        installed = sorted({offer.provider.name for offer in self._all()})
        what = {BACKENDS: "the backend ", POLICIES: "the policy "}.get(self.group, "")
        where = "" if what else f" in {self.group}"
        parts = [f"no installed distribution offers {what}{written!r}{where}"]
        others = [o.provider for o in self._all() if o.provider.name == name]
        close = difflib.get_close_matches(name, installed, n=1)
        if distribution and others:
            parts.append("did you mean " + " or ".join(f"'{p.distribution}:{name}'" for p in others) + "?")
        elif close:
            parts.append(f"did you mean {close[0]!r}?")
        parts.append(f"installed: {', '.join(installed) or 'none'}")
        if self.group != BACKENDS:
            return PluginError("; ".join(parts))
        if not close and (hint := _install_hint(distribution, name)):
            parts.append(f"try: {hint}")
        return UnknownBackend("; ".join(parts))

    def _import(self, offer: _Offer) -> Any:
        try:
            return offer.load()
        except (Exception, SystemExit) as error:
            detail = " ".join(str(error).split())
            raise offer.error(
                f"{offer.provider.name!r} of {offer.provider} cannot be imported from {offer.target!r}: "
                f"{type(error).__name__}{f': {detail}' if detail else ''}; "
                f"try: pip install --force-reinstall {offer.provider.distribution}"
            ) from error


def _same(plugin: Any) -> Any:
    return plugin


def _discover(group: str) -> Iterable[_Offer]:
    from importlib_metadata import distributions

    seen: set[str] = set()
    for distribution in distributions():
        # A distribution whose metadata is damaged must not hide the others.
        try:
            offers = _offers(distribution, group, seen)
        except Exception as error:  # noqa: BLE001 - see above
            _log.warning("the metadata of an installed distribution cannot be read: %s", error)
            continue
        yield from offers


def _offers(distribution: Any, group: str, seen: set[str]) -> list[_Offer]:
    points = [point for point in distribution.entry_points if point.group == group]
    if not points:
        return []
    name, version = distribution.name, distribution.version
    # The path may list one distribution twice (an editable install, a shadowed one): the first is imported.
    if _normal(name) in seen:
        return []
    seen.add(_normal(name))
    unique = {point.name: point for point in reversed(points)}
    return [_Offer(Provider(n, name, version), point.value, point.load) for n, point in unique.items()]


def _problem(found: BackendType) -> str:
    """Why a `BackendType` of the right contract cannot be used, or ""."""
    if not (isinstance(found.options, type) and has(found.options)):
        return f"its options are {_describe(found.options)}, not an attrs class"
    if not callable(found.factory):
        return f"its factory is {_describe(found.factory)}, which cannot be called"
    if not isinstance(found.capabilities, Capabilities):
        return f"its capabilities are {_describe(found.capabilities)}, not Capabilities"
    capacity = found.default_cache_capacity
    if capacity is not None and (type(capacity) is not int or capacity < 1):
        return f"its default_cache_capacity is {capacity!r}, not a number of bytes"
    return ""


def _install_hint(distribution: str, name: str) -> str:
    """How to get a backend, by the rule that names our distributions; "" for a name that none can have."""
    wanted = _normal(distribution or f"{_CORE}-{name}")
    if not (_PUBLISHABLE.fullmatch(wanted) and _PUBLISHABLE.fullmatch(_normal(name))):
        return ""
    # The core's own metadata says which of its extras brings it.
    extra = next((e for e, required in _extras().items() if len(required) > 1 and wanted in required), "")
    return f"pip install {wanted}" + (f', or pip install "{_CORE}[{extra}]"' if extra else "")


def _extras() -> dict[str, set[str]]:
    """Distributions that each extra of the core requires, smallest extra first."""
    from importlib_metadata import PackageNotFoundError, requires

    found: dict[str, set[str]] = {}
    try:
        lines = requires(_CORE) or []
    except PackageNotFoundError:
        lines = []
    for line in lines:
        if match := re.match(r"([\w.-]+).*;.*\bextra\s*==\s*['\"]([\w.-]+)['\"]", line):
            found.setdefault(match[2], set()).add(_normal(match[1]))
    return dict(sorted(found.items(), key=lambda item: (len(item[1]), item[0] == "all", item[0])))


def _normal(distribution: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _order(offer: _Offer) -> tuple[str, str]:
    return offer.provider.name, _normal(offer.provider.distribution)


def _describe(thing: object) -> str:
    if isinstance(thing, type):
        return f"the class {thing.__qualname__}"
    return f"an object of type {type(thing).__qualname__}"
