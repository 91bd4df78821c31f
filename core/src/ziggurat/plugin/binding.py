"""One plugin object, checked against the contract and turned into direct calls.

pluggy registers and validates; the hooks are then resolved once. A call through pluggy costs 1.5 us, a bound
method 0.05 us, and a tier has exactly one implementation of each hook: there is nothing to dispatch.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import pluggy
from attrs import frozen

from ziggurat.backend import Blob, ByteRange, Dag, Evicted, Info, Key, Medium, Stat
from ziggurat.errors import PluginError, ZigguratError
from ziggurat.plugin.hookspecs import OPTIONAL, PROJECT, REQUIRED, BackendSpec
from ziggurat.plugin.registry import Provider

__all__ = ["Hooks", "bind"]

Content = bytes | Blob | Dag


@frozen(eq=False)
class Hooks:
    """The hooks of one tier as plain callables, each with all arguments of its spec, by position.

    An optional hook that is not implemented is None; `put` and `evict` are None together.

    Attributes:
        plugin: The object that they belong to.
        get_whole: `get` without range and note, for the hit path of a cache: where `get` names the key alone
            it is that method itself.
        get_names_note: `get` names the note, so it is worth looking up.
    """

    plugin: object
    get: Callable[[str, ByteRange | None, bytes | None], Content | None]
    get_whole: Callable[[str], Content | None]
    has: Callable[[str], bool]
    stat: Callable[[str], Stat | None]
    put: Callable[[str, Content, Info | None], Stat] | None = None
    evict: Callable[[str, bytes | None], bool | Evicted] | None = None
    put_many: (
        Callable[[Sequence[tuple[Key, Content, Info | None]]], Sequence[Stat | ZigguratError]] | None
    ) = None
    scan: Callable[[], Iterator[str]] | None = None
    identify: Callable[[bool], str | Medium | None] | None = None
    close: Callable[[], None] | None = None
    get_names_note: bool = False

    @property
    def read_only(self) -> bool:
        """True without `put` and `evict`."""
        return self.put is None


def bind(plugin: object, *, provider: Provider, tier: str) -> Hooks:
    """Check a plugin object against the contract and resolve its hooks.

    Args:
        plugin: What the backend's factory returned.
        provider: Who made it, for messages.
        tier: The tier it is for, for messages.

    Returns:
        Direct calls. A method that names every argument in order is called without anything between.

    Raises:
        PluginError: The object does not implement the contract; the message names the distribution, its
            version, the class, the method and the fix.
    """
    return _Binding(plugin, provider, tier).hooks()


class _Binding:
    """The checks of one `bind`, in the order in which their messages help most."""

    def __init__(self, plugin: object, provider: Provider, tier: str) -> None:
        self.plugin, self.provider, self.tier = plugin, provider, tier
        kind = plugin if isinstance(plugin, type) or inspect.ismodule(plugin) else type(plugin)
        self.what = getattr(kind, "__qualname__", None) or getattr(kind, "__name__", repr(kind))

    def hooks(self) -> Hooks:
        if self.plugin is None:
            self.fail("its factory returned None; return the plugin object")
        if isinstance(self.plugin, type):
            self.fail("its factory returned a class; return an instance")
        found = self.implementations()
        resolved = {name: _resolve(impl, _ARGUMENTS[name]) for name, impl in found.items()}
        return Hooks(
            plugin=self.plugin,
            get_whole=_resolve_whole(found["get"]),
            get_names_note="note" in found["get"].argnames,
            **resolved,
        )

    def implementations(self) -> dict[str, pluggy.HookImpl]:
        manager = pluggy.PluginManager(PROJECT)
        # Registered before the specs are known, so that the messages about arguments are ours; pluggy's own
        # checks run after them. The manager is new: an object that equals another one cannot collide.
        try:
            manager.register(self.plugin, name=self.tier)
        except Exception as error:  # noqa: BLE001 - reading a foreign object's attributes may raise anything
            self.fail(f"it cannot be registered: {_line(error)}", error)
        found: dict[str, pluggy.HookImpl] = {}
        for caller in manager.get_hookcallers(self.plugin) or []:
            implementations = caller.get_hookimpls()
            if caller.name not in _ARGUMENTS:
                self.check_unknown(caller.name, implementations)
                continue
            if len(implementations) > 1:
                both = " and ".join(sorted(_name(impl) for impl in implementations))
                self.fail(f"{both} both implement the hook {caller.name!r}; keep one")
            self.check_one(caller.name, implementations[0])
            found[caller.name] = implementations[0]
        self.check_together(found)
        try:
            manager.add_hookspecs(BackendSpec)
            manager.check_pending()
        except pluggy.PluginValidationError as error:
            self.fail(_line(error), error)
        return found

    def check_unknown(self, name: str, implementations: Sequence[pluggy.HookImpl]) -> None:
        # pluggy's optionalhook is how one plugin serves this contract and a later one.
        if all(impl.optionalhook for impl in implementations):
            return
        close = difflib.get_close_matches(name, _ARGUMENTS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"the hooks are {', '.join(_ARGUMENTS)}"
        self.fail(f"{name}() is marked with @hookimpl, but there is no hook of that name; {hint}")

    def check_one(self, name: str, impl: pluggy.HookImpl) -> None:
        options = [option for option in _REFUSED if getattr(impl, option)]
        if options:
            self.fail(
                f"{name}() is marked with @hookimpl({options[0]}=True); a hook has one implementation, which "
                "nothing wraps or precedes: use plain @hookimpl"
            )
        if inspect.iscoroutinefunction(impl.function) or inspect.isasyncgenfunction(impl.function):
            self.fail(f"{name}() is a coroutine; hooks are synchronous: use def instead of async def")
        if inspect.isgeneratorfunction(impl.function) and name != "scan":
            self.fail(f"{name}() is a generator; return the answer instead of yielding it")
        known = _ARGUMENTS[name]
        listed = ", ".join(known) or "none"
        required = [*impl.argnames, *_required_keywords(impl.function)]
        for argument in required:
            if argument not in known:
                close = difflib.get_close_matches(argument, known, n=1)
                hint = f"did you mean {close[0]!r}? " if close else ""
                self.fail(
                    f"{name}() names the argument {argument!r}, which the hook does not have; "
                    f"{hint}its arguments: {listed}"
                )
        for argument in _required_keywords(impl.function):
            self.fail(
                f"{name}() takes {argument!r} by keyword only; arguments are given by position: drop the *"
            )
        for argument in _optional(impl.function):
            if argument in known:
                self.fail(
                    f"{name}() gives its argument {argument!r} a default, so the core would never pass it; "
                    "drop the default"
                )

    def check_together(self, found: dict[str, pluggy.HookImpl]) -> None:
        for name in _ARGUMENTS:
            if name not in found and _is_unmarked(self.plugin, name):
                self.fail(
                    f"its method {name}() lacks @hookimpl, so nobody would call it; mark it (or rename it)"
                )
        missing = [name for name in REQUIRED if name not in found]
        if missing:
            self.fail(f"it does not implement {', '.join(missing)}; every backend has {', '.join(REQUIRED)}")
        if ("put" in found) != ("evict" in found):
            have, lack = ("put", "evict") if "put" in found else ("evict", "put")
            self.fail(
                f"it implements {have} without {lack}; they come together, or neither for a read-only one"
            )
        if "put_many" in found and "put" not in found:
            self.fail("it implements put_many without put and evict; a read-only backend has none of them")

    def fail(self, message: str, cause: Exception | None = None) -> NoReturn:
        raise PluginError(
            f"tier {self.tier!r}: backend {self.provider.name!r} of {self.provider} ({self.what}): {message}",
            distribution=self.provider.distribution,
            version=self.provider.version,
        ) from cause


_REFUSED = ("hookwrapper", "wrapper", "tryfirst", "trylast")

_ARGUMENTS: dict[str, tuple[str, ...]] = {
    name: tuple(inspect.signature(getattr(BackendSpec, name)).parameters)[1:]
    for name in (*REQUIRED, *OPTIONAL)
}


def _resolve(impl: pluggy.HookImpl, spec: tuple[str, ...]) -> Callable[..., Any]:
    """A call that takes all arguments of the spec and hands on those that the implementation names."""
    function: Callable[..., Any] = impl.function
    named = tuple(impl.argnames)
    if named == spec:
        return function
    if not named:
        return lambda *_: function()
    if named == spec[: len(named)]:
        # The usual case, spelled out: a general shim costs several times as much.
        match len(spec), len(named):
            case 3, 1:
                return lambda first, _second, _third: function(first)
            case 3, 2:
                return lambda first, second, _third: function(first, second)
            case 2, 1:
                return lambda first, _second: function(first)
    positions = tuple(spec.index(argument) for argument in named)
    return lambda *given: function(*[given[position] for position in positions])


def _resolve_whole(impl: pluggy.HookImpl) -> Callable[[str], Any]:
    """`get` of the whole with the key as its only argument."""
    function: Callable[..., Any] = impl.function
    if tuple(impl.argnames) == ("key",):
        return function
    resolved = _resolve(impl, _ARGUMENTS["get"])
    return lambda key: resolved(key, None, None)


def _required_keywords(function: Callable[..., Any]) -> list[str]:
    return [p.name for p in _parameters(function) if p.kind is p.KEYWORD_ONLY and p.default is p.empty]


def _optional(function: Callable[..., Any]) -> list[str]:
    return [p.name for p in _parameters(function) if p.default is not p.empty]


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def _is_unmarked(plugin: object, name: str) -> bool:
    """Tell whether a public method has a hook's name; asks no property and no ``__getattr__``."""
    found = inspect.getattr_static(plugin, name, None)
    return callable(found) or isinstance(found, staticmethod | classmethod)


def _name(impl: pluggy.HookImpl) -> str:
    return f"{getattr(impl.function, '__name__', 'a method')}()"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
